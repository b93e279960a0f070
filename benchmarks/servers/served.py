"""What a server of the load benchmark is, and the event that all of them publish."""

from __future__ import annotations

import time
from collections.abc import Awaitable, Callable, MutableMapping
from typing import Any, Final, Protocol, TypeAlias

from harness.workload import DATA

__all__ = ["EXPECTED", "QUERY", "Application", "Receive", "Scope", "Send", "Served", "stamp"]

Scope: TypeAlias = MutableMapping[str, Any]
Receive: TypeAlias = Callable[[], Awaitable[MutableMapping[str, Any]]]
Send: TypeAlias = Callable[[MutableMapping[str, Any]], Awaitable[None]]
Application: TypeAlias = Callable[[Scope, Receive, Send], Awaitable[None]]

QUERY: Final = "subscription { orderUpdated { id status total customer { name } sent } }"
#: What a client gets for it, without `sent`.
EXPECTED: Final[dict[str, Any]] = {
    "orderUpdated": {
        "id": DATA["id"],
        "status": DATA["status"],
        "total": DATA["total"],
        "customer": {"name": DATA["customer"]["name"]},
    }
}


def stamp() -> str:
    """Now, as text that is always of the same length: an event's `sent`."""
    return f"{time.monotonic_ns():019d}"


class Served(Protocol):
    """An ASGI application and what the benchmark asks of it, on its event loop."""

    @property
    def app(self) -> Application: ...

    def subscribers(self) -> int:
        """How many there are."""

    def publish(self, count: int) -> None:
        """Publish so many events; returns before they are sent."""
