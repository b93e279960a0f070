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

from .errors import ContextExpired, InvalidQuery, LimitExceeded, SubscriptionsError
from .execution import QueryRefused
from .operation import EngineOperation, Operation, RefusedOperation, Request
from .schema_operation import GeneratorOperation, ResultOperation, SchemaOperation
from .tasks import keep

if TYPE_CHECKING:
    from collections.abc import Callable, MutableMapping

    from .execution import ExecutableSchema
    from .executor import SubscriptionExecutor
    from .security import SecurityContext

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
        "__weakref__",
        "_limit",
        "_ready",
        "_schema",
        "_tasks",
        "_wake",
        "connection_id",
        "context",
        "executor",
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
        #: Who the client is; the executor's `update_context` replaces it.
        self.context = context
        self.scope: MutableMapping[str, Any] = {} if scope is None else scope
        self._wake = wake
        self._schema = schema
        self._limit = limit
        self._ready: deque[Operation] = deque()
        self._tasks: dict[asyncio.Task[None], SchemaOperation] = {}
        executor._connections[connection_id] = self

    def start(self, id: str, request: Request, tag: Any = None) -> Operation:
        """Begin what a client asks for under its `id`.

        Never raises for what a client does: an operation that cannot be started ends with
        errors, as any other does.
        """
        try:
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
        self.executor._connections.pop(self.connection_id, None)
        # Nobody asks for more, and the connection is not kept by what takes its time to end.
        self._wake = self._ready.clear
        self._wake()
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
        since = extensions.get("since")
        if since is not None and not (isinstance(since, str) and since and "\0" not in since):
            raise InvalidQuery("extensions.since is not a position")
        asked = self.executor._inspect(request)
        if asked["kind"] == request.refused:
            raise InvalidQuery(_ELSEWHERE[request.refused])
        if asked["kind"] != "subscription":
            return self._start_result(id, request, tag, asked["kind"])
        if self.executor._definitions.get(asked["field"]) is not None:
            engine_id = self.executor._register_field(
                self.connection_id, id, request, asked, self.context, since, "since" in extensions
            )
            return EngineOperation(self, id, tag, engine_id)
        if self._schema is None or not self._schema.subscribes(asked["field"]):
            raise InvalidQuery(f"field {asked['field']!r} cannot be subscribed to")
        return self._start_generator(id, request, tag)

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
        self._schema.check(request.query)
        self._check_room()
        engine_id = self.executor._register_events(self.connection_id, id, request, self.context)
        try:
            operation = GeneratorOperation(self, id, tag, request, self._schema, engine_id)
        except BaseException:
            self.executor.complete_subscription(engine_id)
            raise
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
