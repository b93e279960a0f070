"""The pictures: how latencies are distributed, and how cost grows."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from math import ceil, floor, log10
from pathlib import Path
from typing import TYPE_CHECKING

import matplotlib as mpl
from matplotlib.figure import Figure
from matplotlib.ticker import EngFormatter

if TYPE_CHECKING:
    from matplotlib.axes import Axes

__all__ = ["draw_growth", "draw_latency"]

Curve = list[tuple[float, float]]
Curves = dict[str, Curve]


def draw_latency(path: Path, caption: str, *distributions: tuple[str, Curves, Curve]) -> None:
    """Write one part a distribution: title, (percentile, µs) curves by name, targets likewise."""
    with _figure(path, caption, 1, len(distributions)) as axes:
        for one, (title, curves, targets) in zip(axes, distributions, strict=True):
            for name, curve in curves.items():
                one.loglog(*zip(*map(_tail, curve), strict=True), label=name)
            if targets:
                marks = list(zip(*map(_tail, targets), strict=True))
                one.plot(*marks, "x", color="black", label="targets: p50, p99")
            ticks = [1, 2, 10, 100, 1000, 10_000]
            one.set_xticks(ticks, ["0", "50", "90", "99", "99.9", "99.99"])
            one.minorticks_off()
            one.set(title=title, xlabel="percentile", ylabel="µs")
            _decades(one, [curve for curve in [*curves.values(), targets] if curve])
            one.legend()


def draw_growth(path: Path, caption: str, *parts: tuple[str, Curves]) -> None:
    """Write one part an x axis, whose label comes first: (x, µs of one publish) curves by name."""
    with _figure(path, caption, 2, (len(parts) + 1) // 2) as axes:
        for one, (label, curves) in zip(axes, parts, strict=False):
            for name, curve in curves.items():
                one.loglog(*zip(*curve, strict=True), marker="o", markersize=3, label=name)
            one.set(xlabel=label, ylabel="publish_event, µs")
            one.xaxis.set_major_formatter(EngFormatter(sep=""))
            _decades(one, list(curves.values()))
            if len(curves) > 1:
                one.legend()
        for spare in axes[len(parts) :]:
            spare.set_axis_off()


@contextmanager
def _figure(path: Path, caption: str, rows: int, columns: int) -> Iterator[list[Axes]]:
    with mpl.rc_context({"font.size": 8, "axes.grid": True, "grid.alpha": 0.3}):
        figure = Figure(figsize=(3.4 * columns, 0.3 + 3 * rows), layout="constrained")
        yield list(figure.subplots(rows, columns, squeeze=False).flat)
        figure.suptitle(caption, fontsize=7, color="gray")
        path.parent.mkdir(parents=True, exist_ok=True)
        figure.savefig(path, dpi=110, metadata={"Software": None})


def _decades(axes: Axes, curves: list[Curve]) -> None:
    """Whole decades on the y axis, written as numbers."""
    values = [value for curve in curves for _, value in curve]
    axes.set_ylim(10 ** floor(log10(min(values))), 10 ** ceil(log10(max(values))))
    axes.yaxis.set_major_formatter("{x:,g}")
    axes.minorticks_off()


def _tail(point: tuple[float, float]) -> tuple[float, float]:
    percent, value = point
    return 1 / (1 - percent / 100), value
