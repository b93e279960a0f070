"""What does deciding whether a subscription may see an event cost?

Tenant isolation and row filter, the two modules that exist so far; federation, scope and RBAC
come later and will be held to the same figure together with these. Measured in Go, on the
check that runs for each group of subscriptions with the same context. Text identifiers of 36
characters for tenants, integers for users.
"""

from __future__ import annotations

from harness.figure import Report
from harness.gobench import go_benchmark
from harness.script import main

TARGET = 200.0


def measure(brief: bool) -> Report:
    found = go_benchmark("./go/internal/security", "Check$", brief)
    report = Report()
    for case, title in (("allowed", "allowed"), ("denied_by_row", "denied by the last")):
        each = found[f"Check/{case}"].runs
        full_title = f"security (tenant, row) of a subscription, {title}"
        report.add(f"security_{case}", full_title, each, "ns", TARGET)
    allocations = max(result.allocations for result in found.values())
    report.add("security_allocations", "  its allocations", allocations, "", 0)
    return report


if __name__ == "__main__":
    main("What does deciding whether a subscription may see an event cost?", measure)
