"""What a run shows where its output is no terminal: plain lines, or one JSON object."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterable, Sequence
from contextlib import AbstractContextManager, nullcontext
from typing import Protocol

from .data import clock
from .replay import Replay, Watcher
from .report import Report

__all__ = ["Display", "JsonDisplay", "PlainDisplay"]


class Display(Watcher, Protocol):
    """Everything that a run shows."""

    def begin(self, title: str) -> AbstractContextManager[object]:
        """Entered for the length of the replay."""
        ...

    def end(self, report: Report) -> None: ...


class PlainDisplay:
    """Lines of text: one for every two hours of the day, then the table."""

    def __init__(self) -> None:
        self._next = 0

    def begin(self, title: str) -> AbstractContextManager[object]:
        _say(title)
        return nullcontext()

    def due(self, replay: Replay) -> bool:
        return replay.minute >= self._next

    def draw(self, replay: Replay) -> None:
        _say(
            f"{clock(replay.minute):7} {replay.published:6,} of {len(replay.events):,} events "
            f"{replay.received:12,} responses"
        )
        self._next = replay.minute - replay.minute % 120 + 120

    def end(self, report: Report) -> None:
        _say("")
        for line in _table(report):
            _say(line)
        _say("")
        for line in (*report.sentences(), report.verdict(), *report.faults()):
            _say(line)


class JsonDisplay:
    """One JSON object at the end, and nothing else."""

    def begin(self, title: str) -> AbstractContextManager[object]:
        return nullcontext()

    def due(self, replay: Replay) -> bool:
        return False

    def draw(self, replay: Replay) -> None:
        raise AssertionError("never due")

    def end(self, report: Report) -> None:
        _say(json.dumps(report.as_json(), indent=2))


def _table(report: Report) -> Iterable[str]:
    cells = [("dashboard", "asks for", "dashboards", "received", "expected", "")]
    cells += [
        (
            row.name,
            row.asks,
            f"{row.dashboards:,}",
            f"{row.received:,}",
            f"{row.expected:,}",
            "ok" if row.ok else "DIFFERS",
        )
        for row in report.rows
    ]
    widths = [max(len(line[column]) for line in cells) for column in range(6)]
    return [_aligned(line, widths) for line in cells]


def _aligned(line: Sequence[str], widths: Sequence[int]) -> str:
    padded = [
        cell.rjust(width) if 2 <= column <= 4 else cell.ljust(width)
        for column, (cell, width) in enumerate(zip(line, widths, strict=True))
    ]
    return "  ".join(padded).rstrip()


def _say(line: str) -> None:
    sys.stdout.write(line + "\n")
    sys.stdout.flush()
