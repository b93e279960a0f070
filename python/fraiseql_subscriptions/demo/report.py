"""What the dashboards received against what they should have received."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final

from .data import Flight
from .distribution import Distribution
from .expected import Expectation, Expectations
from .replay import Replay, Tally

__all__ = ["Report", "Row", "report_on"]

_FAULTS: Final = 20


@dataclass(frozen=True, slots=True)
class Row:
    """One line of the table: one dashboard, or all extra ones of a kind."""

    name: str
    asks: str
    dashboards: int
    received: int
    expected: int
    ok: bool


@dataclass(frozen=True, slots=True)
class Report:
    """A finished run. `differences` has one sentence for each dashboard that received wrongly."""

    replay: Replay
    flights: Sequence[Flight]
    rows: Sequence[Row]
    differences: Sequence[str]

    def sentences(self) -> list[str]:
        """The figures below the table."""
        replay = self.replay
        pace = "as fast as possible" if replay.speed is None else f"at {replay.speed:,g} x"
        rates = (
            f"{len(replay.events) / replay.seconds:,.0f} events/s, "
            f"{replay.received / replay.seconds:,.0f} responses/s"
        )
        # Without a pace, events are published before the responses to earlier ones are read.
        waits = ["(as fast as possible: a delivery includes its wait behind earlier ones)"]
        return [
            f"Delivery, publish to the body of async for: {_quantiles(replay.delivery)}",
            f"Publishing, await publish():                {_quantiles(replay.publishing)}",
            *(waits if replay.speed is None else []),
            f"Replayed {pace} in {replay.seconds:.2f} s: {rates}.",
        ]

    def verdict(self) -> str:
        if self.differences:
            return f"{len(self.differences):,} of {len(self.replay.tallies):,} dashboards differ."
        return (
            f"All {len(self.replay.tallies):,} dashboards received exactly what the CSV file says: "
            f"{self.replay.received:,} responses, compared byte for byte."
        )

    def faults(self) -> list[str]:
        """The first differences, for people; `differences` has them all."""
        left = len(self.differences) - _FAULTS
        shown = list(self.differences[:_FAULTS])
        return [*shown, f"and {left:,} more"] if left > 0 else shown

    def as_json(self) -> dict[str, Any]:
        """For scripts. Durations in milliseconds where the name says so, in seconds elsewhere."""
        replay = self.replay
        return {
            "ok": not self.differences,
            "date": self.flights[0].day.isoformat(),
            "flights": len(self.flights),
            "events": len(replay.events),
            "dashboards": len(replay.tallies),
            "received": replay.received,
            "dropped": replay.dropped,
            "speed": replay.speed if replay.speed is not None else "max",
            "subscribing_seconds": round(replay.subscribing, 6),
            "seconds": round(replay.seconds, 6),
            "events_per_second": round(len(replay.events) / replay.seconds, 1),
            "responses_per_second": round(replay.received / replay.seconds, 1),
            "delivery_ms": _milliseconds(replay.delivery),
            "publishing_ms": _milliseconds(replay.publishing),
            "results": [
                {
                    "name": row.name,
                    "asks": row.asks,
                    "dashboards": row.dashboards,
                    "received": row.received,
                    "expected": row.expected,
                    "ok": row.ok,
                }
                for row in self.rows
            ],
            "differences": list(self.differences),
        }


def report_on(replay: Replay, flights: Sequence[Flight], expectations: Expectations) -> Report:
    """Compare every dashboard's count and digest."""
    groups: dict[str, list[tuple[Tally, Expectation, str | None]]] = {}
    differences: list[str] = []
    for number, tally in enumerate(replay.tallies):
        dashboard = tally.dashboard
        expected = expectations.of(dashboard.kind, dashboard.subject)
        difference = _difference(tally, expected)
        if difference is not None:
            name = f"{dashboard.name}, extra {number}" if dashboard.extra else dashboard.name
            differences.append(f"{name}: {difference}")
        group = f"{dashboard.kind}, others" if dashboard.extra else dashboard.name
        groups.setdefault(group, []).append((tally, expected, difference))
    rows = [
        Row(
            name=name,
            asks="spread over the whole day" if len(group) > 1 else group[0][0].dashboard.asks,
            dashboards=len(group),
            received=sum(tally.count for tally, _, _ in group),
            expected=sum(expected.count for _, expected, _ in group),
            ok=all(difference is None for _, _, difference in group),
        )
        for name, group in groups.items()
    ]
    return Report(replay, flights, rows, differences)


def _difference(tally: Tally, expected: Expectation) -> str | None:
    if tally.count != expected.count:
        return f"{tally.count:,} responses received, {expected.count:,} expected"
    if tally.digest != expected.digest:
        return f"{tally.count:,} responses as expected, but what they say differs"
    return None


def _quantiles(durations: Distribution) -> str:
    found = _milliseconds(durations)
    return "  ".join(f"{name} {value:.3f}" for name, value in found.items()) + " ms"


def _milliseconds(durations: Distribution) -> dict[str, float]:
    shares = {"p50": 0.5, "p90": 0.9, "p99": 0.99}
    found = {name: durations.quantile(share) for name, share in shares.items()}
    found["max"] = durations.maximum
    return {name: round(seconds * 1000, 4) for name, seconds in found.items()}
