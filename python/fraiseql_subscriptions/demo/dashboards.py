"""Who watches the flights: each kind of dashboard shows one way to subscribe."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from fraiseql_subscriptions import SecurityContext, SubscriptionExecutor

from .data import FlightEvent
from .resolvers import AirlineDirectory, board_resolver, delay_resolver

__all__ = ["FLIGHT", "SDL", "SUBSCRIPTION_ID", "Dashboard", "dashboards_for", "extra_dashboards"]

#: What an event's data is.
FLIGHT: Final = """
"One departure, arrival or cancellation."
type Flight {
  sequence: Int!
  "In New York's time."
  time: String!
  "departed, arrived or cancelled"
  status: String!
  carrier: String!
  "The airline's name; resolvers in Python supply it."
  airline: String
  flight: Int!
  tailnum: String
  origin: String!
  destination: String!
  "In minutes, negative when early, null when not recorded."
  delay: Int
  "In miles."
  distance: Int!
}
"""
SDL: Final = f"""
type Query {{ flights: Int! }}

type Subscription {{ flightUpdated: Flight! }}
{FLIGHT}"""

#: Every dashboard has a connection of its own, and there calls its one subscription this.
SUBSCRIPTION_ID: Final = "flights"

_FLIGHT: Final = """
subscription Flights {
  flightUpdated { sequence time status carrier flight origin destination delay }
}"""
_BOARD: Final = """
subscription Board($aircraft: Boolean!) {
  flightUpdated {
    sequence status carrier flight from: origin to: destination delay
    tailnum @include(if: $aircraft)
  }
}"""
_DELAY: Final = "subscription { flightUpdated { sequence carrier flight delay distance } }"
_NAMED_BOARD: Final = (
    "subscription { flightUpdated { sequence time status airline flight destination } }"
)
_NAMED_DELAY: Final = "subscription { flightUpdated { sequence time airline flight delay } }"

#: The dashboards that the table shows one by one.
_SHOWN: Final[tuple[tuple[str, tuple[str, ...]], ...]] = (
    ("airline", ("UA", "EV", "B6", "DL", "AA")),
    ("airport", ("EWR", "JFK", "LGA", "ATL")),
    ("destination", ("LAX", "BOS", "ORD")),
    ("delay", ("60", "120")),
    ("cancelled", ("",)),
    ("named board", ("JFK",)),
    ("named delay", ("60",)),
    ("all but", ("DL",)),
    ("shut out", ("DL",)),
    ("anonymous", ("",)),
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Dashboard:
    """One subscriber. `kind` and `subject` say what it should receive, the rest how it asks.

    `asks` is the same in words, for people.

    Without a `context` it is one of the application's own, which sees every airline.
    """

    kind: str
    subject: str
    asks: str
    query: str
    channels: str = "flights.*"
    event_types: Sequence[str] | None = None
    filter: Mapping[str, Any] | None = None
    variables: Mapping[str, Any] | None = None
    context: SecurityContext | None = None
    resolver: Callable[[dict[str, Any]], Any] | None = None
    extra: bool = False

    @property
    def name(self) -> str:
        return f"{self.kind} {self.subject}".rstrip()

    def register(self, executor: SubscriptionExecutor, connection_id: str) -> str:
        """Subscribe; returns the engine's id of the subscription."""
        return executor.register_subscription(
            connection_id,
            SUBSCRIPTION_ID,
            self.query,
            variables=self.variables,
            channels=self.channels,
            event_types=self.event_types,
            filter=self.filter,
            context=self.context,
            resolver=self.resolver,
        )


class _Maker:
    """Makes dashboards of every kind; those of one kind share a resolver."""

    def __init__(self, names: Mapping[str, str]) -> None:
        self._board = board_resolver(names)
        self._delay = delay_resolver(AirlineDirectory())

    def make(self, kind: str, subject: str, *, extra: bool = False) -> Dashboard:
        return Dashboard(kind=kind, subject=subject, extra=extra, **self._asking(kind, subject))

    def _asking(self, kind: str, subject: str) -> dict[str, Any]:
        others = {"carrier": {"not_equals": subject}}
        channel = f"flights.{subject}"
        match kind:
            case "airline":  # no filter: the tenant alone decides
                return {"asks": f"tenant {subject}", "query": _FLIGHT, "context": _of(subject)}
            case "airport":
                return {
                    "asks": f"channel {channel}",
                    "query": _BOARD,
                    "channels": channel,
                    "variables": {"aircraft": True},
                }
            case "destination":
                return {
                    "asks": f"filter destination equals {subject}",
                    "query": _FLIGHT,
                    "filter": {"destination": {"equals": subject}},
                }
            case "delay":
                return {
                    "asks": f"filter delay gte {subject}",
                    "query": _DELAY,
                    "filter": {"delay": {"gte": int(subject)}},
                }
            case "cancelled":
                return {
                    "asks": "event type cancelled",
                    "query": _FLIGHT,
                    "event_types": ["cancelled"],
                }
            case "named board":
                return {
                    "asks": f"channel {channel}, resolver",
                    "query": _NAMED_BOARD,
                    "channels": channel,
                    "resolver": self._board,
                }
            case "named delay":
                return {
                    "asks": f"filter delay gte {subject}, async resolver",
                    "query": _NAMED_DELAY,
                    "filter": {"delay": {"gte": int(subject)}},
                    "resolver": self._delay,
                }
            case "all but":  # the application itself asks, and gets them
                return {
                    "asks": f"filter carrier not_equals {subject}",
                    "query": _FLIGHT,
                    "filter": others,
                }
            case "shut out":  # a tenant asks for exactly the others' flights, and gets none
                return {
                    "asks": f"the same, as tenant {subject}",
                    "query": _FLIGHT,
                    "filter": others,
                    "context": _of(subject),
                }
            case "anonymous":  # a client without an identity: every flight is some tenant's
                return {"asks": "no identity", "query": _FLIGHT, "context": SecurityContext()}
        raise ValueError(f"there is no dashboard of kind {kind!r}")


def _of(carrier: str) -> SecurityContext:
    """Each airline is a tenant."""
    return SecurityContext(tenant_id=carrier)


def dashboards_for(names: Mapping[str, str]) -> list[Dashboard]:
    """The dashboards of the table. `names` are the airlines'. Inside a running event loop."""
    maker = _Maker(names)
    return [maker.make(kind, subject) for kind, subjects in _SHOWN for subject in subjects]


def extra_dashboards(
    count: int, events: Sequence[FlightEvent], names: Mapping[str, str]
) -> Iterator[Dashboard]:
    """`count` more, spread evenly over the kinds and, within each, over the whole day's subjects.

    The kind that receives nearly everything is left out: 10,000 dashboards are to be a crowd
    with different interests.
    """
    maker = _Maker(names)
    carriers = sorted({event.data["carrier"] for event in events})
    origins = sorted({event.data["origin"] for event in events})
    destinations = sorted({event.data["destination"] for event in events})
    subjects: dict[str, Sequence[str]] = {
        "airline": carriers,
        "airport": origins + destinations,
        "destination": destinations,
        "delay": [str(minutes) for minutes in range(30, 250, 10)],
        "cancelled": [""],
        "named board": origins,
        "named delay": [str(minutes) for minutes in range(60, 250, 20)],
        "shut out": carriers,
        "anonymous": [""],
    }
    kinds = list(subjects)
    for number in range(count):
        turn, kind = divmod(number, len(kinds))
        choice = subjects[kinds[kind]]
        yield maker.make(kinds[kind], choice[turn % len(choice)], extra=True)
