"""Where and of what a figure was taken: without it a figure means nothing."""

from __future__ import annotations

import os
import platform
import statistics
import subprocess
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import psutil

__all__ = ["ROOT", "Bystanders", "commit", "machine", "yardstick"]

#: The repository.
ROOT = Path(__file__).resolve().parents[2]


def machine() -> dict[str, Any]:
    """Processor, memory and versions."""
    return {
        "processor": _processor(),
        "cores": os.cpu_count(),
        "memory_gib": round(psutil.virtual_memory().total / 2**30, 1),
        "system": f"{platform.system()} {platform.release()} {platform.machine()}",
        "python": platform.python_version(),
        "go": _output("go", "env", "GOVERSION"),
    }


@dataclass(frozen=True, slots=True)
class Bystanders:
    """Other programs' use of the processors since this object was made.

    Figures taken while others compute say as much about them as about the engine.
    """

    _begun: float = field(default_factory=time.monotonic)
    _own: float = field(default_factory=lambda: _own_seconds())
    _all: float = field(default_factory=lambda: _all_seconds())

    def percent(self) -> float:
        """Their share of all processors, 0 to 100. Child processes that have ended are ours."""
        available = (time.monotonic() - self._begun) * (os.cpu_count() or 1)
        others = (_all_seconds() - self._all) - (_own_seconds() - self._own)
        return round(min(100.0, max(0.0, 100 * others / available)), 1)


def yardstick() -> float:
    """Nanoseconds that a fixed Python call takes now, without the engine.

    A virtual machine can halve its speed for seconds while no program of its own is to blame.
    """

    def call(data: dict[str, int]) -> dict[str, dict[str, int]]:
        return {"answer": {"id": data["id"], "by": 3}}

    data = {"id": 1}
    times = []
    for _ in range(300):
        begin = time.perf_counter_ns()
        for _ in range(100):
            call(data)
        times.append((time.perf_counter_ns() - begin) / 100)
    return round(statistics.median(times), 1)


def _own_seconds() -> float:
    return sum(os.times()[:4])


def _all_seconds() -> float:
    times = psutil.cpu_times()
    idle = times.idle + getattr(times, "iowait", 0.0)
    twice = getattr(times, "guest", 0.0) + getattr(times, "guest_nice", 0.0)
    return float(sum(times) - idle - twice)


def commit() -> str:
    """The commit that is checked out, marked when the tree differs from it."""
    name = _output("git", "rev-parse", "--short=12", "HEAD")
    if not name:
        return "unknown"
    paths = ("go", "python/fraiseql_subscriptions", "go.mod")
    changed = _output("git", "status", "--porcelain", "--untracked-files=no", "--", *paths)
    return f"{name} with changes" if changed else name


def _processor() -> str:
    try:
        text = Path("/proc/cpuinfo").read_text(encoding="utf-8")
    except OSError:
        return platform.processor() or platform.machine()
    names = [line.split(":", 1)[1].strip() for line in text.splitlines() if "model name" in line]
    return names[0] if names else platform.machine()


def _output(*command: str) -> str:
    try:
        done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True)
    except (OSError, subprocess.CalledProcessError):
        return ""
    return done.stdout.strip()
