"""A task for which the event loop's callbacks can run errands, too.

Waking a task costs a turn of the loop and, where ten thousand of them have a message each to
send, more than sending it. While a pump has nothing to do, a callback can `hand` it something:
its errand is run at once, and runs as the pump's task: in that task's context, and
`asyncio.current_task()` is the task. Where it then waits for something, the task waits for it.

All errands of a loop are run by one coroutine, until one has to wait. So to hand ten thousand
clients a message each touches little of each client's: what is cold in a processor's caches
costs more than what is done with it.

A coroutine is driven by `send` and `throw` alone (PEP 492); what it yields to asyncio's tasks is
a future to wait for, or None.
"""

from __future__ import annotations

import asyncio
import contextvars
import sys
import types
import weakref
from asyncio.tasks import _enter_task, _leave_task
from collections.abc import Awaitable, Callable, Coroutine, Generator
from typing import Any, Final

__all__ = ["Pump"]

#: What a coroutine yields when it has nothing to do.
_IDLE: Final = object()
#: Before Python 3.11 a task cannot be given the context in which others run its errands.
_HANDS: Final = sys.version_info >= (3, 11)


@types.coroutine
def _idle() -> Generator[object, Any, Any]:
    return (yield _IDLE)


async def _run_errands() -> None:
    """Await what is given, again and again."""
    while True:
        errand, argument = await _idle()
        await errand(argument)
        del errand, argument  # which may be all that keeps a client alive


class _Errands:
    """The coroutine that runs errands on one event loop, for whichever pump."""

    __slots__ = ("__weakref__", "coroutine", "resume")

    def __init__(self) -> None:
        self.renew()

    def renew(self) -> None:
        """Begin another one: the last was taken over by a pump, or has failed."""
        self.coroutine = _run_errands()
        self.coroutine.send(None)
        self.resume = self.coroutine.send


_errands: Final[weakref.WeakKeyDictionary[asyncio.AbstractEventLoop, _Errands]] = (
    weakref.WeakKeyDictionary()
)


class Pump:
    """Runs one coroutine, which awaits `idle()` whenever it has nothing to do, and errands then.

    `wake` makes the coroutine go on, and so does an errand that had to wait, or whose error is
    raised where the coroutine waits. It is to look for work before it awaits `idle()`: what
    comes while it is not idle wakes nobody.
    """

    __slots__ = (
        "_context",
        "_coroutine",
        "_errand",
        "_errands",
        "_left",
        "_loop",
        "_waiting",
        "task",
    )

    #: Nothing is to be done: ``await Pump.idle()`` in the pump's coroutine.
    idle = staticmethod(_idle)

    def __init__(
        self, coroutine: Coroutine[Any, Any, None], errand: Callable[[Any], Awaitable[None]]
    ) -> None:
        self._loop = asyncio.get_running_loop()
        self._coroutine = coroutine
        self._errand = errand
        self._errands = _errands.setdefault(self._loop, _Errands())
        #: What its task waits for while it is idle: pending until that is woken or cancelled.
        self._waiting: asyncio.Future[None] | None = None
        #: What an errand left to its task: the errands' coroutine and what that yielded, or
        #: what it raised.
        self._left: tuple[Coroutine[Any, Any, None], Any] | BaseException | None = None
        self._context = contextvars.copy_context()
        if sys.version_info >= (3, 11):
            self.task = self._loop.create_task(self._run(), context=self._context)
        else:
            self.task = self._loop.create_task(self._run())

    def wake(self) -> None:
        """Have the coroutine go on in its task, if it is idle."""
        waiting = self._waiting
        if waiting is not None and not waiting.done():
            waiting.set_result(None)

    def hand(self, take: Callable[[], Any]) -> bool:
        """Begin ``errand(take())`` now; False, and nothing, if the pump is not idle.

        `take` may raise IndexError: there is nothing to do after all. For callbacks of the
        loop, not for tasks.
        """
        waiting = self._waiting
        if waiting is None or waiting.done() or not _HANDS:
            return False
        try:
            argument = take()
        except IndexError:
            return True
        loop, task, errands = self._loop, self.task, self._errands
        _enter_task(loop, task)
        try:
            told = self._context.run(errands.resume, (self._errand, argument))
        except BaseException as error:
            # The task raises it, also what leaves the loop: that must happen once only.
            self._leave(error)
        else:
            if told is not _IDLE:
                self._leave((errands.coroutine, told))
        finally:
            _leave_task(loop, task)
        return True

    def _leave(self, left: tuple[Coroutine[Any, Any, None], Any] | BaseException) -> None:
        """The task is to go on with what became of an errand."""
        self._left = left
        self._errands.renew()
        self.wake()

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
                        self._waiting = self._loop.create_future()
                        yield from self._waiting
                    else:
                        given = yield told
                except BaseException as error:
                    thrown = error
                self._waiting = None
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


def _finish(
    left: tuple[Coroutine[Any, Any, None], Any] | BaseException, thrown: BaseException | None
) -> Generator[Any, Any, None]:
    """Go on with an errand to its end, and raise what it raises."""
    if isinstance(left, BaseException):
        raise left
    coroutine, told = left
    del left
    if isinstance(thrown, asyncio.CancelledError) and told is not None and told.cancel():
        thrown = None  # as a task that is cancelled while it waits: what it waits for tells it
    while told is not _IDLE:
        given = None
        if thrown is None:
            try:
                given = yield told
            except BaseException as error:
                thrown = error
        told = None
        if thrown is None:
            told = coroutine.send(given)
        else:
            raised, thrown = thrown, None
            told = coroutine.throw(raised)
    coroutine.close()
