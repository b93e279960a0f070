"""The table: one row a figure, misses shown like hits."""

from __future__ import annotations

from collections.abc import Iterable

from .figure import Figure, Table

__all__ = ["cells", "format_grid", "format_table", "grid_cells", "number"]

_VERDICTS = {True: "met", False: "MISSED", None: ""}


def format_table(figures: Iterable[Figure]) -> str:
    """Columns: what, figure, target, met or missed."""
    rows = [("what", "figure", "target", "")]
    rows += [cells(figure) for figure in figures]
    widths = [max(len(row[column]) for row in rows) for column in range(4)]
    lines = [
        f"{what:<{widths[0]}}  {value:>{widths[1]}}  {target:>{widths[2]}}  {verdict}".rstrip()
        for what, value, target, verdict in rows
    ]
    lines.insert(1, "-" * (sum(widths) + 6))
    return "\n".join(lines)


def cells(figure: Figure) -> tuple[str, str, str, str]:
    """What, figure, target, met or missed."""
    value = f"{number(figure.value)} {figure.unit}".rstrip()
    return figure.title, value, _target(figure), _VERDICTS[figure.met]


def grid_cells(table: Table) -> list[list[str]]:
    """The table's rows as text."""
    return [[one if isinstance(one, str) else number(one) for one in row] for row in table.rows]


def format_grid(table: Table) -> str:
    """Its title, then its columns: the first to the left, the others to the right."""
    rows = [table.columns, *grid_cells(table)]
    widths = [max(len(row[column]) for row in rows) for column in range(len(table.columns))]
    lines = [table.title]
    for first, *others in rows:
        cells = [f"{one:>{width}}" for one, width in zip(others, widths[1:], strict=True)]
        lines.append("  ".join([f"{first:<{widths[0]}}", *cells]))
    return "\n".join(lines)


def _target(figure: Figure) -> str:
    if figure.target is None:
        return ""
    return f"{'≥' if figure.at_least else '≤'} {number(figure.target)}"


def number(value: float) -> str:
    """Three significant digits; thousands separated."""
    if abs(value) >= 1000:
        return f"{value:,.0f}"
    return f"{value:.0f}" if abs(value) >= 100 or value == int(value) else f"{value:.3g}"
