"""How long from publishing until the body of `async for` runs, on an event loop that is idle?

Published on the loop itself (`await publish`) and on another thread (publish_event). Between
two events the loop sleeps in its selector for two milliseconds or more. The floor does the same
without the engine: a byte written to a pipe on a thread, whose reader wakes a task.
"""

from __future__ import annotations

import asyncio
import os
import threading
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from time import perf_counter_ns

from harness.clock import in_turns, percentile, quantile_curve
from harness.figure import Report
from harness.script import main
from harness.workload import CHANNEL, DATA, QUERY, TYPE

from fraiseql_subscriptions import SubscriptionExecutor

PAUSE = 0.002


@asynccontextmanager
async def receiver(executor: SubscriptionExecutor, arrivals: list[int]) -> AsyncIterator[None]:
    """A task that notes when each message reaches the body of its `async for`."""
    async with executor.subscribe(QUERY) as stream:

        async def read() -> None:
            async for _ in stream:
                arrivals.append(perf_counter_ns())  # noqa: PERF401  (it ends by cancellation)

        task = asyncio.create_task(read())
        await asyncio.sleep(PAUSE)
        try:
            yield
        finally:
            task.cancel()
            await asyncio.wait([task])


async def from_the_loop(executor: SubscriptionExecutor, events: int) -> list[float]:
    departures: list[int] = []
    arrivals: list[int] = []
    async with receiver(executor, arrivals):
        for _ in range(events):
            await asyncio.sleep(PAUSE)
            departures.append(perf_counter_ns())
            await executor.publish(TYPE, CHANNEL, DATA)
        await asyncio.sleep(10 * PAUSE)
    return latencies(departures, arrivals)


async def from_a_thread(executor: SubscriptionExecutor, events: int) -> list[float]:
    departures: list[int] = []
    arrivals: list[int] = []
    done = asyncio.Event()
    loop = asyncio.get_running_loop()

    def publish() -> None:
        for _ in range(events):
            time.sleep(PAUSE)
            departures.append(perf_counter_ns())
            executor.publish_event(TYPE, CHANNEL, DATA)
        loop.call_soon_threadsafe(done.set)

    async with receiver(executor, arrivals):
        thread = threading.Thread(target=publish)
        thread.start()
        await done.wait()
        await asyncio.sleep(10 * PAUSE)
        thread.join()
    return latencies(departures, arrivals)


async def floor(events: int) -> list[float]:
    departures: list[int] = []
    arrivals: list[int] = []
    reading, writing = os.pipe()
    loop = asyncio.get_running_loop()
    arrived: asyncio.Queue[None] = asyncio.Queue()

    def readable() -> None:
        os.read(reading, 1)
        arrived.put_nowait(None)

    def write() -> None:
        for _ in range(events):
            time.sleep(PAUSE)
            departures.append(perf_counter_ns())
            os.write(writing, b"x")

    loop.add_reader(reading, readable)
    thread = threading.Thread(target=write)
    thread.start()
    for _ in range(events):
        await arrived.get()
        arrivals.append(perf_counter_ns())
    loop.remove_reader(reading)
    thread.join()
    os.close(reading)
    os.close(writing)
    return latencies(departures, arrivals)


def latencies(departures: list[int], arrivals: list[int]) -> list[float]:
    return [(end - begin) / 1e3 for begin, end in zip(departures, arrivals, strict=True)]


def measure(brief: bool) -> Report:
    runs, events = (3, 100) if brief else (9, 1000)
    with SubscriptionExecutor() as executor:
        found = in_turns(
            runs,
            {
                "loop": lambda: asyncio.run(from_the_loop(executor, events)),
                "thread": lambda: asyncio.run(from_a_thread(executor, events)),
                "floor": lambda: asyncio.run(floor(events)),
            },
        )
    report = Report()
    for key, title in (("loop", "on the loop"), ("thread", "on another thread")):
        for percent, target in ((50, 100.0), (99, 300.0)):
            each = [percentile(run, percent) for run in found[key]]
            full_title = f"published {title} to `async for` body, p{percent}"
            report.add(f"asyncio_{key}_p{percent}", full_title, each, "µs", target)
        every = [one for run in found[key] for one in run]
        report.series[f"published {title}"] = quantile_curve(every)
    floors = [one for run in found["floor"] for one in run]
    report.series["floor: a pipe"] = quantile_curve(floors)
    for percent in (50, 99):
        each = [percentile(run, percent) for run in found["floor"]]
        title = f"  floor: a pipe written to on another thread, p{percent}"
        report.add(f"floor_pipe_p{percent}", title, each, "µs")
    return report


if __name__ == "__main__":
    main("How long from publishing until the body of `async for` runs?", measure)
