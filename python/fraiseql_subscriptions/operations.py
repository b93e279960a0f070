"""The operations of one connection, whatever transport carries them."""

# ruff: noqa: A002  (`id` is a name of the public API)

from __future__ import annotations

import asyncio
import contextlib
import logging
import time
from collections import deque
from typing import TYPE_CHECKING, Any, Final

import orjson

from .encode import decode_exact
from .errors import (
    ContextExpired,
    EngineClosed,
    InvalidQuery,
    LimitExceeded,
    SubscriptionsError,
)
from .execution import QueryRefused
from .operation import EngineOperation, Operation, OperationFeed, RefusedOperation, Request
from .schema_operation import GeneratorOperation, ResultOperation, SchemaOperation
from .security import SecurityContext
from .tasks import keep

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, MutableMapping

    from .execution import ExecutableSchema
    from .executor import SubscriptionExecutor
    from .pump import Pump

__all__ = ["Operations"]

_logger = logging.getLogger("fraiseql_subscriptions")

#: How many may run in Python at a time, those that their client has completed included.
_TASKS: Final = 100
#: Where else the operations go that are refused over HTTP.
_ELSEWHERE: Final = {
    "mutation": "a mutation is not run by GET: use POST",
    "subscription": "a subscription has many results: accept text/event-stream or "
    "multipart/mixed;subscriptionSpec=1.0",
}


class Operations:
    """The operations of one connection, on its event loop's thread.

    `wake` is called when one has something to say: the transport then serves the `ready` ones
    until there is none. `context` is who the client is. With a `schema`, what the executor
    has no field for is run on that; `scope` is then the connection's (ASGI), and `limit` how
    many of those may run at a time.
    """

    __slots__ = (
        "_context",
        "_limit",
        "_ready",
        "_schema",
        "_tasks",
        "_text",
        "_wake",
        "connection_id",
        "executor",
        "feed",
        "pump",
        "scope",
    )

    def __init__(
        self,
        executor: SubscriptionExecutor,
        connection_id: str,
        context: SecurityContext,
        wake: Callable[[], None],
        *,
        schema: ExecutableSchema | None = None,
        scope: MutableMapping[str, Any] | None = None,
        limit: int = _TASKS,
    ) -> None:
        self.executor = executor
        self.connection_id = connection_id
        self._context = context
        #: The same as the engine tells it; None: the engine does not know the client yet.
        self._text: str | None = None
        self.scope: MutableMapping[str, Any] = {} if scope is None else scope
        self._wake = wake
        #: What the engine's responses come in, and the pump that is handed an operation with
        #: some: the transport may have its own.
        self.feed = OperationFeed
        self.pump: Pump | None = None
        self._schema = schema
        self._limit = limit
        self._ready: deque[Operation] = deque()
        self._tasks: dict[asyncio.Task[None], SchemaOperation] = {}

    @property
    def context(self) -> SecurityContext:
        """Who the client is now: `update_context` and `revoke` replace it.

        Raises AuthorizationError where it was revoked.
        """
        if self._text is not None:
            with contextlib.suppress(EngineClosed):
                text = self.executor._client_context(self.connection_id)
                if text not in ("", self._text):  # "": it has gone
                    self._context = SecurityContext(**decode_exact(text))
                    self._text = text
        return self._context

    @context.setter
    def context(self, context: SecurityContext) -> None:
        self.executor._client_connected(self.connection_id, context)
        self._context, self._text = context, ""

    def start(self, id: str, request: Request, tag: Any = None) -> Operation:
        """Begin what a client asks for under its `id`.

        Never raises for what a client does: an operation that cannot be started ends with
        errors, as any other does.
        """
        try:
            if self._text is None:
                self.context = self._context
            operation = self._start(id, request, tag)
        except QueryRefused as refused:
            operation = RefusedOperation(self, id, tag, refused.errors)
        except (SubscriptionsError, ValueError) as error:
            code = getattr(error, "code", "BAD_REQUEST")
            operation = self._refuse(id, tag, str(error), code)
        except Exception:  # a mistake of the application's, whose text is not for clients
            _logger.exception("a client's operation could not be started")
            operation = self._refuse(id, tag, "Internal error", "INTERNAL_ERROR")
        operation.wake()
        return operation

    def ready(self) -> Operation | None:
        """One that has something to say, in their order; None when there is none."""
        return self._ready.popleft() if self._ready else None

    async def drain(self) -> None:
        """The server goes away: end what runs in Python, and wait for it.

        Generators are closed, queries and mutations finish. What they gave is to be served.
        """
        for operation in list(self._tasks.values()):
            operation.drain()
        if self._tasks:
            await asyncio.wait(list(self._tasks))

    async def close(self, grace: float = 5.0) -> None:
        """The connection is gone: end everything.

        Waits at most `grace` seconds for generators to finish, and for mutations, which go on
        without the client; then cancels them, and waits once more.
        """
        for operation in list(self._tasks.values()):
            operation.complete()
        with contextlib.suppress(SubscriptionsError):  # the executor was closed before
            self.executor.close_connection(self.connection_id)
        # Nobody asks for more, and the transport is not kept by what takes its time to end.
        self._wake = self._ready.clear
        self._wake()
        try:
            await self._wait(grace)
        finally:
            if self._text is not None:
                with contextlib.suppress(SubscriptionsError):  # likewise
                    self.executor._client_gone(self.connection_id)

    async def _wait(self, grace: float) -> None:
        left: set[asyncio.Task[None]] = set(self._tasks)
        for attempt in range(2):
            if not left:
                return
            if attempt:
                for task in left:
                    task.cancel()
            _, left = await asyncio.wait(left, timeout=grace)
        if left:
            _logger.warning(
                "%d operations of a closed connection are still running after %g seconds",
                len(left),
                2 * grace,
            )

    # --- Starting ----------------------------------------------------------------------

    def _start(self, id: str, request: Request, tag: Any) -> Operation:
        extensions = request.extensions or {}
        with self._telling(id):
            since = _position(extensions.get("since"))
        asked = self.executor._inspect(self.connection_id, id, request)
        if asked["kind"] != "subscription" and asked["kind"] != request.refused:
            return self._start_result(id, request, tag, asked["kind"])
        with self._telling(id):
            if asked["kind"] == request.refused:
                raise InvalidQuery(_ELSEWHERE[request.refused])
            definition = self.executor._definitions.get(asked["field"])
            if definition is None:
                self._check_subscribable(request, asked["field"])
            else:
                channels = definition.channels_for(asked["arguments"])
                conditions = definition.filter_for(asked["arguments"])
        if definition is None:
            return self._start_generator(id, request, tag)
        engine_id = self.executor._register_field(
            self.connection_id,
            id,
            request,
            definition,
            channels,
            conditions,
            self._context,
            since,
            "since" in extensions,
        )
        with self._begun(engine_id):
            return EngineOperation(self, id, tag, engine_id)

    @contextlib.contextmanager
    def _begun(self, engine_id: str) -> Iterator[None]:
        """What fails inside leaves nothing of the subscription."""
        try:
            yield
        except BaseException:
            self.executor.complete_subscription(engine_id)
            raise

    @contextlib.contextmanager
    def _telling(self, id: str) -> Iterator[None]:
        """What is refused inside is told to the audit, as the engine does for itself."""
        try:
            yield
        except (SubscriptionsError, ValueError) as error:
            code = getattr(error, "code", "BAD_REQUEST")
            self.executor._client_refused(self.connection_id, id, code, str(error))
            raise

    def _check_subscribable(self, request: Request, field: str) -> None:
        if self._schema is None or not self._schema.subscribes(field):
            raise InvalidQuery(f"field {field!r} cannot be subscribed to")
        self._schema.check(request.query)
        self._check_room()

    def _start_result(self, id: str, request: Request, tag: Any, kind: str) -> Operation:
        if self._schema is None:
            raise InvalidQuery(f"the operation is a {kind}: only a subscription can be run here")
        self._schema.check(request.query)
        expires = self.context.expires_at
        if isinstance(expires, (int, float)) and expires <= time.time():
            raise ContextExpired("the context has expired")
        operation = ResultOperation(
            self, id, tag, request, self._schema, finishes=kind == "mutation"
        )
        self._run(operation)
        return operation

    def _start_generator(self, id: str, request: Request, tag: Any) -> Operation:
        assert self._schema is not None
        engine_id = self.executor._register_events(self.connection_id, id, request, self._context)
        with self._begun(engine_id):
            operation = GeneratorOperation(self, id, tag, request, self._schema, engine_id)
        self._run(operation)
        return operation

    def _check_room(self) -> None:
        if len(self._tasks) >= self._limit:
            error = LimitExceeded(
                f"this connection runs {self._limit} operations, the most that it may"
            )
            error.limit, error.value, error.asked = "max_operations", self._limit, self._limit + 1
            raise error

    def _run(self, operation: SchemaOperation) -> None:
        self._check_room()
        task = operation.run()
        self._tasks[task] = operation
        task.add_done_callback(self._tasks.pop)
        keep(task, task.get_loop())

    def _refuse(self, id: str, tag: Any, message: str, code: str) -> Operation:
        problem = {"message": message, "extensions": {"code": code}}
        return RefusedOperation(self, id, tag, orjson.dumps([problem]))


def _position(since: object) -> str | None:
    """The position to resume from that a client names, if it does."""
    if since is None or (isinstance(since, str) and since and "\0" not in since):
        return since
    raise InvalidQuery("extensions.since is not a position")
