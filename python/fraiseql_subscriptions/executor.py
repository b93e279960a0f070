"""The executor: the engine as Python code calls it.

Everything is checked here with an error that names the argument, then handed to the native
module as strings, integers and addresses of objects. The methods an application calls per
event or per message (publish_event, next_event, next_events, drain, register_subscription)
do nothing besides.
"""

# ruff: noqa: A001, A002  (`id`, `filter` and `max` are names of the public API)

from __future__ import annotations

import contextlib
import uuid
from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Any

import orjson

from .aio import Stream, Subscribing
from .arguments import (
    context_of,
    identifier,
    positive,
    refuse_unsafe,
    registration_options,
    text_argument,
)
from .encode import encode_object
from .errors import SubscriptionNotFound, SubscriptionsError, from_native
from .listening import Listening
from .process import forked_error
from .process import state as process_state
from .signature import PROJECTS, STREAMED, Projected, Streamed

if TYPE_CHECKING:
    from .config import QueuePolicy
    from .security import SecurityContext
    from .types import Identifier, Resolver

__all__ = ["SubscriptionExecutor"]


class SubscriptionExecutor(Listening):
    """Registers GraphQL subscriptions, publishes events, hands out finished responses.

    `bus` is an `EventBusConfig` or a URL (``"memory://"``, the default). `schema` is SDL text
    or a graphql-core schema; with one, queries are validated at registration. `security`,
    `limits` and `queue` are what their classes say. `dispatch_timeout` (seconds) bounds how
    long a publish waits for its event to be dispatched; `resolver_timeout` (seconds) how long
    an async resolver may take. `debug` adds tracebacks of resolvers to logs and responses.

    Audit records (`AuditRecord`) go to the logger ``fraiseql_subscriptions.audit`` and to `audit`,
    a callable of one record that runs on a thread of the engine. Of denied deliveries at most
    `audit_denials` events a second are told; records hold no data of events, unless `audit_data`.

    Any thread may call any method. The engine starts with the first call that needs it, so an
    executor may be made before a server forks its workers. It is a context manager and an
    async context manager; both close it.
    """

    __slots__ = ()

    # --- Subscriptions -----------------------------------------------------------------

    def register_subscription(
        self,
        connection_id: Identifier,
        subscription_id: Identifier,
        query: str,
        operation_name: str | None = None,
        variables: Mapping[str, Any] | None = None,
        user_id: Identifier | None = None,
        tenant_id: Identifier | None = None,
        *,
        channels: str | Iterable[str] = ("*",),
        event_types: str | Iterable[str] | None = None,
        filter: Mapping[str, Any] | None = None,
        resolver: Resolver | Streamed | None = None,
        context: SecurityContext | None = None,
        queue: QueuePolicy | None = None,
        since: str | None = None,
        positions: bool = False,
        share: bool = True,
    ) -> str:
        """Make a subscription live; returns its id, unique in the process.

        Events on a channel that matches one of `channels` (``*`` one segment, ``>`` the rest,
        the lone ``"*"`` everything), of one of `event_types`, that the `filter` and the
        security policy let through are answered by `resolver`, or projected through the
        query's selection set. `user_id` and `tenant_id` are short for a `context`; with
        neither the subscription is trusted and sees everything. `since` is a position to
        resume from; `positions` adds each event's to its response's extensions. With
        ``share=False`` the resolver is called for this subscription alone.

        Raises InvalidQuery, DuplicateSubscription, LimitExceeded, AuthorizationError
        (ContextExpired), ScopeViolation, ValueError, TypeError, EngineClosed, ForkedProcessError.
        """
        if process_state.forked[0]:
            raise forked_error()
        handle = self._handle or self._open()
        connection = identifier("connection_id", connection_id)
        subscription = identifier("subscription_id", subscription_id)
        if type(query) is not str:
            raise TypeError(f"query must be a str, not {type(query).__name__}")
        if "\0" in query or not query.isascii():
            refuse_unsafe("query", query)
        if user_id is not None or tenant_id is not None or context is not None:
            context = context_of(user_id, tenant_id, context)
        number = flags = policy = projects = streamed = 0
        if isinstance(resolver, Streamed):
            streamed = STREAMED
            if isinstance(resolver, Projected):
                policy, projects = resolver.policy, PROJECTS
            resolver = resolver.call
        if resolver is not None:
            number, flags = self._callbacks.acquire(resolver, share=share, security=context)
            flags |= projects
        try:
            id: str = self._native.register_subscription(
                handle,
                connection,
                subscription,
                query,
                "" if operation_name is None else text_argument("operation_name", operation_name),
                "" if variables is None else encode_object(variables, "variables").decode(),
                registration_options(
                    channels,
                    event_types,
                    filter,
                    context,
                    queue,
                    positions,
                    share,
                    number,
                    flags,
                    policy=policy,
                ),
                "" if since is None else text_argument("since", since),
                self._loop_flag() | streamed,
            )
        except BaseException as error:
            if number:
                self._callbacks.release([number], [1])
            if type(error) is RuntimeError:
                raise from_native(error) from None
            raise
        if self._callbacks._interrupts:
            self._raise_interrupt()
        return id

    def register_resolver(self, id: str, resolver: Resolver) -> None:
        """Answer a live subscription with `resolver` from the next accepted event on.

        It is called with ``(data)``, ``(data, variables)`` or ``(data, variables, info)`` and
        returns the response's whole data, or an execution result. Every call gets its own
        copy of the event's data. An async one runs on the event loop that registers it.

        Raises SubscriptionNotFound; TypeError when it cannot be called so, or is async and no
        event loop is running.
        """
        handle = self._entry()
        number, flags = self._callbacks.acquire(resolver)
        try:
            self._native.set_resolver(handle, _id(id), number, flags)
        except BaseException as error:
            self._callbacks.release([number], [1])
            if type(error) is RuntimeError:
                raise from_native(error) from None
            raise
        if self._callbacks._interrupts:
            self._raise_interrupt()

    def complete_subscription(self, id: str) -> bool:
        """End a subscription at once; what it has queued is discarded. False: there is none.

        One that the server has ended and that has not been read to its end is discarded too.
        """
        handle = self._entry()
        try:
            ended: int = self._native.complete_subscription(handle, _id(id))
        except RuntimeError as error:
            raise from_native(error) from None
        assert self._hub is not None
        self._hub.end(id)
        if self._callbacks._interrupts:
            self._raise_interrupt()
        return bool(ended)

    def close_connection(self, connection_id: Identifier) -> int:
        """End every subscription of a connection as `complete_subscription` does; how many."""
        handle = self._entry()
        connection = identifier("connection_id", connection_id)
        out: list[str] = []
        try:
            self._native.close_connection(handle, connection, id(out))
        except RuntimeError as error:
            raise from_native(error) from None
        finally:
            assert self._hub is not None
            for ended in out:
                self._hub.end(ended)
        if self._callbacks._interrupts:
            self._raise_interrupt()
        return len(out)

    def subscriptions_by_channel(self, channel: str) -> list[str]:
        """The ids of those that an event on `channel` would reach, wildcards included."""
        handle = self._entry()
        out: list[str] = []
        try:
            self._native.subscriptions_by_channel(
                handle, text_argument("channel", channel), id(out)
            )
        except RuntimeError as error:
            raise from_native(error) from None
        return out

    # --- Responses ---------------------------------------------------------------------

    def next_event(self, id: str) -> bytes | None:
        """The oldest response of a subscription, None when none is queued.

        Bytes of compact JSON, a complete graphql-transport-ws message. A subscription that
        the server ended gives what it had queued and a final ``error`` or ``complete`` message.
        After that, as for one that the application ended: SubscriptionNotFound.
        """
        if process_state.forked[0]:
            raise forked_error()
        handle = self._handle or self._open()
        if self._leftovers or type(id) is not str or "\0" in id:
            found = self.next_events(id, 1)
            return found[0] if found else None
        out: list[bytes] = []
        try:
            self._native.next_event(handle, id, _address(out))
        except (RuntimeError, UnicodeEncodeError) as error:
            raise _not_taken(id, error) from None
        return out[0] if out else None

    def next_events(self, id: str, max: int = 256) -> list[bytes]:
        """At most `max` responses of a subscription, oldest first. SubscriptionNotFound."""
        if process_state.forked[0]:
            raise forked_error()
        handle = self._handle or self._open()
        if type(id) is not str or "\0" in id:
            id = _id(id)
        if type(max) is not int or max < 1:
            positive("max", max)
        out: list[bytes] = []
        if self._leftovers and id in self._leftovers:
            assert self._hub is not None
            out = self._hub.take_left(id, max)
            if len(out) == max:
                return out
            max -= len(out)
        try:
            self._native.next_events(handle, id, _address(out), max)
        except (RuntimeError, UnicodeEncodeError) as error:
            if not out:
                raise _not_taken(id, error) from None
        return out

    def drain(self, max: int = 4096) -> list[tuple[str, bytes]]:
        """At most `max` responses as (subscription id, response), fair between subscriptions.

        Covers every subscription that has no stream.
        """
        if process_state.forked[0]:
            raise forked_error()
        handle = self._handle or self._open()
        if type(max) is not int or max < 1:
            positive("max", max)
        out: list[tuple[str, bytes]] = []
        assert self._hub is not None
        with self._hub.lock:  # what a stream had taken comes before what the engine has
            if self._leftovers:
                self._drain_leftovers(out, max)
                max -= len(out)
                if not max:
                    return out
            try:
                self._native.drain(handle, 0, id(out), id(out), id(out), max)
            except RuntimeError as error:
                raise from_native(error) from None
        return out

    def _drain_leftovers(self, out: list[tuple[str, bytes]], maximum: int) -> None:
        assert self._hub is not None
        for key in self._hub.left():
            with contextlib.suppress(SubscriptionsError):  # ended meanwhile
                out.extend((key, one) for one in self.next_events(key, maximum - len(out)))
            if len(out) == maximum:
                return

    def fileno(self) -> int:
        """A descriptor that is readable while `drain` has something to give.

        The executor owns it: watch it, do not read or close it.
        """
        handle = self._entry()
        try:
            descriptor: int = self._native.consumer_fd(handle, 0)
        except RuntimeError as error:
            raise from_native(error) from None
        assert self._hub is not None
        self._hub.signal()
        return descriptor

    # --- asyncio -----------------------------------------------------------------------

    def stream(self, id: str) -> Stream:
        """The responses of a live subscription, for ``async for`` on the running event loop.

        Raises SubscriptionNotFound; RuntimeError without a running loop, or when another
        stream reads the subscription.
        """
        self._entry()
        assert self._hub is not None
        return Stream(self, self._hub, _id(id))

    def subscribe(
        self,
        query: str,
        operation_name: str | None = None,
        variables: Mapping[str, Any] | None = None,
        user_id: Identifier | None = None,
        tenant_id: Identifier | None = None,
        *,
        channels: str | Iterable[str] = ("*",),
        event_types: str | Iterable[str] | None = None,
        filter: Mapping[str, Any] | None = None,
        resolver: Resolver | None = None,
        context: SecurityContext | None = None,
        queue: QueuePolicy | None = None,
        since: str | None = None,
        positions: bool = False,
        share: bool = True,
    ) -> Subscribing:
        """``async with executor.subscribe(query) as stream``: a subscription for the block.

        Parameters and errors are those of `register_subscription`, raised when the block is
        entered; the connection id is generated.
        """

        def begin() -> Stream:
            connection = f"local-{uuid.uuid4().hex}"
            id = self.register_subscription(
                connection,
                "1",
                query,
                operation_name,
                variables,
                user_id,
                tenant_id,
                channels=channels,
                event_types=event_types,
                filter=filter,
                resolver=Streamed(resolver),
                context=context,
                queue=queue,
                since=since,
                positions=positions,
                share=share,
            )
            try:
                assert self._hub is not None
                return Stream(self, self._hub, id)
            except BaseException:
                self.complete_subscription(id)
                raise

        return Subscribing(begin, self.complete_subscription)

    # --- State -------------------------------------------------------------------------

    def get_metrics(self) -> dict[str, Any]:
        """Counters since the executor was made, and what is queued now.

        `delivered` responses were queued; those among them that did not stay are `dropped`, too.
        `dropped` is by overflow policy, "revoked" for what a new context may not see, "rate"
        for what a rate withheld; `rejected` by limit, `violations` by kind, `breaker_trips`
        the connections that were cut off;
        `denied` by security module, and "expired"; `ended` by reason: completed,
        connection_closed, executor_closed, slow_consumer, forbidden, revoked, expired,
        invalidated, violations, limit (a new context's user has no room).
        """
        return self._told("metrics")

    def metrics_text(self) -> str:
        """The same in the Prometheus exposition format."""
        handle = self._entry()
        try:
            text: str = self._native.metrics_text(handle)
        except RuntimeError as error:
            raise from_native(error) from None
        return text

    def health(self) -> dict[str, Any]:
        """Whether the executor and its bus are working; ``"closed"`` once it was closed."""
        if self._closed and not self._handle and not process_state.forked[0]:
            return {"status": "closed"}
        return self._told("health")

    def _told(self, function: str) -> dict[str, Any]:
        handle = self._entry()
        try:
            told: dict[str, Any] = orjson.loads(getattr(self._native, function)(handle))
        except RuntimeError as error:
            raise from_native(error) from None
        return told


_address = id


def _id(value: str) -> str:
    if not isinstance(value, str):
        raise TypeError(
            f"id must be the str that register_subscription returned, not {type(value).__name__}"
        )
    if "\0" in value or not value.isascii():
        raise _unknown(value)
    return value


def _unknown(value: str) -> SubscriptionNotFound:
    return SubscriptionNotFound(f"there is no live subscription {value!r}")


def _not_taken(value: str, error: Exception) -> Exception:
    return _unknown(value) if isinstance(error, UnicodeEncodeError) else from_native(error)
