"""The figures in docs/performance.md, written there by the run that took them."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path

from .figure import Figure, Table
from .table import cells, grid_cells

__all__ = ["write_figures"]

BEGIN = "<!-- figures: written by make bench, do not edit -->\n"
END = "<!-- end of figures -->"


def write_figures(
    page: Path,
    figures: Iterable[Figure],
    captions: Iterable[str],
    tables: Iterable[Table],
    pictures: Mapping[str, str],
) -> None:
    """Replace what stands between the two marks of `page`. Pictures: text by relative path."""
    before, begin, rest = page.read_text(encoding="utf-8").partition(BEGIN)
    _, end, after = rest.partition(END)
    if not begin or not end:
        raise ValueError(f"{page} lacks the marks between which the figures stand")
    rows = ["| what | figure | target | |", "|---|--:|--:|---|"]
    for figure in figures:
        what, value, target, verdict = cells(figure)
        indented = what.lstrip()
        what = f"&emsp;{indented}" if indented != what else what
        verdict = f"**{verdict}**" if figure.met is False else verdict
        rows.append(f"| {what} | {value} | {target} | {verdict} |")
    lines = [*rows, "", *captions, ""]
    for path, text in pictures.items():
        lines += [f"![{text}]({path})", ""]
    for table in tables:
        lines += [f"**{table.title}**", "", _line(table.columns)]
        lines += [f"|---|{'--:|' * (len(table.columns) - 1)}", *map(_line, grid_cells(table)), ""]
    page.write_text(before + begin + "\n".join(lines) + end + after, encoding="utf-8")


def _line(cells: Iterable[str]) -> str:
    return f"| {' | '.join(cells)} |"
