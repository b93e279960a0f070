"""What does an idle subscription weigh?

The growth of the resident memory of a fresh process over the registrations, Go's and Python's
together, garbage not yet collected included. Every subscription is on a connection of its own.
"""

from __future__ import annotations

import gc
import time
from collections.abc import Callable, Mapping
from typing import Any

import psutil  # type: ignore[import-untyped]
from harness.figure import Report
from harness.script import main
from harness.workload import CHANNEL, DATA, QUERY, TYPE, drain_all, in_new_process

from fraiseql_subscriptions import SecurityContext, SubscriptionExecutor

ONE_ORDER = "subscription ($id: Int) { orderUpdated(id: $id) { id status total } }"


def same(number: int) -> Mapping[str, Any]:
    return {"query": QUERY}


def own(number: int) -> Mapping[str, Any]:
    return {
        "query": ONE_ORDER,
        "variables": {"id": number},
        "filter": {"id": number},
        "context": SecurityContext(user_id=number, tenant_id=number % 100),
    }


def weigh(count: int, options: Callable[[int], Mapping[str, Any]]) -> tuple[float, float]:
    """Bytes a subscription and seconds to register them, in a process of its own."""
    process = psutil.Process()
    with SubscriptionExecutor() as executor:
        executor.register_subscription("warm", "up", QUERY)
        executor.publish_event(TYPE, CHANNEL, DATA)
        executor.drain()
        gc.collect()
        before = process.memory_info().rss
        begin = time.perf_counter()
        for number in range(count):
            executor.register_subscription(f"connection-{number}", "1", **options(number))
        elapsed = time.perf_counter() - begin
        gc.collect()
        after = process.memory_info().rss
        if (active := executor.get_metrics()["active"]) != count + 1:
            raise RuntimeError(f"{active} subscriptions are active instead of {count + 1}")
        if options is same:
            executor.publish_event(TYPE, CHANNEL, DATA)
            if (reached := drain_all(executor)) != count + 1:
                raise RuntimeError(f"an event reached {reached} of {count + 1}")
        return (after - before) / count, elapsed


def measure(brief: bool) -> Report:
    count = 20_000 if brief else 100_000
    runs = 1 if brief else 3
    report = Report()
    for key, title, options, target in (
        ("same", "the same query", same, 1000.0),
        ("own", "own variables, filter and context", own, None),
    ):
        each = [in_new_process(weigh, count, options)[0] for _ in range(runs)]
        full_title = f"an idle subscription of {count:,}, {title}"
        report.add(f"memory_{key}", full_title, each, "bytes", target)
    if not brief:
        each_bytes, seconds = in_new_process(weigh, 1_000_000, same)
        title = "an idle subscription of 1,000,000 in one process"
        report.add("memory_million", title, each_bytes, "bytes", 1000)
        report.add("million_seconds", "  registering 1,000,000 took", seconds, "s")
    return report


if __name__ == "__main__":
    main("What does an idle subscription weigh?", measure)
