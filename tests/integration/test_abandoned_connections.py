"""Connections that are opened and abandoned, at every point of their life, by the thousand."""

from __future__ import annotations

import asyncio
import random
import socket
from operator import le

import psutil
import pytest
from faulty_clients import (
    INIT,
    PARTS,
    QUERY,
    STREAM,
    SUBSCRIBE,
    http,
    nothing_left,
    serving,
    settled,
)
from raw_websocket import connected, shaken, vanish
from websocket_server import until

pytestmark = pytest.mark.asyncio


class Crowd:
    """Clients that come, get to some point, and vanish."""

    def __init__(self, port: int) -> None:
        self.port = port
        self.loop = asyncio.get_running_loop()
        self.chance = random.Random(3)

    async def visit(self, number: int) -> None:
        one = await self._reach(number % 9)
        if self.chance.random() < 0.5:
            vanish(one)
        else:
            one.close()

    async def _reach(self, point: int) -> socket.socket:
        if point == 0:
            return await connected(self.port)  # and says nothing
        if point <= 4:
            one = await shaken(self.port)
            if point == 1:
                return one
            await self.loop.sock_sendall(one, INIT)
            await self.loop.sock_recv(one, 4096)  # the acknowledgement
            await self.loop.sock_sendall(one, [b"", SUBSCRIBE, SUBSCRIBE[:9]][point - 2])
            return one
        requests = [
            http({"query": QUERY}, **STREAM),
            http({"query": QUERY}, **PARTS),
            http(None, "PUT"),
            http({"query": QUERY}, **STREAM)[:-5],
        ]
        one = await connected(self.port)
        await self.loop.sock_sendall(one, requests[point - 5])
        if point < 8:
            await self.loop.sock_recv(one, 4096)
        return one


@pytest.mark.parametrize(
    ("server", "total"),
    [("uvicorn", 12_000), ("uvicorn-wsproto", 1000), ("hypercorn", 1000), ("granian", 1000)],
)
async def test_abandoned_connections_leave_nothing(server: str, total: int) -> None:
    """Tasks, objects, subscriptions and descriptors as before, and memory that does not follow
    the number of connections."""
    process = psutil.Process()
    async with serving(server, init_timeout=0.3, ping=0.2, pong=0.2) as (executor, app, port):
        crowd = Crowd(port)

        async def visits(count: int) -> None:
            for first in range(0, count, 100):
                await asyncio.gather(*(crowd.visit(first + n) for n in range(100)))
                await executor.publish("e", "things", {"id": first, "text": "x" * 1000})
            await nothing_left(executor, app)

        def held() -> tuple[int, int]:
            return process.num_fds(), len(asyncio.all_tasks())

        await visits(100)  # what the engine and the server keep for good is there
        await settled(held)
        before = held()
        await visits(total // 2)  # heaps reach their size
        warm = process.memory_info().rss
        await visits(total - total // 2)
        await until(lambda: all(map(le, held(), before)))
        grown = process.memory_info().rss - warm
        # A client that stays costs some 10 kB.
        assert grown < 10_000_000, f"{grown} bytes after {total} connections"
        assert executor.get_metrics()["total"] > total // 10
