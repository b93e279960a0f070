"""A task for which the event loop's callbacks can run errands, too.

Waking a task costs a turn of the loop and, where ten thousand of them have a message each to
send, more than sending it. While a pump has nothing to do, a callback can `hand` it something:
its errand is run at once, and runs as the pump's task: in that task's context, and
`asyncio.current_task()` is the task. Where it then waits for something, the task waits for it.

A round is errands of many pumps, done by one coroutine until one of them has to wait: the engine
has the iterator (round.c) that lets it be each pump's task in turn.

A coroutine is driven by `send` and `throw` alone (PEP 492); what it yields to asyncio's tasks is
a future to wait for, or None.
"""

from __future__ import annotations

import asyncio
import contextvars
import sys
import types
from collections.abc import Awaitable, Callable, Coroutine, Generator, Iterator
from typing import Any, Final, Protocol, TypeAlias

from .process import state

__all__ = ["Pump", "Round", "hand_over"]

#: What a coroutine yields when it has nothing to do.
_IDLE: Final = object()

#: What is left of an errand: its coroutine and what that waits for, or what it raised.
_Left: TypeAlias = tuple[Coroutine[Any, Any, None], Any] | BaseException


@types.coroutine
def _idle() -> Generator[object, Any, Any]:
    return (yield _IDLE)


class Round(Protocol):
    """An iterator of errands of idle pumps, and what they are to be called with.

    Between giving out one and the next, the thread is in the task and context of its pump. It
    ends at the first id whose pump is not idle: `at` is its index.
    """

    at: int

    def __iter__(self) -> Iterator[tuple[Callable[[Any], Awaitable[None]], Any]]: ...

    def end(self) -> Pump | None:
        """Leave what it is in: the pump whose errand is under way, or None."""


async def _await_errands(round_: Round) -> None:
    for errand, argument in round_:
        await errand(argument)


def hand_over(pumps: dict[Any, Pump], ids: list[Any], arguments: list[Any], at: int) -> int:
    """Begin errands of the pumps that ids[at:] have in `pumps`, until one is not idle: its index.

    The arguments are taken from the end of their list, one after the other, which other threads
    may do, too; one that is a str becomes a message with that text. For callbacks of the loop,
    not for tasks.
    """
    while True:
        round_ = state.round(pumps, ids, arguments, at)
        errands = _await_errands(round_)
        left: _Left
        try:
            left = errands, errands.send(None)
        except StopIteration:
            return round_.at
        except BaseException as error:
            left = error
        pump = round_.end()  # before anything that may fail: nobody else leaves the task
        if pump is None:
            assert isinstance(left, BaseException)
            raise left
        pump.leave(left)
        at = round_.at


class Pump:
    """Runs one coroutine, which awaits `idle()` whenever it has nothing to do, and errands then.

    `wake` makes the coroutine go on, and so does an errand that had to wait, or whose error is
    raised where the coroutine waits. It is to look for work before it awaits `idle()`: what
    comes while it is not idle wakes nobody.

    What its task waits for meanwhile is the pump itself, which is like a future to it: one less
    to be made whenever there is nothing to do, and to be looked at for each errand.
    """

    __slots__ = (
        "_asyncio_future_blocking",
        "_cancelled",
        "_context",
        "_coroutine",
        "_handing",
        "_left",
        "_loop",
        "_wakeup",
        "handing",
        "task",
    )

    #: Nothing is to be done: ``await Pump.idle()`` in the pump's coroutine.
    idle = staticmethod(_idle)

    def __init__(
        self, coroutine: Coroutine[Any, Any, None], errand: Callable[[Any], Awaitable[None]]
    ) -> None:
        self._loop = asyncio.get_running_loop()
        self._coroutine = coroutine
        #: What an errand left to its task.
        self._left: _Left | None = None
        #: What wakes the task, while it waits for the pump, and in which context.
        self._wakeup: Callable[[Any], object] | None = None
        self._context: contextvars.Context | None = None
        self._cancelled: asyncio.CancelledError | None = None
        self._asyncio_future_blocking = False
        #: What a round needs of it. Before Python 3.11, nothing: a task cannot be given the
        #: context in which others run its errands.
        self._handing: tuple[object, ...] | None = None
        #: The same while the task is idle, and None otherwise.
        self.handing: tuple[object, ...] | None = None
        if sys.version_info >= (3, 11):
            context = contextvars.copy_context()
            self.task = self._loop.create_task(self._run(), context=context)
            self._handing = (self._loop, self.task, context, errand)
        else:
            self.task = self._loop.create_task(self._run())

    def wake(self) -> None:
        """Have the coroutine go on in its task, if it is idle."""
        wakeup, self._wakeup = self._wakeup, None
        if wakeup is not None:
            self.handing = None
            self._loop.call_soon(wakeup, self, context=self._context)

    def hand(self, argument: Any) -> bool:
        """Begin ``errand(argument)`` now; False, and nothing, if the pump is not idle.

        For callbacks of the loop, not for tasks.
        """
        return self.handing is not None and hand_over({None: self}, [None], [argument], 0) == 1

    def leave(self, left: _Left) -> None:
        """The task is to go on with what is left of an errand, or raise it.

        Also what leaves the loop, which must happen once only.
        """
        self._left = left
        self.wake()

    # --- What asyncio's tasks ask of a future ------------------------------------------

    def get_loop(self) -> asyncio.AbstractEventLoop:
        return self._loop

    def add_done_callback(
        self, callback: Callable[[Any], object], *, context: contextvars.Context
    ) -> None:
        self._wakeup, self._context = callback, context
        self.handing = self._handing

    def cancel(self, msg: object = None) -> bool:
        """The task is cancelled: nobody hands anything to the pump any more."""
        if self._wakeup is None:
            return False
        self._cancelled = asyncio.CancelledError() if msg is None else asyncio.CancelledError(msg)
        self.wake()
        return True

    def result(self) -> None:
        cancelled, self._cancelled = self._cancelled, None
        if cancelled is not None:
            raise cancelled

    # -----------------------------------------------------------------------------------

    async def _run(self) -> None:
        await self._drive()

    @types.coroutine
    def _drive(self) -> Generator[Any, Any, None]:
        coroutine = self._coroutine
        try:
            told = coroutine.send(None)
            while True:
                given = thrown = None
                try:
                    if told is _IDLE:
                        self._asyncio_future_blocking = True
                        yield self
                    else:
                        given = yield told
                except BaseException as error:
                    thrown = error
                # What was waited for is not to be kept by the traceback of what is raised now: a
                # server's own future may keep the task, out of sight of the garbage collector.
                told = None
                left, self._left = self._left, None
                if left is not None:
                    try:
                        yield from _finish(left, thrown)
                    except BaseException as error:
                        thrown = error
                    else:
                        thrown = None
                    left = None
                told = coroutine.send(given) if thrown is None else coroutine.throw(thrown)
        except StopIteration:
            return


def _finish(left: _Left, thrown: BaseException | None) -> Generator[Any, Any, None]:
    """Go on with an errand to its end, and raise what it raises."""
    if isinstance(left, BaseException):
        raise left
    coroutine, told = left
    del left
    if isinstance(thrown, asyncio.CancelledError) and told is not None and told.cancel():
        thrown = None  # as a task that is cancelled while it waits: what it waits for tells it
    while True:
        given = None
        if thrown is None:
            try:
                given = yield told
            except BaseException as error:
                thrown = error
        told = None
        try:
            if thrown is None:
                told = coroutine.send(given)
            else:
                raised, thrown = thrown, None
                told = coroutine.throw(raised)
        except StopIteration:
            return
