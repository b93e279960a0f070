"""Subscriptions in a Starlette application: routes, lifespan, and Starlette's WebSocket adapter."""

from __future__ import annotations

import contextlib
import inspect
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from typing import TYPE_CHECKING, Any, Final, TypeAlias

from starlette.requests import HTTPConnection
from starlette.routing import Route, WebSocketRoute
from starlette.websockets import WebSocket, WebSocketDisconnect, WebSocketState

from .adapter import WebSocketAdapter
from .asgi import GraphQLSubscriptions
from .errors import EngineClosed
from .executor import SubscriptionExecutor
from .manager import SubscriptionManager, on_connect_of

if TYPE_CHECKING:
    from starlette.applications import Starlette

    from .asgi import Receive, Scope, Send
    from .manager import AuthHandler

__all__ = [
    "StarletteWebSocketAdapter",
    "add_subscription_routes",
    "add_subscription_routes_with_auth",
]

#: Where clients find subscriptions unless the application says otherwise.
PATH: Final = "/graphql/subscriptions"

Dependency: TypeAlias = Callable[..., SubscriptionExecutor | Awaitable[SubscriptionExecutor]]
Source: TypeAlias = SubscriptionExecutor | SubscriptionManager | Dependency


def add_subscription_routes(
    app: Starlette,
    executor: Source,
    path: str = PATH,
    *,
    close_executor: bool = True,
    **options: Any,
) -> None:
    """Serve subscriptions at `path` of a Starlette (or FastAPI) application.

    `executor` is a `SubscriptionExecutor`, a `SubscriptionManager`, or a function of one
    HTTPConnection, sync or async, that returns the executor for that client. `options` are those
    of `GraphQLSubscriptions`.

    The application's lifespan is kept and extended: when it ends, clients get what is queued and
    ``complete``, and the executor is closed, before the application's own clean-up runs.
    ``close_executor=False`` leaves that to the application, as does a function.
    """
    served = Served(executor, close_executor=close_executor, options=options)
    app.router.routes += [
        WebSocketRoute(path, _Endpoint(served), name="subscriptions"),
        Route(path, _Endpoint(served), name="subscriptions", include_in_schema=False),
    ]
    own = app.router.lifespan_context

    @contextlib.asynccontextmanager
    async def lifespan(running: Any) -> AsyncIterator[Any]:
        async with own(running) as state, served.lifespan(running):
            yield state

    app.router.lifespan_context = lifespan


def add_subscription_routes_with_auth(
    app: Starlette, executor: Source, auth_handler: AuthHandler, path: str = PATH, **options: Any
) -> None:
    """`add_subscription_routes` for clients that `auth_handler` knows.

    It is called with the client's ``connection_init`` payload and returns a `SecurityContext` or a
    mapping with its names; None, and ValueError or PermissionError, refuse with 4403.
    """
    add_subscription_routes(app, executor, path, on_connect=on_connect_of(auth_handler), **options)


class Served:
    """An executor, or where to get one, and the ASGI applications that serve it."""

    def __init__(
        self, executor: Source, *, close_executor: bool, options: Mapping[str, Any]
    ) -> None:
        if isinstance(executor, SubscriptionManager):
            options = {**executor.options, **options}
            executor = executor.executor
        self._options = options
        self._close = close_executor
        self._apps: list[GraphQLSubscriptions] = []
        self._fixed: GraphQLSubscriptions | None = None
        if isinstance(executor, SubscriptionExecutor):
            self._fixed = GraphQLSubscriptions(executor, **options)
        elif isinstance(executor, type) or not callable(executor):
            raise TypeError(
                "executor must be a SubscriptionExecutor, a SubscriptionManager or a function that "
                f"returns one, not {executor!r}"
            )
        else:
            # Wrong options are to be found now, not by the first client.
            GraphQLSubscriptions(SubscriptionExecutor(), **options)
        self.source: SubscriptionExecutor | Dependency = executor

    def app_for(self, executor: SubscriptionExecutor) -> GraphQLSubscriptions:
        """The application that serves `executor`, always the same one while it is open."""
        if self._fixed is not None and self._fixed.executor is executor:
            return self._fixed
        if not isinstance(executor, SubscriptionExecutor):
            raise TypeError(
                f"the dependency must return a SubscriptionExecutor, not {type(executor).__name__}"
            )
        for app in self._apps:
            if app.executor is executor:
                return app
        self._apps = [one for one in self._apps if not one.executor._closed]
        self._apps.append(GraphQLSubscriptions(executor, **self._options))
        return self._apps[-1]

    @contextlib.asynccontextmanager
    async def lifespan(self, app: Any) -> AsyncIterator[None]:
        """Serve; then drain the clients, and close the executor if that was asked for."""
        async with contextlib.AsyncExitStack() as stack:
            fixed = self._fixed
            if fixed is not None:
                if fixed.executor._closed:
                    raise EngineClosed(
                        "the executor was closed, perhaps by an earlier lifespan of this "
                        "application; say close_executor=False, or give a function that makes one"
                    )
                if self._close:
                    await stack.enter_async_context(fixed.executor)
                await stack.enter_async_context(fixed.lifespan())
            yield
            for made in self._apps:
                await made.drain()
            self._apps.clear()


class _Endpoint:
    """One connection, as ASGI: to the application of the executor that is chosen for it."""

    def __init__(self, served: Served) -> None:
        self._served = served

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        source = self._served.source
        chosen: Any = source
        if not isinstance(source, SubscriptionExecutor):
            assert callable(source)
            chosen = source(HTTPConnection(scope))
            if inspect.isawaitable(chosen):
                chosen = await chosen
        await self._served.app_for(chosen)(scope, receive, send)


class StarletteWebSocketAdapter(WebSocketAdapter):
    """Starlette's WebSocket, for `SubscriptionManager.handle_connection`."""

    def __init__(self, websocket: WebSocket) -> None:
        self._websocket = websocket

    @property
    def scope(self) -> Scope:
        return self._websocket.scope

    async def accept(self, subprotocol: str | None = None) -> None:
        await self._websocket.accept(subprotocol)

    async def receive_frame(self) -> str | bytes:
        if self._websocket.client_state is WebSocketState.CONNECTING:
            await self._websocket.receive()  # websocket.connect
        message = await self._websocket.receive()
        if message["type"] == "websocket.disconnect":
            raise WebSocketDisconnect(message.get("code", 1005), message.get("reason"))
        text: str | None = message.get("text")
        return message["bytes"] if text is None else text

    async def receive_json(self) -> Any:
        return self.decode(await self.receive_frame())

    async def send_bytes(self, data: bytes) -> None:
        await self._websocket.send_text(data.decode())

    async def close(self, code: int = 1000, reason: str = "") -> None:
        await self._websocket.close(code, reason)

    @property
    def is_connected(self) -> bool:
        return (
            self._websocket.client_state is not WebSocketState.DISCONNECTED
            and self._websocket.application_state is not WebSocketState.DISCONNECTED
        )
