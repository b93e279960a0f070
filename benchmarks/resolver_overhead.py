"""What does a resolver cost beyond the bare call of the Python function?

The time of a publish to subscriptions with a resolver each, less that of a publish that nobody
subscribes to, less that of calling the same function as often with a dict at hand. What remains
is a resolver's share of everything else: matching, crossing into Python, decoding the event,
running in a fresh contextvars context, encoding the answer, queueing it.
"""

from __future__ import annotations

import statistics
from collections.abc import Callable
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
        subscribe(executor, 1, lambda _: {"channels": "alone", "resolver": resolvers[0]})
        subscribe(
            executor, MANY, lambda number: {"channels": "many", "resolver": resolvers[number]}
        )

        def publish(channel: str) -> float:
            return statistics.median(
                samples(
                    lambda: executor.publish_event(TYPE, channel, DATA),
                    events,
                    lambda: drain_all(executor),
                )
            )

        found = in_turns(
            runs,
            {
                "nobody": lambda: publish("nobody"),
                "alone": lambda: publish("alone"),
                "many": lambda: publish("many"),
                "bare": lambda: statistics.median(samples(call_all, events, nothing)) / MANY,
            },
        )

    turns = list(zip(found["nobody"], found["alone"], found["many"], found["bare"], strict=True))
    alone = [one - nobody - bare for nobody, one, _, bare in turns]
    many = [(hundred - nobody) / MANY - bare for nobody, _, hundred, bare in turns]
    report = Report()
    for name, title, value, target in (
        ("resolver_alone", "resolver call beyond the bare call, alone", alone, 3.0),
        ("resolver_100", "resolver call beyond the bare call, 100 in one event", many, 1.5),
        ("resolver_bare", "  the bare call", found["bare"], None),
        ("publish_nobody", "  publish_event that nobody subscribes to", found["nobody"], None),
    ):
        report.add(name, title, value, "µs", target)
    return report


if __name__ == "__main__":
    main("What does a resolver cost beyond the bare call of the Python function?", measure)
