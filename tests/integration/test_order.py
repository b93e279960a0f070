"""A subscription sees every channel in bus order, each event once, whatever else runs."""

# ruff: noqa: A001, A002  (`id` is a name of the public API)

from __future__ import annotations

import asyncio
import json
import threading
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from fraiseql_subscriptions import QueuePolicy, SubscriptionExecutor

PATIENCE = 30.0
CHANNELS = ("orders.a", "orders.b", "stock")
PATTERNS = {
    "orders.a": ("orders.a",),
    "orders.*": ("orders.a", "orders.b"),
    "stock": ("stock",),
    "*": CHANNELS,
}
#: What answers a subscription. "info" is called for each one, the others for all that share it.
RESOLVERS = ("none", "sync", "info", "async", "failing")

QUERY = "subscription { thing { channel publisher n } }"


@dataclass(frozen=True)
class Subscriber:
    pattern: str
    resolver: str
    streamed: bool


@dataclass(frozen=True)
class Publisher:
    channels: tuple[str, ...]  # one an event, in order
    batch: int  # events a call
    awaits: bool  # from a coroutine of the loop, otherwise from a thread


subscribers = st.lists(
    st.builds(
        Subscriber,
        pattern=st.sampled_from(sorted(PATTERNS)),
        resolver=st.sampled_from(RESOLVERS),
        streamed=st.booleans(),
    ),
    min_size=1,
    max_size=6,
)
publishers = st.lists(
    st.builds(
        Publisher,
        channels=st.lists(st.sampled_from(CHANNELS), min_size=1, max_size=12).map(tuple),
        batch=st.integers(1, 4),
        awaits=st.booleans(),
    ),
    min_size=1,
    max_size=4,
)
#: How long each resolver call takes: a number of times it lets others run.
durations = st.lists(st.integers(0, 4), min_size=1, max_size=16)


class Resolvers:
    """Answers with the event itself, after as long as the plan says."""

    def __init__(self, durations: list[int]) -> None:
        self._durations = durations
        self._calls = 0
        self._gap = threading.Event()

    def _duration(self) -> int:
        self._calls += 1
        return self._durations[self._calls % len(self._durations)]

    def _wait(self) -> None:
        for _ in range(self._duration()):
            self._gap.wait(0.0002)  # gives the GIL up, so that publishers overtake

    def make(self, kind: str) -> Any:
        def sync(data: dict[str, Any]) -> dict[str, Any]:
            self._wait()
            return {"thing": data}

        def info(data: dict[str, Any], variables: Any, info: Any) -> dict[str, Any]:
            self._wait()
            return {"thing": data}

        async def later(data: dict[str, Any]) -> dict[str, Any]:
            for _ in range(self._duration()):
                await asyncio.sleep(0)
            return {"thing": data}

        def failing(data: dict[str, Any]) -> dict[str, Any]:
            self._wait()
            raise ValueError(json.dumps(data))

        return {"none": None, "sync": sync, "info": info, "async": later, "failing": failing}[kind]


def publish_all(executor: SubscriptionExecutor, number: int, plan: Publisher) -> None:
    events = [
        ("t", channel, {"channel": channel, "publisher": number, "n": n})
        for n, channel in enumerate(plan.channels)
    ]
    for at in range(0, len(events), plan.batch):
        part = events[at : at + plan.batch]
        if len(part) == 1:
            executor.publish_event(*part[0])
        else:
            executor.publish_events(part)


async def await_all(executor: SubscriptionExecutor, number: int, plan: Publisher) -> None:
    for n, channel in enumerate(plan.channels):
        await executor.publish("t", channel, {"channel": channel, "publisher": number, "n": n})


def event_of(message: bytes) -> tuple[str, int, int]:
    payload = json.loads(message)["payload"]
    if "errors" in payload:
        thing = json.loads(payload["errors"][0]["message"])
    else:
        thing = payload["data"]["thing"]
    return thing["channel"], thing["publisher"], thing["n"]


def position_of(message: bytes) -> int:
    """The offset in `extensions.position`, which is the event's or a later one's."""
    position: str = json.loads(message)["payload"]["extensions"]["position"]
    return int(position.partition(":")[2].partition("!")[0])


async def read(executor: SubscriptionExecutor, id: str, streamed: bool, count: int) -> list[bytes]:
    messages: list[bytes] = []
    if streamed:
        stream = executor.stream(id)
        while len(messages) < count:
            messages.append(await stream.__anext__())
        await stream.aclose()
    while len(messages) < count:
        messages += executor.next_events(id)
        await asyncio.sleep(0.001)  # a loop that never rests keeps the GIL from the publishers
    return messages


async def scenario(
    executor: SubscriptionExecutor,
    subscriber_plans: list[Subscriber],
    publisher_plans: list[Publisher],
    durations: list[int],
) -> None:
    resolvers = Resolvers(durations)
    shared = {kind: resolvers.make(kind) for kind in RESOLVERS}
    queue = QueuePolicy(max_responses=10_000)
    # The first one has no resolver and everything: the order it sees is the bus's.
    plans = [Subscriber("*", "none", False), *subscriber_plans]
    ids = [
        executor.register_subscription(
            "c",
            number,
            QUERY,
            channels=plan.pattern,
            resolver=shared[plan.resolver],
            positions=True,
            queue=queue,
        )
        for number, plan in enumerate(plans)
    ]
    published = Counter(channel for plan in publisher_plans for channel in plan.channels)
    expected = [
        sum(published[channel] for channel in PATTERNS[plan.pattern] if channel in published)
        for plan in plans
    ]
    readers = [
        asyncio.ensure_future(read(executor, id, plan.streamed, count))
        for id, plan, count in zip(ids, plans, expected, strict=True)
    ]
    await asyncio.wait_for(
        asyncio.gather(
            *(
                await_all(executor, number, plan)
                if plan.awaits
                else asyncio.to_thread(publish_all, executor, number, plan)
                for number, plan in enumerate(publisher_plans)
            )
        ),
        PATIENCE,
    )
    seen = await asyncio.wait_for(asyncio.gather(*readers), PATIENCE)
    for id in ids:
        assert executor.next_event(id) is None, "a response came twice"

    reference = [event_of(message) for message in seen[0]]
    assert len(set(reference)) == sum(published.values())
    order = {channel: [e for e in reference if e[0] == channel] for channel in CHANNELS}
    for number, publisher_plan in enumerate(publisher_plans):
        for channel in CHANNELS:
            own = [n for _, publisher, n in order[channel] if publisher == number]
            assert own == [n for n, one in enumerate(publisher_plan.channels) if one == channel]
    for plan, messages in zip(plans, seen, strict=True):
        events = [event_of(message) for message in messages]
        for channel in CHANNELS:
            due = order[channel] if channel in PATTERNS[plan.pattern] else []
            assert [event for event in events if event[0] == channel] == due, plan
            offsets = [
                position_of(message)
                for message, event in zip(messages, events, strict=True)
                if event[0] == channel
            ]
            assert offsets == sorted(offsets), plan


@settings(
    max_examples=100,
    deadline=None,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large],
)
@given(subscribers, publishers, durations)
def test_every_subscription_sees_every_channel_in_bus_order(
    subscriber_plans: list[Subscriber], publisher_plans: list[Publisher], durations: list[int]
) -> None:
    async def run() -> None:
        async with SubscriptionExecutor(dispatch_timeout=PATIENCE) as executor:
            await scenario(executor, subscriber_plans, publisher_plans, durations)

    asyncio.run(run())


def test_order_survives_a_busy_crowd() -> None:
    """The same with more of everything than a drawn example has."""
    kinds: Callable[[int], str] = lambda i: RESOLVERS[i % len(RESOLVERS)]  # noqa: E731
    patterns = sorted(PATTERNS)
    crowd = [Subscriber(patterns[i % 4], kinds(i // 4), i % 3 == 0) for i in range(40)]
    busy = [
        Publisher(tuple(CHANNELS[(i + n) % 3] for n in range(60)), 1 + i % 3, i % 2 == 0)
        for i in range(6)
    ]

    async def run() -> None:
        async with SubscriptionExecutor(dispatch_timeout=PATIENCE) as executor:
            await scenario(executor, crowd, busy, [0, 3, 1, 0, 2])

    asyncio.run(run())
