"""How does the cost of a publish grow with subscribers, matches, payload, queries and cores?

One curve each, everything else kept as in the other benchmarks; the median of a few publishes a
point, drained outside the measured time. One core and two are processes of their own that are
confined before the engine is loaded.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable
from typing import Any

from harness.figure import Report, Table
from harness.script import main
from harness.workload import (
    CHANNEL,
    DATA,
    QUERY,
    in_new_process,
    publish_cost,
    subscribe,
)

from fraiseql_subscriptions import SubscriptionExecutor

Curve = list[tuple[float, float]]

DECADES = (1, 10, 100, 1000, 10_000, 100_000, 1_000_000)
#: Of how many subscriptions some match.
SUBSCRIBED = 100_000
QUERIES = 10_000


def cost(executor: SubscriptionExecutor, weight: int, data: dict[str, Any] = DATA) -> float:
    """µs of a publish: fewer are tried the more work (in deliveries, say) each is."""
    events = max(5, min(1000, 300_000 // weight))
    publish_cost(executor, max(2, events // 10), data)
    return publish_cost(executor, events, data)


def by_subscribers(most: int) -> Curve:
    """(subscribers, µs), all of them reached."""
    out: Curve = []
    with SubscriptionExecutor() as executor:
        total = 0
        for count in upto(most):
            subscribe(executor, count - total)
            total = count
            out.append((count, cost(executor, count)))
    return out


def by_matches(most: int) -> Curve:
    """(matches, µs), of a constant number of subscriptions on other channels or this one."""
    out: Curve = []
    for count in upto(most):
        with SubscriptionExecutor() as executor:
            subscribe(executor, count, lambda _: {"channels": CHANNEL})
            subscribe(executor, most - count, lambda number: {"channels": f"orders.r{number}"})
            out.append((count, cost(executor, count)))
    return out


def by_payload(most: int) -> Curve:
    """(bytes of text in the event and in each response, µs), to 100 subscribers."""
    out: Curve = []
    with SubscriptionExecutor() as executor:
        query = "subscription { orderUpdated { id status note } }"
        subscribe(executor, 100, query=query)
        for size in (100, 1000, 10_000, 100_000, 999_000):
            if size <= most:
                out.append(
                    (size, cost(executor, max(100, size // 10), {**DATA, "note": "x" * size}))
                )
    return out


def by_queries(most: int) -> Curve:
    """(distinct queries, µs), shared evenly by a constant number of subscribers."""
    out: Curve = []
    for count in upto(most):
        with SubscriptionExecutor() as executor:
            for number in range(count):
                query = QUERY.replace("{ id", f"{{ a{number}: id", 1)
                subscribe(executor, most // count, query=query)
            out.append((count, cost(executor, most)))
    return out


def by_cores(most: int) -> dict[str, Curve]:
    """(subscribers, µs) on one core and on two, where the system can confine a process."""
    if not hasattr(os, "sched_setaffinity"):
        return {}
    cores = sorted(os.sched_getaffinity(0))
    out = {"subscribers, 1 core": in_new_process(confined, cores[:1], most)}
    if len(cores) > 1:
        out["subscribers, 2 cores"] = in_new_process(confined, cores[:2], most)
    return out


def confined(cores: Iterable[int], most: int) -> Curve:
    """The curve of a process that has these cores only; nothing of Go has run before."""
    os.sched_setaffinity(0, set(cores))
    return [point for point in by_subscribers(most) if point[0] >= 1000]


def upto(most: int) -> list[int]:
    return [count for count in DECADES if count <= most]


#: By the unit of the x axis: the curve, how far it goes, how far in a brief run.
CURVES: dict[str, tuple[Callable[[int], Curve], int, int]] = {
    "subscribers, all reached": (by_subscribers, 1_000_000, 10_000),
    "matches of 100,000": (by_matches, SUBSCRIBED, 1000),
    "bytes of payload, to 100": (by_payload, 999_000, 10_000),
    "distinct queries of 10,000": (by_queries, QUERIES, 100),
}


def measure(brief: bool) -> Report:
    report = Report()
    for title, (curve, most, less) in CURVES.items():
        report.series[title] = in_new_process(curve, less if brief else most)
    report.series |= by_cores(10_000 if brief else 100_000)
    rows: list[list[str | float]] = [
        [title, f"{x:,.0f}", y, f"{1e3 * y / x:,.1f}"]
        for title, points in report.series.items()
        for x, y in points
    ]
    columns = ["by", "how many", "publish_event, µs", "ns for each"]
    report.tables.append(Table("What a publish costs as things grow", columns, rows))
    return report


if __name__ == "__main__":
    main("How does the cost of a publish grow?", measure)
