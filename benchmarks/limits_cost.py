"""What do rates cost a delivery, where they are off and where all of them are on?

Measured in Go, on one event from publish to the queues of 10,000 subscriptions of one user that
share every decision: the cheapest deliveries there are, so that what is added shows.
"""

from __future__ import annotations

from harness.figure import Report
from harness.gobench import go_benchmark
from harness.script import main

SUBSCRIPTIONS = 10_000
TITLES = {
    "off": "a delivery without rates",
    "subscription": "  with a rate a subscription",
    "all": "  with rates a subscription, a user, a channel",
}


def measure(brief: bool) -> Report:
    found = go_benchmark("./go/internal/executor", "Rates$", brief)
    report = Report()
    for case, title in TITLES.items():
        each = [run / SUBSCRIPTIONS for run in found[f"Rates/{case}"].runs]
        report.add(f"rates_{case}", title, each, "ns")
    extra = found["Rates/all"].allocations - found["Rates/off"].allocations
    per_delivery = round(max(0, extra) / SUBSCRIPTIONS, 2)
    report.add("rates_allocations", "  allocations that rates add to it", per_delivery, "", 0)
    return report


if __name__ == "__main__":
    main("What do rates cost a delivery?", measure)
