"""The same protocol over any server's WebSocket: an adapter of six methods.

A server that does not speak ASGI gives its connection to `SubscriptionManager.handle_connection`
as a `WebSocketAdapter`. What happens on it is the ASGI application's business all the same: an
adapter is turned into the receive and send of an ASGI server here, and nothing else.
"""

from __future__ import annotations

import json
from abc import ABC, abstractmethod
from collections.abc import MutableMapping
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from .asgi import Scope
    from .manager import AuthHandler, SubscriptionManager

__all__ = ["GraphQLTransportWSHandler", "SubscriptionProtocolHandler", "WebSocketAdapter"]

#: Closed without a close frame, as the WebSocket protocol numbers it.
_ABNORMAL: Final = 1006


class WebSocketAdapter(ABC):
    """One client's WebSocket, whoever serves it. Frames are text.

    `receive_json` raises ValueError for a frame that is not JSON, and anything else when the
    client has gone. After an error `is_connected` decides whether it has.
    """

    @abstractmethod
    async def accept(self, subprotocol: str | None = None) -> None:
        """Accept the connection with a subprotocol. A server that has done so does nothing."""

    @abstractmethod
    async def receive_json(self) -> Any:
        """The next frame of the client's, decoded."""

    async def send_json(self, data: Any) -> None:
        """Send a value as one text frame. The protocol's own frames come as bytes."""
        await self.send_bytes(json.dumps(data, separators=(",", ":")).encode())

    @abstractmethod
    async def send_bytes(self, data: bytes) -> None:
        """Send finished JSON in UTF-8 as one text frame (browsers expect text)."""

    @abstractmethod
    async def close(self, code: int = 1000, reason: str = "") -> None:
        """Close the connection; before `accept`, refuse it."""

    @property
    @abstractmethod
    def is_connected(self) -> bool:
        """Whether frames can be exchanged still."""

    @property
    def scope(self) -> Scope:
        """The request as an ASGI scope, for `on_connect` and the Origin check.

        The default one knows no headers, so pages of any origin are let in: an adapter for
        browsers says what ``headers`` and ``subprotocols`` came with the request.
        """
        return {
            "type": "websocket",
            "path": "/",
            "query_string": b"",
            "headers": [],
            "subprotocols": ["graphql-transport-ws"],
        }

    async def receive_frame(self) -> str | bytes:
        """The next frame as it came: text, or bytes where it was binary, which is refused.

        Adapters that have it at hand save decoding twice.
        """
        return json.dumps(await self.receive_json())

    @staticmethod
    def decode(frame: str | bytes) -> Any:
        """A frame's value. ValueError for a binary one, and for what is not JSON."""
        if isinstance(frame, bytes):
            raise ValueError("a binary frame")
        return json.loads(frame)


class SubscriptionProtocolHandler(ABC):
    """A WebSocket protocol, from the accepting of a connection to its end."""

    @abstractmethod
    async def handle_connection(
        self,
        websocket: WebSocketAdapter,
        manager: SubscriptionManager,
        auth_handler: AuthHandler | None = None,
    ) -> None:
        """Serve one client until one side closes."""


class GraphQLTransportWSHandler(SubscriptionProtocolHandler):
    """graphql-transport-ws, as `GraphQLSubscriptions` speaks it. Holds nothing of a connection."""

    subprotocol = "graphql-transport-ws"

    async def handle_connection(
        self,
        websocket: WebSocketAdapter,
        manager: SubscriptionManager,
        auth_handler: AuthHandler | None = None,
    ) -> None:
        """Serve one client. `auth_handler` is as in `add_subscription_routes_with_auth`."""
        scope = dict(websocket.scope)
        offered = scope.get("subprotocols", ())
        scope["subprotocols"] = [one for one in offered if one == self.subprotocol]
        pipe = _Pipe(websocket)
        try:
            await manager.application(auth_handler)(scope, pipe.receive, pipe.send)
        finally:
            if websocket.is_connected:
                await websocket.close(1011, "Internal error")


class _Pipe:
    """An adapter as an ASGI server's two functions."""

    def __init__(self, websocket: WebSocketAdapter) -> None:
        self._websocket = websocket
        self._begun = False

    async def receive(self) -> MutableMapping[str, Any]:
        if not self._begun:
            self._begun = True
            return {"type": "websocket.connect"}
        try:
            frame = await self._websocket.receive_frame()
        except Exception as error:
            if not self._websocket.is_connected:
                return {"type": "websocket.disconnect", "code": _ABNORMAL}
            if not isinstance(error, ValueError):
                raise
            frame = ""  # not JSON either, so the protocol says what becomes of the client
        key = "text" if isinstance(frame, str) else "bytes"
        return {"type": "websocket.receive", key: frame}

    async def send(self, message: MutableMapping[str, Any]) -> None:
        try:
            await self._pass_on(message)
        except Exception as error:
            if self._websocket.is_connected:
                raise
            raise ConnectionError("the client has gone") from error

    async def _pass_on(self, message: MutableMapping[str, Any]) -> None:
        kind = message["type"]
        if kind == "websocket.accept":
            await self._websocket.accept(message.get("subprotocol"))
        elif kind == "websocket.close":
            await self._websocket.close(message["code"], message.get("reason") or "")
        else:
            await self._websocket.send_bytes(message["text"].encode())
