"""What a client asks a transport to run: operations, without the transport.

A transport makes one `Operations` a connection and starts operations in it. Each operation
gives messages and then ends: completed, or with errors. A message is a complete
graphql-transport-ws ``next`` message as the engine made it; its payload, the JSON of an
execution result, is a slice of it. Nothing is encoded a second time.

Everything here belongs to the event loop's thread.
"""

# ruff: noqa: A002  (`id` is a name of the public API)

from __future__ import annotations

import contextlib
import logging
from abc import ABC, abstractmethod
from collections import deque
from typing import TYPE_CHECKING, Any, Final, NamedTuple

import orjson

from .encode import decode_exact
from .errors import InvalidQuery, SubscriptionsError
from .loop import Feed

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from typing_extensions import Self

    from .executor import SubscriptionExecutor
    from .loop import LoopConsumer
    from .security import SecurityContext

__all__ = ["Operation", "Operations", "Request"]

_logger = logging.getLogger("fraiseql_subscriptions")

#: What stands between a message's id and its payload. An id's own quotes are escaped, so the
#: first such text is this.
_NEXT: Final = b',"type":"next","payload":'


class Request(NamedTuple):
    """A GraphQL request as a client sent it."""

    query: str
    operation_name: str | None = None
    variables: Mapping[str, Any] | None = None
    extensions: Mapping[str, Any] | None = None

    @classmethod
    def from_json(cls, query: str, name: str, variables: str, extensions: str) -> Self:
        """The parts as the engine's protocols give them: JSON objects, "" for what is absent."""
        return cls(
            query,
            name or None,
            decode_exact(variables) if variables else None,
            decode_exact(extensions) if extensions else None,
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

        Then it comes back on the ready list by itself, unless it has `ended`. Each message
        is to be sent before the next one is asked for: what a client may not see any more is
        taken out of what waits.
        """

    def payload(self, message: bytes) -> bytes:
        """The execution result (JSON) in one of this operation's messages."""
        return message[len(self.head) : -1]

    def complete(self) -> None:
        """The client does not want it any more: it gives nothing from now on. Idempotent."""
        if not self.ended:
            self.ended = True
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

    def _fail(self, errors: bytes) -> None:
        self.ended = True
        self.errors = errors


class RefusedOperation(Operation):
    """One that could not be started."""

    __slots__ = ("_reason",)

    def __init__(self, operations: Operations, id: str, tag: Any, reason: bytes) -> None:
        super().__init__(operations, id, tag)
        self._reason = reason

    def next(self) -> None:
        self._queued = False
        if not self.ended:
            self._fail(self._reason)

    def _stop(self) -> None:
        """Nothing was begun."""


class OperationFeed(Feed):
    """A feed that an operation reads: waking it puts the operation on the ready list."""

    __slots__ = ("operation",)

    def __init__(self, id: str, consumer: LoopConsumer, operation: Operation) -> None:
        super().__init__(id, consumer)
        self.operation = operation

    def wake(self) -> None:
        self.operation.wake()


class EngineOperation(Operation):
    """A subscription that the engine answers."""

    __slots__ = ("_feed",)

    def __init__(self, operations: Operations, id: str, tag: Any, engine_id: str) -> None:
        super().__init__(operations, id, tag)
        self._feed = operations._adopt(engine_id, self)

    def next(self) -> bytes | None:
        feed = self._feed
        self._queued = False
        if self.ended:
            return None
        message = None
        if feed.buffer:
            with contextlib.suppress(IndexError):  # another thread has just emptied it
                message = feed.buffer.popleft()
        if message is not None:
            if (self.head and message.startswith(self.head)) or self._is_next(message):
                return message
        elif feed.ended:
            self.ended = True  # the application ended it
        elif feed.consumer.refill(feed):
            self.wake()  # behind the others that are ready
        return None

    def _is_next(self, message: bytes) -> bool:
        """Whether this is a response; the final message ends the operation instead."""
        told = orjson.loads(message)
        if told["type"] == "next":
            self.head = message[: message.index(_NEXT) + len(_NEXT)]
            return True
        self._fail(orjson.dumps(told["payload"]) if told["type"] == "error" else b"")
        self._stop()  # its client may use the id again
        return False

    def _stop(self) -> None:
        with contextlib.suppress(SubscriptionsError):  # the executor was closed before
            self._operations.executor.complete_subscription(self._feed.id)


class Operations:
    """The operations of one connection.

    `wake` is called when the ready list stops being empty: the transport then asks for `ready`
    operations until there is none. `context` is who the client is.
    """

    __slots__ = ("_ready", "_wake", "connection_id", "context", "executor")

    def __init__(
        self,
        executor: SubscriptionExecutor,
        connection_id: str,
        context: SecurityContext,
        wake: Callable[[], None],
    ) -> None:
        self.executor = executor
        self.connection_id = connection_id
        self.context = context
        self._wake = wake
        self._ready: deque[Operation] = deque()

    def start(self, id: str, request: Request, tag: Any = None) -> Operation:
        """Begin what a client asks for under its `id`.

        Never raises for what a client does: an operation that cannot be started ends with
        errors, as any other does.
        """
        try:
            operation: Operation = self._start(id, request, tag)
        except (SubscriptionsError, ValueError) as error:
            code = getattr(error, "code", "BAD_REQUEST")
            operation = self._refuse(id, tag, str(error), code)
        except Exception:  # a mistake of the application's, whose text is not for clients
            _logger.exception("a client's operation could not be started")
            operation = self._refuse(id, tag, "Internal error", "INTERNAL_ERROR")
        operation.wake()
        return operation

    def ready(self) -> Operation | None:
        """One that has something to say, in their order; None when there is none."""
        return self._ready.popleft() if self._ready else None

    def close(self) -> None:
        """The connection is gone: end everything."""
        self._ready.clear()
        with contextlib.suppress(SubscriptionsError):  # the executor was closed before
            self.executor.close_connection(self.connection_id)

    def _start(self, id: str, request: Request, tag: Any) -> Operation:
        extensions = request.extensions or {}
        since = extensions.get("since")
        if since is not None and not (isinstance(since, str) and since and "\0" not in since):
            raise InvalidQuery("extensions.since is not a position")
        engine_id = self.executor._client_subscription(
            self.connection_id,
            id,
            request.query,
            request.operation_name,
            request.variables,
            self.context,
            since,
            "since" in extensions,
        )
        return EngineOperation(self, id, tag, engine_id)

    def _refuse(self, id: str, tag: Any, message: str, code: str) -> Operation:
        problem = {"message": message, "extensions": {"code": code}}
        return RefusedOperation(self, id, tag, orjson.dumps([problem]))

    def _adopt(self, engine_id: str, operation: Operation) -> OperationFeed:
        hub = self.executor._hub
        assert hub is not None
        feed = OperationFeed(engine_id, hub.consumer(), operation)
        hub.adopt(feed)
        return feed
