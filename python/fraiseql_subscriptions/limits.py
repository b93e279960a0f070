"""How much there may be, how large it may be, and how often it may come."""

from __future__ import annotations

import math
from dataclasses import dataclass, fields
from typing import Any, Final

from .config import _integer

__all__ = ["Limits", "Rate"]

_RATES: Final = ("subscription_rate", "user_rate", "channel_rate")
_MAX_PER_SECOND: Final = 1_000_000
_MAX_FILL: Final = 100_000_000  # seconds that an empty bucket may take to fill


@dataclass(frozen=True, slots=True)
class Rate:
    """So many events a second in the long run, and `burst` at once after a pause.

    `per_second` may be a fraction: ``Rate(0.1, burst=5)`` is one every ten seconds.
    """

    per_second: float
    burst: int

    def __post_init__(self) -> None:
        value = self.per_second
        if isinstance(value, bool) or not isinstance(value, (int, float)):
            raise TypeError(f"per_second must be a number, not {type(value).__name__}")
        if math.isnan(value) or not 0 < value <= _MAX_PER_SECOND:
            raise ValueError(f"per_second must be above 0 and at most 1,000,000, not {value}")
        _integer("burst", self.burst, minimum=1)
        if self.burst > _MAX_FILL * value:
            raise ValueError(
                f"a burst of {self.burst} at per_second={value} takes more than "
                f"{_MAX_FILL:,} seconds to come back"
            )

    def _as_json(self) -> dict[str, Any]:
        return {"burst": self.burst, "per_second": float(self.per_second)}


@dataclass(frozen=True, slots=True, kw_only=True)
class Limits:
    """How much of everything there may be. None means unlimited, everywhere.

    What is refused for one raises `LimitExceeded` with the limit's name and value and what was
    asked. A connection counts while it has subscriptions. A user is the `user_id` of a
    security context, by type and value: 5 and "5" are two. Subscriptions of nobody count by
    connection and in all only. Sizes are in bytes; depth counts nested selection sets, or
    nested filter groups. Introspection counts as one deep, unless it nests lists of types in one
    another more than tools do. What a subscription may have queued is its `QueuePolicy`'s.

    The rates are off unless asked. `subscription_rate` and `user_rate` bound the events that
    reach a subscription, or all those of a user: one beyond is withheld from that subscription
    alone, counted under ``dropped["rate"]``, and a violation of its connection (see
    `SecurityPolicy`). What ``since=`` brings back is not rated. `channel_rate` bounds what this
    executor publishes on a channel, by publish calls: one beyond raises `RateLimited`, and
    nothing of it is published.
    """

    max_subscriptions: int | None = None
    max_subscriptions_per_connection: int | None = 100
    max_subscriptions_per_user: int | None = 100
    max_connections: int | None = 10_000
    max_connections_per_user: int | None = 10
    max_query_bytes: int | None = 100_000
    max_query_fields: int | None = 500
    max_query_depth: int | None = 10
    max_query_aliases: int | None = None
    max_query_directives: int | None = None
    max_variables_bytes: int | None = 1_000_000
    max_filter_depth: int | None = 5
    max_event_bytes: int | None = 1_000_000
    subscription_rate: Rate | None = None
    user_rate: Rate | None = None
    channel_rate: Rate | None = None

    def __post_init__(self) -> None:
        for field in fields(self):
            value = getattr(self, field.name)
            if value is None:
                continue
            if field.name not in _RATES:
                _integer(field.name, value, minimum=1)
            elif not isinstance(value, Rate):
                raise TypeError(
                    f"{field.name} must be a Rate or None, not {type(value).__name__}; "
                    f"write {field.name}=Rate(per_second, burst)"
                )

    @classmethod
    def unlimited(cls) -> Limits:
        """Nothing is limited: for trusted code, such as tests and measurements."""
        return cls(**{field.name: None for field in fields(cls)})

    def _as_json(self) -> dict[str, Any]:
        # The engine writes unlimited as 0.
        found: dict[str, Any] = {}
        for field in fields(self):
            value = getattr(self, field.name)
            if isinstance(value, Rate):
                found[field.name] = value._as_json()
            elif field.name not in _RATES:
                found[field.name] = value or 0
        return found
