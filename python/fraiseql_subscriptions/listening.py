"""The events themselves, for code that makes its own answers: ``async for event in listen(…)``.

A listener is a subscription for whole events. In a client's operation it is registered on the
client's connection, under the client's query: what the client may see, the generator sees,
and when that changes, it changes for both at once.
"""

# ruff: noqa: A001, A002  (`id` and `filter` are names of the public API)

from __future__ import annotations

import contextlib
import re
import uuid
from typing import TYPE_CHECKING, Any, Final

import orjson

from .aio import Hub, Stream
from .arguments import context_of
from .encode import decode_exact
from .errors import EngineClosed, SubscriptionsError, ended_error
from .fields import Fields
from .process import is_forked
from .schema_operation import GeneratorOperation, running
from .types import Event

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from typing_extensions import Self

    from .config import QueuePolicy
    from .loop import Feed
    from .security import SecurityContext

__all__ = ["Listener", "Listening", "current_context"]

#: Integers of so many digits may be beyond what the fast decoder keeps.
_BIG: Final = re.compile(rb"\d{19}")


def current_context() -> SecurityContext | None:
    """Who the client is in whose query, mutation or subscription this code runs; None: nobody's."""
    operation = running.get()
    return None if operation is None else operation.operations.context


class Listener:
    """Events as they are published, for one task: ``async for event in listener``.

    It listens from when it was made, so nothing published since is missed. It ends when it
    is closed or dropped, when the client's operation around it ends, and when the executor
    closes. `recovered` is False when it was to resume and could not do so exactly.

    Raises what the subscription ended with, such as AuthorizationError when its context expires.
    """

    __slots__ = ("__weakref__", "_closed", "_executor", "_operation", "_stream", "recovered")

    def __init__(
        self, executor: Listening, hub: Hub, id: str, operation: GeneratorOperation | None
    ) -> None:
        self._closed = False
        self._executor = executor
        self._operation = operation
        self._stream = _EventStream(executor, hub, id, operation)
        self.recovered = self._stream.recovered
        if operation is not None:
            operation.parts.add(id)

    def __aiter__(self) -> Self:
        return self

    async def __anext__(self) -> Event:
        try:
            message = await self._stream._next()
        except StopAsyncIteration:
            self.close()
            raise
        told = _decode(message)
        if told["type"] == "next":
            return _event(told["payload"])
        self.close()
        if told["type"] == "complete":
            raise StopAsyncIteration
        raise ended_error(told["payload"])

    async def aclose(self) -> None:
        """Stop listening. Idempotent."""
        self.close()

    def close(self) -> None:
        """The same as `aclose`, for code that is not a coroutine. On the listener's own loop."""
        if self._closed:
            return
        self._closed = True
        _end(self._executor, self._stream.id, self._operation)
        self._stream.close()

    def __del__(self) -> None:
        # Any thread, any moment: only schedules. The loop's thread does the rest.
        stream = getattr(self, "_stream", None)
        if stream is None or self._closed or is_forked():
            return
        loop = stream._feed.consumer.loop
        with contextlib.suppress(RuntimeError):  # the loop is closed, and its consumer with it
            loop.call_soon_threadsafe(_end, self._executor, stream.id, self._operation)

    def __repr__(self) -> str:
        return f"<Listener {self._stream.id} ({'closed' if self._closed else 'open'})>"


class _EventStream(Stream):
    """A stream that tells the client's operation what its context was when a message left it."""

    __slots__ = ("_operation",)

    def __init__(
        self, executor: object, hub: Hub, id: str, operation: GeneratorOperation | None
    ) -> None:
        super().__init__(executor, hub, id)
        self._operation = operation

    def _take(self, feed: Feed) -> bytes:
        if self._operation is None:
            return feed.buffer.popleft()
        with feed.consumer.lock:  # what empties the one empties the other meanwhile
            message = feed.buffer.popleft()
            self._operation.sees()
        return message


def _decode(message: bytes) -> Any:
    if _BIG.search(message) is None:
        with contextlib.suppress(ValueError):  # a float beyond 64 bits, which others may publish
            return orjson.loads(message)
    return decode_exact(message)


def _event(payload: dict[str, Any]) -> Event:
    told = payload["data"]
    return Event(
        told["event_type"],
        told["channel"],
        told["data"],
        told["correlation_id"],
        told["id"],
        told["timestamp"],
        payload["extensions"]["position"],
    )


def _end(executor: Listening, id: str, operation: GeneratorOperation | None) -> None:
    if operation is not None:
        operation.parts.discard(id)
    with contextlib.suppress(SubscriptionsError):  # the executor was closed, or forked
        executor.complete_subscription(id)  # type: ignore[attr-defined]


class Listening(Fields):
    """The executor's method that gives the events themselves."""

    __slots__ = ()

    def listen(
        self,
        channels: str | Iterable[str],
        *,
        event_types: str | Iterable[str] | None = None,
        filter: Mapping[str, Any] | None = None,
        context: SecurityContext | None = None,
        queue: QueuePolicy | None = None,
        since: str | None = None,
    ) -> Listener:
        """``async for event in executor.listen(channels)``: events (`Event`) as they are published.

        Parameters are those of `register_subscription`; events that its rules keep from the
        context are not given out, and one that is slow loses what `queue` says. Called in a
        client's operation, as by a subscription's generator, the client's context applies,
        and `context` must be left out. Otherwise without one it is trusted and sees everything.

        Raises RuntimeError without a running event loop, ValueError, TypeError, LimitExceeded,
        AuthorizationError, EngineClosed, ForkedProcessError.
        """
        context_of(None, None, context)
        if channels is None:
            raise TypeError("channels must be a str or an iterable of them, not NoneType")
        self._entry()
        hub = self._hub
        assert hub is not None
        hub.consumer()  # there must be a loop
        operation = running.get()
        connection, subscription, request, part = f"local-{uuid.uuid4().hex}", "1", None, None
        if operation is not None:
            if context is not None:
                raise ValueError(
                    "in a client's operation the client's context applies; leave context= out"
                )
            if operation.ended:
                raise EngineClosed("the client's operation has ended")
            client = operation.operations
            context = client.context
            if client.executor is self:
                connection = client.connection_id
                subscription = f"{operation.id}/{uuid.uuid4().hex}"
                if isinstance(operation, GeneratorOperation):
                    part, request = operation, operation.request
        id = self._register_events(
            connection,
            subscription,
            request,
            context,
            channels=channels,
            event_types=event_types,
            filter=filter,
            queue=queue,
            since=since,
            part=part is not None,
        )
        try:
            return Listener(self, hub, id, part)
        except BaseException:
            _end(self, id, part)
            raise
