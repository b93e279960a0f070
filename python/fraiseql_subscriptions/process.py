"""The engine's life in this process: loaded late, refused after a fork, stopped at exit.

Importing the package loads no shared library; `load` does, on the first call that needs the
engine, so that module-level executors survive a pre-forking server.
"""

from __future__ import annotations

import atexit
import contextlib
import copy
import os
import sysconfig
import threading
from importlib import import_module
from typing import TYPE_CHECKING, Any, Final

from . import signals
from .errors import FORKED_MESSAGE, EngineError, ForkedProcessError, from_native

if TYPE_CHECKING:
    from collections.abc import Callable
    from types import ModuleType

    from .pump import Pump, Round

__all__ = ["forked_error", "is_forked", "load", "refuse_interpreter", "state"]


def _not_loaded(*_: Any) -> Any:
    raise EngineError("the engine is not loaded")


class State:
    """What `load` leaves behind; one per process."""

    def __init__(self) -> None:
        #: One byte that is 1 in a process forked after loading. The engine owns the real one and
        #: sets it from pthread_atfork, so that forks made in C count too.
        self.forked = memoryview(b"\0")
        #: Copies a decoded JSON value. The engine brings a faster one.
        self.copy_value: Callable[[Any], Any] = copy.deepcopy
        #: The data of (event_type, channel, data) tuples of just the right types; None when one
        #: is no such tuple, or the engine is not loaded.
        self.plain_data: Callable[[list[Any]], list[dict[Any, Any]] | None] = lambda events: None
        #: What a pump's errands are done with (pump.py); the engine brings it.
        self.round: Callable[[dict[Any, Pump], list[Any], list[Any], int], Round] = _not_loaded
        self.native: ModuleType | None = None
        self.loading = False
        #: Held while the engine is loaded and while an executor opens. Re-entrant, since the
        #: garbage collector may run the application's code meanwhile.
        self.lock = threading.RLock()


#: The state of this process. Callers read `forked` at every call, so it is no function.
state: Final = State()


def load() -> ModuleType:
    """The native module, loaded and started if this is the first call.

    Raises EngineError where the module was not built, ForkedProcessError in a child forked
    after loading.
    """
    native = state.native
    if native is not None:
        if state.forked[0]:
            raise forked_error()
        return native
    with state.lock:
        if state.forked[0]:
            raise forked_error()
        if state.native is None:
            state.loading = True
            try:
                state.native = _start()
            finally:
                state.loading = False
        return state.native


def is_forked() -> bool:
    """Whether this process was forked after the engine was loaded."""
    return bool(state.forked[0])


def forked_error() -> ForkedProcessError:
    """The error for every call in a child forked after loading."""
    return ForkedProcessError(FORKED_MESSAGE)


def _start() -> ModuleType:
    signals.before_loading()
    try:
        native = import_module("fraiseql_subscriptions._native")
    except ImportError as error:
        raise EngineError(
            f"the native module cannot be loaded ({error}); install the package with pip, "
            "or build it in place with: python -m build_native"
        ) from error
    out: list[Any] = []
    try:
        native.process_init(id(out))
    except RuntimeError as error:
        raise from_native(error) from None
    state.forked, state.copy_value, state.plain_data, state.round = out
    atexit.register(_exit)
    return native


def refuse_interpreter() -> None:
    """Raise EngineError in a subinterpreter and in a free-threaded build."""
    if sysconfig.get_config_var("Py_GIL_DISABLED"):
        raise EngineError(
            "the subscriptions engine needs the GIL; this is a free-threaded build of Python "
            "(use the standard build of the same version)"
        )
    if not _in_main_interpreter():
        raise EngineError(
            "the subscriptions engine runs in the main interpreter only; this is a "
            "subinterpreter (under mod_wsgi set WSGIApplicationGroup to %{GLOBAL})"
        )


def _in_main_interpreter() -> bool:
    """Ask CPython's private module of the running version; its name and answers changed."""
    for name in ("_interpreters", "_xxsubinterpreters"):
        with contextlib.suppress(ImportError, AttributeError):
            module = import_module(name)
            return _number(module.get_current()) == _number(module.get_main())
    return True  # such an interpreter cannot have others


def _number(interpreter: Any) -> int:
    """The interpreter's id: an object, an int, or (3.13) a tuple that begins with it."""
    return int(interpreter[0] if isinstance(interpreter, tuple) else interpreter)


def _exit() -> None:
    """At interpreter exit: refuse new callbacks and stop the engine, within a second."""
    native = state.native
    if native is not None and not state.forked[0]:
        native.process_exit()


def _after_fork() -> None:
    """In a forked child: the lock may be held by a thread that is not there any more."""
    state.lock = threading.RLock()
    if state.loading:  # half loaded, and before the engine's own hook was installed
        state.forked = memoryview(b"\1")


os.register_at_fork(after_in_child=_after_fork)
