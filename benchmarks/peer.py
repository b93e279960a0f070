"""How does the engine compare with what Python servers do without it?

100, 1,000 and 10,000 subscribers, each read by a task of its own, on asyncio's and on uvloop's
event loop. A peer is a library's `subscribe` with one asyncio queue per subscriber, the selection
set executed per delivery, the response encoded by orjson; the engine's streams do the same work.
All in turns in one process; the first responses are checked to be the same bytes.
"""

from __future__ import annotations

import asyncio
import gc
import statistics
from collections.abc import Awaitable, Callable, Coroutine
from functools import partial
from time import perf_counter
from typing import Any

import orjson
import uvloop
from harness.clock import in_turns
from harness.figure import Report, Table
from harness.peers import PEERS, Events
from harness.script import main
from harness.workload import CHANNEL, DATA, QUERY, TYPE

from fraiseql_subscriptions import SubscriptionExecutor

LOOPS = {"asyncio": asyncio.new_event_loop, "uvloop": uvloop.new_event_loop}
#: Subscribers, and the deliveries of one run by a peer and by the engine.
SIZES = {100: (1000, 20_000), 1000: (3000, 50_000), 10_000: (10_000, 100_000)}
#: Seconds until a subscriber that hears nothing is taken for lost.
PATIENCE = 120.0


class FanOut:
    """Subscribers that read on an event loop of their own, which runs while they are measured."""

    def __init__(self, loop: asyncio.AbstractEventLoop, size: int) -> None:
        self._loop = loop
        self._size = size
        self._left = 0
        self._done = asyncio.Event()
        self._tasks: list[asyncio.Future[None]] = []
        self._publish: Callable[[], Awaitable[object]] | None = None
        self.sample = b""

    def begin(
        self,
        reader: Callable[[], Coroutine[Any, Any, None]],
        publish: Callable[[], Awaitable[object]],
    ) -> None:
        """Start a reader for each subscriber."""
        self._publish = publish

        async def start() -> None:
            self._left = self._size
            self._tasks = [asyncio.ensure_future(reader()) for _ in range(self._size)]
            await self._done.wait()

        self._loop.run_until_complete(asyncio.wait_for(start(), PATIENCE))

    def subscribed(self) -> None:
        """Said by each reader once."""
        self._left -= 1
        if not self._left:
            self._done.set()

    def arrived(self, message: bytes) -> None:
        """Said by each reader for every message."""
        self._left -= 1
        if not self._left:
            self.sample = message
            self._done.set()

    def rate(self, events: int) -> float:
        """Deliveries a second over `events` events, each awaited by every subscriber."""
        publish = self._publish
        assert publish is not None

        async def measure() -> float:
            begin = perf_counter()
            for _ in range(events):
                self._left = self._size
                self._done.clear()
                await publish()
                await self._done.wait()
            return events * self._size / (perf_counter() - begin)

        return self._loop.run_until_complete(asyncio.wait_for(measure(), PATIENCE))

    def end(self) -> None:
        for task in self._tasks:
            task.cancel()
        ended = self._loop.run_until_complete(asyncio.gather(*self._tasks, return_exceptions=True))
        self._loop.run_until_complete(self._loop.shutdown_asyncgens())
        self._loop.close()
        for one in ended:
            if not isinstance(one, asyncio.CancelledError):
                raise RuntimeError("a reader ended by itself") from one


def peer(name: str, loop: asyncio.AbstractEventLoop, size: int) -> FanOut:
    """Subscribers served by one of the libraries."""
    fan = FanOut(loop, size)
    source, event = PEERS[name]()
    queues: list[Events] = []

    async def read() -> None:
        queue: Events = asyncio.Queue()
        results = await source(queue)
        queues.append(queue)
        fan.subscribed()
        async for result in results:
            payload = {"data": result.data}
            fan.arrived(orjson.dumps({"id": "1", "type": "next", "payload": payload}))

    async def publish() -> None:
        for queue in queues:
            queue.put_nowait(event)

    fan.begin(read, publish)
    return fan


def engine(executor: SubscriptionExecutor, loop: asyncio.AbstractEventLoop, size: int) -> FanOut:
    """Subscribers served by the engine's streams."""
    fan = FanOut(loop, size)

    async def read() -> None:
        async with executor.subscribe(QUERY) as stream:
            fan.subscribed()
            async for message in stream:
                fan.arrived(message)

    fan.begin(read, partial(executor.publish, TYPE, CHANNEL, DATA))
    return fan


def compare(kind: str, size: int, runs: int, brief: bool) -> dict[str, list[float]]:
    """Deliveries a second of the engine and of each peer, in turns."""
    make = LOOPS[kind]
    few, many = (1, 1) if brief else (share // size for share in SIZES[size])
    with SubscriptionExecutor() as executor:
        fans = {"engine": engine(executor, make(), size)}
        fans |= {name: peer(name, make(), size) for name in PEERS}
        # What everybody set up is not walked by the collector again and again.
        gc.collect()
        gc.freeze()
        found = in_turns(
            runs,
            {
                name: partial(fan.rate, many if name == "engine" else few)
                for name, fan in fans.items()
            },
        )
        for name, fan in fans.items():
            fan.end()
            if fan.sample != fans["engine"].sample:
                raise RuntimeError(f"{name} sent {fan.sample!r}, not {fans['engine'].sample!r}")
    gc.unfreeze()
    gc.collect()
    return found


def measure(brief: bool) -> Report:
    runs = 1 if brief else 5
    report = Report()
    rows: list[list[str | float]] = []
    for kind in LOOPS:
        for size in (100, 1000) if brief else SIZES:
            found = compare(kind, size, runs, brief)
            row: list[str | float] = [f"{size:,} on {kind}", statistics.median(found["engine"])]
            for name in PEERS:
                turns = zip(found["engine"], found[name], strict=True)
                ratios = [ours / theirs for ours, theirs in turns]
                row += [statistics.median(found[name]), f"{statistics.median(ratios):.1f} x"]
                key = f"peer_{kind}_{size}_{name}"
                report.series[key] = [(float(run), one) for run, one in enumerate(ratios)]
                if size == 1000 and kind == "asyncio":
                    if name == "graphql-core":
                        title = "deliveries to 1,000 tasks with `async for`"
                        report.add("streams_engine", title, found["engine"], "/s")
                    report.add(f"streams_{name}", f"  by {name}", found[name], "/s")
                    report.add(f"ratio_{name}", f"  the engine over {name}", ratios, "x")
            rows.append(row)
    columns: list[Any] = ["subscribers", "engine, /s"]
    for name in PEERS:
        columns += [f"{name}, /s", "engine over it"]
    report.tables.append(Table("Deliveries a second to tasks with `async for`", columns, rows))
    return report


if __name__ == "__main__":
    main("How does the engine compare with what Python servers do without it?", measure)
