"""Hearing of a shutdown before the server closes its clients' connections.

An ASGI application is told of a shutdown by its lifespan, and servers end that last: uvicorn and
granian have closed every WebSocket by then, gunicorn and hypercorn wait for clients to go. So the
signals that begin a shutdown are heard first, and handed on when the clients have been served.
hypercorn sends its workers none: they look at an event of its own, and so does this.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import socket
import threading
from collections.abc import Awaitable, Callable, Iterator
from types import FrameType
from typing import Any, Final, TypeAlias

from .workers import stop_event

__all__ = ["before_shutdown"]

Drain: TypeAlias = Callable[[], Awaitable[None]]

_SIGNALS: Final = (signal.SIGTERM, signal.SIGINT)
#: Seconds between two looks at hypercorn's event, which looks as often.
_WATCH: Final = 0.1
#: Seconds for a server to write what it was given last: granian does so on threads of its own.
_FLUSH: Final = 0.1


@contextlib.contextmanager
def before_shutdown(drain: Drain) -> Iterator[Callable[[], None]]:
    """For the block, SIGTERM and SIGINT first run `drain`, and then whatever they would have done.

    A second signal does not wait. Needs the main thread, where signals are heard, and its running
    event loop; elsewhere nothing is changed. Handlers that are set within the block stay. What it
    gives is to be called now and then, since event loops may come before this again.
    """
    if threading.current_thread() is not threading.main_thread():
        yield _nothing
        return
    loop = asyncio.get_running_loop()
    event = stop_event()
    watching = None if event is None else loop.create_task(_watch(event, drain))
    notices = Notices(loop)
    handlers = [_Handler(number, loop, drain, notices) for number in _SIGNALS]
    try:
        yield notices.renew
    finally:
        for handler in handlers:
            handler.restore()
        notices.restore()
        if watching is not None:
            watching.cancel()


def _nothing() -> None:
    """There is nothing to come before."""


async def _watch(event: Any, drain: Drain) -> None:
    while not event.is_set():  # noqa: ASYNC110  (another process sets it: nothing tells of that)
        await asyncio.sleep(_WATCH)
    await drain()


class _Handler:
    """What handles one signal, and what would handle it otherwise."""

    def __init__(
        self,
        number: signal.Signals,
        loop: asyncio.AbstractEventLoop,
        drain: Drain,
        notices: Notices,
    ) -> None:
        self._number = number
        self._loop = loop
        self._drain = drain
        self._notices = notices
        self._task: asyncio.Task[None] | None = None
        self._begun = False
        self._ours = self._hear  # one object, to be known again
        self._previous: Any = signal.getsignal(number)
        if self._previous not in (signal.SIG_IGN, None):  # None: set from outside of Python
            signal.signal(number, self._ours)
            notices.held.add(number)

    def restore(self) -> None:
        """Hand the signal back, unless somebody else has taken it."""
        if signal.getsignal(self._number) is self._ours:
            signal.signal(self._number, self._previous)

    def _hear(self, number: int, frame: FrameType | None) -> None:
        if self._begun:
            self._hand_on(frame)
            return
        self._begun = True
        self._loop.call_soon_threadsafe(self._start)

    def _start(self) -> None:
        self._task = self._loop.create_task(self._serve())

    async def _serve(self) -> None:
        try:
            await self._drain()
            await asyncio.sleep(_FLUSH)
        finally:
            self._hand_on(None)

    def _hand_on(self, frame: FrameType | None) -> None:
        self._notices.tell(self._number)
        if callable(self._previous):
            self._previous(self._number, frame)
        else:  # the system's own way, which is to end the process
            signal.signal(self._number, signal.SIG_DFL)
            os.kill(os.getpid(), self._number)


class Notices:
    """What the event loop is told of signals (`signal.set_wakeup_fd`), for `add_signal_handler`.

    Those `held` come here only, until they are told; others go on at once.
    """

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self.held: set[int] = set()
        self._loop = loop
        self._inner = -1
        self._here, self._there = socket.socketpair()
        self._here.setblocking(False)
        self._there.setblocking(False)
        loop.add_reader(self._here, self._read)
        self.renew()

    def renew(self) -> None:
        """Come before the loop again: uvloop sees to it anew whenever it is run."""
        current = signal.set_wakeup_fd(-1)
        ours = self._there.fileno()
        if current in (-1, ours):  # -1: the loop handles no signals
            signal.set_wakeup_fd(current, warn_on_full_buffer=False)
        else:
            self._inner = current
            signal.set_wakeup_fd(ours, warn_on_full_buffer=False)

    def tell(self, number: int) -> None:
        """Let the loop know of a signal."""
        if self._inner != -1:
            os.write(self._inner, bytes([number]))

    def restore(self) -> None:
        """Let the loop be told directly again, unless somebody else has seen to that."""
        current = signal.set_wakeup_fd(-1)
        signal.set_wakeup_fd(self._inner if current == self._there.fileno() else current)
        self._loop.remove_reader(self._here)
        self._here.close()
        self._there.close()
        self._inner = -1

    def _read(self) -> None:
        for number in self._here.recv(4096):
            if number not in self.held:
                self.tell(number)
