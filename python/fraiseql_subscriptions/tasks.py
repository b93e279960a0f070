"""The answers of async resolvers: tasks on the loops that registered them.

A ticket names one answer. It is settled once, or cancelled, whichever comes first; the
engine ignores what comes later.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine
from contextvars import Context
from typing import TYPE_CHECKING, Any, Final, TypeAlias

from .process import is_forked

if TYPE_CHECKING:
    from types import ModuleType

__all__ = ["Task", "TaskTable", "keep"]

_CANCELLED: Final = (2, b"the resolver was cancelled")
Answer: TypeAlias = "bytes | tuple[int, bytes]"

#: The tasks that run, by loop. asyncio refers to tasks weakly, and the executor that started
#: one may be dropped: its engine then cancels the task, which must be there to be cancelled.
_running: Final[dict[asyncio.AbstractEventLoop, set[asyncio.Task[None]]]] = {}


class Task:
    """One async call: its ticket, the loop it runs on, and the asyncio task once there is one."""

    __slots__ = ("cancelled", "loop", "running", "ticket")

    def __init__(self, ticket: int, loop: asyncio.AbstractEventLoop) -> None:
        self.ticket = ticket
        self.loop = loop
        self.running: asyncio.Task[None] | None = None
        self.cancelled = False


class TaskTable:
    """The tasks of one executor whose answers the engine waits for. Any thread may call it."""

    __slots__ = ("_handle", "_native", "_waiting")

    def __init__(self) -> None:
        self._waiting: dict[int, Task] = {}
        self._native: ModuleType | None = None
        self._handle = 0

    def open(self, native: ModuleType, handle: int) -> None:
        """Answers go to the engine `handle`."""
        self._native, self._handle = native, handle

    def start(
        self,
        task: Task,
        answer: Callable[[], Coroutine[Any, Any, Answer]],
        context: Context,
    ) -> bool:
        """Run `answer` on the task's loop, within `context`. False: that loop is closed."""
        self._waiting[task.ticket] = task
        same_loop = asyncio._get_running_loop() is task.loop
        call_soon = task.loop.call_soon if same_loop else task.loop.call_soon_threadsafe
        try:
            call_soon(self._run, task, answer, context=context)
        except RuntimeError:
            self._waiting.pop(task.ticket, None)
            return False
        return True

    def _run(self, task: Task, answer: Callable[[], Coroutine[Any, Any, Answer]]) -> None:
        """On the loop: begin the task, which captures the context it is begun in."""

        async def run() -> None:
            self.settle(task, await answer())

        if not task.cancelled:
            task.running = task.loop.create_task(run())
            # One that is cancelled before its first step never gets to settle by itself.
            task.running.add_done_callback(lambda _: self.settle(task, _CANCELLED))
            keep(task.running, task.loop)

    def settle(self, task: Task, result: Answer) -> None:
        """Give the engine the answer, unless it was cancelled or is settled already."""
        if self._waiting.pop(task.ticket, None) is None or self._native is None or is_forked():
            return
        kind, value = (0, result) if isinstance(result, bytes) else result
        try:
            self._native.settle(self._handle, task.ticket, kind, id(value))
        except RuntimeError:  # the executor was closed meanwhile
            return

    def cancel(self, tickets: list[int]) -> None:
        """Cancel these tasks; those that already answered are left alone. Never raises."""
        for ticket in tickets:
            task = self._waiting.pop(ticket, None)
            if task is None:
                continue
            task.cancelled = True
            try:
                task.loop.call_soon_threadsafe(_cancel, task)
            except RuntimeError:  # closed: nothing runs there any more
                continue

    def cancel_on(self, loop: asyncio.AbstractEventLoop) -> None:
        """Answer for what runs on `loop`: it cannot end while that loop's own thread waits."""
        for task in list(self._waiting.values()):
            if task.loop is loop:
                self.settle(task, (2, b"the executor was closed before the resolver answered"))
                task.cancelled = True
                loop.call_soon(_cancel, task)


def keep(running: asyncio.Task[None], loop: asyncio.AbstractEventLoop) -> None:
    """Own a task until it is done. On its loop's thread."""
    mine = _running.get(loop)
    if mine is None:
        for other in list(_running):
            if other.is_closed():  # under its tasks, which can never end
                _running.pop(other, None)
        mine = _running[loop] = set()
    mine.add(running)
    running.add_done_callback(_let_go)


def _let_go(running: asyncio.Task[None]) -> None:
    loop = running.get_loop()
    mine = _running.get(loop)
    if mine is not None:
        mine.discard(running)
        if not mine:
            _running.pop(loop, None)


def _cancel(task: Task) -> None:
    if task.running is not None:
        task.running.cancel()
