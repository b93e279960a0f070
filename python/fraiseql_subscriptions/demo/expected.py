"""What each dashboard should have received, computed from the CSV files alone.

This shares no code with the engine's side of the demo (`data`, `dashboards`, `resolvers`): it
reads the files itself, reckons with `datetime`, selects with plain conditions, and writes the
responses' bytes with the standard encoder. So a mistake has to be made twice to go unseen.
"""

from __future__ import annotations

import csv
import hashlib
import json
from dataclasses import dataclass
from datetime import datetime, timedelta, timezone
from pathlib import Path
from typing import Any

__all__ = ["Expectation", "Expectations"]

Row = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Expectation:
    """How many responses, and the digest (BLAKE2b, hexadecimal) of their bytes in order."""

    count: int
    digest: str


class Expectations:
    """What dashboards should receive by kind and subject; each is computed once."""

    def __init__(self, flights: Path, airlines: Path, time_zones: Path) -> None:
        with airlines.open(encoding="utf-8") as file:
            self._names = {line[0]: line[1] for line in csv.reader(file)}
        with time_zones.open(encoding="utf-8") as file:
            lines = list(csv.reader(file))[1:]
        with flights.open(encoding="utf-8") as file:
            self._day = _history(list(csv.DictReader(file)), {a: int(h) for a, h in lines})
        self._known: dict[tuple[str, str], Expectation] = {}

    def of(self, kind: str, subject: str) -> Expectation:
        """Raises ValueError for a kind that is not known."""
        known = self._known.get((kind, subject))
        if known is None:
            known = self._known[kind, subject] = self._compute(kind, subject)
        return known

    def _compute(self, kind: str, subject: str) -> Expectation:
        digest = hashlib.blake2b(digest_size=16)
        count = 0
        for row in self._day:
            if _wants(kind, subject, row):
                shown = {"flightUpdated": self._shown(kind, row)}
                message = {"id": "flights", "type": "next", "payload": {"data": shown}}
                text = json.dumps(message, separators=(",", ":"), ensure_ascii=False)
                digest.update(text.encode())
                count += 1
        return Expectation(count, digest.hexdigest())

    def _shown(self, kind: str, row: Row) -> Row:
        """The fields that this kind of dashboard asks for, in its order."""
        if kind == "airport":
            fields = "sequence status carrier flight from to delay tailnum"
        elif kind == "delay":
            fields = "sequence carrier flight delay distance"
        elif kind == "named board":
            fields = "sequence time status airline flight destination"
        elif kind == "named delay":
            fields = "sequence time airline flight delay"
        else:
            fields = "sequence time status carrier flight origin destination delay"
        row = {
            **row,
            "airline": self._names[row["carrier"]],
            "from": row["origin"],
            "to": row["destination"],
        }
        return {field: row[field] for field in fields.split()}


def _wants(kind: str, subject: str, row: Row) -> bool:
    departing = row["status"] != "arrived"
    if kind == "airline":
        return bool(row["carrier"] == subject)
    if kind in ("airport", "named board"):
        return bool(row["origin" if departing else "destination"] == subject)
    if kind == "destination":
        return bool(row["destination"] == subject)
    if kind in ("delay", "named delay"):
        return row["delay"] is not None and row["delay"] >= int(subject)
    if kind == "cancelled":
        return bool(row["status"] == "cancelled")
    if kind == "all but":
        return bool(row["carrier"] != subject)
    if kind in ("shut out", "anonymous"):
        return False
    raise ValueError(f"nothing is known of dashboards of kind {kind!r}")


def _history(lines: list[dict[str, str]], hours_behind: dict[str, int]) -> list[Row]:
    """Everything that happened, in order, numbered."""
    new_york = timezone(timedelta(hours=-5))
    happened: list[tuple[datetime, int, int, Row]] = []
    for number, line in enumerate(lines):
        flight = {
            "carrier": line["carrier"],
            "flight": int(line["flight"]),
            "tailnum": line["tailnum"] or None,
            "origin": line["origin"],
            "destination": line["dest"],
            "distance": int(line["distance"]),
        }
        planned = _at(line["date"], line["sched_dep_time"], new_york)
        if not line["dep_time"]:
            row = {**flight, "status": "cancelled", "delay": None}
            happened.append((planned, number, 0, row))
            continue
        left = planned + timedelta(minutes=int(line["dep_delay"]))
        row = {**flight, "status": "departed", "delay": int(line["dep_delay"])}
        happened.append((left, number, 0, row))
        if not line["arr_time"]:
            continue
        there = timezone(timedelta(hours=-5 - hours_behind[line["dest"]]))
        landed = _at(left.astimezone(there).date().isoformat(), line["arr_time"], there)
        if landed < left:
            landed += timedelta(days=1)
        delay = int(line["arr_delay"]) if line["arr_delay"] else None
        row = {**flight, "status": "arrived", "delay": delay}
        happened.append((landed.astimezone(new_york), number, 1, row))
    happened.sort(key=lambda one: one[:3])
    return [
        {**row, "sequence": sequence, "time": moment.isoformat()}
        for sequence, (moment, _, _, row) in enumerate(happened)
    ]


def _at(day: str, clock: str, zone: timezone) -> datetime:
    midnight = datetime.fromisoformat(day).replace(tzinfo=zone)
    return midnight + timedelta(hours=int(clock) // 100, minutes=int(clock) % 100)
