"""How many responses a second are published and drained in Python, with 1,000 subscriptions?

One event is published, then everything it caused is drained as (id, bytes) tuples, again and
again on one thread. The floor is what draining must at least do: make the same tuples from one
buffer, in C and in Python, and nothing else.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import partial
from time import perf_counter
from typing import Any

from harness.clock import in_turns
from harness.drain_floor import c_floor, python_floor
from harness.figure import Report
from harness.script import main
from harness.workload import CHANNEL, DATA, TYPE, drain_all, subscribe

from fraiseql_subscriptions import SubscriptionExecutor

SUBSCRIBERS = 1000


def respond(data: dict[str, Any]) -> dict[str, Any]:
    return {"orderUpdated": {"id": data["id"], "status": data["status"]}}


def resolver_of(number: int) -> dict[str, Any]:
    def resolver(data: dict[str, Any]) -> dict[str, Any]:
        return {"orderUpdated": {"id": data["id"], "status": data["status"], "by": number}}

    return {"resolver": resolver}


SUBJECTS: dict[str, tuple[str, float, Callable[[int], Mapping[str, Any]]]] = {
    "plain": ("no resolver", 3e6, lambda number: {}),
    "shared": ("one shared resolver", 2e6, lambda number: {"resolver": respond}),
    "distinct": ("1,000 distinct resolvers", 5e5, resolver_of),
}


def deliver(executor: SubscriptionExecutor, events: int) -> tuple[float, float]:
    """Responses a second over all, and over the time spent draining."""
    draining = 0.0
    begin = perf_counter()
    for _ in range(events):
        executor.publish_event(TYPE, CHANNEL, DATA)
        before = perf_counter()
        if (taken := drain_all(executor)) != SUBSCRIBERS:
            raise RuntimeError(f"drained {taken} responses instead of {SUBSCRIBERS}")
        draining += perf_counter() - before
    responses = events * SUBSCRIBERS
    return responses / (perf_counter() - begin), responses / draining


def measure(brief: bool) -> Report:
    runs, events = (3, 50) if brief else (15, 500)
    executors = {key: SubscriptionExecutor() for key in SUBJECTS}
    for key, (_, _, options) in SUBJECTS.items():
        subscribe(executors[key], SUBSCRIBERS, options)
    executors["plain"].publish_event(TYPE, CHANNEL, DATA)
    sample = executors["plain"].drain()
    subjects: dict[str, Callable[[], tuple[float, float]]] = {
        "c": c_floor(sample, events),
        "python": python_floor(sample, events),
    }
    for key, executor in executors.items():
        subjects[key] = partial(deliver, executor, events)
    found = in_turns(runs, subjects)
    for executor in executors.values():
        executor.close()

    report = Report()
    for key, (title, target, _) in SUBJECTS.items():
        report.add(
            f"deliveries_{key}",
            f"deliveries to 1,000, drained, {title}",
            [over_all for over_all, _ in found[key]],
            "/s",
            target,
            at_least=True,
        )
    drained = [draining for _, draining in found["plain"]]
    report.add("drained", "  drained, without the publishing", drained, "/s")
    for key, title, most in (("c", "C", 2.5), ("python", "Python", None)):
        floor = [made for made, _ in found[key]]
        report.add(f"floor_drain_{key}", f"  floor: the same tuples made in {title}", floor, "/s")
        ratios = [made / draining for made, draining in zip(floor, drained, strict=True)]
        report.add(f"drain_per_{key}", f"  draining, in {title} floors", ratios, "x", most)
    return report


if __name__ == "__main__":
    main("How many responses a second are published and drained in Python?", measure)
