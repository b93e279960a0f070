"""How long does dispatch to 10,000 subscriptions keep an event loop from its other work?

A ticker sleeps for a millisecond again and again on the loop and notes how late it wakes, in
windows that take turns: one without a publish, one with. Each run begins with new queues. A run's
longest pause is the ticker's worst lateness in all of its windows with a publish, less that in
all of its windows without; the usual pause is the same of the windows' medians. Figures are
medians over the runs.

With streams, each of the 10,000 subscriptions is read by a task of its own on that loop, and a
window is long enough for all of them. Two floors do without the engine: windows in which nothing is
published, and 10,000 tasks of asyncio alone, each woken by a future, 128 a turn of the loop.
"""

from __future__ import annotations

import asyncio
import statistics
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from functools import partial
from time import perf_counter
from typing import NamedTuple

from harness.figure import Report
from harness.script import main
from harness.workload import CHANNEL, DATA, TYPE, subscribe

from fraiseql_subscriptions import SubscriptionExecutor

MANY = 10_000
TARGET = 2.0
TICK = 0.001
#: How many tasks a drain of the engine wakes at most, and the floor does.
A_TURN = 128

Publish = Callable[[], Awaitable[object]]


class Pause(NamedTuple):
    """What one run found, in ms."""

    longest: float
    usual: float


class Case(NamedTuple):
    """What two rows measure: `begin` gives the publish, in the middle of what it needs."""

    name: str
    title: str
    begin: Callable[[], AsyncIterator[Publish]]
    window: float
    target: float | None = TARGET


async def worst_lateness(work: Awaitable[object]) -> float:
    """The worst lateness, in ms, of a ticker while `work` is under way."""
    task = asyncio.ensure_future(work)
    worst = 0.0
    while not task.done():
        begin = perf_counter()
        await asyncio.sleep(TICK)
        worst = max(worst, perf_counter() - begin - TICK)
    await task
    return worst * 1e3


async def window(length: float, publish: Publish) -> None:
    await asyncio.sleep(length / 4)  # the ticker is anywhere in its millisecond
    await asyncio.gather(publish(), asyncio.sleep(length))


async def pause(length: float, publish: Publish, events: int) -> Pause:
    idle: list[float] = []
    busy: list[float] = []
    for _ in range(events):
        idle.append(await worst_lateness(asyncio.sleep(length)))
        busy.append(await worst_lateness(window(length, publish)))
    return Pause(max(busy) - max(idle), statistics.median(busy) - statistics.median(idle))


async def nothing() -> None:
    """What the floor of the queued rows publishes."""


async def on_the_loop(executor: SubscriptionExecutor) -> None:
    await executor.publish(TYPE, CHANNEL, DATA)


async def on_a_thread(executor: SubscriptionExecutor) -> None:
    await asyncio.to_thread(executor.publish_event, TYPE, CHANNEL, DATA)


async def idle() -> AsyncIterator[Publish]:
    yield nothing


async def queued(
    publish: Callable[[SubscriptionExecutor], Awaitable[None]],
) -> AsyncIterator[Publish]:
    async with SubscriptionExecutor() as executor:
        subscribe(executor, MANY)
        yield partial(publish, executor)


async def streamed(
    publish: Callable[[SubscriptionExecutor], Awaitable[None]],
) -> AsyncIterator[Publish]:
    async def read(subscription: str) -> None:
        async for _ in executor.stream(subscription):
            pass

    async with SubscriptionExecutor() as executor:
        tasks = [asyncio.create_task(read(one)) for one in subscribe(executor, MANY)]
        yield partial(publish, executor)
        for task in tasks:
            task.cancel()
        await asyncio.wait(tasks)


async def asyncio_alone() -> AsyncIterator[Publish]:
    """10,000 tasks that wait for a future each."""
    loop = asyncio.get_running_loop()
    waiting: list[asyncio.Future[None]] = []

    async def read() -> None:
        while True:
            future = loop.create_future()
            waiting.append(future)
            await future

    def wake(ready: list[asyncio.Future[None]]) -> None:
        for future in ready[-A_TURN:]:
            future.set_result(None)
        del ready[-A_TURN:]
        if ready:
            loop.call_soon(wake, ready)

    async def publish() -> None:
        ready = waiting[:]
        waiting.clear()
        wake(ready)

    tasks = [asyncio.create_task(read()) for _ in range(MANY)]
    yield publish
    for task in tasks:
        task.cancel()
    await asyncio.wait(tasks)


async def once(case: Case, events: int) -> Pause:
    async with asynccontextmanager(case.begin)() as publish:
        await asyncio.sleep(0.5)
        return await pause(case.window, publish, events)


CASES = [
    Case(
        "queued_the_loop",
        "10,000 queued, published on the loop",
        partial(queued, on_the_loop),
        0.03,
    ),
    Case(
        "queued_a_thread",
        "10,000 queued, published on another thread",
        partial(queued, on_a_thread),
        0.03,
    ),
    Case("idle", "nothing is published", idle, 0.03, None),
    Case(
        "streams_the_loop",
        "10,000 read by 10,000 tasks on it, published on the loop",
        partial(streamed, on_the_loop),
        0.1,
    ),
    Case(
        "streams_a_thread",
        "10,000 read by 10,000 tasks on it, published on another thread",
        partial(streamed, on_a_thread),
        0.1,
    ),
    Case("asyncio", "10,000 tasks of asyncio alone, 128 a turn", asyncio_alone, 0.1, None),
]


def measure(brief: bool) -> Report:
    runs, events = (3, 5) if brief else (5, 25)
    report = Report()
    for case in CASES:
        found = [asyncio.run(once(case, events)) for _ in range(runs + 1)][1:]
        mark = "  floor, " if case.target is None else ""
        for which in ("longest", "usual"):
            report.add(
                f"pause_{case.name}" if which == "longest" else f"pause_{case.name}_usual",
                f"{mark}{which} pause of the loop, {case.title}",
                [getattr(one, which) for one in found],
                "ms",
                case.target,
            )
    return report


if __name__ == "__main__":
    main("How long does dispatch to 10,000 keep an event loop from its other work?", measure)
