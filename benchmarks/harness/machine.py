"""Where and of what a figure was taken: without it a figure means nothing."""

from __future__ import annotations

import os
import platform
import subprocess
from pathlib import Path
from typing import Any

import psutil  # type: ignore[import-untyped]

__all__ = ["ROOT", "commit", "machine"]

#: The repository.
ROOT = Path(__file__).resolve().parents[2]


def machine() -> dict[str, Any]:
    """Processor, memory, versions, and how busy the machine is with other things now."""
    return {
        "processor": _processor(),
        "cores": os.cpu_count(),
        "memory_gib": round(psutil.virtual_memory().total / 2**30, 1),
        "system": f"{platform.system()} {platform.release()} {platform.machine()}",
        "python": platform.python_version(),
        "go": _output("go", "env", "GOVERSION"),
        "load": round(os.getloadavg()[0], 2),
    }


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
