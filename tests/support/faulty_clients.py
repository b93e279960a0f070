"""What the tests of clients' faults share: an application, and counting that nothing is left."""

from __future__ import annotations

import contextlib
import gc
import json
import time
from collections.abc import AsyncIterator, Callable
from typing import Any

from asgi_servers import serving_by
from raw_websocket import message
from websocket_server import until

from fraiseql_subscriptions import SubscriptionExecutor
from fraiseql_subscriptions.asgi import GraphQLSubscriptions
from fraiseql_subscriptions.client import Client
from fraiseql_subscriptions.operation import Operation

QUERY = "subscription { thing { id text } }"
STREAM = {"accept": "text/event-stream"}
PARTS = {"accept": "multipart/mixed;subscriptionSpec=1.0"}
INIT = message(type="connection_init")
SUBSCRIBE = message(type="subscribe", id="1", payload={"query": QUERY})


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
    """Wait until there are no clients, subscriptions or queued responses, nor objects for them."""

    def left() -> bool:
        metrics = executor.get_metrics()
        return bool(app._connections or metrics["active"] or metrics["queued"])

    await until(lambda: not left())
    await until(lambda: not alive())


def alive() -> int:
    """How many clients and operations there are as objects."""
    gc.collect()
    return sum(isinstance(one, (Client, Operation)) for one in gc.get_objects())


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


def http(body: dict[str, Any] | None, method: str = "POST", **headers: str) -> bytes:
    """The bytes of a request."""
    content = b"" if body is None else json.dumps(body).encode()
    lines = [f"{method} / HTTP/1.1", "host: localhost", "content-type: application/json"]
    lines += [f"content-length: {len(content)}", *(f"{k}: {v}" for k, v in headers.items())]
    return "\r\n".join([*lines, "", ""]).encode() + content
