"""How does the engine compare with what a Python server does without it?

1,000 subscribers read in 1,000 tasks of one event loop. The peer is graphql-core's `subscribe`
with one asyncio queue per subscriber, the query parsed once and executed per delivery, responses
encoded by orjson: how Python GraphQL servers deliver. The engine's streams do the same work.
Both in turns in one process.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from time import perf_counter
from typing import Any

import orjson
from graphql import ExecutionResult, build_schema, parse, subscribe
from harness.clock import in_turns
from harness.figure import Report
from harness.script import main
from harness.workload import CHANNEL, DATA, QUERY, TYPE

from fraiseql_subscriptions import SubscriptionExecutor

SUBSCRIBERS = 1000
SCHEMA = """
type Query { ready: Boolean }
type Customer { id: Int name: String }
type Order { id: Int status: String total: Float currency: String customer: Customer
             region: Int items: Int }
type Subscription { orderUpdated: Order }
"""


class Countdown:
    """Wakes the publisher when every subscriber has its message."""

    def __init__(self) -> None:
        self.left = 0
        self.done = asyncio.Event()

    def start(self) -> None:
        self.left = SUBSCRIBERS
        self.done.clear()

    def arrived(self, message: bytes) -> None:
        self.left -= 1
        if not self.left:
            self.done.set()


async def peer(events: int) -> float:
    """Deliveries a second by graphql-core and asyncio queues."""
    schema = build_schema(SCHEMA)
    document = parse(QUERY)
    queues: list[asyncio.Queue[dict[str, Any]]] = [asyncio.Queue() for _ in range(SUBSCRIBERS)]
    countdown = Countdown()

    async def source(queue: asyncio.Queue[dict[str, Any]]) -> AsyncIterator[dict[str, Any]]:
        while True:
            yield {"orderUpdated": await queue.get()}

    async def read(number: int) -> None:
        results = await subscribe(
            schema, document, subscribe_field_resolver=lambda *_: source(queues[number])
        )
        if isinstance(results, ExecutionResult):
            raise RuntimeError(results.errors)
        async for result in results:
            payload = {"data": result.data}
            countdown.arrived(orjson.dumps({"id": "1", "type": "next", "payload": payload}))

    async def publish() -> None:
        for queue in queues:
            queue.put_nowait(DATA)

    return await rate(events, [read(number) for number in range(SUBSCRIBERS)], publish, countdown)


async def engine(events: int) -> float:
    """Deliveries a second by the engine's streams."""
    countdown = Countdown()
    async with SubscriptionExecutor() as executor:

        async def read(number: int) -> None:
            async with executor.subscribe(QUERY) as stream:
                async for message in stream:
                    countdown.arrived(message)

        async def publish() -> None:
            await executor.publish(TYPE, CHANNEL, DATA)

        return await rate(
            events, [read(number) for number in range(SUBSCRIBERS)], publish, countdown
        )


async def rate(events: int, readers: list[Any], publish: Any, countdown: Countdown) -> float:
    tasks = [asyncio.create_task(reader) for reader in readers]
    await asyncio.sleep(0.2)  # they subscribe
    begin = perf_counter()
    for _ in range(events):
        countdown.start()
        await publish()
        await countdown.done.wait()
    elapsed = perf_counter() - begin
    for task in tasks:
        task.cancel()
    await asyncio.wait(tasks)
    return events * SUBSCRIBERS / elapsed


def measure(brief: bool) -> Report:
    runs, events = (1, 3) if brief else (5, 10)
    found = in_turns(
        runs,
        {
            "engine": lambda: asyncio.run(engine(10 * events)),
            "peer": lambda: asyncio.run(peer(events)),
        },
    )
    ratios = [one / other for one, other in zip(found["engine"], found["peer"], strict=True)]
    report = Report()
    for name, title, value, unit in (
        ("streams_engine", "deliveries to 1,000 tasks with `async for`", found["engine"], "/s"),
        ("streams_peer", "  by graphql-core and asyncio queues", found["peer"], "/s"),
        ("streams_ratio", "  the engine over graphql-core", ratios, "x"),
    ):
        report.add(name, title, value, unit)
    return report


if __name__ == "__main__":
    main("How does the engine compare with what a Python server does without it?", measure)
