"""One WebSocket of a client: its frames, in and out.

One reader and one writer a connection. The event loop's consumer has the writer send what has
come, without a turn of the loop in between; a client that does not read keeps the writer
waiting, and its responses in the engine's queues.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections import deque
from typing import TYPE_CHECKING, Any, Final

from .client import Client
from .errors import EngineClosed, SubscriptionsError, from_native
from .operation import NEXT, OperationFeed
from .pump import Pump

if TYPE_CHECKING:
    from collections.abc import MutableMapping

    from .asgi import GraphQLSubscriptions, Receive, Scope, Send

__all__ = ["GOING_AWAY", "NOT_ACCEPTABLE", "Connection"]

_logger = logging.getLogger("fraiseql_subscriptions")

#: What a client that offers no known subprotocol is closed with.
NOT_ACCEPTABLE: Final = {"code": 4406, "reason": "Subprotocol not acceptable"}
#: What clients are closed with when the server shuts down.
GOING_AWAY: Final = {"code": 1001, "reason": "The server is shutting down"}
#: Frames of the protocol's own that may wait before the client's are left unread.
_WAITING: Final = 64
#: What a message's head ends with, and what the older protocol has in its place.
_NEXT: Final = NEXT.decode()
_DATA: Final = ',"type":"data","payload":'


class _SocketFeed(OperationFeed):
    """Sends what comes at once, if its connection has nothing else to do."""

    __slots__ = ()

    how = 2

    @property
    def direct(self) -> Pump | None:
        return self.pump

    def arrive(self) -> bool:
        self.wake()
        return True


def _message(text: str) -> dict[str, str]:
    return {"type": "websocket.send", "text": text}


class Connection(Client):
    """A client's WebSocket, from accept to close."""

    def __init__(
        self, app: GraphQLSubscriptions, scope: Scope, receive: Receive, send: Send
    ) -> None:
        super().__init__(app, scope, "ws")
        self._receive = receive
        self._send = send
        self.subprotocol: str = self._native.choose_subprotocol(
            self._handle, " ".join(scope.get("subprotocols", ())).replace("\0", " ")
        )
        self._socket = 0
        self._frames: deque[list[Any]] = deque()
        self._room = asyncio.Event()
        self._given_up: asyncio.Future[None] = self._loop.create_future()

    async def run(self) -> None:
        """Serve the client until one side closes."""
        try:
            self._socket = self._native.open_socket(
                self._handle, self.subprotocol, self._app.limits
            )
            await self._send({"type": "websocket.accept", "subprotocol": self.subprotocol})
            self._tell("open")
            send = self._rename if self.subprotocol == "graphql-ws" else self._send
            self._pump = self._operations.pump = Pump(self._write(send), send)
            self._operations.feed = _SocketFeed
            tasks = [self._pump.task, self._loop.create_task(self._read())]
            try:
                await asyncio.wait((*tasks, self._given_up), return_when=asyncio.FIRST_COMPLETED)
            finally:
                for task in tasks:
                    task.cancel()
                results = await asyncio.gather(*tasks, return_exceptions=True)
            for result in results:
                if isinstance(result, Exception) and not isinstance(result, OSError):
                    await self._break(result)
                    break
        finally:
            with contextlib.suppress(RuntimeError):  # the executor was closed before
                self._native.close_socket(self._handle, self._socket)
            await self._end()

    async def _break(self, error: Exception) -> None:
        """Close because of a failure that is not the client's."""
        try:
            if isinstance(error, EngineClosed):
                self._frames.append(["close", *GOING_AWAY.values()])
            else:
                _logger.error("a WebSocket is closed after a failure", exc_info=error)
                self._frames.clear()
                self._tell("broken")
            await asyncio.wait_for(self._write_frames(), self._app.grace)
        except (asyncio.TimeoutError, OSError, SubscriptionsError):
            pass  # it does not read, is gone, or the executor was closed in between

    def give_up(self) -> None:
        if not self._given_up.done():
            self._given_up.set_result(None)

    def _tell_machine(self, what: str, number: int, text: str) -> str:
        told: str = self._native.socket_told(self._handle, self._socket, what, number, text)
        return told

    def _output(self, kind: str, rest: list[Any]) -> None:
        self._frames.append([kind, *rest])
        self._look()
        if kind == "close":
            # It stands behind what the client does not read, perhaps.
            self._timers["close"] = self._loop.call_later(self._app.grace, self.give_up)

    # --- What comes in -----------------------------------------------------------------

    async def _read(self) -> None:
        while True:
            event = await self._receive()
            if event["type"] == "websocket.disconnect":
                return
            text = event.get("text")
            if text is None:
                frame: bytes = event.get("bytes") or b""
            else:
                frame = text.encode("utf-8", "surrogatepass")
            try:
                told = self._native.socket_frame(
                    self._handle, self._socket, id(frame), text is None
                )
            except RuntimeError as error:
                raise from_native(error) from None
            if told:
                self._do(told)
            while len(self._frames) > _WAITING:
                self._room.clear()
                await self._room.wait()

    # --- What goes out -----------------------------------------------------------------

    async def _write(self, send: Send) -> None:
        """Send responses by `send`, and the rest."""
        frames, ready = self._frames, self._operations.ready
        until: float | None = None  # when the server goes away, whatever there is still to send
        served = 0  # operations since there was nothing to send
        while True:
            if frames and await self._write_frames():
                return
            if self._draining:
                until = await self._leave()
            operation = ready() if until is None or self._loop.time() < until else None
            if operation is not None:
                if served == 1:  # most clients have one, and need no clock
                    self._turn = self._loop.time()
                elif served:
                    await self._share()
                served += 1
                while (message := operation.next()) is not None:
                    await send(_message(message.decode()))
                if operation.ended:
                    self._report_end(operation)
            elif until is not None:
                until = None
                self._tell("shutdown")
            else:
                served = 0
                await Pump.idle()

    async def _rename(self, message: MutableMapping[str, Any]) -> None:
        """Send a response in the older protocol."""
        message["text"] = message["text"].replace(_NEXT, _DATA, 1)
        await self._send(message)

    async def _leave(self) -> float:
        """Begin to send what is left; until when."""
        until = self._leaving()
        await self._operations.drain()
        for running in self._running.values():
            running.wake()  # it has more, perhaps
        return until

    async def _write_frames(self) -> bool:
        """Send the protocol's own frames; whether the socket was closed."""
        while self._frames:
            kind, *rest = self._frames.popleft()
            self._room.set()
            if kind == "close":
                await self._send({"type": "websocket.close", "code": rest[0], "reason": rest[1]})
                return True
            await self._send(_message(rest[0]))
        return False
