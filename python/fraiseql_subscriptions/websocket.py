"""One WebSocket of a client: its machine in the engine, its timers, and what it is sent.

One reader and one writer a connection. The event loop's consumer wakes the writer once for
all subscriptions of the connection; a client that does not read keeps the writer waiting, and
its responses in the engine's queues.
"""

# ruff: noqa: A002  (`id` is a name of the public API)

from __future__ import annotations

import asyncio
import contextlib
import logging
import uuid
from collections import deque
from typing import TYPE_CHECKING, Any, Final

import orjson

from .encode import decode_exact
from .errors import AuthorizationError, SubscriptionsError, from_native
from .operation import Operation, Request
from .security import SecurityContext

if TYPE_CHECKING:
    from .asgi import GraphQLSubscriptions, Receive, Scope, Send

__all__ = ["NOT_ACCEPTABLE", "Connection"]

_logger = logging.getLogger("fraiseql_subscriptions")

#: What a client that offers no known subprotocol is closed with.
NOT_ACCEPTABLE: Final = {"code": 4406, "reason": "Subprotocol not acceptable"}
#: Frames of the protocol's own that may wait before the client's are left unread.
_WAITING: Final = 64
#: What a message's head ends with, and what the older protocol has in its place.
_NEXT: Final = b',"type":"next","payload":'
_DATA: Final = b',"type":"data","payload":'


class Connection:
    """A client's WebSocket, from accept to close."""

    def __init__(
        self, app: GraphQLSubscriptions, scope: Scope, receive: Receive, send: Send
    ) -> None:
        self._app = app
        self._handle = app.executor._entry()
        self._native = app.executor._native
        self._scope = scope
        self._receive = receive
        self._send = send
        self.subprotocol: str = self._native.choose_subprotocol(
            self._handle, " ".join(scope.get("subprotocols", ())).replace("\0", " ")
        )
        self._socket = 0
        self._operations = app.operations(
            f"ws-{uuid.uuid4().hex}", SecurityContext(), self._look, scope
        )
        self._running: dict[int, Operation] = {}
        self._timers: dict[str, asyncio.TimerHandle] = {}
        self._frames: deque[list[Any]] = deque()
        self._loop = asyncio.get_running_loop()
        self._wake = asyncio.Event()
        self._room = asyncio.Event()
        self._deciding: asyncio.Task[None] | None = None
        self._draining = False
        self._given_up: asyncio.Future[None] = self._loop.create_future()
        #: Done when the connection has ended.
        self.ended: asyncio.Future[None] = self._loop.create_future()

    async def run(self) -> None:
        """Serve the client until one side closes."""
        try:
            self._socket = self._native.open_socket(
                self._handle, self.subprotocol, self._app.limits
            )
            await self._send({"type": "websocket.accept", "subprotocol": self.subprotocol})
            self._tell("open")
            tasks = [self._loop.create_task(one) for one in (self._write(), self._read())]
            try:
                await asyncio.wait((*tasks, self._given_up), return_when=asyncio.FIRST_COMPLETED)
            finally:
                for task in tasks:
                    task.cancel()
                results = await asyncio.gather(*tasks, return_exceptions=True)
            for result in results:
                if isinstance(result, Exception) and not isinstance(result, OSError):
                    raise result
        finally:
            await self._end()

    async def _end(self) -> None:
        for timer in self._timers.values():
            timer.cancel()
        if self._deciding is not None:
            self._deciding.cancel()
        self._running.clear()
        with contextlib.suppress(RuntimeError):  # the executor was closed before
            self._native.close_socket(self._handle, self._socket)
        try:
            await self._operations.close(self._app.grace)
        finally:
            if not self.ended.done():
                self.ended.set_result(None)

    def _look(self) -> None:
        """Let the writer look."""
        self._wake.set()

    def drain(self) -> None:
        """Send what is queued, then complete and close."""
        self._draining = True
        self._look()

    def give_up(self) -> None:
        """End without the client, which does not read."""
        if not self._given_up.done():
            self._given_up.set_result(None)

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

    def _tell(self, what: str, number: int = 0, text: str = "") -> None:
        try:
            told = self._native.socket_told(self._handle, self._socket, what, number, text)
        except RuntimeError as error:
            raise from_native(error) from None
        if told:
            self._do(told)

    def _do(self, told: str) -> None:
        """Do what the machine says, in order."""
        for kind, *rest in orjson.loads(told):
            if kind in ("send", "close"):
                self._frames.append([kind, *rest])
                self._look()
            elif kind == "timer":
                self._set_timer(*rest)
            elif kind == "authenticate":
                self._deciding = self._loop.create_task(self._decide(rest[0]))
            elif kind == "subscribe":
                self._subscribe(*rest)
            elif kind == "complete":
                operation = self._running.pop(rest[0], None)
                if operation is not None:
                    operation.complete()

    def _set_timer(self, name: str, seconds: float) -> None:
        timer = self._timers.pop(name, None)
        if timer is not None:
            timer.cancel()
        if seconds:
            self._timers[name] = self._loop.call_later(seconds, self._expire, name)

    def _expire(self, name: str) -> None:
        self._timers.pop(name, None)
        with contextlib.suppress(SubscriptionsError):  # the executor was closed: so is this, soon
            self._tell("expired", 0, name)

    async def _decide(self, params: str) -> None:
        """Ask the application who this is. Whatever goes wrong refuses."""
        try:
            answer = await self._app.identify(
                decode_exact(params.encode()) if params else {}, self._scope
            )
            if answer is None:
                answer = SecurityContext()
            if answer is False:
                raise AuthorizationError("Forbidden")
            if not isinstance(answer, SecurityContext):
                raise TypeError(
                    "on_connect must return a SecurityContext, None or False, "
                    f"not {type(answer).__name__}"
                )
        except AuthorizationError as error:
            self._tell("refused", 0, str(error).replace("\0", "") or "Forbidden")
        except Exception:
            _logger.exception("on_connect failed; the client was refused")
            self._tell("refused", 0, "Forbidden")
        else:
            self._operations.context = answer
            self._tell("authenticated")

    def _subscribe(self, number: int, id: str, *request: str) -> None:
        self._running[number] = self._operations.start(id, Request.from_json(*request), number)

    # --- What goes out -----------------------------------------------------------------

    async def _write(self) -> None:
        while True:
            await self._wake.wait()
            self._wake.clear()
            while True:
                if await self._write_frames():
                    return
                operation = self._operations.ready()
                if operation is None:
                    break
                await self._serve(operation)
            if self._draining:
                self._draining = False
                await self._operations.drain()
                for operation in list(self._running.values()):
                    await self._empty(operation)
                self._tell("shutdown")

    async def _write_frames(self) -> bool:
        """Send the protocol's own frames; whether the socket was closed."""
        while self._frames:
            kind, *rest = self._frames.popleft()
            self._room.set()
            if kind == "close":
                await self._send({"type": "websocket.close", "code": rest[0], "reason": rest[1]})
                return True
            await self._send({"type": "websocket.send", "text": rest[0]})
        return False

    async def _serve(self, operation: Operation) -> None:
        """Send what one operation has, a round of it: others are waiting, too."""
        while (message := operation.next()) is not None:
            if self.subprotocol == "graphql-ws":
                head = operation.head
                message = head[: -len(_NEXT)] + _DATA + message[len(head) :]
            await self._send({"type": "websocket.send", "text": message.decode()})
        if operation.ended and self._running.pop(operation.tag, None) is not None:
            if operation.errors:
                self._tell("failed", operation.tag, operation.errors.decode())
            else:
                self._tell("finished", operation.tag)

    async def _empty(self, operation: Operation) -> None:
        """Send all that one operation has."""
        await self._serve(operation)
        while operation.waits:
            await self._serve(operation)
