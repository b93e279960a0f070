"""How many events a second go from publish_event to the hands of one subscriber?

One thread publishes and consumes: event by event with next_event, or in batches of 256 with
publish_events and next_events.
"""

from __future__ import annotations

from time import perf_counter

from harness.clock import in_turns
from harness.figure import Report
from harness.script import main
from harness.workload import CHANNEL, DATA, TYPE, subscribe

from fraiseql_subscriptions import SubscriptionExecutor

BATCH = 256


def measure(brief: bool) -> Report:
    runs, events = (3, 10 * BATCH) if brief else (15, 200 * BATCH)
    with SubscriptionExecutor() as executor:
        [one] = subscribe(executor, 1)
        batch = [(TYPE, CHANNEL, DATA)] * BATCH

        def single() -> float:
            begin = perf_counter()
            for _ in range(events):
                executor.publish_event(TYPE, CHANNEL, DATA)
                if executor.next_event(one) is None:
                    raise RuntimeError("a response is missing")
            return events / (perf_counter() - begin)

        def batched() -> float:
            begin = perf_counter()
            for _ in range(events // BATCH):
                executor.publish_events(batch)
                if len(executor.next_events(one, BATCH)) != BATCH:
                    raise RuntimeError("a response is missing")
            return events / (perf_counter() - begin)

        found = in_turns(runs, {"single": single, "batched": batched})

    report = Report()
    for key, title, target in (
        ("single", "events to one subscriber, consumed, one by one", 1e5),
        ("batched", f"events to one subscriber, consumed, {BATCH} at a time", 3e5),
    ):
        report.add(f"events_{key}", title, found[key], "/s", target, at_least=True)
    return report


if __name__ == "__main__":
    main("How many events a second go from publish_event to one subscriber?", measure)
