"""The exceptions of this package, and how an engine failure becomes one of them.

The engine reports a failure as text, ``CODE: sentence``. Each code has one exception class
here; the code is also that class's ``code`` attribute and never changes once released.
Wrong arguments that have no code of their own are plain ``ValueError`` and ``TypeError``.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, ClassVar, Final

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

__all__ = [
    "AuthorizationError",
    "BusError",
    "BusUnavailable",
    "ContextExpired",
    "DispatchTimeout",
    "DuplicateSubscription",
    "EngineClosed",
    "EngineError",
    "ForkedProcessError",
    "InvalidQuery",
    "LimitExceeded",
    "PublishOutcomeUnknown",
    "RateLimited",
    "ScopeViolation",
    "SubscriptionNotFound",
    "SubscriptionsError",
    "TooManyViolations",
    "Unauthenticated",
]


class SubscriptionsError(Exception):
    """Base of every exception that is this package's own."""

    code: ClassVar[str] = "SUBSCRIPTIONS_ERROR"


class InvalidQuery(SubscriptionsError, ValueError):
    """The query, its operation name or its variables cannot be executed."""

    code = "INVALID_QUERY"


class SubscriptionNotFound(SubscriptionsError, ValueError):
    """No live subscription has that id: it never existed, or it has ended."""

    code = "SUBSCRIPTION_NOT_FOUND"


class DuplicateSubscription(SubscriptionsError, ValueError):
    """That connection already has a live subscription of that id."""

    code = "DUPLICATE_SUBSCRIPTION"


class AuthorizationError(SubscriptionsError):
    """The context given may not do this."""

    code = "FORBIDDEN"


class ContextExpired(AuthorizationError):
    """The context given has expired: the client gets a new one."""

    code = "EXPIRED"


class Unauthenticated(AuthorizationError):
    """The client's access was revoked: it signs in again."""

    code = "UNAUTHENTICATED"


class ScopeViolation(SubscriptionsError):
    """The subscription asks for data outside its own context."""

    code = "SCOPE_VIOLATION"


class LimitExceeded(SubscriptionsError):
    """A limit was exceeded.

    `limit` is its name, as in `Limits`; `value` is the most that it allows, `asked` what there
    would have been.
    """

    code = "LIMIT_EXCEEDED"
    limit: str = ""
    value: float = 0
    asked: float = 0


class RateLimited(LimitExceeded):
    """A rate of `Limits` was exceeded; `value` is a second's, `asked` what the call asked."""

    code = "RATE_LIMITED"


class TooManyViolations(LimitExceeded):
    """The connection is cut off: it had more than the policy's `max_violations`."""

    code = "TOO_MANY_VIOLATIONS"


class BusError(SubscriptionsError):
    """The event bus refused or failed."""

    code = "BUS_ERROR"


class BusUnavailable(BusError):
    """The event bus cannot be reached; the event was certainly not accepted."""

    code = "BUS_UNAVAILABLE"


class PublishOutcomeUnknown(BusError):
    """Whether the bus accepted the event could not be found out in time."""

    code = "PUBLISH_OUTCOME_UNKNOWN"


class DispatchTimeout(SubscriptionsError):
    """The event was accepted and will be dispatched, but was not within `dispatch_timeout`.

    `position` is the event's, "" where it is not known.
    """

    code = "DISPATCH_TIMEOUT"
    position: str = ""


class EngineClosed(SubscriptionsError):
    """The executor was closed, or the interpreter is exiting."""

    code = "ENGINE_CLOSED"


class ForkedProcessError(SubscriptionsError):
    """This process was forked from one in which the engine was already running."""

    code = "FORKED_PROCESS"


class EngineError(SubscriptionsError):
    """The engine failed in a way it should not, or cannot run in this interpreter."""

    code = "ENGINE_ERROR"


_BY_CODE: Final[dict[str, type[Exception]]] = {
    kind.code: kind
    for kind in (
        InvalidQuery,
        SubscriptionNotFound,
        DuplicateSubscription,
        AuthorizationError,
        ContextExpired,
        Unauthenticated,
        ScopeViolation,
        LimitExceeded,
        RateLimited,
        TooManyViolations,
        BusError,
        BusUnavailable,
        PublishOutcomeUnknown,
        DispatchTimeout,
        EngineClosed,
        ForkedProcessError,
        EngineError,
    )
}
_BY_CODE["INVALID_VALUE"] = ValueError
_BY_CODE["INVALID_TYPE"] = TypeError


def from_native(failure: BaseException) -> Exception:
    """The exception that the engine's `failure` (a ``RuntimeError("CODE: sentence")``) stands for.

    A limit's is ``"CODE[limit value asked]: sentence"``. Text without a known code becomes an
    `EngineError` that carries all of it.
    """
    text = str(failure)
    head, separator, sentence = text.partition(": ")
    code, _, details = head.partition("[")
    kind = _BY_CODE.get(code)
    if kind is None or not separator:
        return EngineError(text)
    error = kind(sentence)
    if details and isinstance(error, LimitExceeded):
        error.limit, value, asked = details.rstrip("]").split(" ")
        error.value, error.asked = _number(value), _number(asked)
    return error


def _number(text: str) -> float:
    return float(text) if "." in text else int(text)


def ended_error(errors: Sequence[Mapping[str, Any]]) -> Exception:
    """The exception that the final ``error`` message of a subscription stands for."""
    first = errors[0]
    code = first.get("extensions", {}).get("code", "")
    return _BY_CODE.get(code, SubscriptionsError)(first["message"])


def dispatch_timeout(position: str, seconds: float) -> DispatchTimeout:
    """The error of a publish that waited `seconds` for its event at `position`."""
    error = DispatchTimeout(
        f"the event at {position} was accepted but not dispatched within {seconds:g} seconds; "
        "it will be, and must not be published again"
    )
    error.position = position
    return error


FORKED_MESSAGE: Final = (
    "this process was forked after the subscriptions engine had started in its parent, and the "
    "engine does not survive a fork: start workers by spawn (or exec), or make the first "
    "register, publish or fileno call after forking"
)
