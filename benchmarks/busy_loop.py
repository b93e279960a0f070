"""How long does a response wait for a busy event loop?

asyncio runs callbacks of a millisecond of Python back to back, one per turn of the loop, while a
thread (a bus's, say) publishes. From before the publish until the body of `async for`. The floors
do it without the engine: call_soon_threadsafe from a thread, to its callback, and to a task that
the callback wakes through an asyncio queue. Each waits for the interpreter's lock, which the loop
gives up once a turn, and then for turns: one to a callback, one more to a task.

Callbacks shorter than the interpreter's switch interval (5 ms by default) starve every other
thread: CPython lets a waiting thread ask for the lock only after a whole interval in which nobody
gave it up, and the loop gives it up, for moments, once a turn. The publisher then gets to run every
ten seconds or so, whatever it publishes with. So the interval here is half a callback.
"""

from __future__ import annotations

import asyncio
import sys
import threading
import time
from collections.abc import Callable
from time import perf_counter_ns

from harness.clock import in_turns, percentile, quantile_curve
from harness.figure import Report
from harness.script import main
from harness.workload import CHANNEL, DATA, QUERY, TYPE

from fraiseql_subscriptions import SubscriptionExecutor

#: Nanoseconds of Python in each callback, and seconds between two events.
WORK = 1_000_000
PAUSE = 0.01
#: Seconds after which a waiting thread asks for the interpreter's lock.
SWITCH_INTERVAL = WORK / 2 / 1e9


class Business:
    """Keeps the running loop 100% busy, from one turn to the next, until it is stopped."""

    def __init__(self) -> None:
        self._loop = asyncio.get_running_loop()
        self._stopped = False
        self._turn()

    def _turn(self) -> None:
        end = perf_counter_ns() + WORK
        while perf_counter_ns() < end:
            pass
        if not self._stopped:
            self._loop.call_soon(self._turn)

    def stop(self) -> None:
        self._stopped = True


async def send_from_thread(events: int, send: Callable[[], object]) -> tuple[list[int], list[int]]:
    """Begin and end of each call of `send` on another thread, ns, while the loop is busy."""
    begun: list[int] = []
    returned: list[int] = []
    done = asyncio.Event()
    loop = asyncio.get_running_loop()

    def work() -> None:
        for _ in range(events):
            time.sleep(PAUSE)
            begun.append(perf_counter_ns())
            send()
            returned.append(perf_counter_ns())
        loop.call_soon_threadsafe(done.set)

    business = Business()
    thread = threading.Thread(target=work, name="bus")
    thread.start()
    await done.wait()
    business.stop()
    thread.join()
    await asyncio.sleep(10 * PAUSE)
    return begun, returned


async def by_engine(executor: SubscriptionExecutor, events: int) -> tuple[list[float], list[float]]:
    arrived: list[int] = []
    async with executor.subscribe(QUERY) as stream:

        async def read() -> None:
            async for _ in stream:
                arrived.append(perf_counter_ns())  # noqa: PERF401  (it ends by cancellation)

        task = asyncio.create_task(read())
        begun, returned = await send_from_thread(
            events, lambda: executor.publish_event(TYPE, CHANNEL, DATA)
        )
        task.cancel()
        await asyncio.wait([task])
    return spans(begun, arrived), spans(begun, returned)


async def by_callback(events: int) -> tuple[list[float], list[float]]:
    arrived: list[int] = []
    loop = asyncio.get_running_loop()

    def arrive() -> None:
        arrived.append(perf_counter_ns())

    begun, returned = await send_from_thread(events, lambda: loop.call_soon_threadsafe(arrive))
    return spans(begun, arrived), spans(begun, returned)


async def by_queue(events: int) -> tuple[list[float], list[float]]:
    arrived: list[int] = []
    loop = asyncio.get_running_loop()
    queue: asyncio.Queue[None] = asyncio.Queue()

    async def read() -> None:
        while True:
            await queue.get()
            arrived.append(perf_counter_ns())

    task = asyncio.create_task(read())
    begun, returned = await send_from_thread(
        events, lambda: loop.call_soon_threadsafe(queue.put_nowait, None)
    )
    task.cancel()
    await asyncio.wait([task])
    return spans(begun, arrived), spans(begun, returned)


def spans(begins: list[int], ends: list[int]) -> list[float]:
    """In µs."""
    return [(end - begin) / 1e3 for begin, end in zip(begins, ends, strict=True)]


def measure(brief: bool) -> Report:
    sys.setswitchinterval(SWITCH_INTERVAL)
    runs, events = (2, 30) if brief else (5, 200)
    with SubscriptionExecutor() as executor:
        found = in_turns(
            runs,
            {
                "engine": lambda: asyncio.run(by_engine(executor, events)),
                "queue": lambda: asyncio.run(by_queue(events)),
                "callback": lambda: asyncio.run(by_callback(events)),
            },
        )
    report = Report()
    for key, title, curve in (
        ("engine", "busy loop: published on a thread to `async for` body", "the engine"),
        ("queue", "  floor: call_soon_threadsafe and a queue to a task", "floor: to a task"),
        ("callback", "  floor: call_soon_threadsafe to its callback", "floor: to a callback"),
    ):
        for percent in (50, 99):
            each = [percentile(waits, percent) / 1e3 for waits, _ in found[key]]
            report.add(f"busy_{key}_p{percent}", f"{title}, p{percent}", each, "ms")
        every = [one for waits, _ in found[key] for one in waits]
        report.series[curve] = quantile_curve(every)
    ratios = [
        percentile(ours, 99) / percentile(theirs, 99)
        for (ours, _), (theirs, _) in zip(found["engine"], found["queue"], strict=True)
    ]
    report.add("busy_ratio_p99", "  the engine over the floor to a task, p99", ratios, "x")
    for percent in (50, 99):
        each = [percentile(calls, percent) / 1e3 for _, calls in found["engine"]]
        report.add(f"busy_call_p{percent}", f"  the call of publish_event, p{percent}", each, "ms")
    return report


if __name__ == "__main__":
    main("How long does a response wait for a busy event loop?", measure)
