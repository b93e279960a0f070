"""GraphQL subscriptions over WebSocket and HTTP as an ASGI application, for any ASGI server.

The protocols are state machines in the engine (go/internal/protocol). This side moves frames
between the server and the machines, runs timers, and asks the application who a client is.
"""

from __future__ import annotations

import asyncio
import contextlib
import inspect
import re
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, MutableMapping
from typing import TYPE_CHECKING, Any, Final, TypeAlias

import orjson

from .arguments import positive
from .errors import AuthorizationError, EngineClosed, from_native
from .execution import ExecutableSchema, executable
from .operations import Operations
from .security import SecurityContext
from .shutdown import before_shutdown
from .streaming import HTTPClients, away
from .websocket import GOING_AWAY, NOT_ACCEPTABLE, Connection
from .workers import warn_of_memory_bus

if TYPE_CHECKING:
    from .client import Client
    from .executor import SubscriptionExecutor

__all__ = ["GraphQLSubscriptions"]

Scope: TypeAlias = MutableMapping[str, Any]
Receive: TypeAlias = Callable[[], Awaitable[MutableMapping[str, Any]]]
Send: TypeAlias = Callable[[MutableMapping[str, Any]], Awaitable[None]]

#: What browsers send as an Origin.
_ORIGIN: Final = re.compile(r"null|[a-z][a-z0-9+.-]*://[^/\s]+")


class GraphQLSubscriptions:
    """Serves `executor`'s fields (`SubscriptionExecutor.field`) over WebSocket and HTTP.

    Over WebSocket it speaks graphql-transport-ws and the older graphql-ws; a client that offers
    both gets the former. Over HTTP, by what a request accepts: GraphQL over Server-Sent Events
    (``text/event-stream``; also many operations in one stream that was reserved by PUT), and
    Apollo's multipart (``multipart/mixed;subscriptionSpec=1.0``). docs/protocols.md has the rest.

    `on_connect(connection_params, connection)`, a coroutine function or a plain one, decides who
    a client is before anything is answered: it returns a `SecurityContext`, or None for the
    anonymous one; False or an AuthorizationError refuses, with a close of 4403 or the status 403.
    `connection` is Starlette's HTTPConnection (``pip install starlette``), with the headers; over
    HTTP the `connection_params` are empty. `connection.state.connection_id` is the client's in
    the executor, for `update_context`.

    A browser is let in from the server's own host and from `origins` (such as
    ``"https://app.example.com"``; ``"*"`` for every origin), and sends only JSON. Times are
    seconds; ``ping=0`` sends no pings and keep-alives. After `retry` seconds a browser that has
    lost its event stream comes back. `max_operations` is a client's, `max_reservations` of all
    clients: streams reserved by PUT and not opened yet. A client that reads slowly fills its
    subscriptions' queues, whose policies decide; one that does not read at all is dropped.

    With a `schema`, of graphql-core, Strawberry, Ariadne or FraiseQL, queries and mutations run
    on it, and so do subscriptions to fields that have a subscribe function of their own, where the
    executor has no field of that name. `context_getter(connection)`, a coroutine function or a
    plain one, gives each of these operations the context of its resolvers; `root_value` is
    theirs. The executor takes the schema, too, if it has none: then this is to be made before
    that is used.

    When the server shuts down, or by `drain()`, subscriptions get what is queued and
    ``complete``, sockets close with 1001 and responses end, within `shutdown_grace`. Servers
    close sockets before they end the lifespan, so SIGTERM and SIGINT are held back until that
    has been done; with ``drain_on_signal=False`` only the lifespan counts. The executor stays
    the application's to close.
    """

    def __init__(
        self,
        executor: SubscriptionExecutor,
        *,
        schema: object = None,
        context_getter: Callable[..., Any] | None = None,
        root_value: object = None,
        on_connect: Callable[..., Any] | None = None,
        origins: str | Iterable[str] = (),
        max_message_bytes: int = 1_000_000,
        max_operations: int = 100,
        max_reservations: int = 1000,
        init_timeout: float = 10.0,
        ping: float = 30.0,
        pong: float = 10.0,
        retry: float = 1.0,
        shutdown_grace: float = 5.0,
        drain_on_signal: bool = True,
    ) -> None:
        if on_connect is not None:
            if not callable(on_connect):
                raise TypeError(f"on_connect must be callable, not {type(on_connect).__name__}")
            # What it is called with; an error here is better than one at the first client's.
            from starlette.requests import HTTPConnection  # noqa: F401
        positive("max_message_bytes", max_message_bytes)
        positive("max_operations", max_operations)
        positive("max_reservations", max_reservations)
        self.executor = executor
        self.on_connect = on_connect
        self._origins = _origins(origins)
        self.limits = orjson.dumps(
            {
                "frame_bytes": max_message_bytes,
                "id_bytes": 256,
                "operations": max_operations,
                "init_timeout": float(init_timeout),
                "ping": float(ping),
                "pong": float(pong),
            }
        ).decode()
        self._schema: ExecutableSchema | None = None
        if schema is not None:
            self._schema = executable(schema, context_getter, root_value)
            text = self._schema.text()
            if text is not None:
                executor._adopt_schema(text)
        elif context_getter is not None or root_value is not None:
            raise ValueError("context_getter and root_value are for a schema's resolvers; name it")
        self._max_operations = max_operations
        self.grace = float(shutdown_grace)
        self._connections: set[Client] = set()
        self._max_message_bytes = max_message_bytes
        self._http = HTTPClients(
            self,
            orjson.dumps(
                {
                    "body_bytes": max_message_bytes,
                    "id_bytes": 256,
                    "operations": max_operations,
                    "reservations": max_reservations,
                    "init_timeout": float(init_timeout),
                    "ping": float(ping),
                    "retry": float(retry),
                    "origins": self._origins,
                    "plain": schema is not None,
                }
            ).decode(),
        )
        self._signals = drain_on_signal
        #: Keeps hearing of signals, while the lifespan lasts.
        self._renew: Callable[[], None] | None = None
        self._draining = False
        self._begun = False

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one connection, as ASGI says."""
        if scope["type"] == "lifespan":
            await self._lifespan(receive, send)
        elif scope["type"] == "websocket":
            await self._websocket(scope, receive, send)
        elif scope["type"] == "http":
            self._begin()
            if self._draining:
                await away(send)
            else:
                await self._http.serve(scope, receive, send, self._max_message_bytes)
        else:
            raise ValueError(f"ASGI scope {scope['type']!r} is not served here")

    def operations(
        self,
        connection_id: str,
        context: SecurityContext,
        wake: Callable[[], None],
        scope: Scope,
    ) -> Operations:
        """What runs a client's operations, for a transport: one a connection."""
        return Operations(
            self.executor,
            connection_id,
            context,
            wake,
            schema=self._schema,
            scope=scope,
            limit=self._max_operations,
        )

    def admit(self, client: Client) -> None:
        """Count a client among those that a shutdown waits for, until it has ended."""
        if self._renew is not None:
            self._renew()
        self._connections.add(client)
        client.ended.add_done_callback(lambda _: self._connections.discard(client))

    async def drain(self) -> None:
        """Send what is queued, complete every subscription, and end every client.

        For applications whose server does not tell of its end: sockets close with 1001, responses
        end, and whoever comes from now on is turned away.
        """
        self._draining = True
        connections = list(self._connections)
        for connection in connections:
            connection.drain()
        if connections:
            ended = [one.ended for one in connections]
            await asyncio.wait(ended, timeout=self.grace)
            for connection in connections:
                connection.give_up()
            await asyncio.wait(ended)

    @contextlib.asynccontextmanager
    async def lifespan(self) -> AsyncIterator[None]:
        """What a server's lifespan does, for applications that have one of their own."""
        self._draining = False  # it may be the second one, as in tests
        self._begin()
        with contextlib.ExitStack() as stack:
            if self._signals:
                self._renew = stack.enter_context(before_shutdown(self.drain))
                stack.callback(setattr, self, "_renew", None)
            try:
                yield
            finally:
                await self.drain()

    def _begin(self) -> None:
        """Before the first client: in the lifespan, where the server has one."""
        if not self._begun:
            self._begun = True
            warn_of_memory_bus(self.executor)

    async def _websocket(self, scope: Scope, receive: Receive, send: Send) -> None:
        self._begin()
        await receive()  # websocket.connect
        try:
            if self._draining or not self._admits(scope):
                await send({"type": "websocket.close", "code": 4403, "reason": "Forbidden"})
                return
            connection = Connection(self, scope, receive, send)
        except EngineClosed:
            await send({"type": "websocket.close", **GOING_AWAY})
            return
        if not connection.subprotocol:
            await send({"type": "websocket.accept"})
            await send({"type": "websocket.close", **NOT_ACCEPTABLE})
            return
        self.admit(connection)
        await connection.run()

    def _admits(self, scope: Scope) -> bool:
        """Whether the page that connects, if it is one, is allowed to."""
        headers = {name: value.decode("latin-1") for name, value in scope["headers"]}
        told = [" ".join(self._origins), headers.get(b"origin", ""), headers.get(b"host", "")]
        handle = self.executor._entry()
        try:
            return bool(self.executor._native.admits(handle, *told))
        except RuntimeError as error:
            raise from_native(error) from None

    async def _lifespan(self, receive: Receive, send: Send) -> None:
        await receive()  # lifespan.startup
        async with self.lifespan():
            await send({"type": "lifespan.startup.complete"})
            await receive()  # lifespan.shutdown
        await send({"type": "lifespan.shutdown.complete"})

    async def identify(self, params: dict[str, Any], scope: Scope) -> SecurityContext:
        """Who a client is, as `on_connect` says. AuthorizationError keeps it out."""
        if self.on_connect is None:
            return SecurityContext()
        from starlette.requests import HTTPConnection

        # Starlette's plain HTTPConnection takes websocket scopes, too.
        answer = self.on_connect(params, HTTPConnection(scope))
        if inspect.isawaitable(answer):
            answer = await answer
        if answer is None:
            return SecurityContext()
        if answer is False:
            raise AuthorizationError("Forbidden")
        if not isinstance(answer, SecurityContext):
            raise TypeError(
                "on_connect must return a SecurityContext, None or False, "
                f"not {type(answer).__name__}"
            )
        return answer


def _origins(given: str | Iterable[str]) -> list[str]:
    origins = sorted({given} if isinstance(given, str) else set(given))
    for origin in origins:
        if origin != "*" and not _ORIGIN.fullmatch(origin):
            raise ValueError(
                f"origins has {origin!r}, which no browser sends; write scheme://host[:port], "
                'without a path, or "*"'
            )
    return origins
