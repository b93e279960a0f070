"""Two pictures in one file: how latencies are distributed, how cost grows with subscribers."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import matplotlib as mpl
from matplotlib.figure import Figure

if TYPE_CHECKING:
    from matplotlib.axes import Axes

__all__ = ["draw"]

Curve = list[tuple[float, float]]


def draw(
    path: Path, publishing: dict[str, Curve], waking: dict[str, Curve], scaling: Curve, caption: str
) -> None:
    """Write the picture to `path` as PNG.

    `publishing` and `waking` are (percentile, µs) curves by name, `scaling` is (subscribers,
    µs of one publish).
    """
    with mpl.rc_context({"font.size": 8, "axes.grid": True, "grid.alpha": 0.3}):
        figure = Figure(figsize=(10, 3.6), layout="constrained")
        left, middle, right = figure.subplots(1, 3)
        _distribution(left, "publish_event to 100 subscriptions", publishing, 20, 80)
        _distribution(middle, "publish to the body of `async for`", waking, 100, 300)
        right.loglog(*zip(*scaling, strict=True), marker="o", markersize=3, label="publish_event")
        right.axhline(1000, color="gray", linestyle=":", label="target at 10,000")
        right.axvline(10_000, color="gray", linestyle=":")
        right.set(title="all subscriptions reached", xlabel="subscriptions", ylabel="µs")
        right.legend()
        figure.suptitle(caption, fontsize=7, color="gray")
        figure.savefig(path, dpi=100, metadata={"Software": None})


def _distribution(axes: Axes, title: str, curves: dict[str, Curve], p50: float, p99: float) -> None:
    for name, curve in curves.items():
        tail = [(1 / (1 - percent / 100), value) for percent, value in curve]
        axes.loglog(*zip(*tail, strict=True), label=name)
    axes.plot([2, 100], [p50, p99], "x", color="black", label="targets: p50, p99")
    axes.set_xticks([1, 2, 10, 100, 1000, 10_000], ["0", "50", "90", "99", "99.9", "99.99"])
    axes.minorticks_off()
    axes.set(title=title, xlabel="percentile", ylabel="µs")
    axes.legend()
