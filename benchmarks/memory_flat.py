"""Does resident memory stay flat over many events, with subscriptions coming and going?

A hundred subscriptions, a tenth of them with a resolver; one is completed and another registered
every hundred events. Resident memory is sampled throughout; the mean over the last tenth of the
events is compared with that of the second.
"""

from __future__ import annotations

import statistics
from typing import Any

import psutil  # type: ignore[import-untyped]
from harness.figure import Report
from harness.script import main
from harness.workload import CHANNEL, DATA, TYPE, drain_all, in_new_process, subscribe

from fraiseql_subscriptions import SubscriptionExecutor

SUBSCRIBERS = 100


def respond(data: dict[str, Any]) -> dict[str, Any]:
    return {"orderUpdated": {"id": data["id"]}}


def options(number: int) -> dict[str, Any]:
    return {"resolver": respond} if number % 10 == 0 else {}


def resident(events: int) -> list[float]:
    """Resident memory in MB, sampled at each hundredth of the events."""
    process = psutil.Process()
    out = []
    with SubscriptionExecutor() as executor:
        ids = subscribe(executor, SUBSCRIBERS, options)
        for number in range(events):
            executor.publish_event(TYPE, CHANNEL, {**DATA, "id": number})
            drain_all(executor)
            if number % 100 == 99:
                turn = number // 100 % SUBSCRIBERS
                executor.complete_subscription(ids[turn])
                [ids[turn]] = subscribe(executor, 1, lambda _: options(turn))  # noqa: B023
            if number % (events // 100) == 0:
                out.append(process.memory_info().rss / 1e6)
    return out


def measure(brief: bool) -> Report:
    events = 20_000 if brief else 1_000_000
    found = in_new_process(resident, events)
    second = statistics.mean(found[len(found) // 10 : len(found) // 5])
    last = statistics.mean(found[-len(found) // 10 :])
    report = Report()
    report.add(
        "memory_growth",
        f"resident memory, last tenth of {events:,} events over the second",
        100 * (last / second - 1),
        "%",
        2,
    )
    report.add("memory_resident", "  resident memory at the end", found[-1], "MB")
    report.series["resident"] = [(i / len(found), one) for i, one in enumerate(found)]
    return report


if __name__ == "__main__":
    main("Does resident memory stay flat over many events?", measure)
