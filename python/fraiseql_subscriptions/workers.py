"""Whether the server runs several worker processes, as far as a worker can tell.

Each worker has its own ``memory://`` bus, so an event reaches the clients of one of them only.
Servers tell their workers little; they are asked by what runs them (the functions on the main
thread's stack), then by the parent's command line, then by the environment.
"""

from __future__ import annotations

import logging
import os
import re
import sys
import threading
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from types import FrameType
from typing import TYPE_CHECKING, Any, Final

import orjson

if TYPE_CHECKING:
    from .executor import SubscriptionExecutor

__all__ = ["several", "stop_event", "warn_of_memory_bus"]

_logger = logging.getLogger("fraiseql_subscriptions")

#: By module and function, how to read the number of workers from the function's variables.
_RUNNERS: Final[Mapping[tuple[str, str], tuple[str, Callable[[Mapping[str, Any]], int]]]] = {
    ("gunicorn.arbiter", "run"): ("gunicorn", lambda names: names["self"].num_workers),
    ("uvicorn._subprocess", "subprocess_started"): (
        "uvicorn",
        # The reloader starts one, whatever the number says.
        lambda names: 1 if names["config"].reload else names["config"].workers,
    ),
    ("hypercorn.asyncio.run", "asyncio_worker"): ("hypercorn", lambda n: n["config"].workers),
    ("hypercorn.asyncio.run", "uvloop_worker"): ("hypercorn", lambda n: n["config"].workers),
}
_SERVERS: Final = re.compile(r"\b(gunicorn|uvicorn|hypercorn|granian|daphne)\b")
_WORKERS_OPTION: Final = re.compile(r"\0(?:--workers|-w)[=\0]?(\d+)\0")
_VARIABLES: Final = ("WEB_CONCURRENCY", "GRANIAN_WORKERS")

_warned = threading.Event()


def several() -> str | None:
    """What says that this is one of several workers, such as ``"uvicorn runs 4"``; or None."""
    told = _from_stack()
    if told is not None:
        server, count = told
        return f"{server} runs {count}" if count > 1 else None
    return _from_parent() or _from_environment()


def warn_of_memory_bus(executor: SubscriptionExecutor) -> None:
    """Log a warning, once a process, if `executor` cannot reach the other workers' clients."""
    if _warned.is_set() or orjson.loads(executor._options)["bus"]["kind"] != "memory":
        return
    found = several()
    if found is not None:
        _warned.set()
        _logger.warning(
            "this is one of several worker processes (%s) and its executor's bus is memory://: "
            "an event reaches only the clients of the worker that published it. Run one worker, "
            "or give the executor a bus that all of them share.",
            found,
        )


def stop_event() -> Any:
    """What a worker of hypercorn's is told to stop by; None for other servers.

    It has no other way to know: hypercorn sends its workers no signal.
    """
    for server, _, names in _runners():
        if server == "hypercorn" and hasattr(names.get("shutdown_event"), "is_set"):
            return names["shutdown_event"]
    return None


def _from_stack() -> tuple[str, int] | None:
    found = next(_runners(), None)
    if found is None:
        return None
    server, count, names = found
    try:
        return server, int(count(names))
    except (AttributeError, KeyError, TypeError, ValueError):
        return None  # another version of that server: the other ways are left


def _runners() -> Iterator[tuple[str, Callable[[Mapping[str, Any]], int], Mapping[str, Any]]]:
    """The servers' functions that run on the main thread now, with their variables."""
    frame: FrameType | None = sys._current_frames().get(threading.main_thread().ident or 0)
    while frame is not None:
        runner = _RUNNERS.get((frame.f_globals.get("__name__", ""), frame.f_code.co_name))
        if runner is not None:
            yield (*runner, frame.f_locals)
        frame = frame.f_back


def _from_parent() -> str | None:
    try:
        line = Path(f"/proc/{os.getppid()}/cmdline").read_text("utf-8", "replace")
    except OSError:
        return None  # no such system, or no such right
    server, count = _SERVERS.search(line), _WORKERS_OPTION.search(line)
    if server is None or count is None or int(count[1]) < 2:
        return None
    return f"{server[1]} runs {count[1]}"


def _from_environment() -> str | None:
    for name in _VARIABLES:
        value = os.environ.get(name, "")
        if value.isdecimal() and int(value) > 1:
            return f"{name} is {value}"
    return None
