"""A real server (uvicorn) on a loopback port, and what a client (websockets) says to it."""

# ruff: noqa: A002  (`id` is a name of the protocol)

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

PATIENCE = 20


@contextlib.asynccontextmanager
async def listening(app: Any, *, lifespan: Any = "on") -> AsyncIterator[str]:
    config = uvicorn.Config(
        app, port=0, log_level="error", lifespan=lifespan, ws="websockets-sansio"
    )
    server = uvicorn.Server(config)
    task = asyncio.create_task(server.serve())
    await until(lambda: server.started)
    port = server.servers[0].sockets[0].getsockname()[1]
    try:
        yield f"ws://127.0.0.1:{port}/"
    finally:
        server.should_exit = True
        await task


async def until(condition: Callable[[], object]) -> None:
    deadline = time.monotonic() + PATIENCE
    while not condition():
        assert time.monotonic() < deadline, f"the condition did not come in {PATIENCE} s"
        await asyncio.sleep(0.005)


def dial(url: str, *protocols: str, **options: Any) -> connect:
    names = [Subprotocol(one) for one in protocols or ("graphql-transport-ws",)]
    return connect(url, subprotocols=names, **options)


async def say(socket: ClientConnection, **message: Any) -> None:
    await socket.send(json.dumps(message))


async def hear(socket: ClientConnection) -> Any:
    heard = await asyncio.wait_for(socket.recv(), PATIENCE)
    assert isinstance(heard, str), "text frames only"
    return json.loads(heard)


async def closed(socket: ClientConnection) -> tuple[int, str]:
    await asyncio.wait_for(socket.wait_closed(), PATIENCE)
    assert socket.close_code is not None
    return socket.close_code, socket.close_reason or ""


async def greet(socket: ClientConnection, **init: Any) -> None:
    await say(socket, type="connection_init", **init)
    assert (await hear(socket))["type"] == "connection_ack"


async def ask(socket: ClientConnection, query: str, id: str = "1", **request: Any) -> None:
    await say(socket, type="subscribe", id=id, payload={"query": query, **request})


async def subscribed(socket: ClientConnection, query: str, id: str = "1", **request: Any) -> None:
    """Subscribe to what the engine answers, and wait until it does."""
    await ask(socket, query, id, **request)
    await say(socket, type="ping")  # answered after the subscription was registered
    assert (await hear(socket)) == {"type": "pong"}
