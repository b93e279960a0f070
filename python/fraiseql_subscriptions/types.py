"""Small values that cross the public API."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal, NamedTuple, TypeAlias
from uuid import UUID

if TYPE_CHECKING:
    from .security import SecurityContext

__all__ = ["Event", "Identifier", "Resolver", "ResolverInfo", "Wait"]

#: What names a connection, a subscription, a user or a tenant.
Identifier: TypeAlias = str | int | UUID

#: A resolver: ``(data)``, ``(data, variables)`` or ``(data, variables, info)``, sync or async.
Resolver: TypeAlias = Callable[..., Any] | Callable[..., Awaitable[Any]]

#: How long a publish waits.
Wait: TypeAlias = Literal["dispatched", "accepted"]


@dataclass(frozen=True, slots=True)
class Event:
    """One event, for `publish_events` or from `listen`.

    `data` is a JSON object (a dict, or whatever orjson makes an object of). Without a
    `correlation_id` the event's own id serves; without an `event_id` the engine makes one
    (UUIDv7). `timestamp` (unix seconds) and `position` (to resume from) are the engine's: those
    of an event to be published do not matter.
    """

    event_type: str
    channel: str
    data: Any
    correlation_id: Identifier | None = None
    event_id: Identifier | None = None
    timestamp: float | None = None
    position: str | None = None


class ResolverInfo(NamedTuple):
    """What a resolver's third parameter tells about the event and the subscription.

    `timestamp` is in unix seconds. `context` is the subscription's `SecurityContext`, None
    for a trusted one.
    """

    event_id: str
    event_type: str
    channel: str
    timestamp: float
    correlation_id: str
    position: str
    subscription_id: str
    connection_id: str
    context: SecurityContext | None
