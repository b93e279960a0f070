"""The asyncio side of an executor: streams of responses, and awaiting publications."""

# ruff: noqa: A002  (`id` is a name of the public API)

from __future__ import annotations

import asyncio
import contextlib
import threading
import weakref
from collections import deque
from typing import TYPE_CHECKING, Final, NoReturn

import orjson

from .errors import SubscriptionsError, from_native
from .loop import REFILL, Feed, LoopConsumer
from .process import forked_error, is_forked

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from types import ModuleType

    from typing_extensions import Self

__all__ = ["Hub", "Stream", "Subscribing"]

_HOW_TO_SUBSCRIBE: Final = (
    "subscribe() is an async context manager: "
    "async with executor.subscribe(query) as stream: async for message in stream: ..."
)


class Hub:
    """The loop consumers of one executor. Any thread may call it."""

    __slots__ = ("_consumers", "_handle", "_leftovers", "_native", "lock")

    def __init__(self, native: ModuleType, handle: int, leftovers: dict[str, deque[bytes]]) -> None:
        self._native = native
        self._handle = handle
        self._consumers: dict[asyncio.AbstractEventLoop, LoopConsumer] = {}
        #: Held while subscriptions pass between streams and the plain side, with what streams had
        #: taken: before a consumer's lock, never inside.
        self.lock = threading.RLock()
        self._leftovers = leftovers

    def consumer(self) -> LoopConsumer:
        """The running loop's. RuntimeError when no loop runs in this thread."""
        loop = asyncio.get_running_loop()
        consumer = self._consumers.get(loop)
        if consumer is not None:
            return consumer
        with self.lock:
            for other in [other for other in self._consumers if other.is_closed()]:
                gone = self._consumers.pop(other)
                for feed in gone.all():
                    if feed.owner is not None:  # a stream's
                        self._put_back(feed)
                gone.close()
            try:
                consumer = LoopConsumer(self._native, self._handle, loop)
            except RuntimeError as error:
                raise from_native(error) from None
            self._consumers[loop] = consumer
            return consumer

    def recovered(self, id: str) -> bool:
        """Whether the subscription's resume, if it asked for one, was exact."""
        try:
            return bool(self._native.recovered(self._handle, id))
        except RuntimeError as error:
            raise from_native(error) from None

    def claim(self, id: str, owner: _Owner) -> Feed:
        """The feed of a subscription, for one stream alone.

        Raises SubscriptionNotFound, EngineClosed, and RuntimeError when another stream reads it.
        """
        consumer = self.consumer()
        with self.lock:
            feed = self._find(id)
            if feed is not None and feed.owner is not None and feed.owner() is not None:
                raise RuntimeError(
                    f"subscription {id!r} is read by another stream; close that one first"
                )
            if feed is None or feed.consumer is not consumer:
                if feed is not None:
                    self._put_back(feed)
                try:
                    self._native.attach(self._handle, id, consumer.number, 0)
                except RuntimeError as error:
                    raise from_native(error) from None
                feed = Feed(id, consumer)
                feed.buffer.extend(self._leftovers.pop(id, ()))  # before anything newer
                consumer.add(feed)
            self._leftovers.pop(id, None)
            feed.owner = owner
            return feed

    def adopt(self, feed: Feed) -> None:
        """Send a new subscription's responses to `feed`, of this loop's consumer.

        They come without being asked for, as long as the feed's `arrive` leaves none.
        """
        with self.lock:
            try:
                self._native.attach(self._handle, feed.id, feed.consumer.number, feed.how)
            except RuntimeError as error:
                raise from_native(error) from None
            feed.consumer.add(feed)

    def note(self, id: str) -> None:
        """A stream of it is dropped: who asks for what is left over before `release` looks here."""
        self._leftovers.setdefault(id, deque())

    def release(self, feed: Feed) -> None:
        """The stream that read `feed` is gone: the subscription is the plain side's again."""
        if is_forked():
            return
        with self.lock:
            if not feed.ended and (feed.owner is None or feed.owner() is None):
                self._put_back(feed)
            self._tidy(feed.id)

    def _put_back(self, feed: Feed) -> None:
        feed.consumer.give_up(feed, self._leftovers)
        self.signal()

    def _tidy(self, id: str) -> None:
        """Put back what a dropped stream has taken; nothing is left over of others, perhaps."""
        feed = self._find(id)
        if feed is not None and feed.owner is not None and feed.owner() is None:
            self._put_back(feed)
        if not self._leftovers.get(id):
            self._leftovers.pop(id, None)

    def signal(self) -> None:
        """Tell of what is left over by the plain side's descriptor, if that is open."""
        if self._leftovers:
            with contextlib.suppress(RuntimeError):  # the executor was closed
                self._native.signal(self._handle, 0)

    def left(self) -> list[str]:
        """The subscriptions of which streams have left something over."""
        with self.lock:
            for one in list(self._leftovers):
                self._tidy(one)
            return list(self._leftovers)

    def take_left(self, id: str, maximum: int) -> list[bytes]:
        """At most so many messages of what a stream had taken of a subscription."""
        with self.lock:
            self._tidy(id)
            left = self._leftovers.get(id, deque())
            out = [left.popleft() for _ in range(min(maximum, len(left)))]
            if not left:
                self._leftovers.pop(id, None)
            return out

    def _find(self, id: str) -> Feed | None:
        for consumer in list(self._consumers.values()):
            feed = consumer.feeds.get(id)
            if feed is not None:
                return feed
        return None

    def end(self, id: str) -> None:
        """The application completed this subscription.

        Without the lock: the garbage collector may do this while a consumer's is held.
        """
        feed = self._find(id)
        if feed is not None:
            feed.consumer.end(feed)
        self._leftovers.pop(id, None)  # behind a feed that was being given up

    @contextlib.contextmanager
    def emptying(self) -> Iterator[list[str]]:
        """Drop what streams have taken and not given out, of the subscriptions then listed.

        Nothing moves from the engine to a stream inside, so what follows is kept.
        """
        ids: list[str] = []
        with self.lock, self._consumers_held():
            try:
                yield ids
            finally:
                self.empty(ids)

    def _consumers_held(self) -> contextlib.ExitStack:
        """Hold every consumer's lock, without waiting for one while another is held.

        The garbage collector may end a subscription of another loop while a thread holds its own's.
        """
        busy = self.lock
        while True:
            with contextlib.ExitStack() as held:
                held.enter_context(busy)
                for consumer in self._consumers.values():
                    if not consumer.lock.acquire(blocking=False):
                        busy = consumer.lock
                        break
                    held.callback(consumer.lock.release)
                else:
                    return held.pop_all()

    def empty(self, ids: list[str]) -> None:
        """Drop what was taken of these subscriptions and not given out, but final messages."""
        with self.lock:
            for one in ids:
                kept = self._leftovers.get(one)
                if kept:
                    left = _final(kept)
                    kept.clear()
                    kept.extend(left)
                feed = self._find(one)
                if feed is not None:
                    with feed.consumer.lock:
                        left = _final(feed.consumer.empty(feed))
                        if left:
                            feed.consumer.put_back(feed, left)

    def finish(self) -> None:
        """The executor closes: streams end after what is queued now."""
        with self.lock:  # one that is being opened is there then, or refused by the engine
            consumers = list(self._consumers.values())
        for consumer in consumers:
            consumer.finish()

    def close(self) -> None:
        """Let go of every loop."""
        with self.lock:
            consumers = list(self._consumers.values())
            self._consumers.clear()
        for consumer in consumers:
            consumer.close()


class _Owner(weakref.ref["Stream"]):
    """The stream that reads a feed: None also while that is being dropped."""

    gone = False

    def __call__(self) -> Stream | None:
        return None if self.gone else super().__call__()


def _final(messages: deque[bytes] | None) -> tuple[bytes, ...]:
    """The last of the messages, taken, if it is the final one of its subscription."""
    try:
        last = messages.pop() if messages else None
    except IndexError:  # its reader was faster
        last = None
    if last is not None and orjson.loads(last)["type"] != "next":
        return (last,)
    return ()


class Stream:
    """The responses of one subscription, for one task: ``async for message in stream``.

    Messages are bytes, each a complete graphql-transport-ws ``next`` message, but for the
    final one of a subscription that the server ended (``error`` or ``complete``). Cancelling the
    task that reads loses none. The stream ends at once when the application completes the
    subscription or closes its connection, after what was queued when the executor closes.

    It belongs to the event loop that made it; reading it from another loop, or from two tasks
    at once, raises RuntimeError. Closing it, or dropping it, leaves the subscription alive
    and its messages to the executor's `next_event` or another stream.
    """

    __slots__ = (
        "__weakref__",
        "_closed",
        "_executor",
        "_feed",
        "_hub",
        "_owner",
        "id",
        "recovered",
    )

    def __init__(self, executor: object, hub: Hub, id: str) -> None:
        self._closed = True  # until claimed
        #: The subscription's id.
        self.id = id
        self._executor = executor  # kept alive, and open, while somebody reads
        self._hub = hub
        self._owner = _Owner(self)
        self._feed = hub.claim(id, self._owner)
        #: False when the subscription asked to resume and history did not reach back far enough.
        self.recovered = hub.recovered(id)
        self._closed = False

    def __aiter__(self) -> Self:
        return self

    async def __anext__(self) -> bytes:
        buffer = self._feed.buffer
        if buffer and not self._closed:
            try:
                return buffer.popleft()
            except IndexError:  # another thread has just emptied it
                pass
        return await self._next()

    async def _next(self) -> bytes:
        if is_forked():
            raise forked_error()
        feed = self._feed
        if feed.waiter is not None:
            raise RuntimeError(f"subscription {self.id!r} is already being read by another task")
        consumer = feed.consumer
        loop = asyncio.get_running_loop()
        if loop is not consumer.loop:
            raise RuntimeError("a stream is read on the event loop that made it")
        while True:
            if self._closed:
                raise StopAsyncIteration
            if not feed.buffer and not feed.ended and consumer.refill(feed) == REFILL:
                await asyncio.sleep(0)  # a busy subscription must not keep the loop to itself
                continue
            if feed.buffer:
                try:
                    return self._take(feed)
                except IndexError:  # another thread has just emptied it
                    continue
            if feed.ended:
                self._closed = True
                raise StopAsyncIteration
            feed.waiter = loop.create_future()
            try:
                await feed.waiter
            finally:
                feed.waiter = None

    def _take(self, feed: Feed) -> bytes:
        return feed.buffer.popleft()

    async def aclose(self) -> None:
        """Stop reading; the subscription goes on. Idempotent."""
        self.close()

    def close(self) -> None:
        """The same as `aclose`, for code that is not a coroutine. On the stream's own loop."""
        if self._closed:
            return
        self._closed = True
        self._feed.owner = None
        self._hub.release(self._feed)
        self._feed.wake()

    def __del__(self) -> None:
        # Any thread, any moment: only schedules. The loop's thread does the rest, or who asks for
        # what is left over before.
        if self._closed or self._feed.ended or is_forked():
            return
        self._owner.gone = True
        self._hub.note(self.id)
        with contextlib.suppress(RuntimeError):  # the loop is closed, and its consumer with it
            self._feed.consumer.loop.call_soon_threadsafe(self._hub.release, self._feed)

    def __repr__(self) -> str:
        state = "closed" if self._closed else "ended" if self._feed.ended else "open"
        return f"<Stream of {self.id} ({state})>"


class Subscribing:
    """``async with executor.subscribe(…) as stream``: a subscription for the block's length."""

    __slots__ = ("_begin", "_end", "_stream")

    def __init__(self, begin: Callable[[], Stream], end: Callable[[str], object]) -> None:
        self._begin = begin
        self._end = end
        self._stream: Stream | None = None

    async def __aenter__(self) -> Stream:
        if self._stream is not None:
            raise RuntimeError("this subscription was entered before; call subscribe() again")
        self._stream = self._begin()
        return self._stream

    async def __aexit__(self, *exc_info: object) -> None:
        if self._stream is None:
            return
        with contextlib.suppress(SubscriptionsError):  # closed, or forked: it ended there
            self._end(self._stream.id)
        self._stream.close()

    # The likely mistakes, with an error that says what to write instead.

    def __aiter__(self) -> NoReturn:
        raise TypeError(_HOW_TO_SUBSCRIBE)

    def __iter__(self) -> NoReturn:
        raise TypeError(_HOW_TO_SUBSCRIBE)

    def __await__(self) -> NoReturn:
        raise TypeError(_HOW_TO_SUBSCRIBE)

    def __enter__(self) -> NoReturn:
        raise TypeError(_HOW_TO_SUBSCRIBE)

    def __exit__(self, *exc_info: object) -> None:
        """Never called: `__enter__` raises."""
