"""Timing: every sample kept, runs repeated and interleaved, medians reported.

Things that are compared are measured in turns (A B A B …) in one process, so that whatever
else the machine does meets both.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from time import perf_counter_ns
from typing import TypeVar

__all__ = [
    "busy_thread",
    "in_turns",
    "nothing",
    "percentile",
    "quantile_curve",
    "samples",
]

T = TypeVar("T")


def nothing() -> None:
    """No work between two samples."""


def samples(work: Callable[[], object], count: int, between: Callable[[], object]) -> list[float]:
    """The duration of each of `count` calls of `work`, in µs; `between` is not timed."""
    out = []
    for _ in range(count):
        begin = perf_counter_ns()
        work()
        out.append((perf_counter_ns() - begin) / 1e3)
        between()
    return out


def in_turns(runs: int, subjects: Mapping[str, Callable[[], T]]) -> dict[str, list[T]]:
    """The results of `runs` calls of every subject, one after the other in turns.

    One more turn goes before, uncounted, to warm up.
    """
    out: dict[str, list[T]] = {name: [] for name in subjects}
    for run in range(runs + 1):
        for name, subject in subjects.items():
            result = subject()
            if run:
                out[name].append(result)
    return out


def percentile(values: list[float], percent: float) -> float:
    """The smallest value that `percent` per cent of `values` do not exceed."""
    ordered = sorted(values)
    return ordered[min(len(ordered) - 1, int(len(ordered) * percent / 100))]


def quantile_curve(values: list[float]) -> list[tuple[float, float]]:
    """(percentile, value) points, dense towards the tail, for a picture."""
    percents = [*range(100), *(99 + i / 10 for i in range(10)), 99.95, 99.99]
    return [(float(percent), percentile(values, percent)) for percent in percents]


@contextmanager
def busy_thread() -> Iterator[None]:
    """Another Python thread that never lets go of the interpreter by itself."""
    stop = False

    def spin() -> None:
        while not stop:
            pass

    thread = threading.Thread(target=spin, name="busy")
    thread.start()
    try:
        yield
    finally:
        stop = True
        thread.join()
