"""What a client asks a transport to run: an operation, without the transport.

It gives messages and then ends: completed, or with errors. A message is a complete
graphql-transport-ws ``next`` message as the engine made it; its payload, the JSON of an
execution result, is a slice of it. Nothing is encoded a second time.

Everything here belongs to the event loop's thread.
"""

# ruff: noqa: A002  (`id` is a name of the public API)

from __future__ import annotations

import contextlib
from abc import ABC, abstractmethod
from typing import TYPE_CHECKING, Any, Final, NamedTuple

import orjson

from .encode import decode_exact
from .errors import SubscriptionsError
from .loop import Feed

if TYPE_CHECKING:
    from collections.abc import Mapping

    from typing_extensions import Self

    from .loop import LoopConsumer
    from .operations import Operations

__all__ = ["NEXT", "EngineOperation", "FeedOperation", "Operation", "RefusedOperation", "Request"]

#: What stands between a message's id and its payload. An id's own quotes are escaped, so the
#: first such text is this.
NEXT: Final = b',"type":"next","payload":'


class Request(NamedTuple):
    """A GraphQL request as a client sent it."""

    query: str
    operation_name: str | None = None
    variables: Mapping[str, Any] | None = None
    extensions: Mapping[str, Any] | None = None
    #: The type of operation that is not served where this one came in, "" for none.
    refused: str = ""

    @classmethod
    def from_json(
        cls, query: str, name: str, variables: str, extensions: str, refused: str = ""
    ) -> Self:
        """The parts as the engine's protocols give them: JSON objects, "" for what is absent."""
        return cls(
            query,
            name or None,
            decode_exact(variables) if variables else None,
            decode_exact(extensions) if extensions else None,
            refused,
        )


class Operation(ABC):
    """One operation of a client, from its start to its end.

    Its transport calls `next` when the operation is on the ready list, until that gives None,
    and then looks at `ended`.
    """

    __slots__ = ("_operations", "_queued", "ended", "errors", "head", "id", "tag")

    def __init__(self, operations: Operations, id: str, tag: Any) -> None:
        self._operations = operations
        self._queued = False
        #: The client's id of it, and whatever its transport calls it by.
        self.id = id
        self.tag = tag
        #: What its messages begin with, up to the payload; b"" before the first one.
        self.head = b""
        #: Whether it has ended, and all of it was given out.
        self.ended = False
        #: The errors with which it ended: a JSON list, b"" when it was completed.
        self.errors = b""

    @property
    def waits(self) -> bool:
        """Whether it is on the ready list."""
        return self._queued

    @abstractmethod
    def next(self) -> bytes | None:
        """The next message; None when there is none now, or when this round is over.

        Then it comes back on the ready list by itself, unless it has `ended`. Each message, or
        a few that were asked for without waiting in between, are to be sent before the next one is
        asked for: what a client may not see any more is taken out of what waits.
        """

    def payload(self, message: bytes) -> bytes:
        """The execution result (JSON) in one of this operation's messages."""
        return message[len(self.head) : -1]

    def complete(self) -> None:
        """The client does not want it any more: it gives nothing from now on. Idempotent."""
        self._end(b"")

    def drain(self) -> None:
        """The server goes away: give out what there is, without waiting for more."""
        self.wake()

    def _end(self, errors: bytes) -> None:
        if not self.ended:
            self.ended = True
            self.errors = errors
            self._stop()

    @abstractmethod
    def _stop(self) -> None:
        """Give back what it holds; its end has been decided."""

    def wake(self) -> None:
        """Put it on the connection's ready list."""
        if not self._queued:
            self._queued = True
            self._operations._ready.append(self)
            self._operations._wake()


class RefusedOperation(Operation):
    """One that could not be started."""

    __slots__ = ("_reason",)

    def __init__(self, operations: Operations, id: str, tag: Any, reason: bytes) -> None:
        super().__init__(operations, id, tag)
        self._reason = reason

    def next(self) -> None:
        self._queued = False
        self._end(self._reason)

    def _stop(self) -> None:
        """Nothing was begun."""


class OperationFeed(Feed):
    """A feed that an operation reads: waking it puts the operation on the ready list."""

    __slots__ = ("operation", "pump")

    how = 1

    def __init__(self, id: str, consumer: LoopConsumer, operation: Operation) -> None:
        super().__init__(id, consumer)
        self.operation = operation
        #: The transport's, where it has one.
        self.pump = operation._operations.pump

    def arrive(self) -> bool:
        operation = self.operation
        if not operation._queued and (self.pump is None or not self.pump.hand(operation)):
            operation.wake()
        return bool(self.buffer)

    def wake(self) -> None:
        self.operation.wake()


class FeedOperation(Operation):
    """One whose messages and end come through a subscription of the engine's."""

    __slots__ = ()

    _feed: OperationFeed

    def _adopt(self, engine_id: str) -> OperationFeed:
        hub = self._operations.executor._hub
        assert hub is not None
        feed = self._operations.feed(engine_id, hub.consumer(), self)
        hub.adopt(feed)
        return feed

    def next(self) -> bytes | None:
        self._queued = False
        if self.ended:
            return None
        buffer = self._feed.buffer
        try:
            message = buffer.popleft() if buffer else None
        except IndexError:  # another thread has just emptied it
            message = None
        if message is None:
            self._look()
        elif (self.head and message.startswith(self.head)) or self._is_next(message):
            return message
        return None

    def _look(self) -> None:
        """Nothing waits here: ask the engine."""
        feed = self._feed
        if not feed.ended and not feed.consumer.arriving:
            feed.consumer.refill(feed)
        if feed.buffer:
            self.wake()  # behind the others that are ready
        elif feed.ended:
            # The application ended it. Nobody tells of that where the engine was asked before
            # the application's thread could.
            self.complete()

    def _is_next(self, message: bytes) -> bool:
        """Whether this is a response; the final message ends the operation instead."""
        told = orjson.loads(message)
        if told["type"] == "next":
            self.head = message[: message.index(NEXT) + len(NEXT)]
            return True
        self._end(orjson.dumps(told["payload"]) if told["type"] == "error" else b"")
        return False

    def _stop(self) -> None:
        # Its client may use the id again.
        with contextlib.suppress(SubscriptionsError):  # the executor was closed before
            self._operations.executor.complete_subscription(self._feed.id)


class EngineOperation(FeedOperation):
    """A subscription that the engine answers."""

    __slots__ = ("_feed",)

    def __init__(self, operations: Operations, id: str, tag: Any, engine_id: str) -> None:
        super().__init__(operations, id, tag)
        self._feed = self._adopt(engine_id)
