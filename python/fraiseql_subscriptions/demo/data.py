"""The day of flights as events, in the order in which they happened.

A flight's row becomes a ``departed`` event when it left and an ``arrived`` event when it got
there; a cancelled flight (its departure cells are empty) becomes one ``cancelled`` event at
its scheduled departure. A flight whose arrival was never recorded only departs. An event is
published on the channel of the airport where it happens: ``flights.JFK`` carries JFK's
departures and cancellations, ``flights.LAX`` the arrivals there.
"""

from __future__ import annotations

import csv
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from pathlib import Path
from typing import Any, Final

__all__ = [
    "AIRLINES",
    "AIRPORTS",
    "FLIGHTS",
    "TIME_ZONES",
    "Airport",
    "Flight",
    "FlightEvent",
    "clock",
    "events_of",
    "flight_of",
    "read_airlines",
    "read_airports",
    "read_flights",
    "read_time_zones",
]

_FOLDER: Final = Path(__file__).parent / "data"
FLIGHTS: Final = _FOLDER / "flights-2013-02-04.csv"
AIRLINES: Final = _FOLDER / "airlines.csv"
AIRPORTS: Final = _FOLDER / "airports.csv"
TIME_ZONES: Final = _FOLDER / "time_zones.csv"

_DAY: Final = 24 * 60
#: New York's time in winter; the file's day has no change of the clocks.
_OFFSET: Final = "-05:00"


@dataclass(frozen=True, slots=True)
class Flight:
    """One row. Minutes count from midnight in New York, and pass 1,440 on the next day.

    `departure` is None for a cancelled flight, `arrival` where none was recorded. Delays are
    in minutes, negative when early, None where the file has none.
    """

    day: date
    carrier: str
    number: int
    tailnum: str | None
    origin: str
    destination: str
    distance: int
    scheduled: int
    departure: int | None
    departure_delay: int | None
    arrival: int | None
    arrival_delay: int | None
    air_time: int | None


@dataclass(frozen=True, slots=True)
class Airport:
    """Where an airport is, in degrees."""

    code: str
    city: str
    latitude: float
    longitude: float


@dataclass(frozen=True, slots=True)
class FlightEvent:
    """One event of the day, ready to be published. `minute` is in New York's time."""

    sequence: int
    minute: int
    event_type: str
    channel: str
    data: dict[str, Any]


def clock(minute: int) -> str:
    """``05:07`` for minute 307, and ``00:49+1`` on the next day."""
    days, minute = divmod(minute, _DAY)
    return f"{minute // 60:02}:{minute % 60:02}" + (f"+{days}" if days else "")


def flight_of(row: Mapping[str, str], hours_behind: Mapping[str, int]) -> Flight:
    """The flight of one CSV row.

    The file gives local times without a date. The day of a departure follows from its delay;
    an arrival is the first moment after the departure at which the destination's clock shows
    that time. Raises ValueError for a row that contradicts itself.
    """
    scheduled = _minute(row["sched_dep_time"])
    departure = arrival = None
    delay = _integer(row["dep_delay"])
    if row["dep_time"]:
        if delay is None:
            raise ValueError(f"{_name(row)}: it departed, but dep_delay is empty")
        departure = scheduled + delay
        if departure % _DAY != _minute(row["dep_time"]) % _DAY:
            raise ValueError(f"{_name(row)}: dep_time and dep_delay contradict each other")
        if row["arr_time"]:
            zone = hours_behind.get(row["dest"])
            if zone is None:
                raise ValueError(f"{_name(row)}: the time zone of {row['dest']} is not known")
            arrival = _minute(row["arr_time"]) + 60 * zone
            arrival += -((arrival - departure) // _DAY) * _DAY
    return Flight(
        day=date.fromisoformat(row["date"]),
        carrier=row["carrier"],
        number=int(row["flight"]),
        tailnum=row["tailnum"] or None,
        origin=row["origin"],
        destination=row["dest"],
        distance=int(row["distance"]),
        scheduled=scheduled,
        departure=departure,
        departure_delay=delay,
        arrival=arrival,
        arrival_delay=_integer(row["arr_delay"]),
        air_time=_integer(row["air_time"]),
    )


def events_of(flights: Iterable[Flight]) -> list[FlightEvent]:
    """The flights' events by time; those of one minute in the flights' order.

    `sequence` numbers them from 0. It is in the data too, so that a dashboard can tell which
    event a response answers.
    """
    happened: list[tuple[int, str, Flight]] = []
    for flight in flights:
        if flight.departure is None:
            happened.append((flight.scheduled, "cancelled", flight))
            continue
        happened.append((flight.departure, "departed", flight))
        if flight.arrival is not None:
            happened.append((flight.arrival, "arrived", flight))
    happened.sort(key=lambda one: one[0])  # stable: the rest keeps the file's order
    return [_event(sequence, *one) for sequence, one in enumerate(happened)]


def _event(sequence: int, minute: int, event_type: str, flight: Flight) -> FlightEvent:
    arrived = event_type == "arrived"
    moment = datetime.combine(flight.day, datetime.min.time()) + timedelta(minutes=minute)
    return FlightEvent(
        sequence=sequence,
        minute=minute,
        event_type=event_type,
        channel=f"flights.{flight.destination if arrived else flight.origin}",
        data={
            "sequence": sequence,
            "time": moment.isoformat() + _OFFSET,
            "status": event_type,
            "carrier": flight.carrier,
            "flight": flight.number,
            "tailnum": flight.tailnum,
            "origin": flight.origin,
            "destination": flight.destination,
            "delay": flight.arrival_delay if arrived else flight.departure_delay,
            "distance": flight.distance,
        },
    )


def read_flights(flights: Path = FLIGHTS, time_zones: Path = TIME_ZONES) -> list[Flight]:
    """Every flight of a file, in its order. ValueError names a row that makes no sense."""
    hours_behind = read_time_zones(time_zones)
    with flights.open(encoding="utf-8", newline="") as file:
        return [flight_of(row, hours_behind) for row in csv.DictReader(file)]


def read_airlines(path: Path = AIRLINES) -> dict[str, str]:
    """Airline names by carrier code."""
    with path.open(encoding="utf-8", newline="") as file:
        return {row["carrier"]: row["name"] for row in csv.DictReader(file)}


def read_airports(path: Path = AIRPORTS) -> dict[str, Airport]:
    """The airports by code."""
    with path.open(encoding="utf-8", newline="") as file:
        rows = [
            Airport(row["airport"], row["city"], float(row["latitude"]), float(row["longitude"]))
            for row in csv.DictReader(file)
        ]
    return {airport.code: airport for airport in rows}


def read_time_zones(path: Path = TIME_ZONES) -> dict[str, int]:
    """By how many hours each airport's clock is behind New York's."""
    with path.open(encoding="utf-8", newline="") as file:
        return {row["airport"]: int(row["hours_behind_new_york"]) for row in csv.DictReader(file)}


def _minute(clock_time: str) -> int:
    """Minutes from midnight of ``HMM``; 2400 is the end of the day."""
    hours, minutes = divmod(int(clock_time), 100)
    if minutes > 59 or not 0 <= 60 * hours + minutes <= _DAY:
        raise ValueError(f"{clock_time} is not a time of day written HMM")
    return 60 * hours + minutes


def _integer(cell: str) -> int | None:
    return int(cell) if cell else None


def _name(row: Mapping[str, str]) -> str:
    return f"flight {row['carrier']} {row['flight']} of {row['date']}"
