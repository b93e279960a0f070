"""What Python servers do without an engine: one asyncio queue a subscriber."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator
from typing import Generic, TypeVar

__all__ = ["Queues"]

T = TypeVar("T")


class Queues(Generic[T]):
    """An event goes into every subscriber's queue."""

    def __init__(self) -> None:
        self._queues: set[asyncio.Queue[T]] = set()

    def __len__(self) -> int:
        return len(self._queues)

    def put(self, event: T) -> None:
        for queue in self._queues:
            queue.put_nowait(event)

    async def subscribe(self) -> AsyncGenerator[T, None]:
        """A new subscriber's events."""
        queue: asyncio.Queue[T] = asyncio.Queue()
        self._queues.add(queue)
        try:
            while True:
                yield await queue.get()
        finally:
            self._queues.discard(queue)
