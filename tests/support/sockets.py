"""A real server (uvicorn) on this event loop, and what clients of subscriptions say and hear."""

from __future__ import annotations

import asyncio
import contextlib
import json
import time
from collections.abc import AsyncIterator, Callable
from typing import Any

import uvicorn
from websockets.asyncio.client import ClientConnection, connect
from websockets.typing import Subprotocol

__all__ = ["PATIENCE", "closed", "dial", "greet", "hear", "listening", "say", "subscribed", "until"]

#: Seconds after which a wait is a failure.
PATIENCE = 20


@contextlib.asynccontextmanager
async def listening(app: Any, *, lifespan: Any = "on") -> AsyncIterator[str]:
    """Serve an ASGI application for the block; where, without a path."""
    config = uvicorn.Config(
        app, port=0, log_level="error", lifespan=lifespan, ws="websockets-sansio"
    )
    server = uvicorn.Server(config)
    task = asyncio.create_task(server.serve())
    try:
        await until(lambda: server.started or task.done())
        assert not task.done(), "the server did not start"
        port = server.servers[0].sockets[0].getsockname()[1]
        yield f"ws://127.0.0.1:{port}"
    finally:
        server.should_exit = True
        await task


async def until(condition: Callable[[], object]) -> None:
    """Wait for a condition, and fail when it does not come."""
    deadline = time.monotonic() + PATIENCE
    while not condition():
        assert time.monotonic() < deadline, f"the condition did not come in {PATIENCE} s"
        await asyncio.sleep(0.005)


def dial(url: str, *protocols: str, **options: Any) -> connect:
    """Connect, with graphql-transport-ws unless told otherwise."""
    names = [Subprotocol(one) for one in protocols or ("graphql-transport-ws",)]
    return connect(url, subprotocols=names, **options)


async def say(socket: ClientConnection, **message: Any) -> None:
    """Send one message."""
    await socket.send(json.dumps(message))


async def hear(socket: ClientConnection) -> Any:
    """The next message."""
    heard = await asyncio.wait_for(socket.recv(), PATIENCE)
    assert isinstance(heard, str), "text frames only"
    return json.loads(heard)


async def closed(socket: ClientConnection) -> tuple[int, str]:
    """The code and reason with which the server closed."""
    await asyncio.wait_for(socket.wait_closed(), PATIENCE)
    assert socket.close_code is not None
    return socket.close_code, socket.close_reason or ""


async def greet(socket: ClientConnection, **init: Any) -> None:
    """Be acknowledged."""
    await say(socket, type="connection_init", **init)
    heard = await hear(socket)
    assert heard["type"] == "connection_ack", heard


async def subscribed(socket: ClientConnection, query: str, key: str = "1", **payload: Any) -> None:
    """Subscribe; the subscription is live when this returns."""
    await say(socket, type="subscribe", id=key, payload={"query": query, **payload})
    await say(socket, type="ping")  # answered after the subscription was registered
    heard = await hear(socket)
    assert heard == {"type": "pong"}, heard
