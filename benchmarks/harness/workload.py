"""The application that is measured: one kind of event, one kind of subscription."""

from __future__ import annotations

import multiprocessing
import statistics
from collections.abc import Callable, Mapping
from concurrent.futures import ProcessPoolExecutor
from typing import Any, Final, TypeVar

from fraiseql_subscriptions import SubscriptionExecutor

from .clock import samples

__all__ = [
    "CHANNEL",
    "DATA",
    "QUERY",
    "TYPE",
    "drain_all",
    "in_new_process",
    "publish_cost",
    "subscribe",
]

T = TypeVar("T")

_DRAIN: Final = 4096

TYPE: Final = "shipped"
CHANNEL: Final = "orders.eu"
#: 125 bytes of JSON.
DATA: Final[dict[str, Any]] = {
    "id": 4711,
    "status": "shipped",
    "total": 249.5,
    "currency": "EUR",
    "customer": {"id": 99, "name": "Ada Lovelace"},
    "region": 0,
    "items": 3,
}
QUERY: Final = "subscription { orderUpdated { id status total customer { name } } }"


def subscribe(
    executor: SubscriptionExecutor,
    count: int,
    options: Callable[[int], Mapping[str, Any]] = lambda number: {},
    query: str = QUERY,
) -> list[str]:
    """Register `count` subscriptions, a hundred a connection; the ids.

    `options(number)` gives the keyword arguments of each. The plain side is opened, as it is
    in an application that drains.
    """
    first = len(executor.drain()) + executor.get_metrics()["total"]
    return [
        executor.register_subscription(
            f"connection-{number // 100}", f"s{number}", query, **options(number - first)
        )
        for number in range(first, first + count)
    ]


def drain_all(executor: SubscriptionExecutor) -> int:
    """Take everything that is queued; how much it was."""
    taken = got = len(executor.drain(_DRAIN))
    while got == _DRAIN:
        got = len(executor.drain(_DRAIN))
        taken += got
    return taken


def publish_cost(
    executor: SubscriptionExecutor, events: int, data: Mapping[str, Any] = DATA
) -> float:
    """The median time of `events` publishes in µs; what they cause is drained in between."""
    return statistics.median(
        samples(
            lambda: executor.publish_event(TYPE, CHANNEL, data),
            events,
            lambda: drain_all(executor),
        )
    )


def in_new_process(work: Callable[..., T], *arguments: Any) -> T:
    """The result of `work(*arguments)` in an interpreter of its own, for measuring memory."""
    context = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(1, mp_context=context) as pool:
        return pool.submit(work, *arguments).result()
