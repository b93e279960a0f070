"""What does dispatching one event cost as subscriptions grow, and when few of them match?

From the call of publish_event until it returns, responses drained outside the measured time.
The floor is a bare Go loop that pushes one pointer into as many channels, or ring buffers.
"""

from __future__ import annotations

import statistics
from collections.abc import Callable, Mapping
from functools import partial
from typing import Any

from harness.clock import in_turns, samples
from harness.figure import Report
from harness.gobench import go_benchmark
from harness.script import main
from harness.workload import CHANNEL, DATA, TYPE, drain_all, subscribe

from fraiseql_subscriptions import SubscriptionExecutor

MANY = 10_000
ALL, FEW = 1000.0, 30.0


def channel_of(number: int) -> dict[str, Any]:
    return {"channels": CHANNEL if number % 100 == 0 else f"orders.region{number % 100}"}


def filter_value_of(number: int) -> dict[str, Any]:
    return {"filter": {"region": {"equals": number % 100}}}


def filter_of(number: int) -> dict[str, Any]:
    # One in a hundred names the event's id, and all of them differ in the rest.
    named = DATA["id"] if number % 100 == 0 else -number
    return {"filter": {"id": named, "items": {"lt": number + 4}}}


AUDIENCES: dict[str, tuple[str, Callable[[int], Mapping[str, Any]]]] = {
    "channels": ("by channel", channel_of),
    "filters": ("by one of 100 filters", filter_value_of),
    "own_filters": ("every one has a filter of its own", filter_of),
}


def cost(executor: SubscriptionExecutor, events: int) -> float:
    """The median time of one publish, in µs."""
    return statistics.median(
        samples(
            lambda: executor.publish_event(TYPE, CHANNEL, DATA),
            events,
            lambda: drain_all(executor),
        )
    )


def measure(brief: bool) -> Report:
    runs, events = (3, 20) if brief else (9, 100)
    report = Report()
    everyone = SubscriptionExecutor()
    subscribe(everyone, MANY)
    subjects = {"all": partial(cost, everyone, events)}
    executors = [everyone]
    for key, (_, options) in AUDIENCES.items():
        executor = SubscriptionExecutor()
        subscribe(executor, MANY, options)
        executor.publish_event(TYPE, CHANNEL, DATA)
        if (reached := drain_all(executor)) != MANY // 100:
            raise RuntimeError(f"{key}: the event reached {reached} instead of {MANY // 100}")
        subjects[key] = partial(cost, executor, 5 * events)
        executors.append(executor)
    found = in_turns(runs, subjects)
    for executor in executors:
        executor.close()

    floors = go_benchmark("./benchmarks/floor", "Push", brief)
    everything = found.pop("all")
    report.add("dispatch_10000", "dispatch to 10,000", everything, "µs", ALL)
    for kind in ("ring", "channel"):
        floor = floors[f"Push/{kind}"].nanoseconds * MANY / 1e3
        report.add(
            f"floor_{kind}_10000", f"  floor: Go pushes a pointer to 10,000 {kind}s", floor, "µs"
        )
        ratios = [one / floor for one in everything]
        report.add(f"dispatch_per_{kind}", f"  dispatch, in {kind} floors", ratios, "x")
    for key, each in found.items():
        title = f"dispatch to 10,000, 1% match, {AUDIENCES[key][0]}"
        report.add(f"dispatch_1_percent_{key}", title, each, "µs", FEW)
    report.series["publish"] = scaling(brief)
    return report


def scaling(brief: bool) -> list[tuple[float, float]]:
    """(subscribers, µs of one publish), all of them reached."""
    points = []
    most = 1000 if brief else 100_000
    with SubscriptionExecutor() as executor:
        total = 0
        for count in (1, 3, 10, 30, 100, 300, 1000, 3000, 10_000, 30_000, 100_000):
            if count > most:
                break
            subscribe(executor, count - total)
            total = count
            events = max(10, min(2000, (20_000 if brief else 1_000_000) // count))
            cost(executor, max(3, events // 10))
            points.append((float(count), cost(executor, events)))
    return points


if __name__ == "__main__":
    main("What does dispatching one event cost as subscriptions grow?", measure)
