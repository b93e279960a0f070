"""How long does publish_event take with 100 subscriptions, alone and beside a busy thread?

From the call in Python until it returns: by then every subscription has its response queued.
The responses are drained between two calls, outside the measured time.
"""

from __future__ import annotations

from harness.clock import busy_thread, in_turns, percentile, quantile_curve, samples
from harness.figure import Report
from harness.script import main
from harness.workload import CHANNEL, DATA, TYPE, drain_all, subscribe

from fraiseql_subscriptions import SubscriptionExecutor

SUBSCRIBERS = 100
P50, P99 = 20.0, 80.0


def measure(brief: bool) -> Report:
    runs, events = (3, 500) if brief else (15, 4000)
    with SubscriptionExecutor() as executor:
        subscribe(executor, SUBSCRIBERS)

        def alone() -> list[float]:
            return samples(
                lambda: executor.publish_event(TYPE, CHANNEL, DATA),
                events,
                lambda: drain_all(executor),
            )

        def beside() -> list[float]:
            with busy_thread():
                return alone()

        found = in_turns(runs, {"alone": alone, "busy": beside})

        # The same number of subscriptions with nothing to share: a filter of its own for each.
        executor.close_connection("connection-0")
        subscribe(executor, SUBSCRIBERS, lambda number: {"filter": {"items": {"lt": number + 4}}})
        found |= in_turns(runs, {"own": alone})

    report = Report()
    for key, name, title, targets in (
        ("alone", "publish_100", "publish_event to 100", (P50, P99)),
        ("busy", "publish_100_busy", "publish_event to 100, another thread busy", (P50, P99)),
        ("own", "publish_100_filters", "publish_event to 100, a filter for each", (None, None)),
    ):
        for percent, target in zip((50, 99), targets, strict=True):
            each = [percentile(run, percent) for run in found[key]]
            report.add(f"{name}_p{percent}", f"{title}, p{percent}", each, "µs", target)
    for key, curve in (("alone", "nothing else runs"), ("busy", "beside a busy Python thread")):
        report.series[curve] = quantile_curve([one for run in found[key] for one in run])
    return report


if __name__ == "__main__":
    main("How long does publish_event take with 100 subscriptions?", measure)
