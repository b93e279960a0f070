"""What does dispatching one event to 10,000 cost, and when few of them match?

From the call of publish_event until it returns, responses drained outside the measured time. The
floors are bare Go loops that push one pointer into as many queues of three kinds, measured in
turns with the engine.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import partial
from typing import Any

from harness.clock import in_turns
from harness.figure import Report
from harness.gobench import go_program
from harness.script import main
from harness.workload import CHANNEL, DATA, TYPE, drain_all, publish_cost, subscribe

from fraiseql_subscriptions import SubscriptionExecutor

MANY = 10_000
ALL, FEW = 1000.0, 30.0
#: What the floors push into, with the engine's share of each that is asked for.
FLOORS = {
    "ring": ("rings of 8 slots, without hand-over", None),
    "queue": ("rings of 1,024 slots, handed over", 3.0),
    "channel": ("Go channels", None),
}


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


def measure(brief: bool) -> Report:
    runs, events = (3, 20) if brief else (9, 100)
    everyone = SubscriptionExecutor()
    subscribe(everyone, MANY)
    subjects: dict[str, Callable[[], Any]] = {"all": partial(publish_cost, everyone, events)}
    executors = [everyone]
    for key, (_, options) in AUDIENCES.items():
        executor = SubscriptionExecutor()
        subscribe(executor, MANY, options)
        executor.publish_event(TYPE, CHANNEL, DATA)
        if (reached := drain_all(executor)) != MANY // 100:
            raise RuntimeError(f"{key}: the event reached {reached} instead of {MANY // 100}")
        subjects[key] = partial(publish_cost, executor, 5 * events)
        executors.append(executor)
    with go_program("./benchmarks/floor", "Push", "20ms" if brief else "200ms") as pushes:
        found = in_turns(runs, {**subjects, "floors": pushes})
    for executor in executors:
        executor.close()

    report = Report()
    everything = found["all"]
    report.add("dispatch_10000", "dispatch to 10,000", everything, "µs", ALL)
    for (kind, (title, target)), each in zip(
        FLOORS.items(), zip(*found["floors"], strict=True), strict=True
    ):
        floor = [nanoseconds * MANY / 1e3 for nanoseconds in each]
        full_title = f"  floor: Go pushes a pointer to 10,000 {title}"
        report.add(f"floor_{kind}_10000", full_title, floor, "µs")
        ratios = [ours / least for ours, least in zip(everything, floor, strict=True)]
        report.add(f"dispatch_per_{kind}", f"  dispatch, in {kind} floors", ratios, "x", target)
    for key, (title, _) in AUDIENCES.items():
        full_title = f"dispatch to 10,000, 1% match, {title}"
        report.add(f"dispatch_1_percent_{key}", full_title, found[key], "µs", FEW)
    return report


if __name__ == "__main__":
    main("What does dispatching one event to 10,000 cost, and when few of them match?", measure)
