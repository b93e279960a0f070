"""Does resident memory stay flat over many events, with subscriptions coming and going?

The soak of soak.py, shorter: resident memory is sampled at each hundredth of the events, and the
mean over their last tenth compared with that of the second. Fails when descriptors or threads grow,
or when a response is neither received nor dropped nor queued.
"""

from __future__ import annotations

from harness.figure import Report
from harness.script import main
from harness.traffic import run
from harness.workload import in_new_process

#: Per cent of growth that no warming up explains, however short the run.
LEAK = 25.0


def measure(brief: bool) -> Report:
    events = 200_000 if brief else 10_000_000
    found = in_new_process(run, events)
    if found.growth() > LEAK:
        found.problems.append(f"resident memory grew by {found.growth():.0f}%")
    if found.problems:
        raise RuntimeError("; ".join(found.problems))
    report = Report()
    report.add(
        "memory_growth",
        f"resident memory, last tenth of {events:,} events over the second",
        found.growth(),
        "%",
        2,
    )
    report.add("memory_resident", "  resident memory at the end", found.resident[-1], "MB")
    report.add("soak_rate", "  events, all drained", found.events / found.seconds, "/s")
    parts = len(found.resident)
    report.series["resident"] = [(i / parts, one) for i, one in enumerate(found.resident)]
    return report


if __name__ == "__main__":
    main("Does resident memory stay flat over many events?", measure)
