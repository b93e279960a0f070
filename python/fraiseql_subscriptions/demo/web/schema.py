"""What the page's clients may ask: the day's queries, and the flights as a subscription."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final

from fraiseql_subscriptions import QueuePolicy, SubscriptionExecutor

from ..dashboards import FLIGHT
from ..data import Flight, read_airlines, read_airports
from .day import Day

__all__ = ["SDL", "define", "executor_for", "root_value"]

SDL: Final = f"""
type Query {{
  day: Day!
  "Those of the day's flights, New York's first."
  airports: [Airport!]!
  "Those of the day's flights, by name."
  airlines: [Airline!]!
}}

type Day {{
  "Changes when the server starts again."
  run: ID!
  date: String!
  "Simulated seconds per second; null: as fast as possible."
  speed: Float
  "How many flights there will have been."
  flights: Int!
  "The position before the first one: `extensions.since` of a subscription to the day so far."
  start: String!
}}

type Airport {{
  code: ID!
  city: String!
  latitude: Float!
  longitude: Float!
  "Whether the day's flights leave from here."
  home: Boolean!
}}

type Airline {{
  code: ID!
  name: String!
}}

type Subscription {{
  "What happens: all of it, or the flights from one airport, or of one airline."
  flightUpdated(origin: String, carrier: String): Flight!
}}
{FLIGHT}
extend type Flight {{
  "How often the day has begun: it is played again and again."
  day: Int!
}}
"""

#: A client that asks for the day so far is sent all of it at once.
_QUEUE: Final = QueuePolicy(max_responses=4096)


def executor_for() -> SubscriptionExecutor:
    """An executor whose queues hold a day."""
    return SubscriptionExecutor(queue=_QUEUE)


def define(executor: SubscriptionExecutor) -> None:
    """Tie the subscription to the flights' channels."""
    names = read_airlines()

    @executor.field(
        "flightUpdated",
        channels="flights.*",
        filter={"origin": "$origin?", "carrier": "$carrier?"},
    )
    def flight_updated(flight: dict[str, Any]) -> dict[str, Any]:
        return {**flight, "airline": names[flight["carrier"]]}


def root_value(day: Day, flights: Sequence[Flight]) -> dict[str, Any]:
    """The resolvers of the queries."""
    origins = {flight.origin for flight in flights}
    used = origins | {flight.destination for flight in flights}
    airports = [
        {
            "code": one.code,
            "city": one.city,
            "latitude": one.latitude,
            "longitude": one.longitude,
            "home": one.code in origins,
        }
        for one in read_airports().values()
        if one.code in used
    ]
    names = read_airlines()
    airlines = [
        {"code": code, "name": names[code]} for code in {flight.carrier for flight in flights}
    ]

    async def today(info: Any) -> dict[str, Any]:
        return {
            "run": day.run,
            "date": flights[0].day.isoformat(),
            "speed": day.speed,
            "flights": len(flights),
            "start": await day.start(),
        }

    return {
        "day": today,
        "airports": sorted(airports, key=lambda one: (not one["home"], one["city"])),
        "airlines": sorted(airlines, key=lambda one: one["name"]),
    }
