"""What a run shows in a terminal: a live table and a progress bar. Needs rich."""

from __future__ import annotations

import time
from collections.abc import Iterable
from contextlib import AbstractContextManager
from typing import Final

from rich.console import Console, Group
from rich.live import Live
from rich.progress_bar import ProgressBar
from rich.table import Table
from rich.text import Text

from .data import clock
from .replay import Replay, Tally
from .report import Report

__all__ = ["LiveDisplay"]

_SECONDS_BETWEEN: Final = 0.125
#: Lines around the live table's rows: title, header, rules, progress.
_FRAME: Final = 7


class LiveDisplay:
    """Redraws eight times a second, only when the replay says that nothing is on its way."""

    def __init__(self, console: Console | None = None) -> None:
        self._console = console or Console()
        self._live = Live(console=self._console, auto_refresh=False, transient=True)
        self._title = ""
        self._next = 0.0

    def begin(self, title: str) -> AbstractContextManager[object]:
        self._title = title
        self._console.print(title, style="bold")
        return self._live

    def due(self, replay: Replay) -> bool:
        return time.perf_counter() >= self._next

    def draw(self, replay: Replay) -> None:
        self._live.update(
            Group(self._table(replay), _progress(replay, self._console.width)), refresh=True
        )
        self._next = time.perf_counter() + _SECONDS_BETWEEN

    def _table(self, replay: Replay) -> Table:
        table = _table("dashboard", "asks for", "received", "last flight")
        table.columns[2].justify = "right"
        shown = [tally for tally in replay.tallies if not tally.dashboard.extra]
        extra = replay.tallies[len(shown) :]
        room = max(self._console.height - _FRAME - bool(extra), 1)
        if len(shown) > room:
            hidden = len(shown) - room + 1
            shown = shown[:-hidden]
            extra_name = f"and {hidden + len(extra):,} more"
            extra = replay.tallies[len(shown) :]
        else:
            extra_name = f"{len(extra):,} extra"
        for tally in shown:
            dashboard = tally.dashboard
            table.add_row(dashboard.name, dashboard.asks, f"{tally.count:,}", _last(tally))
        if extra:
            table.add_row(extra_name, "", f"{sum(tally.count for tally in extra):,}", "")
        return table

    def end(self, report: Report) -> None:
        table = _table("dashboard", "asks for", "dashboards", "received", "expected", "")
        for column in table.columns[2:5]:
            column.justify = "right"
        for row in report.rows:
            table.add_row(
                row.name,
                row.asks,
                f"{row.dashboards:,}",
                f"{row.received:,}",
                f"{row.expected:,}",
                Text("ok", "green") if row.ok else Text("DIFFERS", "bold red"),
            )
        self._console.print(table, "")
        self._lines(report.sentences(), "")
        self._lines([report.verdict()], "bold red" if report.differences else "bold green")
        self._lines(report.faults(), "red")

    def _lines(self, lines: Iterable[str], style: str) -> None:
        for line in lines:
            self._console.print(Text(line, style))


def _table(*columns: str) -> Table:
    table = Table(box=None, pad_edge=False, header_style="bold", padding=(0, 2, 0, 0))
    for column in columns:
        table.add_column(column, no_wrap=True)
    return table


def _last(tally: Tally) -> Text:
    flight = tally.last
    if not flight:
        return Text("")
    airline = flight.get("airline") or flight["carrier"]
    text = Text(f"{airline} {flight['flight']}")
    destination = flight.get("destination") or flight.get("to")
    if destination:
        text.append(f" to {destination}", "dim")
    delay = flight.get("delay")
    if delay is not None and delay >= 60:
        text.append(f" +{delay} min", "red")
    return text


def _progress(replay: Replay, width: int) -> Table:
    done, total = replay.published, len(replay.events)
    grid = Table.grid(padding=(0, 2, 0, 0))
    for _ in range(5):
        grid.add_column(no_wrap=True)
    grid.add_row(
        Text(clock(replay.minute), "bold cyan"),
        ProgressBar(total=total, completed=done, width=max(min(width - 72, 40), 5)),
        f"{done:,} of {total:,} events",
        f"{replay.received:,} responses",
        f"p99 {replay.delivery.quantile(0.99) * 1000:.2f} ms",
    )
    return grid
