"""A WebSocket client that is nothing but a TCP connection: frames out, as cheap as can be."""

from __future__ import annotations

import asyncio
import json
import socket
import struct
from typing import Any

_HANDSHAKE = (
    b"GET / HTTP/1.1\r\nhost: localhost\r\nupgrade: websocket\r\nconnection: upgrade\r\n"
    b"sec-websocket-version: 13\r\nsec-websocket-key: MDEyMzQ1Njc4OWFiY2RlZg==\r\n"
    b"sec-websocket-protocol: graphql-transport-ws\r\n\r\n"
)
TEXT, BINARY = 1, 2


def frame(payload: bytes, opcode: int = TEXT) -> bytes:
    """A frame as clients send it, under a mask of zeros."""
    if len(payload) < 126:
        head = struct.pack("!BB", 0x80 | opcode, 0x80 | len(payload))
    elif len(payload) < 1 << 16:
        head = struct.pack("!BBH", 0x80 | opcode, 0x80 | 126, len(payload))
    else:
        head = struct.pack("!BBQ", 0x80 | opcode, 0x80 | 127, len(payload))
    return head + bytes(4) + payload


def message(**fields: Any) -> bytes:
    return frame(json.dumps(fields).encode())


async def connected(port: int, *, window: int = 0) -> socket.socket:
    """A TCP connection whose receiving window is `window` bytes; reading is up to the test."""
    made = socket.socket()
    if window:
        made.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, window)
    made.setblocking(False)
    await asyncio.get_running_loop().sock_connect(made, ("127.0.0.1", port))
    return made


async def shaken(port: int, *, window: int = 0) -> socket.socket:
    """A connection whose handshake is done."""
    made = await connected(port, window=window)
    loop = asyncio.get_running_loop()
    await loop.sock_sendall(made, _HANDSHAKE)
    heard = b""
    while b"\r\n\r\n" not in heard:
        part = await loop.sock_recv(made, 4096)
        if not part:
            raise ConnectionResetError("the handshake broke off")
        heard += part
    assert heard.startswith(b"HTTP/1.1 101"), heard
    return made


def vanish(made: socket.socket) -> None:
    """Be gone, without a word of WebSocket or TCP but a reset."""
    made.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    made.close()
