"""Does an event cost what it matches, or what is subscribed?

100,000 subscriptions of which 10 match the event, beside the same 10 registered alone, chosen in
five ways: each has an equality of its own in its filter, a tenant, a user, a channel with a
wildcard, an event type. In turns; the ratio is the answer.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import partial
from typing import Any

from harness.clock import in_turns
from harness.figure import Report
from harness.script import main
from harness.workload import CHANNEL, DATA, TYPE, drain_all, publish_cost, subscribe

from fraiseql_subscriptions import Limits, SecurityContext, SubscriptionExecutor

MATCHING = 10
TARGET = 3.0
EVENT = {**DATA, "tenant_id": "t-0", "user_id": 0}

#: What the number of a subscription gives it; a number below 0 is to match.
WAYS: dict[str, tuple[str, Callable[[int], Mapping[str, Any]]]] = {
    "filter": (
        "a filter of its own",
        lambda number: {
            "filter": {
                "id": DATA["id"] if number < 0 else -number - 1,
                "items": {"lt": number + 50},
            }
        },
    ),
    "tenant": (
        "a tenant",
        lambda number: {"context": SecurityContext(tenant_id=f"t-{max(0, number + 1)}", user_id=0)},
    ),
    "user": (
        "a user",
        lambda number: {"context": SecurityContext(tenant_id="t-0", user_id=max(0, number + 1))},
    ),
    "channel": (
        "a channel with a wildcard",
        lambda number: {"channels": "orders.*" if number < 0 else f"orders{number}.*"},
    ),
    "type": (
        "an event type",
        lambda number: {"event_types": TYPE if number < 0 else f"type{number}"},
    ),
}


def shifted(options: Callable[[int], Mapping[str, Any]], number: int) -> Mapping[str, Any]:
    """What those that match are given."""
    return options(number - MATCHING)


def measure(brief: bool) -> Report:
    many = 5_000 if brief else 100_000
    runs, events = (2, 50) if brief else (7, 200)
    report = Report()
    for key, (title, options) in WAYS.items():
        matching = partial(shifted, options)
        with (
            SubscriptionExecutor(limits=Limits.unlimited()) as alone,
            SubscriptionExecutor(limits=Limits.unlimited()) as among,
        ):
            for executor in (alone, among):
                subscribe(executor, MATCHING, matching)
            subscribe(among, many - MATCHING, options)
            for executor in (alone, among):
                executor.publish_event(TYPE, CHANNEL, EVENT)
                if (reached := drain_all(executor)) != MATCHING:
                    raise RuntimeError(f"{key}: the event reached {reached}, not {MATCHING}")
            found = in_turns(
                runs,
                {
                    "alone": partial(publish_cost, alone, 10 * events, EVENT),
                    "among": partial(publish_cost, among, events, EVENT),
                },
            )
        ratios = [one / other for one, other in zip(found["among"], found["alone"], strict=True)]
        report.add(
            f"index_{key}",
            f"10 of {many:,} match by {title}, over 10 alone",
            ratios,
            "x",
            TARGET,
        )
        report.add(f"index_{key}_among", f"  publish_event to 10 of {many:,}", found["among"], "µs")
        report.add(f"index_{key}_alone", "  publish_event to 10 alone", found["alone"], "µs")
    return report


if __name__ == "__main__":
    main("Does an event cost what it matches, or what is subscribed?", measure)
