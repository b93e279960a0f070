"""The application's callables as the engine calls them.

The engine knows a resolver by an integer that is never reused, and the table that maps
integers to callables by one weak reference. The executor owns the table, so a dropped
executor is collected even when its resolvers refer back to it, and a late call finds the
table gone. A resolver leaves the table when its last registration has ended.

Everything the engine calls here (`resolve`, `release`, `cancel`, `log`) returns normally
whatever happens: an exception of a resolver is that resolver's result.
"""

from __future__ import annotations

import asyncio
import contextvars
import logging
import threading
import traceback
from _thread import _count as threads_started
from _thread import get_ident
from asyncio.events import _get_running_loop
from collections.abc import Callable, Sequence
from itertools import count
from time import monotonic, sleep
from typing import Any, Final, TypeAlias

from .audit import Auditor
from .encode import decode, decode_exact, encode
from .process import state as process_state
from .resolver import Resolver, identity_of
from .result import ERROR, PENDING, Result, message_of, response_of
from .security import SecurityContext
from .signature import shape_of
from .tasks import Task, TaskTable

__all__ = ["Callbacks"]

#: A resolver's number, or (number, variables, info, ticket).
Call: TypeAlias = int | tuple[int, bytes | None, bytes | None, int]
_logger = logging.getLogger("fraiseql_subscriptions")
_PENDING_RESULT: Final = (PENDING, b"")
#: Seconds that consecutive resolver calls of one event keep the GIL, at most.
_HOLD: Final = 0.001
#: Seconds for which it is then given up. It takes a thread that waits for the GIL some of
#: that to wake up; one that comes too late waits all over again.
_OFFER: Final = 0.00005
_GONE: Final = (ERROR, b"the resolver is not registered any more")


class Callbacks(dict[int, Resolver]):
    """The table of one executor's resolvers.

    Registering and releasing are safe from any thread; the lock is re-entrant because the
    garbage collector may complete a subscription while this thread registers another.
    """

    __slots__ = (
        "__weakref__",
        "_auditor",
        "_debug",
        "_identities",
        "_interrupts",
        "_lock",
        "_numbers",
        "_resolving",
        "empty",
        "tasks",
    )

    def __init__(self, *, debug: bool = False, auditor: Auditor | None = None) -> None:
        super().__init__()
        self._auditor = auditor or Auditor(None)
        self._debug = debug
        self._numbers = count(1)
        self._lock = threading.RLock()
        self._identities: dict[tuple[Any, ...], tuple[int, Resolver]] = {}
        #: KeyboardInterrupt and SystemExit of resolvers, by the thread whose publish raises them.
        self._interrupts: dict[int, BaseException] = {}
        self._resolving: set[int] = set()
        self.tasks = TaskTable()
        #: Set once there are streams.
        self.empty: Callable[[list[str]], None] = lambda _: None

    # --- Called by the executor --------------------------------------------------------

    def acquire(
        self,
        call: Callable[..., Any],
        *,
        share: bool = True,
        security: SecurityContext | None = None,
    ) -> tuple[int, int]:
        """Enter `call` for one registration; its number in the table and its flags.

        The same callable registered from the same contextvars gets the same number, so that
        the engine calls it once for all. One that takes `info` is called per subscription.
        Raises TypeError as `shape_of`, and for an async resolver without a running event loop.
        """
        shape = shape_of(call)
        loop = None
        if shape.is_async:
            loop = _get_running_loop()
            if loop is None:
                raise TypeError(
                    "an async resolver runs on the event loop that registers it, and none is "
                    "running here: register it from a coroutine, or pass a plain function"
                )
        context = contextvars.copy_context()
        identity = None
        if share and shape.arity < 3:
            held = tuple(map(id, context)), tuple(map(id, context.values()))
            identity = (identity_of(call), id(loop), held)
        with self._lock:
            known = self._identities.get(identity) if identity is not None else None
            if known is not None:
                known[1].uses += 1
                return known[0], shape.flags
            number = next(self._numbers)
            resolver = Resolver(call, shape, context, loop, security, identity)
            self[number] = resolver
            if identity is not None:
                self._identities[identity] = number, resolver
            return number, shape.flags

    def interrupt(self) -> BaseException | None:
        """The interrupt that a resolver raised while this thread published, once.

        None inside a resolver: the event in hand is dispatched to everyone first.
        """
        if not self._interrupts:
            return None
        thread = get_ident()
        return None if thread in self._resolving else self._interrupts.pop(thread, None)

    # --- Called by the engine ----------------------------------------------------------

    def resolve(
        self, data: bytes, calls: Sequence[Call], exact: bool, engine_thread: bool
    ) -> list[Result]:
        """One result a call, in order, as `result` describes them.

        Never raises once it has begun: Ctrl-C can strike between any two steps of Python code,
        and its exception is then a result and kept for the publish to raise. The engine deals
        with the one place out of reach, before the first step.
        """
        results: list[Result] = []
        try:
            self._resolve(data, calls, exact, engine_thread, results.append)
        except BaseException as error:
            self._go_on(error, data, calls, exact, engine_thread, results)
        return results

    def _go_on(
        self,
        error: BaseException,
        data: bytes,
        calls: Sequence[Call],
        exact: bool,
        engine_thread: bool,
        results: list[Result],
    ) -> None:
        """Do the calls after the one that a signal's exception has struck."""
        while True:
            self._keep_interrupt(error, engine_thread)
            if len(results) < len(calls):
                results.append((ERROR, message_of(error)))
            try:
                self._resolve(data, calls[len(results) :], exact, engine_thread, results.append)
            except BaseException as another:
                error = another
            else:
                break
        del results[len(calls) :]

    def _resolve(
        self,
        data: bytes,
        calls: Sequence[Call],
        exact: bool,
        engine_thread: bool,
        append: Callable[[Result], None],
    ) -> None:
        resolving = self._resolving
        thread = get_ident()
        nested = thread in resolving
        try:
            resolving.add(thread)
            get = self.get
            decoded = decode_exact if exact else decode
            several = len(calls) > 1
            # Copying what was decoded is faster than decoding again.
            source, fresh = (
                (decoded(data), process_state.copy_value) if several else (data, decoded)
            )
            until = monotonic() + _HOLD if several else 0.0
            for call in calls:
                if several and monotonic() > until:
                    try:
                        _offer_the_gil(engine_thread)
                    except (KeyboardInterrupt, SystemExit) as error:  # no call's fault
                        self._keep_interrupt(error, engine_thread)
                    until = monotonic() + _HOLD
                resolver = get(call)  # type: ignore[arg-type]  # a tuple is no key
                if resolver is None or not resolver.takes_data_only:
                    append(self._resolve_other(call, data, fresh, source, exact, engine_thread))
                    continue
                try:
                    value = resolver.context.copy().run(resolver.call, fresh(source))
                    if type(value) is dict and "data" not in value and "errors" not in value:
                        result: Result = encode(value)
                    else:
                        result = response_of(value)
                    if resolver.failing:
                        resolver.failing = False
                except BaseException as error:
                    result = self._failed(resolver, error, engine_thread)
                append(result)
        finally:
            if not nested:
                resolving.discard(thread)

    def _resolve_other(
        self,
        call: Call,
        data: bytes,
        fresh: Callable[[Any], Any],
        source: Any,
        exact: bool,
        engine_thread: bool,
    ) -> Result:
        """One call of a resolver that takes more than the data, or is async, or is gone.

        `fresh(source)` is the call's own copy of the data.
        """
        number, variables, info, ticket = (call, None, None, 0) if isinstance(call, int) else call
        resolver = self.get(number)
        if resolver is None:
            return _GONE
        try:
            if resolver.loop is not None:
                return self._begin(resolver, ticket, data, variables, info, exact)
            arguments = resolver.arguments(fresh(source), variables, info)
            result = response_of(resolver.context.copy().run(resolver.call, *arguments))
        except BaseException as error:
            return self._failed(resolver, error, engine_thread)
        resolver.failing = False
        return result

    def _begin(
        self,
        resolver: Resolver,
        ticket: int,
        data: bytes,
        variables: bytes | None,
        info: bytes | None,
        exact: bool,
    ) -> Result:
        """Schedule an async resolver on its loop; its answer is settled later."""
        loop = resolver.loop
        assert loop is not None
        context = resolver.context.copy()
        task = Task(ticket, loop)

        async def answer() -> Result:
            try:
                first = decode_exact(data) if exact else decode(data)
                value = await resolver.call(*resolver.arguments(first, variables, info))
                result = response_of(value)
            except asyncio.CancelledError:
                return ERROR, b"the resolver was cancelled"
            except (KeyboardInterrupt, SystemExit) as error:
                # The loop ends with it, as with any task's; the subscription gets its answer.
                self.tasks.settle(task, self._report(resolver, error))
                raise
            except BaseException as error:
                return self._report(resolver, error)
            resolver.failing = False
            return result

        if not self.tasks.start(task, answer, context):
            return ERROR, b"the event loop that registered this resolver is closed"
        return _PENDING_RESULT

    def release(self, numbers: list[int], uses: list[int]) -> None:
        """`uses[i]` registrations of resolver `numbers[i]` have ended. Never raises."""
        dropped: list[object] = []  # destroyed after the lock is given back: that may run any code
        with self._lock:
            for number, ended in zip(numbers, uses, strict=True):
                resolver = self.get(number)
                if resolver is None:
                    continue
                resolver.uses -= ended
                if resolver.uses <= 0:
                    dropped.append(self.pop(number))
                    if resolver.identity is not None:
                        dropped.append(self._identities.pop(resolver.identity))

    def cancel(self, tickets: list[int]) -> None:
        """Nobody waits for these answers any more: cancel their tasks. Never raises."""
        self.tasks.cancel(tickets)

    def log(self, level: int, message: str) -> None:
        """Write one record of the engine; `level` is Go's (0 info, 4 warning, 8 error)."""
        try:
            _logger.log(20 + level * 5 // 2, "%s", message)
        except Exception:  # a handler of the application's: logging.raiseExceptions reports it
            return

    def audit(self, lost: int, text: str) -> None:
        """Tell audit records, a JSON list; `lost` is how many more there were no room for."""
        try:
            self._auditor.tell(lost, text)
        except Exception as error:  # a handler's, or a record that is not as it should be
            self.log(8, f"audit records could not be told: {error!r}")

    def emptied(self, count: int, ids: str) -> None:
        """Drop what streams have taken of `count` subscriptions that may see nothing any more."""
        try:
            self.empty(ids.split())
        except Exception as error:  # a loop's, that is closing
            self.log(8, f"streams of {count} subscriptions could not be emptied: {error!r}")

    # --- Failures ----------------------------------------------------------------------

    def _failed(self, resolver: Resolver, error: BaseException, engine_thread: bool) -> Result:
        try:
            if isinstance(error, (KeyboardInterrupt, SystemExit)):  # no fault of the resolver's
                self._keep_interrupt(error, engine_thread)
                return ERROR, message_of(error)
            return self._report(resolver, error)
        except BaseException as second:  # in a handler of logging, or a signal's
            self._keep_interrupt(second, engine_thread)
            return ERROR, message_of(error)

    def _keep_interrupt(self, error: BaseException, engine_thread: bool) -> None:
        if isinstance(error, (KeyboardInterrupt, SystemExit)):
            if engine_thread:
                _Unraisable(error)
            else:
                self._interrupts[get_ident()] = error

    def _report(self, resolver: Resolver, error: BaseException) -> Result:
        """The error result, and a log record when this resolver had not been failing before."""
        message = message_of(error)
        if not resolver.failing:
            resolver.failing = True
            _logger.error(
                "resolver %s failed: %s (logged once until it succeeds again)",
                getattr(resolver.call, "__qualname__", resolver.call.__class__.__qualname__),
                message.decode(errors="replace"),
                exc_info=error if self._debug else None,
            )
        if self._debug:
            lines = traceback.format_exception(type(error), error, error.__traceback__)
            message += b"\n" + "".join(lines).encode(errors="backslashreplace")
        return ERROR, message


def _offer_the_gil(engine_thread: bool) -> None:
    """Let another Python thread run, where there is one besides this."""
    if engine_thread or threads_started():
        sleep(_OFFER)


class _Unraisable:
    """Hands an exception to sys.unraisablehook the one way Python code can: from __del__."""

    def __init__(self, error: BaseException) -> None:
        self.error = error

    def __del__(self) -> None:
        raise self.error
