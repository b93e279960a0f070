"""One WebSocket of a client: its machine in the engine, its timers, and what it is sent.

One reader and one writer a connection. The event loop's consumer wakes the writer once for
all subscriptions of the connection; a client that does not read keeps the writer waiting, and
its responses in the engine's queues.
"""

# ruff: noqa: A001, A002  (`id` is a name of the public API)

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
from .loop import REFILL, Feed
from .security import SecurityContext

if TYPE_CHECKING:
    from .asgi import GraphQLSubscriptions, Receive, Scope, Send
    from .loop import LoopConsumer

__all__ = ["NOT_ACCEPTABLE", "Connection"]

_logger = logging.getLogger("fraiseql_subscriptions")

#: What a client that offers no known subprotocol is closed with.
NOT_ACCEPTABLE: Final = {"code": 4406, "reason": "Subprotocol not acceptable"}
#: Frames of the protocol's own that may wait before the client's are left unread.
_WAITING: Final = 64
_NEXT: Final = b',"type":"next","payload":'
_DATA: Final = b',"type":"data","payload":'
#: The built-in `id`, which is a parameter's name in places.
_address: Final = id


class SocketFeed(Feed):
    """A feed whose connection reads it: waking it puts it on the connection's ready list."""

    __slots__ = ("connection", "number", "prefix", "queued")

    def __init__(
        self, id: str, consumer: LoopConsumer, connection: Connection, number: int
    ) -> None:
        super().__init__(id, consumer)
        self.connection = connection
        self.number = number
        #: What the subscription's responses begin with, once one has been seen.
        self.prefix = b""
        self.queued = False

    def wake(self) -> None:
        if not self.queued:
            self.queued = True
            self.connection.ready.append(self)
            self.connection.wake()


class Connection:
    """A client's WebSocket, from accept to close."""

    def __init__(
        self, app: GraphQLSubscriptions, scope: Scope, receive: Receive, send: Send
    ) -> None:
        self._app = app
        self._executor = app.executor
        self._handle = app.executor._entry()
        self._native = app.executor._native
        self._scope = scope
        self._receive = receive
        self._send = send
        self.subprotocol: str = self._native.choose_subprotocol(
            self._handle, " ".join(scope.get("subprotocols", ())).replace("\0", " ")
        )
        self._id = scope["connection_id"] = f"ws-{uuid.uuid4().hex}"
        self._socket = 0
        self._context = SecurityContext()
        self._feeds: dict[int, SocketFeed] = {}
        self._timers: dict[str, asyncio.TimerHandle] = {}
        self._frames: deque[list[Any]] = deque()
        self._loop = asyncio.get_running_loop()
        self._wake = asyncio.Event()
        self._room = asyncio.Event()
        self._deciding: asyncio.Task[None] | None = None
        self._draining = False
        #: Feeds with something to send, each once.
        self.ready: deque[SocketFeed] = deque()
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
            self._end()

    def _end(self) -> None:
        for timer in self._timers.values():
            timer.cancel()
        if self._deciding is not None:
            self._deciding.cancel()
        self._feeds.clear()
        self.ready.clear()
        with contextlib.suppress(SubscriptionsError):  # the executor was closed before
            self._executor.close_connection(self._id)
            self._executor._client_gone(self._id)
        with contextlib.suppress(RuntimeError):  # likewise
            self._native.close_socket(self._handle, self._socket)
        if not self.ended.done():
            self.ended.set_result(None)

    def wake(self) -> None:
        """Let the writer look."""
        self._wake.set()

    def drain(self) -> None:
        """Send what is queued, then complete and close."""
        self._draining = True
        self.wake()

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
                    self._handle, self._socket, _address(frame), text is None
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
                self.wake()
            elif kind == "timer":
                self._set_timer(*rest)
            elif kind == "authenticate":
                self._deciding = self._loop.create_task(self._decide(rest[0]))
            elif kind == "subscribe":
                self._subscribe(*rest)
            elif kind == "complete":
                feed = self._feeds.pop(rest[0], None)
                if feed is not None:
                    self._executor.complete_subscription(feed.id)
            elif kind == "unknown":
                self._executor._client_named(self._id, rest[0])

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
            self._executor._client_connected(self._id, answer)
        except AuthorizationError as error:
            self._tell("refused", 0, str(error).replace("\0", "") or "Forbidden")
        except Exception:
            _logger.exception("on_connect failed; the client was refused")
            self._tell("refused", 0, "Forbidden")
        else:
            self._context = answer
            self._tell("authenticated")

    def _subscribe(
        self, number: int, client_id: str, query: str, name: str, variables: str, extensions: str
    ) -> None:
        try:
            asked = decode_exact(extensions.encode()) if extensions else {}
            id = self._executor._client_subscription(
                self._id,
                client_id,
                query,
                name,
                decode_exact(variables.encode()) if variables else None,
                self._context,
                asked.get("since"),
                "since" in asked,
            )
            hub = self._executor._hub
            assert hub is not None
            feed = SocketFeed(id, hub.consumer(), self, number)
            hub.adopt(feed)
        except (SubscriptionsError, ValueError) as error:
            code = getattr(error, "code", "BAD_REQUEST")
            problem = {"message": str(error), "extensions": {"code": code}}
            self._tell("failed", number, orjson.dumps([problem]).decode())
            return
        except Exception:  # a mistake of the application's, whose text is not for clients
            _logger.exception("a client's subscription could not be registered")
            problem = {"message": "Internal error", "extensions": {"code": "INTERNAL_ERROR"}}
            self._tell("failed", number, orjson.dumps([problem]).decode())
            return
        self._feeds[number] = feed
        feed.wake()

    # --- What goes out -----------------------------------------------------------------

    async def _write(self) -> None:
        while True:
            await self._wake.wait()
            self._wake.clear()
            while self._frames or self.ready:
                if await self._write_frames():
                    return
                if self.ready:
                    await self._serve(self.ready.popleft())
            if self._draining:
                self._draining = False
                for feed in list(self._feeds.values()):
                    await self._empty(feed)
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

    async def _serve(self, feed: SocketFeed) -> None:
        """Send what one subscription has, a round of it: others are waiting, too."""
        feed.queued = False
        if not feed.buffer and not feed.ended and feed.consumer.refill(feed) == REFILL:
            feed.wake()
        while feed.buffer and feed.number in self._feeds:
            try:
                message = feed.buffer.popleft()
            except IndexError:  # another thread has just emptied it
                break
            await self._deliver(feed, message)
        if feed.ended:
            if self._feeds.pop(feed.number, None) is not None:
                self._tell("finished", feed.number)  # the application ended it
        elif not feed.queued and feed.consumer.refill(feed):
            feed.wake()

    async def _empty(self, feed: SocketFeed) -> None:
        """Send all that one subscription has."""
        while feed.number in self._feeds and (feed.buffer or feed.consumer.refill(feed)):
            await self._serve(feed)

    async def _deliver(self, feed: SocketFeed, message: bytes) -> None:
        prefix = feed.prefix
        if not prefix or not message.startswith(prefix):
            if not self._is_next(feed, message):
                return
            prefix = feed.prefix
        if self.subprotocol == "graphql-ws":
            message = prefix[: -len(_NEXT)] + _DATA + message[len(prefix) :]
        await self._send({"type": "websocket.send", "text": message.decode()})

    def _is_next(self, feed: SocketFeed, message: bytes) -> bool:
        """Whether this is a response; the final message ends the operation instead."""
        final = orjson.loads(message)
        if final["type"] == "next":
            # An id's own quotes are escaped, so this is the first such text.
            feed.prefix = message[: message.index(_NEXT) + len(_NEXT)]
            return True
        del self._feeds[feed.number]
        with contextlib.suppress(SubscriptionsError):
            self._executor.complete_subscription(feed.id)  # its client may use the id again
        if final["type"] == "error":
            self._tell("failed", feed.number, orjson.dumps(final["payload"]).decode())
        else:
            self._tell("finished", feed.number)
        return False
