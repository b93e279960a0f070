"""Consecutive resolver calls of one event keep the GIL for a millisecond at most."""

from __future__ import annotations

import asyncio
import sys
import threading
from collections.abc import Callable, Iterator
from time import perf_counter, sleep
from typing import Any

import pytest

from fraiseql_subscriptions import SubscriptionExecutor

Subscribe = Callable[..., str]
InThread = Callable[..., threading.Thread]
Ticks = list[float]

RESOLVERS = 200
BURN = 0.0002


@pytest.fixture
def ticks(in_thread: InThread) -> Iterator[Ticks]:
    """When another Python thread got the GIL, which nobody takes from a thread that keeps it."""
    stop = threading.Event()
    seen: Ticks = []

    def tick() -> None:
        while not stop.is_set():
            seen.append(perf_counter())
            sleep(0.0005)

    interval = sys.getswitchinterval()
    sys.setswitchinterval(60)
    thread = in_thread(tick)
    try:
        yield seen
    finally:
        stop.set()
        thread.join(30)
        sys.setswitchinterval(interval)


@pytest.fixture
def burned(subscribe: Subscribe) -> list[float]:
    """Register resolvers that compute for a while each; when each of them ended."""
    ended: list[float] = []

    def burn() -> None:
        end = perf_counter() + BURN
        while perf_counter() < end:
            pass
        ended.append(perf_counter())

    for number in range(RESOLVERS):
        subscribe(resolver=lambda data, number=number: burn(), channels="burn")
    return ended


def ticks_between(ticks: Ticks, ended: list[float]) -> int:
    assert len(ended) == RESOLVERS
    return sum(ended[0] < tick < ended[-1] for tick in list(ticks))


def test_other_threads_run_between_the_resolvers_of_one_event(
    executor: SubscriptionExecutor, burned: list[float], ticks: Ticks
) -> None:
    executor.publish_event("t", "burn", {"id": 1})
    assert ticks_between(ticks, burned) >= 10


def test_other_threads_run_between_the_resolvers_on_the_engines_thread(
    executor: SubscriptionExecutor,
    subscribe: Subscribe,
    burned: list[float],
    ticks: Ticks,
    in_thread: InThread,
    until: Callable[..., None],
) -> None:
    entered, go_on = threading.Event(), threading.Event()

    def hold(data: Any) -> None:
        entered.set()
        assert go_on.wait(30)

    subscribe(resolver=hold, channels="burn", filter={"hold": True})
    holder = in_thread(executor.publish_event, "t", "burn", {"hold": True})
    assert entered.wait(30)
    burned.clear()

    async def publish() -> None:  # a loop's thread does not wait for its turn
        executor.publish_event("t", "burn", {"id": 1})

    asyncio.run(publish())
    go_on.set()
    holder.join(30)
    until(lambda: len(burned) >= RESOLVERS)
    assert ticks_between(ticks, burned[-RESOLVERS:]) >= 10
