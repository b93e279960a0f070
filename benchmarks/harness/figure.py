"""A measured figure with its target, and the report that one benchmark script makes of them."""

from __future__ import annotations

import statistics
from dataclasses import asdict, dataclass, field
from typing import Any

__all__ = ["Figure", "Report", "Table"]


@dataclass(frozen=True, slots=True)
class Figure:
    """One row of the table.

    `name` is stable, for comparing runs. `runs` are the values of the repeated runs whose
    median `value` is, in the same unit. Without a `target` the figure is there to read the
    others by. With `at_least`, more is better.
    """

    name: str
    title: str
    value: float
    unit: str
    target: float | None = None
    at_least: bool = False
    runs: list[float] = field(default_factory=list)

    @property
    def met(self) -> bool | None:
        """Whether the target was reached, None where there is none."""
        if self.target is None:
            return None
        return self.value >= self.target if self.at_least else self.value <= self.target

    def as_json(self) -> dict[str, Any]:
        return {**asdict(self), "met": self.met}


@dataclass(frozen=True, slots=True)
class Table:
    """Figures that are read across as well as down: a row and a column have a meaning each."""

    title: str
    columns: list[str]
    rows: list[list[str | float]]


@dataclass(slots=True)
class Report:
    """What one script measured. `series` holds (x, y) points for the pictures."""

    figures: list[Figure] = field(default_factory=list)
    series: dict[str, list[tuple[float, float]]] = field(default_factory=dict)
    tables: list[Table] = field(default_factory=list)

    def add(
        self,
        name: str,
        title: str,
        value: float | list[float],
        unit: str,
        target: float | None = None,
        *,
        at_least: bool = False,
    ) -> None:
        """Append a figure: a value, or what repeated runs gave."""
        runs = value if isinstance(value, list) else [value]
        median = statistics.median(runs)
        self.figures.append(Figure(name, title, median, unit, target, at_least, runs))
