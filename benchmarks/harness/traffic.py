"""An application at work for millions of events, watched: what it keeps, and whether counts agree.

Eight channels with subscriptions that come and go, alike, filtered and of a tenant; channels whose
events are answered by a sync and by an async resolver; one whose events come in bursts to
subscriptions with short queues, which overflow by each policy that drops and by `disconnect`; and
one whose publishers wait for room. Every response that the engine owes is counted here, so that
each must turn up as received, dropped or queued.
"""

from __future__ import annotations

import asyncio
import os
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from itertools import count
from math import ceil
from typing import Any

import psutil

from fraiseql_subscriptions import Limits, QueuePolicy, SubscriptionExecutor

from .workload import DATA, QUERY, TYPE, drain_all

__all__ = ["Findings", "run"]

BATCH = 64
CHANNELS = 8
TENANTS = 4
#: Room in the queues that overflow, less than a burst.
SHORT = 16
#: Of how many batches one goes to each of these.
BURST, SYNC, ASYNC, BLOCK = 8, 8, 16, 16
SAMPLES = 100
#: Seconds that the last async answers may take.
PATIENCE = 30.0


@dataclass(slots=True)
class Findings:
    """What was seen: samples at each hundredth of the events, and what does not add up."""

    events: int
    seconds: float = 0.0
    resident: list[float] = field(default_factory=list)  # MB
    descriptors: list[int] = field(default_factory=list)
    threads: list[int] = field(default_factory=list)
    registered: int = 0
    owed: int = 0
    received: int = 0
    dropped: dict[str, int] = field(default_factory=dict)
    problems: list[str] = field(default_factory=list)

    def growth(self) -> float:
        """Resident memory of the last tenth over that of the second, in per cent."""
        tenth = len(self.resident) // 10
        second = sum(self.resident[tenth : 2 * tenth]) / tenth
        return 100 * (sum(self.resident[-tenth:]) / tenth / second - 1)


class Traffic:
    """The application. On one event loop, for its async resolver."""

    def __init__(self, executor: SubscriptionExecutor, found: Findings) -> None:
        self._executor = executor
        self._found = found
        self._numbers = count()
        #: Those that come and go, by the options they were registered with.
        self._passing: list[tuple[str, dict[str, Any]]] = []
        self._batches = [list(map(event_of, range(at, at + BATCH))) for at in range(CHANNELS)]
        self._owed = [BATCH * 2 + BATCH // 2 + BATCH // TENANTS] * CHANNELS
        for channel in range(CHANNELS):
            for options in ({}, {}, {"filter": {"even": True}}, {"tenant_id": 1, "user_id": 7}):
                self._passing.append(self._register(channels=f"orders.{channel}", **options))
        self._register(channels="sync", resolver=respond)
        self._register(channels="async", resolver=respond_later)
        for policy in (
            QueuePolicy(overflow="drop_oldest", max_responses=SHORT),
            QueuePolicy(overflow="drop_newest", max_responses=SHORT),
            QueuePolicy(overflow="latest", key="id"),
        ):
            self._register(channels="burst", queue=policy)
        self._register(
            channels="block",
            queue=QueuePolicy(overflow="block", max_responses=SHORT, block_timeout=PATIENCE),
        )
        self.waited = 0

    def _register(self, **options: Any) -> tuple[str, dict[str, Any]]:
        number = next(self._numbers)
        self._found.registered += 1
        name = f"connection-{number}"
        return self._executor.register_subscription(name, "1", QUERY, **options), options

    def publish(self, turn: int) -> None:
        """One batch, or a burst with it."""
        channel = turn % CHANNELS
        # Every event of a batch goes to the batch's channel, whatever is in it.
        events = [(TYPE, f"orders.{channel}", data) for data in self._batches[channel]]
        self._executor.publish_events(events[1:])
        self._executor.publish_event(*events[0])
        self._found.owed += self._owed[channel]
        if turn % BURST == 1:
            # It ends at the response that does not fit, and has a final message.
            self._register(
                channels="burst", queue=QueuePolicy(overflow="disconnect", max_responses=SHORT)
            )
            self._found.owed += SHORT + 2
            # Four values of the key, so that `latest` replaces.
            self._other("burst", 3, [{**DATA, "id": number % 4} for number in range(BATCH)])
        if turn % SYNC == 2:
            self._other("sync", 1, [DATA] * BATCH)
        if turn % ASYNC == 3:
            self._other("async", 1, [DATA] * BATCH)

    def _other(self, channel: str, subscribers: int, data: list[dict[str, Any]]) -> None:
        self._executor.publish_events([(TYPE, channel, one) for one in data])
        self._found.owed += subscribers * len(data)

    async def wait_for_room(self) -> None:
        """Publish more than there is room for, and read while the publishers wait."""
        publishing = [
            asyncio.ensure_future(self._executor.publish(TYPE, "block", DATA)) for _ in range(BATCH)
        ]
        self._found.owed += BATCH
        while not all(one.done() for one in publishing):
            await asyncio.sleep(0)
            self.waited += 1
            self.take()
        await asyncio.gather(*publishing)

    def take(self) -> None:
        self._found.received += drain_all(self._executor)

    def replace(self, turn: int) -> None:
        """One subscription goes, another comes in its stead; it has read everything."""
        at = turn % len(self._passing)
        left, options = self._passing[at]
        if not self._executor.complete_subscription(left):
            self._found.problems.append(f"{left} had ended by itself")
        self._passing[at] = self._register(**options)

    async def finish(self) -> None:
        """Wait for what is still being answered, and hold every count against the others."""
        found, deadline = self._found, time.monotonic() + PATIENCE
        while True:
            self.take()
            told = self._executor.get_metrics()
            found.dropped = {name: lost for name, lost in told["dropped"].items() if lost}
            accounted = found.received + sum(found.dropped.values()) + told["queued"]
            if accounted >= found.owed or time.monotonic() > deadline:
                break
            await asyncio.sleep(0.01)
        queued = told["queued"]
        for what, is_, should_be in (
            ("responses received, dropped and queued", accounted, found.owed),
            ("responses still queued", queued, 0),
            ("events dispatched", told["dispatched"], told["published"]),
            ("subscriptions registered", told["total"], found.registered),
            (
                "subscriptions live",
                told["active"],
                found.registered - told["completed"] - told["ended"]["slow_consumer"],
            ),
            ("responses dropped while publishers wait", found.dropped.get("block", 0), 0),
            ("errors of resolvers", told["resolver_errors"], 0),
        ):
            if is_ != should_be:
                found.problems.append(f"{what}: {is_:,} instead of {should_be:,}")
        for policy in ("drop_oldest", "drop_newest", "latest", "disconnect"):
            if not found.dropped.get(policy):
                found.problems.append(f"nothing was dropped by {policy}")
        if self.waited < BATCH // SHORT:
            found.problems.append(f"publishers waited for room {self.waited} times only")


def event_of(number: int) -> dict[str, Any]:
    return {
        **DATA,
        "id": number,
        "even": number % 2 == 0,
        "tenant_id": number % TENANTS,
        "user_id": 7,
    }


def respond(data: dict[str, Any]) -> dict[str, Any]:
    return {"orderUpdated": {"id": data["id"]}}


async def respond_later(data: dict[str, Any]) -> dict[str, Any]:
    await asyncio.sleep(0)
    return {"orderUpdated": {"id": data["id"]}}


def run(events: int, progress: Callable[[Findings], object] = lambda _: None) -> Findings:
    """At least `events` events, in this process; `progress` is called at each hundredth."""
    found = Findings(events)
    asyncio.run(_run(found, progress))
    return found


async def _run(found: Findings, progress: Callable[[Findings], object]) -> None:
    process = psutil.Process()
    begin = time.monotonic()
    async with SubscriptionExecutor(limits=Limits.unlimited()) as executor:
        traffic = Traffic(executor, found)
        turns = ceil(found.events / _events_a_turn())
        sampled = 0
        for turn in range(turns):
            traffic.publish(turn)
            await asyncio.sleep(0)  # the async resolver's turn
            traffic.take()
            if turn % BLOCK == 4:
                await traffic.wait_for_room()
            traffic.replace(turn)
            if (turn + 1) * SAMPLES // turns > sampled:
                sampled = (turn + 1) * SAMPLES // turns
                found.resident.append(process.memory_info().rss / 1e6)
                found.descriptors.append(process.num_fds())
                found.threads.append(process.num_threads())
                found.seconds = time.monotonic() - begin
                progress(found)
        await traffic.finish()
        found.events = executor.get_metrics()["published"]
    found.seconds = time.monotonic() - begin
    # Go starts a thread when the system holds one up, at most one a core at a time.
    spare = {"descriptors": 0, "threads": os.cpu_count() or 1}
    for name, samples in (("descriptors", found.descriptors), ("threads", found.threads)):
        half = len(samples) // 2
        if max(samples[half:]) > max(samples[:half]) + spare[name]:
            found.problems.append(
                f"{name} grew: {max(samples[:half])} in the first half, {max(samples[half:])} later"
            )


def _events_a_turn() -> float:
    return BATCH * (1 + 1 / BURST + 1 / SYNC + 1 / ASYNC + 1 / BLOCK)
