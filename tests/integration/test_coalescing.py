"""One read of the engine a turn of the event loop, however many responses there are."""

from __future__ import annotations

import asyncio
import contextlib
import threading
from collections.abc import Callable
from typing import Any

import pytest

from fraiseql_subscriptions import SubscriptionExecutor
from fraiseql_subscriptions.process import load

pytestmark = pytest.mark.asyncio

QUERY = "subscription { a { id } }"
PATIENCE = 30.0
STREAMS = 50
EVENTS = 10

Publish = Callable[[SubscriptionExecutor, int], Any]


async def by_publish_event(executor: SubscriptionExecutor, count: int) -> None:
    for number in range(count):
        executor.publish_event("t", "c", {"id": number})


async def by_publish_events(executor: SubscriptionExecutor, count: int) -> None:
    executor.publish_events([("t", "c", {"id": number}) for number in range(count)])


async def by_publish(executor: SubscriptionExecutor, count: int) -> None:
    await asyncio.gather(*(executor.publish("t", "c", {"id": n}) for n in range(count)))


async def by_a_thread(executor: SubscriptionExecutor, count: int) -> None:
    # The loop's thread waits meanwhile: all of it is one turn.
    thread = threading.Thread(target=lambda: asyncio.run(by_publish_event(executor, count)))
    thread.start()
    thread.join(PATIENCE)


@pytest.fixture
def drains(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """How much each read of the engine took."""
    native = load()
    seen: list[int] = []
    drain = native.drain

    def spy(*arguments: int) -> int:
        taken: int = drain(*arguments)
        seen.append(taken)
        return taken

    monkeypatch.setattr(native, "drain", spy)
    return seen


@pytest.mark.parametrize("publish", [by_publish_event, by_publish_events, by_publish, by_a_thread])
async def test_a_turn_reads_once_for_all_events_and_streams(
    executor: SubscriptionExecutor, drains: list[int], publish: Publish
) -> None:
    async with contextlib.AsyncExitStack() as stack:
        streams = [
            await stack.enter_async_context(executor.subscribe(QUERY)) for _ in range(STREAMS)
        ]

        async def read(stream: Any) -> None:
            for _ in range(EVENTS):
                await anext(stream)

        readers = [asyncio.ensure_future(read(stream)) for stream in streams]
        await asyncio.sleep(0)
        drains.clear()
        await publish(executor, EVENTS)
        await asyncio.wait_for(asyncio.gather(*readers), PATIENCE)
        assert drains == [STREAMS * EVENTS]


async def test_a_turn_wakes_so_many_tasks_at_most(
    executor: SubscriptionExecutor, drains: list[int]
) -> None:
    streams = 300
    async with contextlib.AsyncExitStack() as stack:
        readers = [
            asyncio.ensure_future(anext(await stack.enter_async_context(executor.subscribe(QUERY))))
            for _ in range(streams)
        ]
        await asyncio.sleep(0)
        drains.clear()
        executor.publish_event("t", "c", {"id": 1})
        woken: list[int] = []
        while sum(woken) < streams:
            await asyncio.sleep(0)
            woken.append(sum(reader.done() for reader in readers) - sum(woken))
        assert drains == [128, 128, 44]
        assert max(woken) <= 128
