"""Publishing the day and receiving it: one event loop, one task per dashboard.

The publisher never outruns the dashboards by more than a queue holds, so that nothing is
dropped at any speed: every `_BURST` events it waits until at most `_BACKLOG` responses, all
dashboards together, are on their way. A queue holds 1,024, so none can overflow. Should one
do so nevertheless, the comparison at the end reports it.
"""

from __future__ import annotations

import asyncio
import hashlib
import time
from collections.abc import Sequence
from typing import Any, Final, Protocol

import orjson

from fraiseql_subscriptions import SecurityPolicy, Stream, SubscriptionExecutor

from .dashboards import SDL, Dashboard
from .data import FlightEvent
from .distribution import Distribution

__all__ = ["Replay", "Stalled", "Tally", "Watcher"]

_BURST: Final = 32
_BACKLOG: Final = 512
#: Seconds without a single response, while some are on their way, that end the replay.
_PATIENCE: Final = 10.0


class Stalled(Exception):
    """Responses are on their way, and none has arrived for a long time."""


class Tally:
    """What one dashboard received."""

    __slots__ = ("_digest", "count", "dashboard", "last")

    def __init__(self, dashboard: Dashboard) -> None:
        self.dashboard = dashboard
        self.count = 0
        self.last: dict[str, Any] = {}
        self._digest = hashlib.blake2b(digest_size=16)

    def add(self, message: bytes) -> None:
        self.count += 1
        self._digest.update(message)

    @property
    def digest(self) -> str:
        """Of all messages in order."""
        return self._digest.hexdigest()


class Watcher(Protocol):
    """Shows a replay while it runs. Drawn between two events, when nothing is on its way."""

    def due(self, replay: Replay) -> bool: ...
    def draw(self, replay: Replay) -> None: ...


class Replay:
    """One run of the day: make it, `await run()` it once, then read its attributes.

    `speed` is in simulated seconds per second, None for as fast as possible. `delivery` is
    the time from just before an event is published until the body of a dashboard's
    ``async for`` has its response; `publishing` is how long ``await publish()`` took.
    """

    def __init__(
        self, events: Sequence[FlightEvent], dashboards: Sequence[Dashboard], speed: float | None
    ) -> None:
        self.events = events
        self.speed = speed
        self.tallies = [Tally(dashboard) for dashboard in dashboards]
        self.published = 0
        self.received = 0
        self.minute = events[0].minute
        self.delivery = Distribution()
        self.publishing = Distribution()
        #: Seconds it took to subscribe all dashboards, and from the first publish to the last
        #: response.
        self.subscribing = 0.0
        self.seconds = 0.0
        self.dropped = 0
        self._published_at = [0.0] * len(events)

    async def run(self, watcher: Watcher) -> None:
        """Raises Stalled, and whatever the engine raises."""
        policy = SecurityPolicy(tenant_field="carrier")
        async with SubscriptionExecutor(schema=SDL, security=policy) as executor:
            begun = time.perf_counter()
            readers = [
                asyncio.create_task(self._read(self._subscribe(executor, number), tally))
                for number, tally in enumerate(self.tallies)
            ]
            await asyncio.sleep(0)  # the readers begin
            self.subscribing = time.perf_counter() - begun
            begun = time.perf_counter()
            await self._publish_all(executor, watcher)
            await self._catch_up(executor, 0)
            self.seconds = time.perf_counter() - begun
            self.dropped = sum(executor.get_metrics()["dropped"].values())
        # Closing the executor has ended the streams.
        await asyncio.gather(*readers)

    def _subscribe(self, executor: SubscriptionExecutor, number: int) -> Stream:
        dashboard = self.tallies[number].dashboard
        return executor.stream(dashboard.register(executor, f"dashboard-{number}"))

    async def _read(self, stream: Stream, tally: Tally) -> None:
        """One dashboard: takes its messages and says how old each is."""
        add_delivery, published_at = self.delivery.add, self._published_at
        async for message in stream:
            now = time.perf_counter()
            self.received += 1
            tally.add(message)
            data = orjson.loads(message)["payload"]["data"]
            if data is not None:  # an error; the digest will tell
                tally.last = data["flightUpdated"]
                add_delivery(now - published_at[tally.last["sequence"]])

    async def _publish_all(self, executor: SubscriptionExecutor, watcher: Watcher) -> None:
        begun = time.perf_counter()
        first = self.minute
        for event in self.events:
            if self.speed is not None:
                due = begun + (event.minute - first) * 60 / self.speed
                while (left := due - time.perf_counter()) > 0:
                    await asyncio.sleep(min(left, 0.05))
                    self.minute = int(first + (time.perf_counter() - begun) * self.speed / 60)
                    await self._show(executor, watcher)
            self.minute = event.minute
            await self._publish(executor, event)
            if event.sequence % _BURST == _BURST - 1:
                await self._catch_up(executor, _BACKLOG)
            await self._show(executor, watcher)

    async def _publish(self, executor: SubscriptionExecutor, event: FlightEvent) -> None:
        begun = time.perf_counter()
        self._published_at[event.sequence] = begun
        await executor.publish(event.event_type, event.channel, event.data)
        self.publishing.add(time.perf_counter() - begun)
        self.published += 1
        await asyncio.sleep(0)  # publish() returns without a turn of the loop; readers need one

    async def _show(self, executor: SubscriptionExecutor, watcher: Watcher) -> None:
        """Draw if it is time, once everything has arrived: drawing must not delay a delivery."""
        if watcher.due(self):
            await self._catch_up(executor, 0)
            watcher.draw(self)

    async def _catch_up(self, executor: SubscriptionExecutor, backlog: int) -> None:
        """Wait until at most `backlog` responses are on their way. Raises Stalled."""
        metrics = executor.get_metrics()
        delivered = metrics["delivered"] - sum(metrics["dropped"].values())
        seen, since = self.received, time.perf_counter()
        while self.received < delivered - backlog:
            await asyncio.sleep(0)
            if self.received != seen:
                seen, since = self.received, time.perf_counter()
            elif time.perf_counter() - since > _PATIENCE:
                raise Stalled(
                    f"{delivered - self.received:,} responses are on their way to dashboards, "
                    f"and none has arrived for {_PATIENCE:.0f} seconds"
                )
