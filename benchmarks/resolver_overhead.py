"""What does a resolver cost beyond the bare call of the Python function?

The time of a publish to subscriptions with a resolver each, less that of a publish to as many
without one, less that of calling the same functions with a dict at hand. What remains is what a
resolver costs besides itself: crossing into Python, decoding the event for each call, running in
a fresh contextvars context, encoding the answer. Taken off a publish that nobody subscribes to
instead, queueing the response and waking its consumer are charged to the resolver as well. Both
are held to the target.
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
            for channel in ("nobody", "one", "one_resolver", "hundred", "hundred_resolvers")
        }
        subjects["bare"] = lambda: statistics.median(samples(call_all, events, nothing)) / MANY
        found = in_turns(runs, subjects)

    def beyond(resolved: str, plain: str, calls: int) -> list[float]:
        turns = zip(found[resolved], found[plain], found["bare"], strict=True)
        return [(with_it - without) / calls - bare for with_it, without, bare in turns]

    report = Report()
    for key, resolved, plain, title, calls, target in (
        ("alone", "one_resolver", "one", "alone", 1, 3.0),
        ("100", "hundred_resolvers", "hundred", "100 in one event", MANY, 1.5),
    ):
        for name, baseline, over in (
            (f"resolver_{key}", plain, "no resolver"),
            (f"resolver_{key}_nobody", "nobody", "no subscriber"),
        ):
            full_title = f"resolver call beyond the bare call, {title}, over {over}"
            report.add(name, full_title, beyond(resolved, baseline, calls), "µs", target)
    for key, title in (
        ("bare", "the bare call"),
        ("nobody", "publish_event to nobody"),
        ("one", "publish_event to one, no resolver"),
        ("one_resolver", "publish_event to one resolver"),
    ):
        report.add(f"resolver_part_{key}", f"  {title}", found[key], "µs")
    return report


if __name__ == "__main__":
    main("What does a resolver cost beyond the bare call of the Python function?", measure)
