"""Benchmarks written in Go, run with `go test` and read from its output."""

from __future__ import annotations

import re
import statistics
import subprocess
from dataclasses import dataclass

from .machine import ROOT

__all__ = ["GoResult", "go_benchmark"]

_LINE = re.compile(r"^Benchmark(\S+?)(?:-\d+)?\s+\d+\s+([\d.]+) ns/op(?:.*?\s(\d+) allocs/op)?")


@dataclass(frozen=True, slots=True)
class GoResult:
    """Nanoseconds an operation: the median and all runs; allocations an operation."""

    nanoseconds: float
    runs: list[float]
    allocations: int


def go_benchmark(package: str, pattern: str, brief: bool) -> dict[str, GoResult]:
    """The benchmarks of `package` that match, by name without "Benchmark"."""
    repeat = ["-benchtime=50ms", "-count=3"] if brief else ["-benchtime=500ms", "-count=7"]
    command = ["go", "test", "-run=^$", f"-bench={pattern}", "-benchmem", *repeat, package]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    if done.returncode:
        raise RuntimeError(f"{' '.join(command)} failed:\n{done.stdout}{done.stderr}")
    runs: dict[str, list[float]] = {}
    allocations: dict[str, int] = {}
    for line in done.stdout.splitlines():
        if match := _LINE.match(line):
            runs.setdefault(match[1], []).append(float(match[2]))
            allocations[match[1]] = max(allocations.get(match[1], 0), int(match[3] or 0))
    if not runs:
        raise RuntimeError(f"{' '.join(command)} ran no benchmark:\n{done.stdout}")
    return {
        name: GoResult(statistics.median(each), each, allocations[name])
        for name, each in runs.items()
    }
