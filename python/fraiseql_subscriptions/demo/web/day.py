"""The day of flights, published in real time, sped up, again and again."""

from __future__ import annotations

import asyncio
import contextlib
import time
import uuid
from collections.abc import Sequence
from itertools import count
from typing import Final

from fraiseql_subscriptions import EngineClosed, SubscriptionExecutor

from ..data import FlightEvent

__all__ = ["Day"]

#: Seconds between the end of a day and its beginning.
_NIGHT: Final = 20.0


class Day:
    """Publishes `events` at `speed` simulated seconds per second; None: at once, and one day only.

    `start` is the position before the day's first event: whoever resumes from it gets the day so
    far. `run` changes with the process, and positions with it.
    """

    def __init__(
        self,
        executor: SubscriptionExecutor,
        events: Sequence[FlightEvent],
        speed: float | None,
    ) -> None:
        self._executor = executor
        self._events = events
        self.speed = speed
        self.run = uuid.uuid4().hex
        self._begun: asyncio.Future[str] = asyncio.get_running_loop().create_future()

    async def start(self) -> str:
        """The position before the day's first event."""
        return await asyncio.shield(self._begun)

    async def publish(self) -> None:
        """Publish until cancelled or the executor is closed, or for one day."""
        with contextlib.suppress(EngineClosed):
            await self._publish_days()

    async def _publish_days(self) -> None:
        for number in count(1):
            position = await self._executor.publish("began", "day", {"number": number})
            if self._begun.done():
                self._begun = asyncio.get_running_loop().create_future()
            self._begun.set_result(position)
            await self._publish_day(number)
            if self.speed is None:
                return
            await asyncio.sleep(_NIGHT)

    async def _publish_day(self, number: int) -> None:
        begun = time.monotonic()
        first = self._events[0].minute
        for event in self._events:
            if self.speed is not None:
                due = begun + (event.minute - first) * 60 / self.speed
                await asyncio.sleep(max(due - time.monotonic(), 0))
            elif event.sequence % 64 == 0:
                await asyncio.sleep(0)  # clients are served meanwhile
            flight = {**event.data, "day": number}
            await self._executor.publish(event.event_type, event.channel, flight)
