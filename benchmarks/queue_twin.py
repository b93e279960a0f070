"""What does the lock-free response queue cost beside the same queue behind a mutex?

Both in Go, in turns, at one, two and eight goroutines' worth of parallelism. Alone: one goroutine
pushes a response and pops it. Contended: everybody pushes and pops one queue. Handed over: one
pushes and another, woken by the ready list as an event loop is, pops. Fan-out: one response to
10,000 queues, each popped. Full: a push that drops the oldest response.
"""

from __future__ import annotations

from harness.figure import Report
from harness.gobench import go_program
from harness.script import main

#: Under contention the lock-free queue is to be no slower than its twin.
TARGET = 1.0
CASES = (
    ("PushPop", "alone", None),
    ("Contended", "contended", TARGET),
    ("Transfer", "handed over", TARGET),
    ("FanOut", "fan-out to 10,000", None),
    ("PushFull", "full", None),
)


def measure(brief: bool) -> Report:
    runs, benchtime = (3, "20ms") if brief else (9, "100ms")
    report = Report()
    for benchmark, title, target in CASES:
        pattern = f"^Benchmark{benchmark}$/twin=(mutex|lockfree)$"
        for width in (1, 2, 8):
            with go_program("./go/internal/queue", pattern, benchtime, width) as run:
                pairs = [run() for _ in range(runs)]
            if any(len(pair) != 2 for pair in pairs):
                raise RuntimeError(f"{benchmark} has not just the two twins")
            name = f"queue_twin_{benchmark.lower()}_{width}"
            full_title = f"lock-free queue over its mutex twin, {title}, GOMAXPROCS {width}"
            ratios = [lockfree / mutex for mutex, lockfree in pairs]
            report.add(name, full_title, ratios, "x", target if width > 1 else None)
    return report


if __name__ == "__main__":
    main("What does the lock-free response queue cost beside one behind a mutex?", measure)
