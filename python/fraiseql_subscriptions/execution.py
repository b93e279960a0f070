"""A schema that the application brings, and running operations on it.

graphql-core executes it. Strawberry's schemas are asked to run operations themselves, since
extensions are theirs; they use graphql-core, too.
"""

from __future__ import annotations

import inspect
import logging
from collections import OrderedDict
from typing import TYPE_CHECKING, Any, Final

from .encode import encode
from .errors import InvalidQuery

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, AsyncIterable, Callable, MutableMapping
    from types import ModuleType

    from graphql import DocumentNode, GraphQLSchema

    from .operation import Request

__all__ = ["ExecutableSchema", "QueryRefused", "executable", "payload_of"]

_logger = logging.getLogger("fraiseql_subscriptions")

#: Where a schema object keeps the graphql-core schema that it wraps.
_INSIDE: Final = ("_schema", "graphql_schema", "schema")
#: Checked documents that are kept, and the longest query of one, in characters.
_DOCUMENTS: Final = 256
_MAX_KEPT: Final = 10_000


class QueryRefused(InvalidQuery):
    """graphql-core refused a query; `errors` is its list of errors (JSON)."""

    def __init__(self, errors: list[Any]) -> None:
        super().__init__("; ".join(error.message for error in errors))
        self.errors = encode([error.formatted for error in errors])


def executable(
    schema: object, context_getter: Callable[..., Any] | None, root_value: object
) -> ExecutableSchema:
    """What runs operations on `schema`. TypeError when that is not an executable schema."""
    if isinstance(schema, ExecutableSchema):
        return schema
    try:
        import graphql
    except ImportError:
        raise TypeError("schema= needs graphql-core: pip install graphql-core") from None
    if context_getter is not None:
        if not callable(context_getter):
            raise TypeError(f"context_getter must be callable, not {type(context_getter).__name__}")
        # What it is called with; an error here is better than one at the first client's.
        from starlette.requests import HTTPConnection  # noqa: F401
    if isinstance(schema, graphql.GraphQLSchema):
        return ExecutableSchema(graphql, schema, context_getter, root_value)
    for name in _INSIDE:
        inside = getattr(schema, name, None)
        if not isinstance(inside, graphql.GraphQLSchema):
            continue
        if all(callable(getattr(schema, one, None)) for one in ("execute", "subscribe")):
            return _StrawberrySchema(graphql, inside, context_getter, root_value, schema)
        return ExecutableSchema(graphql, inside, context_getter, root_value)
    raise TypeError(
        "schema must be a schema of graphql-core, Strawberry, Ariadne or FraiseQL, "
        f"not {type(schema).__name__}"
    )


class ExecutableSchema:
    """A graphql-core schema with what its resolvers are given."""

    def __init__(
        self,
        library: ModuleType,
        schema: GraphQLSchema,
        context_getter: Callable[..., Any] | None,
        root_value: object,
    ) -> None:
        self._library = library
        self._schema = schema
        self._context_getter = context_getter
        self._root_value = root_value
        self._documents: OrderedDict[str, DocumentNode] = OrderedDict()

    def text(self) -> str | None:
        """The schema in the schema definition language; None when nothing can be subscribed to."""
        if self._schema.subscription_type is None:
            return None
        text: str = self._library.print_schema(self._schema)
        return text

    def subscribes(self, field: str) -> bool:
        """Whether the schema itself has a subscribe function for a root field."""
        root = self._schema.subscription_type
        found = None if root is None else root.fields.get(field)
        return found is not None and found.subscribe is not None

    def check(self, query: str) -> DocumentNode:
        """The parsed and validated query. QueryRefused."""
        known = self._documents.get(query)
        if known is not None:
            self._documents.move_to_end(query)
            return known
        try:
            document: DocumentNode = self._library.parse(query)
        except self._library.GraphQLError as error:
            raise QueryRefused([error]) from None
        errors = self._library.validate(self._schema, document)
        if errors:
            raise QueryRefused(errors)
        if len(query) <= _MAX_KEPT:
            self._documents[query] = document
            if len(self._documents) > _DOCUMENTS:
                self._documents.popitem(last=False)
        return document

    async def context(self, scope: MutableMapping[str, Any]) -> Any:
        """What `context_getter` gives for one operation, None without one."""
        if self._context_getter is None:
            return None
        from starlette.requests import HTTPConnection

        value = self._context_getter(HTTPConnection(scope))
        return await value if inspect.isawaitable(value) else value

    async def execute(self, request: Request, context: Any) -> Any:
        """The result of a query or a mutation that `check` has let through."""
        return await self._execute(request, context, self._root_value)

    async def _execute(self, request: Request, context: Any, root_value: object) -> Any:
        result = self._library.execute(
            self._schema,
            self.check(request.query),
            root_value,
            context,
            _plain(request.variables),
            request.operation_name,
        )
        return await result if inspect.isawaitable(result) else result

    async def subscribe(self, request: Request, context: Any) -> AsyncGenerator[Any]:
        """The results of a subscription that `check` has let through.

        Closing it closes the field's own generator, and waits for that.
        """
        # graphql-core's own subscribe() asks for every event in a task of its own. Its parts
        # do without, and leave the generator to its one reader, which can close it at any time.
        source = self._source(
            self._schema,
            self.check(request.query),
            self._root_value,
            context,
            _plain(request.variables),
            request.operation_name,
        )
        if inspect.isawaitable(source):
            source = await source
        if isinstance(source, self._library.ExecutionResult):
            raise QueryRefused(source.errors)
        events: AsyncIterable[Any] = source
        iterator = events.__aiter__()
        try:
            async for event in iterator:
                yield await self._execute(request, context, event)
        finally:
            await _close(iterator)

    def _source(self, *arguments: Any) -> Any:
        """The source event stream, or an execution result with errors, or one of them later."""
        library = self._library
        if not hasattr(library, "Executor"):  # before graphql-core 3.3
            return library.create_source_event_stream(*arguments)
        executor = library.Executor.build(*arguments)
        if isinstance(executor, list):
            return library.ExecutionResult(None, executor)
        return library.create_source_event_stream(executor)


class _StrawberrySchema(ExecutableSchema):
    """A schema object that runs operations itself."""

    def __init__(
        self,
        library: ModuleType,
        schema: GraphQLSchema,
        context_getter: Callable[..., Any] | None,
        root_value: object,
        outer: Any,
    ) -> None:
        super().__init__(library, schema, context_getter, root_value)
        self._outer = outer

    async def execute(self, request: Request, context: Any) -> Any:
        return await self._outer.execute(request.query, **self._arguments(request, context))

    async def subscribe(self, request: Request, context: Any) -> AsyncGenerator[Any]:
        results = await self._outer.subscribe(request.query, **self._arguments(request, context))
        if not hasattr(results, "__aiter__"):
            raise QueryRefused(results.errors)
        iterator = results.__aiter__()
        try:
            async for result in iterator:
                if any(kind.__name__ == "PreExecutionError" for kind in type(result).__mro__):
                    raise QueryRefused(result.errors)
                yield result
        finally:
            await _close(iterator)

    def _arguments(self, request: Request, context: Any) -> dict[str, Any]:
        return {
            "variable_values": _plain(request.variables),
            "context_value": context,
            "root_value": self._root_value,
            "operation_name": request.operation_name,
        }


def payload_of(result: Any) -> bytes:
    """An execution result as JSON. Raises what `encode` raises."""
    payload: dict[str, Any] = {"data": result.data}
    if result.errors:
        payload["errors"] = [error.formatted for error in result.errors]
    if result.extensions:
        payload["extensions"] = result.extensions
    return encode(payload)


async def _close(iterator: Any) -> None:
    close = getattr(iterator, "aclose", None)
    if close is not None:
        await close()


def _plain(variables: Any) -> dict[str, Any] | None:
    return None if variables is None else dict(variables)
