"""One event loop's side of one executor: a descriptor it watches, and feeds it fills.

The engine makes the descriptor readable, the loop drains many responses in one call and
hands them to its streams: no thread, no polling. A subscription reported by a drain stays
quiet until its stream has asked the engine for more and found nothing, so a stream buffers
at most what one drain handed over. One that a transport adopted is reported again by itself,
unless the client could not be sent everything at once: then it is held, until asked for.

What a transport reads as text does not go through a buffer, as a rule: each message is handed to
its feed in the callback that drained it. Whoever looks at buffers meanwhile has what is left go
there first, so that nothing overtakes it and nothing is forgotten.
"""

# ruff: noqa: A002  (`id` is a name of the public API)

from __future__ import annotations

import asyncio
import contextlib
import os
import threading
import time
from asyncio.events import _get_running_loop
from collections import deque
from typing import TYPE_CHECKING, Any, Final

from .errors import EngineClosed, SubscriptionNotFound, dispatch_timeout, from_native
from .process import is_forked
from .pump import Pump, hand_over

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable
    from types import ModuleType

    from .aio import Stream

__all__ = ["Feed", "LoopConsumer"]

#: Responses that one turn of the event loop takes at most.
_DRAIN: Final = 1024
#: Seconds that tasks publish without the loop running anything else, at most.
_TURN: Final = 0.002
#: Seconds after which Go is to schedule a thread anew that it serves all the time. After 10 ms its
#: monitor, as of Go 1.26, takes the thread's processor at every look, and looks every 20 µs.
_SCHEDULE: Final = 0.008
#: Seconds that the end of a subscription waits for a drain.
_PATIENCE: Final = 1.0
#: Responses that a stream takes at most when it asks for more.
REFILL: Final = 256


class Feed:
    """What the loop's consumer hands to one stream. Lives on `loop`'s thread.

    `owner` is the stream that reads it, weakly: a stream nobody holds any more gives way.
    """

    __slots__ = ("buffer", "consumer", "ended", "id", "owner", "waiter")

    #: How the engine hands it out: 0 when asked for more, 1 by itself, 2 as text, too.
    how = 0

    def __init__(self, id: str, consumer: LoopConsumer) -> None:
        self.id = id
        self.consumer = consumer
        self.buffer: deque[bytes] = deque()
        self.waiter: asyncio.Future[None] | None = None
        self.ended = False
        self.owner: Callable[[], Stream | None] | None = None

    @property
    def direct(self) -> Pump | None:
        """What is handed its texts as they are while that is idle, instead of `take`."""
        return None

    def arrive(self) -> bool:
        """A drain brought something. Whether to keep back more until the reader asks for it.

        In a callback of the loop, outside of every task.
        """
        self.wake()
        return False

    def take(self, pop: Callable[[], str]) -> bool:
        """Likewise, of a subscription that is read as text: `pop` gives what came.

        It raises IndexError when another thread has seen to it.
        """
        with self.consumer.lock, contextlib.suppress(IndexError):
            message = pop().encode()
            if not self.ended:  # nothing follows what the application has just discarded
                self.buffer.append(message)
        return self.arrive()

    def wake(self) -> None:
        """Let the waiting reader look again. On the loop's thread."""
        waiter = self.waiter
        if waiter is not None and not waiter.done():
            waiter.set_result(None)


class LoopConsumer:
    """One event loop's side of one executor.

    The loop watches a duplicate of the engine's descriptor, which is closed only after the
    loop has let go of it: a number that is closed while watched and then reused would lose
    wake-ups. Nothing here refers to the executor, so that a dropped one is collected.
    """

    __slots__ = (
        "_descriptor",
        "_drained",
        "_finished",
        "_handle",
        "_names",
        "_native",
        "_scheduled",
        "_settled",
        "_texts",
        "arriving",
        "feeds",
        "lock",
        "loop",
        "number",
        "pumps",
        "tickets",
        "turn",
    )

    def __init__(self, native: ModuleType, handle: int, loop: asyncio.AbstractEventLoop) -> None:
        self._native = native
        self._handle = handle
        self.loop = loop
        self.feeds: dict[str, Feed] = {}
        #: Those of feeds that have a `direct` one.
        self.pumps: dict[str, Pump] = {}
        #: The texts of a drain that have not been handed to their feeds yet, the last one
        #: first; whose they are; and the feeds that got theirs into their buffers meanwhile.
        self._texts: list[str] = []
        self._names: list[str] = []
        self._settled: list[Feed] = []
        #: Whether feeds are being told what a drain brought.
        self.arriving = False
        self.tickets: dict[int, asyncio.Future[None]] = {}
        #: When the loop's present turn first published; None: it has not.
        self.turn: float | None = None
        #: Held while responses move from the engine to a feed: the executor's close() does it
        #: from another thread, and order must survive.
        #: Re-entrant: the garbage collector may end a subscription in the middle of it.
        self.lock = threading.RLock()
        #: Whether the executor closes: no feed that comes now would be told of its end.
        self._finished = False
        #: When the engine was last drained, and when Go last scheduled this thread anew.
        self._drained = self._scheduled = 0.0
        self._descriptor = -1
        self.number: int = native.open_consumer(handle)
        try:
            self._descriptor = os.dup(native.consumer_fd(handle, self.number))
        except BaseException:
            native.close_consumer(handle, self.number)
            raise
        loop.add_reader(self._descriptor, self._readable)

    def _readable(self) -> None:
        """The descriptor is readable: take what is there and wake the streams."""
        if is_forked() or self._descriptor < 0:
            return
        with self.lock:
            try:
                filled = self._drain()
            except RuntimeError as error:
                self._lost(error)
                return
        kept = self._hand_on(filled)
        if kept:
            try:
                self._native.hold(self._handle, "\n".join(kept))
            except RuntimeError as error:
                self._lost(error)
        now = time.monotonic()
        if now - self._scheduled > _SCHEDULE:
            if now - self._drained < _SCHEDULE:
                self._native.process_turn()
            self._scheduled = now
        self._drained = now

    def _drain(self) -> list[Feed]:
        """Take what the engine has: texts, and what fills feeds, which are returned."""
        # While the engine has more, the descriptor stays readable.
        out: list[tuple[Any, bytes | None]] = []
        names: list[str] = []
        texts: list[str] = []
        self._native.drain(self._handle, self.number, id(out), id(names), id(texts), _DRAIN)
        texts.reverse()
        self._names, self._texts = names, texts
        feeds = self.feeds
        filled: list[Feed] = []
        last = None
        for key, message in out:
            if message is None:
                self._notice(key)
                continue
            feed = feeds.get(key)
            if feed is not None and not feed.ended:
                feed.buffer.append(message)
                if feed is not last:  # a subscription's responses stand together
                    filled.append(feed)
                    last = feed
        return filled

    def _hand_on(self, filled: list[Feed]) -> dict[str, None]:
        """Tell feeds what a drain brought; those of which more is to be kept back."""
        kept: dict[str, None] = {}
        told = iter(filled)
        self.arriving = True
        try:
            if self._names:
                self._hand_texts(kept)
            for feed in told:
                if feed.arrive():
                    kept[feed.id] = None
        finally:
            self.arriving = False
            left: list[Feed] = [*told]  # behind one that was interrupted
            if self._names:
                with self.lock:
                    self._settle()
                    left += self._settled
                    self._settled = []
            for feed in left:
                kept[feed.id] = None
                feed.wake()
        return kept

    def _hand_texts(self, kept: dict[str, None]) -> None:
        """Tell feeds of the texts that were drained; `kept` gets those of which more waits."""
        names, texts, feeds, pop = self._names, self._texts, self.feeds, self._texts.pop
        at = 0
        while (at := hand_over(self.pumps, names, texts, at)) < len(names):
            name = names[at]
            at += 1
            feed = feeds.get(name)
            if feed is None:  # it has ended meanwhile
                with contextlib.suppress(IndexError):  # seen to by another thread
                    pop()
            elif feed.take(pop):
                kept[name] = None

    def _settle(self) -> None:
        """What was drained and not handed on yet waits in the feeds' buffers. Under the lock.

        But who hands on takes texts without it: no other thread runs in the two statements that
        take all of them, so a text is here or there, and whose it is is known. A slice would not
        do: making a list may collect garbage (before CPython 3.12), which may run anything.
        """
        left: list[str] = []
        left += self._texts
        self._texts.clear()
        if left:
            for name, text in zip(self._names[-len(left) :], reversed(left), strict=True):
                feed = self.feeds.get(name)
                if feed is not None:
                    feed.buffer.append(text.encode())
                    self._settled.append(feed)

    def empty(self, feed: Feed) -> deque[bytes]:
        """Drop what was taken of a subscription and not given out; what that was. Any thread."""
        with self.lock:
            self._settle()
            taken, feed.buffer = feed.buffer, deque()
        return taken

    def put_back(self, feed: Feed, messages: Iterable[bytes]) -> None:
        """Give back some of what `empty` took. Any thread.

        The reader is told: it may have looked meanwhile, and waits.
        """
        feed.buffer.extend(messages)
        self._wake_on_loop(feed)

    def _notice(self, ticket: int) -> None:
        """The event behind a ticket has been dispatched."""
        future = self.tickets.pop(ticket, None)
        if future is not None and not future.done():
            future.set_result(None)

    def _notice_closed(self) -> None:
        """Nobody reports tickets any more: those that are done are noticed here."""
        for ticket in list(self.tickets):
            try:
                done = self._native.await_dispatch(self._handle, ticket, 0)
            except RuntimeError:  # the engine has closed, and had dispatched everything before
                done = 1
            if done:
                self._notice(ticket)

    def is_overdue(self) -> bool:
        """Whether the loop's turn has gone on publishing for so long that others must run."""
        now = time.monotonic()
        if self.turn is None:
            self.turn = now
            self.loop.call_soon(self._begin_turn)
        return now - self.turn > _TURN

    def _begin_turn(self) -> None:
        self.turn = None

    async def dispatched(self, ticket: int, position: str, timeout: float) -> str:
        """Wait until the event behind a publish's ticket was dispatched; its position.

        `position` is "" where a server decides. DispatchTimeout, and the errors of the bus.
        """
        future: asyncio.Future[None] = self.loop.create_future()
        self.tickets[ticket] = future
        timer = self.loop.call_later(timeout, self._expire, ticket, position, timeout)
        try:
            await future
        finally:
            timer.cancel()
            if self.tickets.pop(ticket, None) is not None:  # cancelled
                with contextlib.suppress(RuntimeError):
                    self._native.forsake_dispatch(self._handle, ticket)
        if position:
            return position
        try:
            outcome: str = self._native.outcome(self._handle, ticket)
        except RuntimeError as error:
            raise from_native(error) from None
        return outcome

    def _expire(self, ticket: int, position: str, timeout: float) -> None:
        with contextlib.suppress(RuntimeError):  # closed
            if self._native.await_dispatch(self._handle, ticket, 0):
                return  # its responses wait for room, and the engine bounds how long
            position = position or self._native.outcome(self._handle, ticket)
            if not position:  # not accepted yet: the engine bounds how long that may take
                self.loop.call_later(timeout, self._expire, ticket, position, timeout)
                return
            self._native.forsake_dispatch(self._handle, ticket)
        future = self.tickets.pop(ticket, None)
        if future is not None and not future.done():
            future.set_exception(dispatch_timeout(position, timeout))

    def _lost(self, error: BaseException) -> None:
        """The engine is gone: nothing will become readable any more."""
        failure = from_native(error)
        if isinstance(failure, EngineClosed):
            self._notice_closed()
        for future in self.tickets.values():
            if not future.done():
                future.set_exception(failure)
        self.tickets.clear()
        self.finish()
        self.close()

    def all(self) -> list[Feed]:
        """The feeds of now, for other threads too."""
        return list(self.feeds.values())

    def add(self, feed: Feed) -> None:
        """Fill `feed` from now on. On the loop's thread. EngineClosed: the executor closes."""
        with self.lock:
            if self._finished:
                raise EngineClosed("the executor is being closed; make a new SubscriptionExecutor")
            self.feeds[feed.id] = feed
            if feed.direct is not None:
                self.pumps[feed.id] = feed.direct

    def _forget(self, feed: Feed) -> None:
        """Nothing fills it any more. Under the lock."""
        self.feeds.pop(feed.id, None)
        self.pumps.pop(feed.id, None)

    def refill(self, feed: Feed) -> int:
        """Ask the engine for more of one subscription; how many came. On the loop's thread.

        Fewer than asked for means that the subscription will be reported again.
        """
        out: list[bytes] = []
        with self.lock:
            if feed.ended:
                return 0
            try:
                self._native.next_events(self._handle, feed.id, id(out), REFILL)
            except RuntimeError as error:
                failure = from_native(error)
                if not isinstance(failure, (SubscriptionNotFound, EngineClosed)):
                    raise failure from None
                feed.ended = True
                self._forget(feed)
            feed.buffer.extend(out)
        return len(out)

    def end(self, feed: Feed) -> None:
        """The application ended the subscription: what is queued is discarded. Any thread.

        The garbage collector may do this on a thread that holds another loop's lock, and there
        likewise: neither waits for ever, and the loop does the rest.
        """
        if not self.lock.acquire(timeout=_PATIENCE):
            feed.ended = True
            with contextlib.suppress(RuntimeError):  # closed: nobody reads there
                self.loop.call_soon_threadsafe(self.end, feed)
            return
        try:
            feed.ended = True
            feed.buffer.clear()
            self._forget(feed)
        finally:
            self.lock.release()
        self._wake_on_loop(feed)

    def give_up(self, feed: Feed, leftovers: dict[str, deque[bytes]]) -> None:
        """Return a subscription to the plain side, and what was taken and not read. Any thread.

        The feed goes last: who ends the subscription meanwhile finds that, or what is left over.
        """
        with self.lock:
            taken = self.empty(feed)
            if taken:
                leftovers[feed.id] = taken
            if self.feeds.get(feed.id) is feed:
                self._forget(feed)
                with contextlib.suppress(RuntimeError):  # ended meanwhile
                    self._native.attach(self._handle, feed.id, 0, 0)
            feed.ended = True

    def finish(self) -> None:
        """The executor closes: every stream ends after what is queued now. Any thread."""
        with self.lock:
            self._finished = True
            self._settle()
            feeds = self.all()
            while any([self._take_over(feed) for feed in feeds]):  # noqa: C419  (fair)
                pass
            for feed in feeds:
                feed.ended = True
            self.feeds.clear()
            self.pumps.clear()
        for feed in feeds:
            self._wake_on_loop(feed)

    def _take_over(self, feed: Feed) -> bool:
        """Move a round of what is queued to the feed; whether there may be more."""
        out: list[bytes] = []
        with contextlib.suppress(RuntimeError):  # it has been read to its end
            if not feed.ended:
                self._native.next_events(self._handle, feed.id, id(out), REFILL)
        feed.buffer.extend(out)
        return len(out) == REFILL

    def _wake_on_loop(self, feed: Feed) -> None:
        if _get_running_loop() is self.loop:
            feed.wake()
            return
        with contextlib.suppress(RuntimeError):  # closed: nobody waits there
            self.loop.call_soon_threadsafe(feed.wake)

    def close(self) -> None:
        """Let go of the loop and the engine. Any thread; idempotent."""
        if is_forked():
            return
        if not self.loop.is_closed() and _get_running_loop() is not self.loop:
            with contextlib.suppress(RuntimeError):
                self.loop.call_soon_threadsafe(self.close)
                return
        descriptor, self._descriptor = self._descriptor, -1
        if descriptor < 0:
            return
        if not self.loop.is_closed():
            self.loop.remove_reader(descriptor)
            self._notice_closed()
        os.close(descriptor)
        with contextlib.suppress(RuntimeError):
            self._native.close_consumer(self._handle, self.number)

    def __del__(self) -> None:
        # The loop was closed before it could let go: nobody watches the descriptor any more.
        if self._descriptor >= 0 and not is_forked():
            os.close(self._descriptor)
