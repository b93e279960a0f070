"""GraphQL subscriptions over WebSocket as an ASGI application, for any ASGI server.

The protocols are state machines in the engine (go/internal/protocol). This side moves frames
between the server and the machine, runs timers, and asks the application who a client is.
"""

from __future__ import annotations

import asyncio
import inspect
from collections.abc import Awaitable, Callable, Iterable, MutableMapping
from typing import TYPE_CHECKING, Any, TypeAlias
from urllib.parse import urlsplit

import orjson

from .arguments import positive
from .websocket import NOT_ACCEPTABLE, Connection

if TYPE_CHECKING:
    from .executor import SubscriptionExecutor

__all__ = ["GraphQLSubscriptions"]

Scope: TypeAlias = MutableMapping[str, Any]
Receive: TypeAlias = Callable[[], Awaitable[MutableMapping[str, Any]]]
Send: TypeAlias = Callable[[MutableMapping[str, Any]], Awaitable[None]]


class GraphQLSubscriptions:
    """Serves `executor`'s fields (`SubscriptionExecutor.field`) over WebSocket.

    It speaks graphql-transport-ws and the older graphql-ws; a client that offers both gets the
    former. `on_connect(connection_params, connection)`, a coroutine function or a plain one,
    decides who a client is before it is acknowledged: it returns a `SecurityContext`, or None for
    the anonymous one; False or an AuthorizationError refuses with 4403. `connection` is
    Starlette's HTTPConnection (``pip install starlette``); ``connection.scope["connection_id"]``
    is what the executor knows it by: `update_context` changes who the client is, `revoke` turns
    it away, also for what it subscribes to afterwards.

    A browser is let in from the server's own host and from `origins` (such as
    ``"https://app.example.com"``; ``"*"`` for every origin). Times are seconds; ``ping=0`` sends
    no pings. A client that reads slowly fills its subscriptions' queues, whose policies decide.

    When the server's lifespan ends, subscriptions get what is queued and ``complete``, and the
    sockets close with 1001, within `shutdown_grace`. The executor stays the application's to
    close.
    """

    def __init__(
        self,
        executor: SubscriptionExecutor,
        *,
        on_connect: Callable[..., Any] | None = None,
        origins: str | Iterable[str] = (),
        max_message_bytes: int = 1_000_000,
        max_operations: int = 100,
        init_timeout: float = 10.0,
        ping: float = 30.0,
        pong: float = 10.0,
        shutdown_grace: float = 5.0,
    ) -> None:
        if on_connect is not None:
            if not callable(on_connect):
                raise TypeError(f"on_connect must be callable, not {type(on_connect).__name__}")
            # What it is called with; an error here is better than one at the first client's.
            from starlette.requests import HTTPConnection  # noqa: F401
        positive("max_message_bytes", max_message_bytes)
        positive("max_operations", max_operations)
        self.executor = executor
        self.on_connect = on_connect
        self._origins = frozenset([origins] if isinstance(origins, str) else origins)
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
        self._grace = float(shutdown_grace)
        self._connections: set[Connection] = set()
        self._draining = False

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one connection, as ASGI says."""
        if scope["type"] == "lifespan":
            await self._lifespan(receive, send)
        elif scope["type"] == "websocket":
            await self._websocket(scope, receive, send)
        elif scope["type"] == "http":
            await _upgrade_required(send)
        else:
            raise ValueError(f"ASGI scope {scope['type']!r} is not served here")

    async def drain(self) -> None:
        """Send what is queued, complete every subscription and close every socket (1001)."""
        self._draining = True
        connections = list(self._connections)
        for connection in connections:
            connection.drain()
        if connections:
            ended = [one.ended for one in connections]
            await asyncio.wait(ended, timeout=self._grace)
            for connection in connections:
                connection.give_up()
            await asyncio.wait(ended)

    async def _websocket(self, scope: Scope, receive: Receive, send: Send) -> None:
        await receive()  # websocket.connect
        headers = {name.lower(): value.decode("latin-1") for name, value in scope["headers"]}
        if self._draining or not self._same_site(headers):
            await send({"type": "websocket.close", "code": 4403, "reason": "Forbidden"})
            return
        connection = Connection(self, scope, receive, send)
        if not connection.subprotocol:
            await send({"type": "websocket.accept"})
            await send({"type": "websocket.close", **NOT_ACCEPTABLE})
            return
        self._connections.add(connection)
        try:
            await connection.run()
        finally:
            self._connections.discard(connection)

    def _same_site(self, headers: dict[bytes, str]) -> bool:
        """Whether the page that connects, if it is one, is allowed to."""
        origin = headers.get(b"origin")
        if origin is None or origin in self._origins or "*" in self._origins:
            return True
        return urlsplit(origin).netloc.lower() == headers.get(b"host", "").lower() != ""

    async def _lifespan(self, receive: Receive, send: Send) -> None:
        while True:
            event = await receive()
            if event["type"] == "lifespan.startup":
                await send({"type": "lifespan.startup.complete"})
            else:
                await self.drain()
                await send({"type": "lifespan.shutdown.complete"})
                return

    async def identify(self, params: dict[str, Any], scope: Scope) -> Any:
        """What `on_connect` says of a client, None without one."""
        if self.on_connect is None:
            return None
        from starlette.requests import HTTPConnection

        # Starlette's plain HTTPConnection takes websocket scopes, too.
        answer = self.on_connect(params, HTTPConnection(scope))
        return await answer if inspect.isawaitable(answer) else answer


async def _upgrade_required(send: Send) -> None:
    body = b"GraphQL subscriptions are served over WebSocket here\n"
    headers = [(b"content-type", b"text/plain"), (b"upgrade", b"websocket")]
    await send({"type": "http.response.start", "status": 426, "headers": headers})
    await send({"type": "http.response.body", "body": body})
