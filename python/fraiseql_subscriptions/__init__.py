"""GraphQL subscriptions: publish events, hand finished response bytes to each subscriber.

The engine is written in Go and loaded with the first call that needs it; importing this
package loads no shared library.
"""

# ruff: noqa: E402

from __future__ import annotations

from .process import refuse_interpreter

refuse_interpreter()  # before the dependencies are imported, which refuse less clearly

from .aio import Stream
from .audit import AuditRecord
from .authority import Explanation
from .compat import install
from .config import EventBusConfig, QueuePolicy
from .errors import (
    AuthorizationError,
    BusError,
    BusUnavailable,
    ContextExpired,
    DispatchTimeout,
    DuplicateSubscription,
    EngineClosed,
    EngineError,
    ForkedProcessError,
    InvalidQuery,
    LimitExceeded,
    PublishOutcomeUnknown,
    RateLimited,
    ScopeViolation,
    SubscriptionNotFound,
    SubscriptionsError,
    TooManyViolations,
    Unauthenticated,
)
from .executor import SubscriptionExecutor
from .limits import Limits, Rate
from .listening import Listener, current_context
from .security import SecurityContext, SecurityPolicy
from .types import Event, ResolverInfo

__version__: str

__all__ = [
    "AuditRecord",
    "AuthorizationError",
    "BusError",
    "BusUnavailable",
    "ContextExpired",
    "DispatchTimeout",
    "DuplicateSubscription",
    "EngineClosed",
    "EngineError",
    "Event",
    "EventBusConfig",
    "Explanation",
    "ForkedProcessError",
    "InvalidQuery",
    "LimitExceeded",
    "Limits",
    "Listener",
    "PublishOutcomeUnknown",
    "QueuePolicy",
    "Rate",
    "RateLimited",
    "ResolverInfo",
    "ScopeViolation",
    "SecurityContext",
    "SecurityPolicy",
    "Stream",
    "SubscriptionExecutor",
    "SubscriptionNotFound",
    "SubscriptionsError",
    "TooManyViolations",
    "Unauthenticated",
    "__version__",
    "current_context",
    "install",
]


def __getattr__(name: str) -> str:
    # Reading the distribution's metadata takes longer than the rest of the import.
    if name == "__version__":
        from importlib.metadata import version

        return version("fraiseql-subscriptions")
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
