"""Audit records: what was refused, ended or denied, and why.

They go to the logger ``fraiseql_subscriptions.audit`` at the level INFO (WARNING for the circuit
breaker), as the ``audit`` attribute of a log record, and to the executor's `audit` callable. A
thread of the engine brings them, in order and a moment later: nobody who publishes or registers
waits for a handler.
"""

from __future__ import annotations

import logging
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final, Literal

from .encode import decode_exact

if TYPE_CHECKING:
    from collections.abc import Callable

    from .types import Identifier

__all__ = ["AuditRecord", "Auditor"]

_logger = logging.getLogger("fraiseql_subscriptions")
_audit_logger = logging.getLogger("fraiseql_subscriptions.audit")
#: What somebody should look at; the rest is what goes on every day.
_WARNINGS: Final = frozenset({"circuit_breaker"})


@dataclass(frozen=True, slots=True, kw_only=True)
class AuditRecord:
    """One decision. What does not apply is None, and `count` (subscriptions) 0.

    `kind` is ``"refused"`` (a registration), ``"forbidden"`` (a subscription that its new context
    may not have), ``"revoked"``, ``"expired"``, ``"invalidated"``, ``"circuit_breaker"``, or
    ``"denied"``: an event that subscriptions of its channel may not see, `denied` saying how many
    by security module. Of denials only a sample is told. `time` is in unix seconds, `reason` a
    sentence, `code` that of the error. `data` is the event's, only with ``audit_data=True``.
    """

    kind: Literal[
        "refused", "forbidden", "revoked", "expired", "invalidated", "circuit_breaker", "denied"
    ]
    time: float
    reason: str
    code: str | None = None
    connection_id: str | None = None
    subscription_id: str | None = None
    user_id: Identifier | None = None
    tenant_id: Identifier | None = None
    permission: str | None = None
    count: int = 0
    event_id: str | None = None
    event_type: str | None = None
    channel: str | None = None
    denied: dict[str, int] = field(default_factory=dict)
    data: Any = None


class Auditor:
    """Where one executor's records go."""

    __slots__ = ("_call",)

    def __init__(self, call: Callable[[AuditRecord], object] | None) -> None:
        self._call = call

    def tell(self, lost: int, text: str) -> None:
        """Log the records of a JSON list and hand them on. An exception of the application's
        callable is logged, and the next record follows.
        """
        if lost:
            _audit_logger.warning("%d audit records were lost: there were too many at once", lost)
        for fields in decode_exact(text.encode()):
            record = AuditRecord(**fields)
            level = logging.WARNING if record.kind in _WARNINGS else logging.INFO
            if _audit_logger.isEnabledFor(level):
                _audit_logger.log(
                    level, "%s: %s", record.kind, record.reason, extra={"audit": record}
                )
            if self._call is not None:
                try:
                    self._call(record)
                except Exception:
                    _logger.exception("the audit callable raised for a record of %r", record.kind)
