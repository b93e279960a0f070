"""A task whose coroutine the event loop's callbacks can step, too.

Waking a task costs a turn of the loop and, where ten thousand of them have a message each to
send, more than sending it. A pump's coroutine is resumed by its task, like any other, or at once
by `step`. Either way it runs as that task: in the task's context, and `asyncio.current_task()`
is the task. Where it then waits for something, the task waits for it.

A coroutine is driven by `send` and `throw` alone (PEP 492); what it yields to asyncio's tasks is
a future to wait for, or None.
"""

from __future__ import annotations

import asyncio
import contextvars
import sys
import types
from asyncio.tasks import _enter_task, _leave_task
from collections.abc import Coroutine, Generator
from typing import Any, Final

__all__ = ["Pump"]

#: What the coroutine yields when it has nothing to do.
_IDLE: Final = object()
#: Before Python 3.11 a task cannot be given the context in which others step it.
_STEPS: Final = sys.version_info >= (3, 11)


@types.coroutine
def _idle() -> Generator[object, None, None]:
    yield _IDLE


class Pump:
    """Runs one coroutine, which awaits `idle()` whenever it has nothing to do.

    `wake` and `step` make it go on. It is to look for work before it awaits `idle()`: what comes
    while it is not idle wakes nobody.
    """

    __slots__ = (
        "_coroutine",
        "_ended",
        "_loop",
        "_resume",
        "_run_in_context",
        "_told",
        "_waiting",
        "task",
    )

    #: Nothing is to be done: ``await pump.idle()`` in the pump's coroutine.
    idle = staticmethod(_idle)

    def __init__(self, coroutine: Coroutine[Any, Any, None]) -> None:
        self._loop = asyncio.get_running_loop()
        self._coroutine = coroutine
        #: What its task waits for while it is idle: pending until that is woken or cancelled.
        self._waiting: asyncio.Future[None] | None = None
        #: What the coroutine yielded to a step that its task has yet to wait for.
        self._told: Any = _IDLE
        #: What it ended with in a step: StopIteration when it returned.
        self._ended: BaseException | None = None
        context = contextvars.copy_context()
        self._run_in_context = context.run
        self._resume = coroutine.send
        if sys.version_info >= (3, 11):
            self.task = self._loop.create_task(self._run(), context=context)
        else:
            self.task = self._loop.create_task(self._run())

    def wake(self) -> None:
        """Have the coroutine go on in its task, if it is idle."""
        waiting = self._waiting
        if waiting is not None and not waiting.done():
            waiting.set_result(None)

    def step(self) -> None:
        """Have the coroutine go on now, if it is idle. For callbacks of the loop, not for tasks."""
        waiting = self._waiting
        if waiting is None or waiting.done():
            return
        if not _STEPS:
            self.wake()
            return
        _enter_task(self._loop, self.task)
        try:
            self._told = self._run_in_context(self._resume, None)
        except (KeyboardInterrupt, SystemExit) as error:
            self._ended = error
            raise
        except BaseException as error:
            self._ended = error
        finally:
            _leave_task(self._loop, self.task)
            if self._told is not _IDLE or self._ended is not None:
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
                if self._ended is not None:
                    raise self._ended
                told, self._told = self._told, _IDLE
                if thrown is not None:
                    told = coroutine.throw(thrown)
                elif told is _IDLE:
                    told = coroutine.send(given)
        except StopIteration:
            return
