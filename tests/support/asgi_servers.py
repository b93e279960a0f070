"""ASGI servers on this event loop and a free loopback port, as users run them."""

from __future__ import annotations

import asyncio
import contextlib
import socket
from collections.abc import AsyncIterator, Callable
from typing import Any

import hypercorn.asyncio
import hypercorn.config
import uvicorn
from granian.constants import Interfaces
from granian.server.embed import Server as Granian
from websocket_server import until

#: The servers, by the names that `serving_by` takes.
SERVERS = ("uvicorn", "uvicorn-wsproto", "hypercorn", "granian")


def serving_by(
    server: str, app: Any, **options: Any
) -> contextlib.AbstractAsyncContextManager[int]:
    """Serve `app` for the block, with the server's own options; the port."""
    serve: Callable[..., contextlib.AbstractAsyncContextManager[int]] = {
        "uvicorn": _uvicorn,
        "uvicorn-wsproto": _uvicorn_wsproto,
        "hypercorn": _hypercorn,
        "granian": _granian,
    }[server]
    return serve(app, **options)


@contextlib.asynccontextmanager
async def _uvicorn(
    app: Any, *, ws: Any = "websockets-sansio", **options: Any
) -> AsyncIterator[int]:
    config = uvicorn.Config(app, port=0, log_level="error", lifespan="on", ws=ws, **options)
    server = uvicorn.Server(config)
    task = asyncio.create_task(server.serve())
    await until(lambda: server.started)
    try:
        yield server.servers[0].sockets[0].getsockname()[1]
    finally:
        server.should_exit = True
        await task


def _uvicorn_wsproto(app: Any, **options: Any) -> contextlib.AbstractAsyncContextManager[int]:
    return _uvicorn(app, ws="wsproto", **options)


@contextlib.asynccontextmanager
async def _hypercorn(app: Any, **options: Any) -> AsyncIterator[int]:
    listener = socket.create_server(("127.0.0.1", 0))
    port = listener.getsockname()[1]
    config = hypercorn.config.Config.from_mapping(
        bind=[f"fd://{listener.detach()}"], loglevel="ERROR", **options
    )
    stop = asyncio.Event()
    task = asyncio.create_task(hypercorn.asyncio.serve(app, config, shutdown_trigger=stop.wait))
    try:
        yield port
    finally:
        stop.set()
        await task


@contextlib.asynccontextmanager
async def _granian(app: Any, **options: Any) -> AsyncIterator[int]:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
    server = Granian(
        app, address="127.0.0.1", port=port, interface=Interfaces.ASGI, log_enabled=False, **options
    )
    task = asyncio.create_task(server.serve())
    await until(lambda: _listens(port) or task.done())
    try:
        yield port
    finally:
        server.stop()  # type: ignore[no-untyped-call]
        await task


def _listens(port: int) -> bool:
    with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port), 1):
        return True
    return False
