"""Benchmarks written in Go, run with `go test` and read from its output."""

from __future__ import annotations

import re
import statistics
import subprocess
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from .machine import ROOT

__all__ = ["GoResult", "go_benchmark", "go_dialogue", "go_program"]

_LINE = re.compile(r"^Benchmark(\S+?)(?:-\d+)?\s+\d+\s+(.*)")


@dataclass(frozen=True, slots=True)
class GoResult:
    """All that was measured of one benchmark: the values of every run by Go's name of the unit."""

    units: dict[str, list[float]] = field(default_factory=dict)

    @property
    def runs(self) -> list[float]:
        """Nanoseconds an operation."""
        return self.units["ns/op"]

    @property
    def nanoseconds(self) -> float:
        """Their median."""
        return statistics.median(self.runs)

    @property
    def allocations(self) -> float:
        """Allocations an operation, the most."""
        return max(self.units["allocs/op"])


def go_benchmark(
    package: str, pattern: str, brief: bool, *, once: bool = False
) -> dict[str, GoResult]:
    """The benchmarks of `package` that match, by name without "Benchmark".

    `once`: one operation, for what says how much instead of how long.
    """
    if once:
        return _results("go", "test", "-run=^$", f"-bench={pattern}", "-benchtime=1x", package)
    repeat = ["-benchtime=50ms", "-count=3"] if brief else ["-benchtime=500ms", "-count=7"]
    return _results("go", "test", "-run=^$", f"-bench={pattern}", "-benchmem", *repeat, package)


@contextmanager
def go_program(
    package: str, pattern: str, benchtime: str, cores: int | None = None
) -> Iterator[Callable[[], list[float]]]:
    """The benchmarks of `package` that match, compiled, for measuring in turns with others.

    Each call runs them once, with GOMAXPROCS=cores if given, and returns their ns/op in the
    order in which they ran.
    """
    with tempfile.TemporaryDirectory() as folder:
        binary = str(Path(folder) / "floor.test")
        _output("go", "test", "-c", "-o", binary, package)
        width = [] if cores is None else [f"-test.cpu={cores}"]

        def run() -> list[float]:
            found = _results(
                binary,
                "-test.run=^$",
                f"-test.bench={pattern}",
                f"-test.benchtime={benchtime}",
                *width,
            )
            return [one.nanoseconds for one in found.values()]

        yield run


@contextmanager
def go_dialogue(package: str, *arguments: str) -> Iterator[Callable[[str], str]]:
    """The program of `package`, compiled and running: each call gives it a line and has its answer.

    So it can be measured in turns with others, as short as one likes.
    """
    with tempfile.TemporaryDirectory() as folder:
        binary = str(Path(folder) / "program")
        _output("go", "build", "-o", binary, package)
        with subprocess.Popen(
            [binary, *arguments],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            bufsize=1,
        ) as process:
            told, heard = process.stdin, process.stdout
            assert told is not None
            assert heard is not None

            def ask(line: str) -> str:
                told.write(line + "\n")
                if answer := heard.readline():
                    return answer.strip()
                raise RuntimeError(f"{package} has ended")

            yield ask


def _results(*command: str) -> dict[str, GoResult]:
    told = _output(*command)
    found: dict[str, GoResult] = {}
    for line in told.splitlines():
        if match := _LINE.match(line):
            units = found.setdefault(match[1], GoResult()).units
            words = match[2].split()
            for value, unit in zip(words[::2], words[1::2], strict=True):
                units.setdefault(unit, []).append(float(value))
    if not found:
        raise RuntimeError(f"{' '.join(command)} ran no benchmark:\n{told}")
    return found


def _output(*command: str) -> str:
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    if done.returncode:
        raise RuntimeError(f"{' '.join(command)} failed:\n{done.stdout}{done.stderr}")
    return done.stdout
