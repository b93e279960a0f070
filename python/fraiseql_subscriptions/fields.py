"""Field definitions of an executor: the only way from a client's query to a subscription."""

# ruff: noqa: A001, A002  (`id` and `filter` are names of the public API)

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import TYPE_CHECKING, Any, TypeVar

from .arguments import _names, refuse_unsafe, registration_options, text_argument
from .authority import Authority
from .definition import FieldDefinition
from .encode import decode_exact, encode, encode_object
from .errors import from_native
from .signature import EVENTS, TAKES_INFO, Projected, shape_of

if TYPE_CHECKING:
    from .config import QueuePolicy
    from .operation import Request
    from .security import SecurityContext
    from .types import Resolver

__all__ = ["Fields"]

_R = TypeVar("_R", bound=Callable[..., Any])


class Fields(Authority):
    """The executor's methods that tie what clients send to what the server decides."""

    __slots__ = ()

    def field(
        self,
        name: str,
        *,
        channels: str | Iterable[str] = ("*",),
        event_types: str | Iterable[str] | None = None,
        filter: Mapping[str, Any] | None = None,
        resolver: Resolver | None = None,
    ) -> Callable[[_R], _R]:
        """Define what clients get who subscribe to the root field `name`.

        ``{argument}`` in a channel and ``"$argument"`` in a filter's values take the coerced
        value of the field's argument; ``"$argument?"`` drops its condition when the argument
        is absent or null. A value that could act as a wildcard or add a segment is refused.
        `resolver` returns the field's value, which is projected through the selection set;
        without one, the event's data is. Usable as a decorator on the resolver.

        Raises TypeError, and ValueError when the field is defined already.
        """
        text_argument("name", name)
        if name in self._definitions:
            raise ValueError(f"field {name!r} is defined already")
        if filter is not None and not isinstance(filter, Mapping):
            raise TypeError(f"filter must be a mapping, not {type(filter).__name__}")
        if resolver is not None:
            shape_of(resolver)
        parts = (
            tuple(_names("channels", channels)),
            None if event_types is None else tuple(_names("event_types", event_types)),
            filter,
        )
        self._definitions[name] = FieldDefinition(name, *parts, resolver)

        def decorate(function: _R) -> _R:
            if resolver is not None:
                raise TypeError(f"field {name!r} has a resolver already")
            shape_of(function)
            self._definitions[name] = FieldDefinition(name, *parts, function)
            return function

        return decorate

    # --- What transports register ------------------------------------------------------

    def _client_connected(self, connection_id: str, context: SecurityContext) -> None:
        """A transport has decided who a connection's client is, until `_client_gone`.

        What the client subscribes to has this context, or what `update_context` and `revoke`
        have made of it since.
        """
        text = encode(context._as_json()).decode()
        try:
            self._native.connect(self._entry(), connection_id, text)
        except RuntimeError as error:
            raise from_native(error) from None

    def _client_context(self, connection_id: str) -> str:
        """The context (JSON) of a connection's client as it is now. Raises AuthorizationError
        where it was revoked.
        """
        try:
            context: str = self._native.client(self._entry(), connection_id)
        except RuntimeError as error:
            raise from_native(error) from None
        return context

    def _client_gone(self, connection_id: str) -> None:
        """The connection is closed: nobody is known by it any more."""
        try:
            self._native.disconnect(self._entry(), connection_id)
        except RuntimeError as error:
            raise from_native(error) from None

    def _client_named(self, connection_id: str, id: str) -> None:
        """The client ended something by a name that it gave to nothing of its own. Where that is
        the id of another connection's subscription, it is a violation.
        """
        if not id.isascii():
            return
        try:
            self._native.named(self._entry(), connection_id, id)
        except RuntimeError as error:
            raise from_native(error) from None

    def _client_refused(self, connection_id: str, id: str, code: str, reason: str) -> None:
        """A transport has refused what its client asked for before the engine could: the audit
        and the metrics tell.
        """
        reason = reason.encode("utf-8", "replace").decode().replace("\0", "\\0")
        try:
            self._native.refuse(self._entry(), connection_id, id, code, reason)
        except RuntimeError as error:
            raise from_native(error) from None

    def _inspect(self, connection_id: str, subscription_id: str, request: Request) -> Any:
        """What a client asks for: its ``kind``; of a subscription ``field`` and ``arguments``.

        Raises what a registration raises for its query and variables; the audit tells.
        """
        handle = self._entry()
        query, name, variables = request[:3]
        refuse_unsafe("the query", query)
        try:
            told = self._native.inspect(
                handle,
                connection_id,
                subscription_id,
                query,
                text_argument("operationName", name) if name else "",
                "" if variables is None else encode_object(variables, "variables").decode(),
            )
        except RuntimeError as error:
            raise from_native(error) from None
        return decode_exact(told)

    def _register_field(
        self,
        connection_id: str,
        subscription_id: str,
        request: Request,
        definition: FieldDefinition,
        channels: list[str],
        conditions: Mapping[str, Any] | None,
        context: SecurityContext,
        since: str | None,
        positions: bool,
    ) -> str:
        """Register what `_inspect` has found, by the field's definition. Its id."""
        return self.register_subscription(  # type: ignore[attr-defined,no-any-return]
            connection_id,
            subscription_id,
            request.query,
            request.operation_name,
            request.variables,
            channels=channels,
            event_types=definition.event_types,
            filter=conditions,
            resolver=None if definition.resolver is None else Projected(definition.resolver),
            context=context,
            since=since,
            positions=positions,
        )

    def _register_events(
        self,
        connection_id: str,
        subscription_id: str,
        request: Request | None,
        context: SecurityContext | None,
        *,
        channels: str | Iterable[str] | None = None,
        event_types: str | Iterable[str] | None = None,
        filter: Mapping[str, Any] | None = None,
        queue: QueuePolicy | None = None,
        since: str | None = None,
        part: bool = False,
    ) -> str:
        """Register for whole events, which are answered from here. Its id.

        Under the client's `request` its query is held to the limits and to what the context
        may have, now and whenever that changes. Without channels it gets no events: it
        watches over what answers the request. A `part` of that is not counted again.
        """
        handle = self._entry()
        flags = EVENTS if channels is not None else EVENTS | TAKES_INFO
        query, name, variables = ("", None, None) if request is None else request[:3]
        try:
            id: str = self._native.register_subscription(
                handle,
                connection_id,
                subscription_id,
                query,
                name or "",
                "" if variables is None else encode_object(variables, "variables").decode(),
                registration_options(
                    channels, event_types, filter, context, queue, True, True, 0, flags, part
                ),
                "" if since is None else text_argument("since", since),
                self._loop_flag(),
            )
        except RuntimeError as error:
            raise from_native(error) from None
        if self._callbacks._interrupts:
            self._raise_interrupt()
        return id
