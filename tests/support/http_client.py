"""A small HTTP/1.1 client whose connection a test can do with as it likes."""

from __future__ import annotations

import asyncio
import contextlib
import json
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import urlencode

from websocket_server import PATIENCE


@dataclass
class Response:
    """An answer, of which the body may still be on its way."""

    status: int
    headers: dict[str, str]
    reader: asyncio.StreamReader
    writer: asyncio.StreamWriter
    left: bytes = b""
    over: bool = False
    seen: list[str] = field(default_factory=list)

    async def more(self) -> bytes:
        """The next part of the body, b"" at its end. ConnectionError when it breaks off."""
        if self.over:
            return b""
        if self.headers.get("transfer-encoding") == "chunked":
            size = int((await self._line()).split(b";")[0], 16)
            part = await asyncio.wait_for(self.reader.readexactly(size), PATIENCE)
            await self._line()
            self.over = not size
            return part
        length = int(self.headers.get("content-length", "0"))
        self.over = True
        return await asyncio.wait_for(self.reader.readexactly(length), PATIENCE)

    async def text(self) -> str:
        """All of the body."""
        parts = [self.left]
        while part := await self.more():
            parts.append(part)
        return b"".join(parts).decode()

    async def json(self) -> Any:
        return json.loads(await self.text())

    async def until(self, end: bytes) -> bytes:
        """The body up to and with `end`."""
        while end not in self.left:
            part = await self.more()
            if not part:
                raise EOFError(f"the body ended before {end!r}: {self.left!r}")
            self.left += part
        found, _, self.left = self.left.partition(end)
        return found + end

    async def event(self) -> tuple[str, Any, str | None]:
        """The next event of an event stream that says something: its name, data and id."""
        while True:
            lines = (await self.until(b"\n\n")).decode().splitlines()
            fields = dict(line.split(":", 1) for line in lines if line)
            if "event" in fields:
                data = fields["data"].strip()
                at = fields.get("id")
                name = fields["event"].strip()
                return name, json.loads(data) if data else None, at and at.strip()

    async def part(self) -> Any:
        """The next part of a multipart body, None at its end."""
        if not self.seen:
            self.seen.append((await self.until(b"\r\n--graphql")).decode())
            assert self.seen == ["\r\n--graphql"]
        while len(self.left) < 2:
            self.left += await self.more()
        if self.left.startswith(b"--"):
            assert await self.text() == "--\r\n"
            return None
        head, _, body = (await self.until(b"\r\n--graphql"))[:-11].partition(b"\r\n\r\n")
        assert head == b"\r\nContent-Type: application/json"
        return json.loads(body)

    async def _line(self) -> bytes:
        line = await asyncio.wait_for(self.reader.readline(), PATIENCE)
        if not line.endswith(b"\n"):
            raise ConnectionResetError("the response broke off")
        return line

    def abort(self) -> None:
        """Vanish."""
        self.writer.transport.abort()


@contextlib.asynccontextmanager
async def asking(
    port: int,
    method: str = "POST",
    body: Any = None,
    *,
    path: str = "/",
    **headers: str,
) -> AsyncIterator[Response]:
    """Send a request, `body` as JSON unless it is bytes; header names are written with ``_``."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    try:
        content = b"" if body is None else body
        if not isinstance(content, bytes):
            content = json.dumps(body).encode()
        lines = [f"{method} {path} HTTP/1.1", f"host: 127.0.0.1:{port}"]
        if content or method == "POST":
            headers.setdefault("content_type", "application/json")
            headers.setdefault("content_length", str(len(content)))
        lines += [f"{name.replace('_', '-')}: {value}" for name, value in headers.items()]
        writer.write("\r\n".join([*lines, "", ""]).encode() + content)
        status = (await asyncio.wait_for(reader.readline(), PATIENCE)).split()
        if len(status) < 2:
            raise ConnectionResetError("no answer")
        found: dict[str, str] = {}
        while line := (await asyncio.wait_for(reader.readline(), PATIENCE)).strip():
            name, _, value = line.decode().partition(":")
            found[name.lower()] = value.strip()
        yield Response(int(status[1]), found, reader, writer)
    finally:
        writer.transport.abort()


def query_string(**parameters: Any) -> str:
    """Parameters of a URL; what is no string is JSON there."""
    return "/?" + urlencode(
        {k: v if isinstance(v, str) else json.dumps(v) for k, v in parameters.items()}
    )
