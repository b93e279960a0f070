"""What does deciding whether a subscription may see an event cost?

All five modules: tenant isolation, row filter, federation, a query that names its tenant and user,
and ten permissions. Measured in Go, on the check that runs for each group of subscriptions with the
same context. Text identifiers of 36 characters for tenants, integers for users.
"""

from __future__ import annotations

from harness.figure import Report
from harness.gobench import go_benchmark
from harness.script import main

TARGET = 200.0


def measure(brief: bool) -> Report:
    found = go_benchmark("./go/internal/security", "CheckAll$", brief)
    report = Report()
    for case, title in (("allowed", "allowed"), ("denied_by_the_last", "denied by the last")):
        each = found[f"CheckAll/{case}"].runs
        full_title = f"security (all five modules) of a subscription, {title}"
        report.add(f"security_{case}", full_title, each, "ns", TARGET)
    allocations = max(result.allocations for result in found.values())
    report.add("security_allocations", "  its allocations", allocations, "", 0)
    return report


if __name__ == "__main__":
    main("What does deciding whether a subscription may see an event cost?", measure)
