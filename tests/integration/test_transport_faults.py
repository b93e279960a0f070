"""Clients that vanish, do not read, talk nonsense or too much: nothing of them is left, and
nobody else notices."""

from __future__ import annotations

import asyncio
import contextlib
import gc
import json
import os
import random
import socket
import time
from collections.abc import AsyncIterator, Callable
from operator import le
from typing import Any

import psutil
import pytest
from asgi_servers import SERVERS, serving_by
from graphql import build_schema
from http_client import asking
from raw_websocket import BINARY, connected, frame, message, shaken, vanish
from websocket_server import PATIENCE, closed, dial, greet, hear, say, subscribed, until
from websockets.exceptions import ConnectionClosed

from fraiseql_subscriptions import SecurityContext, SubscriptionExecutor
from fraiseql_subscriptions.asgi import GraphQLSubscriptions
from fraiseql_subscriptions.client import Client
from fraiseql_subscriptions.operation import Operation

pytestmark = pytest.mark.asyncio

QUERY = "subscription { thing { id text } }"
INIT = message(type="connection_init")
SUBSCRIBE = message(type="subscribe", id="1", payload={"query": QUERY})
STREAM = {"accept": "text/event-stream"}
PARTS = {"accept": "multipart/mixed;subscriptionSpec=1.0"}
SDL = """
type Thing { id: Int, text: String }
type Query { slow: String }
type Subscription { thing: Thing, ticks: Int }
"""


@contextlib.asynccontextmanager
async def serving(
    server: str = "uvicorn", **options: Any
) -> AsyncIterator[tuple[SubscriptionExecutor, GraphQLSubscriptions, int]]:
    async with SubscriptionExecutor() as executor:
        executor.field("thing", channels="things")
        app = GraphQLSubscriptions(executor, **options)
        async with serving_by(server, app) as port:
            yield executor, app, port


async def nothing_left(executor: SubscriptionExecutor, app: GraphQLSubscriptions) -> None:
    """Wait until there are no clients, subscriptions or queued responses."""

    def left() -> bool:
        metrics = executor.get_metrics()
        return bool(app._connections or metrics["active"] or metrics["queued"])

    await until(lambda: not left())


def http(body: dict[str, Any] | None, method: str = "POST", **headers: str) -> bytes:
    content = b"" if body is None else json.dumps(body).encode()
    lines = [f"{method} / HTTP/1.1", "host: localhost", "content-type: application/json"]
    lines += [f"content-length: {len(content)}", *(f"{k}: {v}" for k, v in headers.items())]
    return "\r\n".join([*lines, "", ""]).encode() + content


async def settled(measure: Callable[[], Any]) -> None:
    """Wait until what is measured has not changed for half a second."""
    last, since = measure(), time.monotonic()

    def still() -> bool:
        nonlocal last, since
        now = measure()
        if now != last:
            last, since = now, time.monotonic()
        return time.monotonic() - since > 0.5

    await until(still)


# --- Ten thousand --------------------------------------------------------------------------


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
            frames = [b"", INIT, INIT + SUBSCRIBE, INIT + SUBSCRIBE[:9]][point - 1]
            await self.loop.sock_sendall(one, frames)
            if point == 3:
                await self.loop.sock_recv(one, 4096)  # the acknowledgement
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


def alive() -> int:
    gc.collect()
    return sum(isinstance(one, (Client, Operation)) for one in gc.get_objects())


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
        assert alive() == 0
        grown = process.memory_info().rss - warm
        # A client that stays costs some 10 kB.
        assert grown < 5_000_000, f"{grown} bytes after {total} connections"
        assert executor.get_metrics()["total"] > total // 10
