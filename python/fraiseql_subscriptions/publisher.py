"""Publishing: events go in as Python values and come back as positions."""

from __future__ import annotations

import asyncio
import contextlib
import time
from asyncio.events import _get_running_loop
from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Any, Final

from .arguments import (
    identifier,
    optional_identifier,
    refuse_unsafe,
    text_argument,
    wait_flag,
)
from .batch import event_batch
from .encode import encode_object
from .errors import dispatch_timeout, from_native
from .lifecycle import SLICE_MS, Engine
from .process import forked_error
from .process import state as process_state

if TYPE_CHECKING:
    from .types import Event, Identifier, Wait

__all__ = ["Publisher"]

#: Flags of a publish, beside that of `wait_flag` (2): the thread runs an event loop, and never
#: waits; a ticket is wanted. The bits above are the number of the consumer that the ticket
#: comes back to.
_ON_LOOP: Final = 1
_TICKET: Final = 4
_CONSUMER_SHIFT: Final = 3
#: What await_dispatch says of an event whose responses wait for room.
_FULL: Final = 2


class Publisher(Engine):
    """The publishing half of an executor."""

    __slots__ = ()

    def publish_event(
        self,
        event_type: str,
        channel: str,
        data: Mapping[str, Any],
        *,
        correlation_id: Identifier | None = None,
        event_id: Identifier | None = None,
        wait: Wait = "dispatched",
    ) -> str:
        """Publish one event; returns its position.

        On return it was accepted and dispatched to this node's subscriptions, or an error was
        raised and neither happened; `DispatchTimeout` alone says accepted, not yet
        dispatched. Full queues of the policy `block` are waited for, after that. With
        ``wait="accepted"``, inside a resolver, and on a running event loop's thread it may
        return once it is accepted.

        Raises ValueError and TypeError that name what JSON cannot hold; LimitExceeded,
        DispatchTimeout, BusUnavailable (certainly not accepted), PublishOutcomeUnknown, BusError,
        EngineClosed, ForkedProcessError. KeyboardInterrupt and
        SystemExit of a resolver leave from here after the event was dispatched.
        """
        if process_state.forked[0]:
            raise forked_error()
        handle = self._handle or self._open()
        if type(event_type) is not str or not event_type or "\0" in event_type:
            event_type = text_argument("event_type", event_type)
        if type(channel) is not str or not channel or "\0" in channel:
            channel = text_argument("channel", channel)
        body = encode_object(data)
        flags = 0 if wait == "dispatched" else wait_flag(wait)
        if _get_running_loop() is not None:
            flags |= _ON_LOOP
        try:
            position: str = self._native.publish_event(
                handle,
                event_type,
                channel,
                id(body),
                "" if correlation_id is None else identifier("correlation_id", correlation_id),
                "" if event_id is None else identifier("event_id", event_id),
                flags,
            )
        except (RuntimeError, UnicodeEncodeError) as error:
            raise self._publish_failure(error, event_type, channel) from None
        if " " in position:
            position = self._dispatched(handle, position)
        if self._callbacks._interrupts:
            self._raise_interrupt()
        return position

    def publish_events(
        self,
        events: Iterable[Event | tuple[Any, ...] | Mapping[str, Any]],
        *,
        wait: Wait = "dispatched",
    ) -> list[str]:
        """Publish many events in order; all are accepted or none. Returns their positions.

        Items are `Event` objects, tuples ``(event_type, channel, data[, correlation_id[,
        event_id]])`` or dicts of those names. Raises as `publish_event`; errors name the index.
        """
        handle = self._entry()
        flags = wait_flag(wait)
        if _get_running_loop() is not None:
            flags |= _ON_LOOP
        batch, data = event_batch(events)
        if not batch:
            return []
        try:
            receipts: str = self._native.publish_events(handle, id(batch), id(data), flags)
        except RuntimeError as error:
            raise self._callbacks.interrupt() or from_native(error) from None
        positions = receipts.split("\n")
        if " " in receipts:
            positions = self._all_dispatched(handle, positions)
        if self._callbacks._interrupts:
            self._raise_interrupt()
        return positions

    async def publish(
        self,
        event_type: str,
        channel: str,
        data: Mapping[str, Any],
        *,
        correlation_id: Identifier | None = None,
        event_id: Identifier | None = None,
        wait: Wait = "dispatched",
    ) -> str:
        """As `publish_event`, without ever blocking the event loop.

        Awaits until the event has been dispatched here where that could not happen at once. A
        task that publishes without pause lets the others run every few milliseconds.
        """
        handle = self._entry()
        flags = wait_flag(wait) | _ON_LOOP
        assert self._hub is not None
        consumer = self._hub.consumer()
        if wait == "dispatched" or self._remote:
            flags |= _TICKET | consumer.number << _CONSUMER_SHIFT
        body = encode_object(data)
        try:
            answer: str = self._native.publish_event(
                handle,
                text_argument("event_type", event_type),
                text_argument("channel", channel),
                id(body),
                optional_identifier("correlation_id", correlation_id),
                optional_identifier("event_id", event_id),
                flags,
            )
        except RuntimeError as error:
            raise self._publish_failure(error, event_type, channel) from None
        if self._callbacks._interrupts:
            self._raise_interrupt()
        position, _, ticket = answer.partition(" ")
        if ticket:
            position = await consumer.dispatched(int(ticket), position, self._dispatch_timeout)
        elif consumer.is_overdue():
            await asyncio.sleep(0)
        return position

    def _dispatched(self, handle: int, receipt: str) -> str:
        """Wait, in slices, for the event behind a receipt "position ticket"; the position."""
        position, _, ticket = receipt.partition(" ")
        if self._await_dispatch(handle, position, int(ticket)) == _FULL:
            self._await_room(handle, int(ticket))
        return position or self._outcome(handle, int(ticket))

    def _outcome(self, handle: int, ticket: int) -> str:
        """The position of an event whose receipt had none: a server decides, and may refuse."""
        try:
            position: str = self._native.outcome(handle, ticket)
        except RuntimeError as error:
            raise self._callbacks.interrupt() or from_native(error) from None
        return position

    def _settled(self, handle: int, tickets: list[int], index: int) -> list[str]:
        """The positions of the event at `index` and of those behind it that are done, too."""
        first = tickets[index]
        count = 1
        while index + count < len(tickets) and tickets[index + count] == first + count:
            count += 1
        try:
            found: str = self._native.settled(handle, first, count)
        except RuntimeError as error:
            raise self._callbacks.interrupt() or from_native(error) from None
        return found.split("\n")

    def _await_dispatch(self, handle: int, position: str, ticket: int) -> int:
        """Wait until an event was dispatched; _FULL when its responses then wait for room.

        The engine may dispatch it on this thread, in here, when its turn comes.
        """
        deadline = time.monotonic() + self._dispatch_timeout
        done = 0
        try:
            while not done:
                left = deadline - time.monotonic()
                if left <= 0:
                    position = position or self._native.outcome(handle, ticket)
                    if position:
                        raise dispatch_timeout(position, self._dispatch_timeout)
                    # Not accepted yet: the engine bounds how long that may take.
                    left = self._dispatch_timeout
                    deadline = time.monotonic() + left
                done = self._native.await_dispatch(
                    handle, ticket, min(SLICE_MS, 1 + int(left * 1000))
                )
        except RuntimeError as error:
            raise self._callbacks.interrupt() or from_native(error) from None
        finally:
            if not done:
                with contextlib.suppress(RuntimeError):
                    self._native.forsake_dispatch(handle, ticket)
        return done

    def _await_room(self, handle: int, ticket: int) -> None:
        """Wait, in slices, for the readers of a `block` queue; the engine bounds how long."""
        done = 0
        try:
            while not done:
                done = self._native.await_room(handle, ticket, SLICE_MS)
        except RuntimeError:
            done = 1  # the executor was closed, and nothing waits any more
        finally:
            if not done:
                with contextlib.suppress(RuntimeError):
                    self._native.forsake_dispatch(handle, ticket)

    def _all_dispatched(self, handle: int, receipts: list[str]) -> list[str]:
        """Wait for every event of a batch; after a failure the engine dispatches the rest.

        A ticket that nobody awaits would hold up its channel until the engine loses patience:
        so room is waited for when all are dispatched.
        """
        parts = [receipt.partition(" ") for receipt in receipts]
        positions = [position for position, _, _ in parts]
        tickets = [int(ticket or 0) for _, _, ticket in parts]
        full: list[int] = []
        settled = 0
        try:
            while settled < len(tickets):
                index = settled
                ticket = tickets[index]
                if ticket and self._await_dispatch(handle, positions[index], ticket) == _FULL:
                    full.append(index)
                elif ticket and not positions[index]:
                    found = self._settled(handle, tickets, index)
                    positions[index : index + len(found)] = found
                    settled += len(found) - 1
                settled += 1
            while full:
                self._await_room(handle, tickets[full[-1]])
                index = full.pop()
                positions[index] = positions[index] or self._outcome(handle, tickets[index])
        finally:
            with contextlib.suppress(RuntimeError):  # closed
                for ticket in [*tickets[settled:], *(tickets[index] for index in full)]:
                    if ticket:
                        self._native.forsake_dispatch(handle, ticket)
        return positions

    def _publish_failure(self, error: Exception, event_type: str, channel: str) -> BaseException:
        if isinstance(error, UnicodeEncodeError):
            refuse_unsafe("event_type", event_type)
            refuse_unsafe("channel", channel)
            return error
        return self._callbacks.interrupt() or from_native(error)
