"""What does an idle subscription weigh?

The growth of the resident memory of a fresh process over the registrations, Go's and Python's
together, garbage not yet collected included. Every subscription is on a connection of its own.
By part: live bytes of Go's heap by the function that allocated them (BenchmarkIdleSubscription),
and of Python's by tracemalloc.
"""

from __future__ import annotations

import asyncio
import gc
import time
import tracemalloc
from collections.abc import Callable, Mapping
from typing import Any

import psutil
from harness.figure import Report, Table
from harness.gobench import go_benchmark
from harness.script import main
from harness.workload import CHANNEL, DATA, QUERY, TYPE, drain_all, in_new_process

from fraiseql_subscriptions import Limits, SecurityContext, SubscriptionExecutor

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
    with SubscriptionExecutor(limits=Limits.unlimited()) as executor:
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


def weigh_python(count: int) -> tuple[float, float]:
    """Python's bytes a subscription: registered, its id kept; and read by a stream besides."""

    async def weigh() -> tuple[float, float]:
        async with SubscriptionExecutor(limits=Limits.unlimited()) as executor:
            executor.stream(executor.register_subscription("warm", "up", QUERY)).close()
            tracemalloc.start()
            ids = [
                executor.register_subscription(f"connection-{number}", "1", QUERY)
                for number in range(count)
            ]
            gc.collect()
            registered, _ = tracemalloc.get_traced_memory()
            streams = [executor.stream(one) for one in ids]
            gc.collect()
            streamed, _ = tracemalloc.get_traced_memory()
            tracemalloc.stop()
            return registered / len(ids), (streamed - registered) / len(streams)

    return asyncio.run(weigh())


#: What Go allocates for a subscription, by the name under which the benchmark reports it.
PARTS = {
    "subscription": "the subscription itself: queue, link and membership are inside",
    "tables": "tables that find it by id, by client's id, by connection; what limits count",
    "member": "its place among those that share every decision",
    "link": "its entry in the ready list of its consumer",
    "queue": "its queue's cells, once it has had a response",
    "names": "names of connection and subscription, its query's or options' text",
    "cohort": "the group it shares decisions and answers with",
    "options": "its options, parsed",
    "filter": "its filter, compiled",
    "context": "its security context",
    "query": "its query and plan",
    "channel-index": "entries in the indexes of channels and values",
    "other": "the rest of Go's",
    "total": "Go's heap in all",
}


def by_part(count: int) -> Table:
    found = go_benchmark("./go/internal/executor", "IdleSubscription$", True, once=True)
    each = {kind: found[f"IdleSubscription/{kind}"].units for kind in ("same", "own")}
    missing = {unit.removeprefix("B-") for one in each.values() for unit in one} - PARTS.keys()
    if unknown := missing - {"ns/op"}:
        raise RuntimeError(f"parts without a name: {', '.join(sorted(unknown))}")
    rows: list[list[str | float]] = []
    for part, title in PARTS.items():
        values = [one.get(f"B-{part}", [0.0])[0] for one in each.values()]
        rows.append([title, *map(round, values)])
    registered, streamed = map(round, in_new_process(weigh_python, count))
    rows.append(["Python: the id that was returned", registered, registered])
    rows.append(["Python: read by a stream", streamed, streamed])
    columns = ["bytes of an idle subscription", "the same query", "own variables, filter, context"]
    return Table("An idle subscription by part", columns, rows)


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
    report.tables.append(by_part(2000 if brief else 20_000))
    return report


if __name__ == "__main__":
    main("What does an idle subscription weigh?", measure)
