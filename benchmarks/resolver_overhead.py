"""What does a resolver cost beyond the bare call of the Python function?

The time of a publish to subscriptions with a resolver each, less that of a publish to as many
without one, less that of calling the same functions with a dict at hand. What remains is what a
resolver costs besides itself: crossing into Python, decoding the event for each call, running in
a fresh contextvars context, encoding the answer.
"""

from __future__ import annotations

import statistics
from collections.abc import Callable
from functools import partial
from typing import Any

from harness.clock import in_turns, nothing, samples
from harness.figure import Report
from harness.script import main
from harness.workload import DATA, TYPE, drain_all, subscribe

from fraiseql_subscriptions import SubscriptionExecutor

MANY = 100


def resolver_of(number: int) -> Callable[[dict[str, Any]], dict[str, Any]]:
    def resolver(data: dict[str, Any]) -> dict[str, Any]:
        return {"orderUpdated": {"id": data["id"], "status": data["status"], "by": number}}

    return resolver


def measure(brief: bool) -> Report:
    runs, events = (3, 300) if brief else (15, 3000)
    resolvers = [resolver_of(number) for number in range(MANY)]

    def call_all() -> None:
        for resolver in resolvers:
            resolver(DATA)

    with SubscriptionExecutor() as executor:
        subscribe(executor, 1, lambda _: {"channels": "one"})
        subscribe(executor, MANY, lambda _: {"channels": "hundred"})
        subscribe(executor, 1, lambda _: {"channels": "one_resolver", "resolver": resolvers[0]})
        subscribe(
            executor,
            MANY,
            lambda number: {"channels": "hundred_resolvers", "resolver": resolvers[number]},
        )

        def publish(channel: str) -> float:
            return statistics.median(
                samples(
                    lambda: executor.publish_event(TYPE, channel, DATA),
                    events,
                    lambda: drain_all(executor),
                )
            )

        subjects: dict[str, Callable[[], float]] = {
            channel: partial(publish, channel)
            for channel in ("one", "one_resolver", "hundred", "hundred_resolvers")
        }
        subjects["bare"] = lambda: statistics.median(samples(call_all, events, nothing)) / MANY
        found = in_turns(runs, subjects)

    def beyond(resolved: str, plain: str, calls: int) -> list[float]:
        turns = zip(found[resolved], found[plain], found["bare"], strict=True)
        return [(with_it - without) / calls - bare for with_it, without, bare in turns]

    alone = beyond("one_resolver", "one", 1)
    many = beyond("hundred_resolvers", "hundred", MANY)
    report = Report()
    for name, title, value, target in (
        ("resolver_alone", "resolver call beyond the bare call, alone", alone, 3.0),
        ("resolver_100", "resolver call beyond the bare call, 100 in one event", many, 1.5),
        ("resolver_bare", "  the bare call", found["bare"], None),
        ("publish_1", "  publish_event to one, no resolver", found["one"], None),
        ("publish_1_resolver", "  publish_event to one resolver", found["one_resolver"], None),
    ):
        report.add(name, title, value, "µs", target)
    return report


if __name__ == "__main__":
    main("What does a resolver cost beyond the bare call of the Python function?", measure)
