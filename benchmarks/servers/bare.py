"""The least that an ASGI application can do: a loop that sends prepared bytes to every socket.

It knows neither GraphQL nor the protocol beyond the three messages that a client begins with,
and whoever does not read holds everybody up.
"""

from __future__ import annotations

import asyncio
from typing import Final

import orjson

from .served import EXPECTED, Application, Receive, Scope, Send, stamp

__all__ = ["Bare"]

_MARK: Final = "SENT"


def _prepared() -> tuple[str, str]:
    """A message before and after its time of publication."""
    fields = {**EXPECTED["orderUpdated"], "sent": _MARK}
    message = {"id": "1", "type": "next", "payload": {"data": {"orderUpdated": fields}}}
    before, _, after = orjson.dumps(message).decode().partition(_MARK)
    return before, after


class Bare:
    def __init__(self) -> None:
        self.app: Application = self._serve
        self._sends: list[Send] = []
        self._due: asyncio.Queue[str] = asyncio.Queue()
        self._sending: asyncio.Task[None] | None = None

    def subscribers(self) -> int:
        return len(self._sends)

    def publish(self, count: int) -> None:
        for _ in range(count):
            self._due.put_nowait(stamp())
        if self._sending is None:
            self._sending = asyncio.ensure_future(self._broadcast())

    async def _broadcast(self) -> None:
        before, after = _prepared()
        while True:
            text = before + await self._due.get() + after
            for send in list(self._sends):
                await send({"type": "websocket.send", "text": text})

    async def _serve(self, scope: Scope, receive: Receive, send: Send) -> None:
        await receive()  # websocket.connect
        await send({"type": "websocket.accept", "subprotocol": "graphql-transport-ws"})
        await receive()  # connection_init
        await send({"type": "websocket.send", "text": '{"type":"connection_ack"}'})
        await receive()  # subscribe
        self._sends.append(send)
        try:
            await receive()  # websocket.disconnect
        finally:
            self._sends.remove(send)
