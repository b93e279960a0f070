"""How responses get from the engine to `send`: at once, as the connection's own task, in order.

A real server and client, with a middleware in between that looks, or makes `send` wait.
"""

from __future__ import annotations

import asyncio
import contextlib
import contextvars
from collections.abc import AsyncIterator, Awaitable, Callable, MutableMapping
from typing import Any

import pytest
from websocket_server import dial, greet, hear, listening, subscribed, until

from fraiseql_subscriptions import SubscriptionExecutor
from fraiseql_subscriptions.asgi import GraphQLSubscriptions

pytestmark = pytest.mark.asyncio

QUERY = "subscription { numbers { id } }"
CLIENT: contextvars.ContextVar[str] = contextvars.ContextVar("CLIENT")

Message = MutableMapping[str, Any]


@contextlib.asynccontextmanager
async def serving(
    around_send: Callable[[Message], Awaitable[None]],
) -> AsyncIterator[tuple[SubscriptionExecutor, str]]:
    """A server whose middleware awaits `around_send(message)` before each response is sent."""
    async with SubscriptionExecutor() as executor:
        executor.field("numbers", channels="numbers")
        app = GraphQLSubscriptions(executor)

        async def middleware(scope: Any, receive: Any, send: Any) -> None:
            async def watched(message: Message) -> None:
                if '"next"' in message.get("text", ""):
                    await around_send(message)
                await send(message)

            CLIENT.set(scope.get("path", ""))
            await app(scope, receive, watched)

        async with listening(middleware) as url:
            yield executor, url


async def test_middleware_sends_as_its_own_connections_task_and_context() -> None:
    seen: set[tuple[str, asyncio.Task[Any] | None]] = set()

    async def look(message: Message) -> None:
        seen.add((CLIENT.get(), asyncio.current_task()))

    async with (
        serving(look) as (executor, url),
        dial(f"{url}one") as one,
        dial(f"{url}two") as two,
    ):
        for socket in (one, two):
            await greet(socket)
            await subscribed(socket, QUERY)
        for number in range(3):
            executor.publish_event("made", "numbers", {"id": number})
            for socket in (one, two):
                assert (await hear(socket))["payload"]["data"]["numbers"] == {"id": number}
        tasks = {client: {task for name, task in seen if name == client} for client, _ in seen}
        assert sorted(tasks) == ["/one", "/two"]
        assert all(len(found) == 1 and None not in found for found in tasks.values())
        assert tasks["/one"] != tasks["/two"]


async def test_what_a_client_does_not_read_waits_in_the_engine_and_comes_in_order() -> None:
    gate = asyncio.Event()

    async def wait(message: Message) -> None:
        await gate.wait()

    events = 300
    async with serving(wait) as (executor, url), dial(url) as slow:
        await greet(slow)
        await subscribed(slow, QUERY)
        for number in range(events):
            executor.publish_event("made", "numbers", {"id": number})
            await asyncio.sleep(0)
        # One is being sent, and what one drain hands out is with the connection.
        await until(lambda: executor.get_metrics()["queued"] < events)
        for _ in range(10):
            await asyncio.sleep(0)
        assert executor.get_metrics()["queued"] >= events - 2 * 64
        gate.set()
        got = [(await hear(slow))["payload"]["data"]["numbers"]["id"] for _ in range(events)]
        assert got == list(range(events))
        # It is fast again.
        executor.publish_event("made", "numbers", {"id": events})
        assert (await hear(slow))["payload"]["data"]["numbers"] == {"id": events}


async def test_one_client_that_waits_holds_up_no_other() -> None:
    gate = asyncio.Event()

    async def wait(message: Message) -> None:
        if CLIENT.get() == "/slow":
            await gate.wait()

    async with (
        serving(wait) as (executor, url),
        dial(f"{url}slow") as slow,
        dial(f"{url}fast") as fast,
    ):
        for socket in (slow, fast):
            await greet(socket)
            await subscribed(socket, QUERY)
        for number in range(5):
            executor.publish_event("made", "numbers", {"id": number})
            assert (await hear(fast))["payload"]["data"]["numbers"] == {"id": number}
        gate.set()
        for number in range(5):
            assert (await hear(slow))["payload"]["data"]["numbers"] == {"id": number}


async def test_a_send_that_fails_ends_its_connection_alone(
    caplog: pytest.LogCaptureFixture,
) -> None:
    async def fail(message: Message) -> None:
        if CLIENT.get() == "/bad":
            raise ValueError("middleware's mistake")

    async with (
        serving(fail) as (executor, url),
        dial(f"{url}bad") as bad,
        dial(f"{url}good") as good,
    ):
        for socket in (bad, good):
            await greet(socket)
            await subscribed(socket, QUERY)
        for number in range(2):
            executor.publish_event("made", "numbers", {"id": number})
            assert (await hear(good))["payload"]["data"]["numbers"] == {"id": number}
        await asyncio.wait_for(bad.wait_closed(), 20)
        await until(lambda: executor.get_metrics()["active"] == 1)
        assert bad.close_code == 1011
        assert "middleware's mistake" in caplog.text
