"""Subscriptions in a FastAPI application: a router with its lifespan."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING, Any, Final

from fastapi import APIRouter, Depends, Response, WebSocket
from starlette.websockets import WebSocketDisconnect

from .executor import SubscriptionExecutor
from .manager import SubscriptionManager, on_connect_of
from .starlette import PATH, Served, StarletteWebSocketAdapter

if TYPE_CHECKING:
    from collections.abc import MutableMapping

    from .asgi import GraphQLSubscriptions, Receive, Scope, Send
    from .manager import AuthHandler
    from .starlette import Source

__all__ = [
    "FastAPIWebSocketAdapter",
    "create_subscription_router",
    "create_subscription_router_with_auth",
    "subscription_router",
]

#: What GraphQL over HTTP is asked with.
_METHODS: Final = ["GET", "POST", "PUT", "DELETE", "OPTIONS"]


def subscription_router(
    executor: Source, path: str = PATH, *, close_executor: bool = True, **options: Any
) -> APIRouter:
    """A router that serves subscriptions at `path`: ``app.include_router(…)``.

    `executor` is a `SubscriptionExecutor`, a `SubscriptionManager`, or a FastAPI dependency that
    returns an executor (resolved for each client, ``dependency_overrides`` and all). `options` are
    those of `GraphQLSubscriptions`. Dependencies of the router and of ``include_router`` are
    resolved before a client is let in.

    The router's lifespan joins the application's: when it ends, clients get what is queued and
    ``complete``, and the executor is closed, before the application's own clean-up runs.
    ``close_executor=False`` leaves that to the application, as does a dependency.
    """
    return _router(Served(executor, close_executor=close_executor, options=options), path, None)


def create_subscription_router(
    manager: SubscriptionManager,
    path: str = PATH,
    on_disconnect: Callable[[], Awaitable[object]] | None = None,
    **options: Any,
) -> APIRouter:
    """`subscription_router` by the name FraiseQL's plans used.

    `on_disconnect` is awaited after each client has gone.
    """
    return _router(Served(manager, close_executor=True, options=options), path, on_disconnect)


def create_subscription_router_with_auth(
    manager: SubscriptionManager, auth_handler: AuthHandler, path: str = PATH, **options: Any
) -> APIRouter:
    """The same for clients that `auth_handler` knows.

    It is called with the client's ``connection_init`` payload and returns a `SecurityContext` or a
    mapping with its names; None, and ValueError or PermissionError, refuse with 4403.
    """
    options["on_connect"] = on_connect_of(auth_handler)
    return _router(Served(manager, close_executor=True, options=options), path, None)


class FastAPIWebSocketAdapter(StarletteWebSocketAdapter):
    """FastAPI's WebSocket, which is Starlette's."""


def _router(
    served: Served, path: str, on_disconnect: Callable[[], Awaitable[object]] | None
) -> APIRouter:
    source = served.source
    # FastAPI reads parameters from the functions' annotations and defaults.
    provided: Any = Depends(
        (lambda: source) if isinstance(source, SubscriptionExecutor) else source
    )
    router = APIRouter(lifespan=served.lifespan)

    @router.websocket(path, name="subscriptions")
    async def over_websocket(websocket: WebSocket, chosen: Any = provided) -> None:
        try:
            await served.app_for(chosen)(websocket.scope, websocket.receive, _sending(websocket))
        finally:
            if on_disconnect is not None:
                await on_disconnect()

    @router.api_route(path, methods=_METHODS, name="subscriptions", include_in_schema=False)
    async def over_http(chosen: Any = provided) -> Response:
        return _Forwarded(served.app_for(chosen))

    return router


def _sending(websocket: WebSocket) -> Send:
    """Starlette's send, which has an exception of its own for a client that has gone."""

    async def send(message: MutableMapping[str, Any]) -> None:
        try:
            await websocket.send(message)
        except WebSocketDisconnect as gone:
            raise OSError(gone.code, "the client has gone") from None

    return send


class _Forwarded(Response):
    """A response that an ASGI application gives."""

    def __init__(self, app: GraphQLSubscriptions) -> None:
        super().__init__()
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        await self._app(scope, receive, send)
