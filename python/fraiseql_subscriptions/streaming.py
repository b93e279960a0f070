"""Clients over HTTP: event streams, Apollo's multipart, and one JSON result.

Which of these a request asks for, and every byte of an answer, is up to the machine in the
engine. A client is one request with its response, or a reservation: one event stream that
carries the results of many requests.
"""

# ruff: noqa: A002  (`id` is a name of the public API)

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections import deque
from collections.abc import Awaitable, Callable, MutableMapping
from itertools import count
from typing import TYPE_CHECKING, Any, Final, NamedTuple

import orjson

from .client import Client
from .errors import EngineClosed, SubscriptionsError, from_native
from .operation import Operation, RefusedOperation, Request
from .pump import Pump

if TYPE_CHECKING:
    from .asgi import GraphQLSubscriptions, Receive, Scope, Send

__all__ = ["HTTPClients"]

_logger = logging.getLogger("fraiseql_subscriptions")

#: What is written at a time: messages and bytes.
_MESSAGES: Final = 64
_BYTES: Final = 16_384
#: The headers that decide, and what the machine calls them.
_HEADERS: Final = {
    b"accept": "accept",
    b"content-type": "content_type",
    b"origin": "origin",
    b"host": "host",
    b"sec-fetch-site": "site",
    b"x-graphql-event-stream-token": "token",
    b"last-event-id": "last_event_id",
    b"access-control-request-headers": "wanted",
}
_AWAY: Final = (
    b'{"errors":[{"message":"The server is shutting down","extensions":{"code":"GOING_AWAY"}}]}'
)


class Answer(NamedTuple):
    """The answer of a request: whole, or begun, the body being what a client is sent."""

    status: int
    headers: list[tuple[bytes, bytes]]
    body: bytes
    streams: HTTPClient | None = None

    async def give(self, send: Send) -> None:
        start = {"type": "http.response.start", "status": self.status, "headers": self.headers}
        await send(start)
        if self.streams is None:
            await send({"type": "http.response.body", "body": self.body})


class HTTPClients:
    """The clients over HTTP of one application."""

    def __init__(self, app: GraphQLSubscriptions, limits: str) -> None:
        self.app = app
        self._limits = limits
        self._numbers = count(1)
        self._asked: dict[int, asyncio.Future[Answer]] = {}
        self._clients: dict[int, HTTPClient] = {}
        self._streams = 0

    @property
    def streams(self) -> int:
        """The engine's number of them."""
        if not self._streams:
            handle = self.app.executor._entry()
            try:
                self._streams = self.app.executor._native.open_streams(handle, self._limits)
            except RuntimeError as error:
                raise from_native(error) from None
        return self._streams

    async def serve(self, scope: Scope, receive: Receive, send: Send, limit: int) -> None:
        """Answer one request, of at most `limit` bytes."""
        head = _head(scope)
        try:
            body = await _body(receive, limit, head.pop("length"))
        except ConnectionResetError:
            return
        number = head["number"] = next(self._numbers)
        head["too_big"] = body is None
        asked: asyncio.Future[Answer] = asyncio.get_running_loop().create_future()
        self._asked[number] = asked
        vanished = asyncio.ensure_future(_vanished(receive))
        client: HTTPClient | None = None
        try:
            client = self._request(scope, head, body or b"")
            watched = (asked, vanished) if client is None else (asked, vanished, client.ended)
            await asyncio.wait(watched, return_when=asyncio.FIRST_COMPLETED)
            if asked.done():
                answer = asked.result()
                with contextlib.suppress(OSError):  # it is gone
                    await answer.give(send)
                if answer.streams is not None:
                    await answer.streams.carry(send, vanished)
            elif not vanished.done():
                await away(send)
        except EngineClosed:
            await away(send)
        finally:
            vanished.cancel()
            del self._asked[number]
            if client is not None and client.own == number and not asked.done():
                client.give_up()

    def _request(self, scope: Scope, head: dict[str, Any], body: bytes) -> HTTPClient | None:
        handle = self.app.executor._entry()
        try:
            told: str = self.app.executor._native.stream_request(
                handle, self.streams, orjson.dumps(head).decode(), id(body)
            )
        except RuntimeError as error:
            raise from_native(error) from None
        owner, _, actions = told.partition(",")
        number = int(owner)
        if not number:
            for kind, *rest in orjson.loads(actions):
                assert kind == "respond"
                self.answer(*rest)
            return None
        client = self._clients.get(number)
        if client is None:
            client = self._clients[number] = HTTPClient(self, scope, number, head["number"])
            self.app.admit(client)
        client.act(actions)
        return client

    def answer(
        self,
        number: int,
        status: int,
        headers: list[list[str]],
        body: str = "",
        streams: HTTPClient | None = None,
    ) -> None:
        """Answer a request, if it still waits."""
        asked = self._asked.get(number)
        if asked is None or asked.done():
            return
        encoded = body.encode()
        fields = [(name.encode(), value.encode("latin-1", "replace")) for name, value in headers]
        if streams is None and status != 204:
            fields.append((b"content-length", str(len(encoded)).encode()))
        asked.set_result(Answer(status, fields, encoded, streams))

    def forget(self, number: int) -> None:
        """A client has ended."""
        self._clients.pop(number, None)


class HTTPClient(Client):
    """A request with its response, or a reservation. `own` is the request that made it."""

    def __init__(self, clients: HTTPClients, scope: Scope, number: int, own: int) -> None:
        super().__init__(clients.app, scope, "http")
        self._clients = clients
        self._number = number
        self.own = own
        self._reserved = scope["method"] == "PUT"
        self._begun = False
        self._send: Send | None = None
        self._frames: deque[bytes] = deque()
        self._over = False
        self._ending = False
        self._pump = self._operations.pump = Pump(self._run(), self._serve_now)

    def act(self, told: str) -> None:
        """Do what the machine says of a request."""
        self._do(told)

    def give_up(self) -> None:
        if not self._ending and self._pump is not None:
            self._pump.task.cancel()

    async def carry(self, send: Send, vanished: asyncio.Future[None]) -> None:
        """Let a response that was begun carry what the client is sent, to its end."""
        self._send = send
        self._look()
        try:
            await asyncio.wait((self.ended, vanished), return_when=asyncio.FIRST_COMPLETED)
        finally:
            self.give_up()
        await self.ended

    async def _run(self) -> None:
        try:
            with contextlib.suppress(OSError):  # it is gone
                await self._serve_all()
        finally:
            self._ending = True
            with contextlib.suppress(SubscriptionsError):
                self._tell("lost")
            self._clients.forget(self._number)
            await self._end()

    def _tell_machine(self, what: str, number: int, text: str) -> str:
        told: str = self._native.stream_told(
            self._handle, self._clients.streams, self._number, what, number, text
        )
        return told

    def _output(self, kind: str, rest: list[Any]) -> None:
        if kind == "send":
            self._frames.append(rest[0].encode())
        elif kind == "respond":
            self._clients.answer(*rest)
        elif kind == "begin":
            self._begun = True
            number, status, headers = rest
            self._clients.answer(number, status, headers, "", self)
        elif kind == "end":
            self._over = True
        self._look()

    def _expire(self, name: str) -> None:
        if name == "ping" and self._frames:
            self.give_up()  # it has not read what was sent the time before
        else:
            super()._expire(name)

    def _subscribe(self, number: int, id: str, request: Request) -> None:
        super()._subscribe(number, id, request)
        operation = self._running[number]
        if isinstance(operation, RefusedOperation):
            operation.next()
            self._report_end(operation)
        else:
            self._tell("started", number)

    # --- What goes out -----------------------------------------------------------------

    async def _serve_all(self) -> None:
        try:
            await self._serve_on()
        except EngineClosed:
            pass  # without a last event: a client comes back
        except OSError:
            raise
        except Exception:
            _logger.exception("a client over HTTP is ended after a failure")
            with contextlib.suppress(SubscriptionsError):
                self._tell("broken")
        if self._send is not None:
            await self._flush()
            await self._send({"type": "http.response.body", "body": b"", "more_body": False})

    async def _serve_on(self) -> None:
        while True:
            self._turn = self._loop.time()
            while await self._flush():
                held = self._draining or self._waits()
                operation = None if held else self._operations.ready()
                if operation is None:
                    break
                await self._serve(operation)
                await self._share()
            if self._over and (self._send is not None or not self._begun):
                return
            if self._draining:
                until = self._leaving()
                await self._operations.drain()
                for operation in list(self._running.values()):
                    await self._empty(operation, until)
                self._tell("shutdown")
            else:
                await Pump.idle()

    def _waits(self) -> bool:
        """Whether results stay in the engine, until there is a response to carry them."""
        return self._send is None and (self._reserved or self._begun)

    async def _flush(self) -> bool:
        """Send what the protocol itself says; whether there is more to come."""
        while self._frames and self._send is not None:
            await self._write(b"".join(self._frames), len(self._frames))
        return not self._over

    async def _write(self, body: bytes, frames: int = 0) -> None:
        """Send a part of the body, in which so many of the frames that wait are."""
        if self._send is not None:
            await self._send({"type": "http.response.body", "body": body, "more_body": True})
        for _ in range(frames):
            self._frames.popleft()

    async def _serve_now(self, operation: Operation) -> None:
        """What the pump does at once, in the callback that brought something."""
        if self._waits():
            operation.wake()
        else:
            await self._serve(operation)

    async def _serve(self, operation: Operation) -> None:
        """Send what one operation has, a round of it: others are waiting, too."""
        messages: list[bytes] = []
        size = 0
        while not self._over and (message := operation.next()) is not None:
            messages.append(message)
            size += len(message)
            if len(messages) == _MESSAGES or size > _BYTES:
                await self._deliver(operation, messages)
                messages, size = [], 0
        if messages:
            await self._deliver(operation, messages)
        if operation.ended:
            self._report_end(operation)

    async def _deliver(self, operation: Operation, messages: list[bytes]) -> None:
        written: list[bytes] = []
        try:
            told: str = self._native.stream_results(
                self._handle,
                self._clients.streams,
                self._number,
                operation.tag,
                id(messages),
                len(operation.head),
                id(written),
            )
        except RuntimeError as error:
            raise from_native(error) from None
        if told:
            self._do(told)
        if written:
            await self._write(written[0])

    async def _empty(self, operation: Operation, until: float) -> None:
        """Send all that one operation has, while there is time."""
        if self._waits():
            return
        await self._serve(operation)
        while operation.waits and not self._over and self._loop.time() < until:
            await self._serve(operation)


async def away(send: Send) -> None:
    """Answer that the server goes away."""
    headers = [(b"content-type", b"application/json; charset=utf-8"), (b"retry-after", b"1")]
    await send({"type": "http.response.start", "status": 503, "headers": headers})
    await send({"type": "http.response.body", "body": _AWAY})


def _head(scope: Scope) -> dict[str, Any]:
    head: dict[str, Any] = {
        "method": scope["method"],
        "query": scope["query_string"].decode("latin-1"),
        "length": "",
    }
    for name, value in scope["headers"]:
        key = "length" if name == b"content-length" else _HEADERS.get(name)
        if key is not None:
            text = value.decode("latin-1")
            head[key] = f"{head[key]},{text}" if head.get(key) else text
    return head


async def _body(receive: Receive, limit: int, length: str) -> bytes | None:
    """A request's body, None when it is longer than it may be. ConnectionResetError."""
    if length.isdecimal() and int(length) > limit:
        return None
    parts: list[bytes] = []
    size = 0
    while True:
        event = await receive()
        if event["type"] == "http.disconnect":
            raise ConnectionResetError("the client went away")
        part: bytes = event.get("body", b"")
        size += len(part)
        if size > limit:
            return None
        parts.append(part)
        if not event.get("more_body", False):
            return b"".join(parts)


async def _vanished(receive: Callable[[], Awaitable[MutableMapping[str, Any]]]) -> None:
    """Return once the client has gone."""
    while (await receive())["type"] != "http.disconnect":
        pass
