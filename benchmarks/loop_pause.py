"""How long does dispatch to 10,000 subscriptions keep an event loop from its other work?

A ticker sleeps for a millisecond again and again on the loop and notes how late it wakes. The
figure is its worst lateness while events are published, less its worst in the idle period just
before; the median over the runs.

With streams, each of the 10,000 subscriptions is read by a task of its own on that loop: what
those tasks do (asyncio runs them all in one turn) is counted as well.
"""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Awaitable, Callable
from time import perf_counter, sleep

from harness.figure import Report
from harness.script import main
from harness.workload import CHANNEL, DATA, TYPE, drain_all, subscribe

from fraiseql_subscriptions import SubscriptionExecutor

MANY = 10_000
TARGET = 2.0
TICK = 0.001
BETWEEN = 0.03

Publish = Callable[[SubscriptionExecutor, int], Awaitable[None]]


async def worst_lateness(work: Awaitable[None]) -> float:
    """The worst lateness, in ms, of a ticker while `work` is under way."""
    task = asyncio.ensure_future(work)
    worst = 0.0
    while not task.done():
        begin = perf_counter()
        await asyncio.sleep(TICK)
        worst = max(worst, perf_counter() - begin - TICK)
    await task
    return worst * 1e3


async def on_the_loop(executor: SubscriptionExecutor, events: int) -> None:
    for _ in range(events):
        await asyncio.sleep(BETWEEN)
        await executor.publish(TYPE, CHANNEL, DATA)


async def on_a_thread(executor: SubscriptionExecutor, events: int) -> None:
    done = asyncio.Event()
    loop = asyncio.get_running_loop()

    def publish() -> None:
        for _ in range(events):
            sleep(BETWEEN)
            executor.publish_event(TYPE, CHANNEL, DATA)
        loop.call_soon_threadsafe(done.set)

    thread = threading.Thread(target=publish)
    thread.start()
    await done.wait()
    thread.join()


async def pause(executor: SubscriptionExecutor, publish: Publish, events: int) -> float:
    idle = await worst_lateness(asyncio.sleep(BETWEEN * events))
    busy = await worst_lateness(publish(executor, events))
    return busy - idle


async def pauses(streams: bool, publish: Publish, runs: int, events: int) -> list[float]:
    async with SubscriptionExecutor() as executor:
        ids = subscribe(executor, MANY)
        tasks = [asyncio.create_task(read(executor, one)) for one in ids if streams]
        await asyncio.sleep(0.5)
        found = []
        for _ in range(runs + 1):
            found.append(await pause(executor, publish, events))
            drain_all(executor)
        for task in tasks:
            task.cancel()
        if tasks:
            await asyncio.wait(tasks)
    return found[1:]


async def read(executor: SubscriptionExecutor, subscription: str) -> None:
    async for _ in executor.stream(subscription):
        pass


def measure(brief: bool) -> Report:
    runs, events = (3, 10) if brief else (9, 40)
    report = Report()
    for streams, consumed in ((False, "queued"), (True, "read by 10,000 tasks on it")):
        for publish, where in ((on_the_loop, "on the loop"), (on_a_thread, "on another thread")):
            report.add(
                f"pause_{'streams' if streams else 'queued'}_{publish.__name__[3:]}",
                f"longest pause of the loop, 10,000 {consumed}, published {where}",
                asyncio.run(pauses(streams, publish, runs, events)),
                "ms",
                TARGET,
            )
    return report


if __name__ == "__main__":
    main("How long does dispatch to 10,000 keep an event loop from its other work?", measure)
