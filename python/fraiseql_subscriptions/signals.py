"""What loading means for signals, and what the application changed about them afterwards.

Go puts its handlers on SIGSEGV, SIGBUS and SIGFPE (faults in Go become errors), on SIGPIPE (a
write to a peer that has gone becomes an error) and on SIGURG (its own, to interrupt a
goroutine). What it is not concerned with goes on to whatever was installed before. A handler
installed later takes Go's place instead, and Python can tell but cannot put Go's back; so an
executor that opens says so, once, in the log.
"""

from __future__ import annotations

import faulthandler
import logging
import signal
from typing import Final

__all__ = ["before_loading", "check"]

_logger = logging.getLogger("fraiseql_subscriptions")

_FAULTS: Final = (
    "faulthandler was %s after the subscriptions engine had been loaded, which removed the "
    "engine's handlers of SIGSEGV, SIGBUS and SIGFPE: a fault that it would have survived ends "
    "the process now. Call faulthandler.enable() before the first use of an executor, or start "
    "with python -X faulthandler, and leave it as it is"
)
_PIPE: Final = (
    "SIGPIPE was set to SIG_DFL after the subscriptions engine had been loaded: a write to a peer "
    "that has gone, the engine's or yours, ends the process without a word. Leave it ignored, as "
    "Python starts with it, or set it before the first use of an executor"
)


class _Seen:
    """The state before loading; None while the engine is not loaded. One per process."""

    def __init__(self) -> None:
        self.faulthandler: bool | None = None
        self.pipe_ends: bool | None = None


_seen: Final = _Seen()


def before_loading() -> None:
    """Note what is in force: Go's handlers are about to be put on top of it."""
    _seen.faulthandler = faulthandler.is_enabled()
    _seen.pipe_ends = _pipe_ends()


def check() -> None:
    """Warn of handlers of the engine that were replaced since it was loaded, once for each.

    Call it without a lock: handlers of logging are the application's code.
    """
    enabled, ends = faulthandler.is_enabled(), _pipe_ends()
    if _seen.faulthandler not in (None, enabled):
        _seen.faulthandler = None
        _logger.warning(_FAULTS, "enabled" if enabled else "disabled")
    if _seen.pipe_ends is False and ends:
        _seen.pipe_ends = None
        _logger.warning(_PIPE)


def _pipe_ends() -> bool:
    return signal.getsignal(signal.SIGPIPE) is signal.SIG_DFL
