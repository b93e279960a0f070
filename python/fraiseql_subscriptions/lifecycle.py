"""The life of one executor: its options, when its engine starts, and how it ends."""

from __future__ import annotations

import asyncio
import logging
import time
import weakref
from asyncio.events import _get_running_loop
from typing import TYPE_CHECKING, Any, Final, NoReturn

import orjson

from . import process, signals
from .aio import Hub
from .arguments import instance, milliseconds, schema_text
from .audit import Auditor
from .callbacks import Callbacks
from .config import EventBusConfig, QueuePolicy
from .errors import EngineClosed, from_native
from .limits import Limits
from .security import SecurityPolicy

if TYPE_CHECKING:
    from collections import deque
    from collections.abc import Callable, Iterable
    from types import ModuleType

    from typing_extensions import Self

    from .audit import AuditRecord
    from .definition import FieldDefinition

__all__ = ["SLICE_MS", "Engine"]

_logger = logging.getLogger("fraiseql_subscriptions")

#: How long one wait for the engine lasts, so that Ctrl-C is answered in time.
SLICE_MS: Final = 50


class Engine:
    """Opens the native engine when it is first needed, and closes it."""

    __slots__ = (
        "__weakref__",
        "_callbacks",
        "_closed",
        "_definitions",
        "_dispatch_timeout",
        "_finalizer",
        "_handle",
        "_hub",
        "_leftovers",
        "_native",
        "_options",
        "_policies",
        "_remote",
        "_security",
        "_table",
    )

    def __init__(
        self,
        bus: EventBusConfig | str | None = None,
        *,
        schema: object = None,
        security: SecurityPolicy | None = None,
        limits: Limits | None = None,
        queue: QueuePolicy | None = None,
        dispatch_timeout: float = 5.0,
        resolver_timeout: float = 30.0,
        debug: bool = False,
        audit: Callable[[AuditRecord], object] | None = None,
        audit_denials: float = 1.0,
        audit_data: bool = False,
    ) -> None:
        if bus is None:
            bus = EventBusConfig.memory()
        elif not isinstance(bus, EventBusConfig):
            bus = EventBusConfig.from_url(bus)
        sdl = schema_text(schema)
        milliseconds("dispatch_timeout", dispatch_timeout)
        milliseconds("resolver_timeout", resolver_timeout)
        if type(debug) is not bool:
            raise TypeError(f"debug must be a bool, not {type(debug).__name__}")
        if audit is not None and not callable(audit):
            raise TypeError(f"audit must be callable, not {type(audit).__name__}")
        if type(audit_data) is not bool:
            raise TypeError(f"audit_data must be a bool, not {type(audit_data).__name__}")
        _per_second("audit_denials", audit_denials)
        self._security = instance("security", security, SecurityPolicy)
        options: dict[str, Any] = {
            "audit": {"data": audit_data, "denials": float(audit_denials)},
            "bus": bus._as_json(),
            "debug": debug,
            "limits": instance("limits", limits, Limits)._as_json(),
            "queue": instance("queue", queue, QueuePolicy)._as_json(),
            "resolver_timeout": float(resolver_timeout),
            "security": self._security._as_json(),
        }
        if sdl is not None:
            options["schema"] = sdl
        self._options = orjson.dumps(options).decode()
        #: A server decides about what is published, which takes time and may fail.
        self._remote = bus.kind != "memory"
        self._handle = 0  # until opened; 0 again once closed
        self._closed = False
        #: What `field` has defined, by name.
        self._definitions: dict[str, FieldDefinition] = {}
        #: The engine's numbers of the policies that fields have of their own.
        self._policies: dict[str, int] = {}
        #: The operations of transports' clients, by connection id.
        self._native: ModuleType
        self._hub: Hub | None = None
        self._dispatch_timeout = float(dispatch_timeout)
        #: What closed streams had taken and not given out, by subscription; shared with the hub.
        self._leftovers: dict[str, deque[bytes]] = {}
        self._callbacks = Callbacks(debug=debug, auditor=Auditor(audit))
        # The engine's one reference into Python objects.
        self._table = weakref.ref(self._callbacks)
        self._finalizer: weakref.finalize[Any, Any] | None = None

    def _open(self) -> int:
        """Start the engine for this executor; its handle. EngineClosed, ForkedProcessError."""
        signals.check()
        with process.state.lock:
            if self._closed:
                raise EngineClosed("the executor is closed; make a new SubscriptionExecutor")
            if self._handle:
                return self._handle
            native = process.load()
            try:
                handle: int = native.new_executor(self._options, id(self._table))
            except RuntimeError as error:
                raise from_native(error) from None
            try:
                self._add_policies(native, handle, list(self._definitions.values()))
            except BaseException:
                native.abandon_executor(handle)
                raise
            self._native = native
            self._hub = Hub(native, handle, self._leftovers)
            self._callbacks.tasks.open(native, handle)
            self._callbacks.empty = self._hub.empty
            self._finalizer = weakref.finalize(self, _abandon, native, handle, self._hub)
            self._finalizer.atexit = False
            self._handle = handle
            return handle

    def _adopt_schema(self, text: str) -> None:
        """Check queries by `text` (SDL), unless there is a schema already. ValueError: too late."""
        with process.state.lock:
            options = orjson.loads(self._options)
            if "schema" in options:
                return
            if self._handle or self._closed:
                raise ValueError(
                    "the executor has been used already, without a schema; give it to "
                    "SubscriptionExecutor(schema=…), too, or name it here before the first use"
                )
            self._options = orjson.dumps({**options, "schema": text}).decode()

    def _add_policies(
        self, native: ModuleType, handle: int, definitions: Iterable[FieldDefinition]
    ) -> None:
        """Tell the engine by what these fields are guarded. ValueError."""
        for definition in definitions:
            if definition.policy and definition.policy not in self._policies:
                try:
                    number: int = native.add_policy(handle, definition.policy)
                except RuntimeError as failure:
                    error = from_native(failure)
                    raise type(error)(f"field {definition.name!r}: {error}") from None
                self._policies[definition.policy] = number

    def _entry(self) -> int:
        """The handle, for methods that are not called per event."""
        if process.state.forked[0]:
            raise process.forked_error()
        return self._handle or self._open()

    def _loop_flag(self) -> int:
        """1 where a wait for the bus's server would stop a running event loop."""
        return 1 if self._remote and _get_running_loop() is not None else 0

    def _raise_interrupt(self) -> None:
        """Raise the KeyboardInterrupt or SystemExit that a resolver raised in this call."""
        interrupt = self._callbacks.interrupt()
        if interrupt is not None:
            raise interrupt

    def close(self, timeout: float = 5.0) -> None:
        """End every subscription and stop the engine's threads. Idempotent.

        Waits at most `timeout` seconds for resolvers that are running, never inside a
        resolver. Streams end after what was queued. In a forked child there is nothing to
        close, and it does nothing.
        """
        limit = milliseconds("timeout", timeout)
        with process.state.lock:  # a forked child has a new one
            self._closed = True
            handle = self._handle
        if not handle or process.state.forked[0]:
            return
        assert self._hub is not None
        loop = _get_running_loop()
        if loop is not None:  # what runs on this loop cannot end while its thread waits here
            self._callbacks.tasks.cancel_on(loop)
        deadline = time.monotonic() + limit / 1000
        try:
            _wait(self._native.stop_executor, handle, deadline)
            self._hub.finish()  # with the answers that were on their way
            ended = _wait(self._native.close_executor, handle, deadline)
        except RuntimeError as error:
            raise self._callbacks.interrupt() or from_native(error) from None
        if not ended:
            _logger.warning(
                "the executor was closed, but a resolver was still running after %s seconds",
                timeout,
            )
            return
        self._hub.close()
        if ended < 0:  # in a resolver or a log handler: the engine does the rest by itself
            return
        self._handle = 0
        if self._finalizer is not None:
            self._finalizer.detach()
        self._raise_interrupt()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exc_info: object) -> None:
        self.close()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *exc_info: object) -> None:
        # In a thread, so that async resolvers on this loop can finish meanwhile.
        await asyncio.get_running_loop().run_in_executor(None, self.close)

    def __reduce_ex__(self, protocol: object) -> NoReturn:
        # copy.copy() and copy.deepcopy() ask here, too: two objects would own one engine.
        raise TypeError("a SubscriptionExecutor cannot be copied or pickled; make a new one")

    def __repr__(self) -> str:
        state = "closed" if self._closed else "open" if self._handle else "not started"
        return f"<SubscriptionExecutor ({state})>"


# What a wrong argument's TypeError names.
Engine.__init__.__qualname__ = "SubscriptionExecutor.__init__"


def _per_second(name: str, value: object) -> None:
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        raise TypeError(f"{name} must be a number, not {type(value).__name__}")
    if not 0 <= value <= 1_000_000:
        raise ValueError(f"{name} must be from 0 to 1,000,000 a second, not {value}")


def _wait(call: Callable[[int, int], int], handle: int, deadline: float) -> int:
    """Call in slices, once at least, until it gives something but 0 or the deadline is over."""
    while True:
        left = max(0, int((deadline - time.monotonic()) * 1000))
        ended = call(handle, min(left, SLICE_MS))
        if ended or not left:
            return ended


def _abandon(native: ModuleType, handle: int, hub: Hub) -> None:
    """The executor was dropped without close(). The collector may call this on any thread."""
    if not process.state.forked[0]:
        native.abandon_executor(handle)
        hub.close()
