"""Field definitions of an executor: the only way from a client's query to a subscription."""

# ruff: noqa: A002  (`filter` is a name of the public API)

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import TYPE_CHECKING, Any, TypeVar

import orjson

from .arguments import _names, text_argument
from .authority import Authority
from .definition import FieldDefinition
from .encode import encode, encode_object
from .errors import InvalidQuery, from_native
from .signature import Projected, shape_of

if TYPE_CHECKING:
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

    def _client_subscription(
        self,
        connection_id: str,
        subscription_id: str,
        query: str,
        operation_name: str | None,
        variables: Mapping[str, Any] | None,
        context: SecurityContext,
        since: object,
        positions: bool,
    ) -> str:
        """Register what a transport's client asks for, by the field's definition. Its id."""
        handle = self._entry()
        try:
            if "\0" in query:
                raise InvalidQuery("the query contains a NUL character")
            if since is not None and not (isinstance(since, str) and since and "\0" not in since):
                raise InvalidQuery("extensions.since is not a position")
            told = self._native.inspect(
                handle,
                connection_id,
                subscription_id,
                query,
                operation_name or "",
                "" if variables is None else encode_object(variables, "variables").decode(),
            )
            asked = orjson.loads(told)
            definition = self._definitions.get(asked["field"])
            if definition is None:
                raise InvalidQuery(f"field {asked['field']!r} cannot be subscribed to")
            channels = definition.channels_for(asked["arguments"])
            conditions = definition.filter_for(asked["arguments"])
        except RuntimeError as error:
            raise from_native(error) from None
        except InvalidQuery as error:  # the engine has not seen it, and is to tell of it
            reason = str(error).replace("\0", "\\0")
            self._native.refuse(handle, connection_id, subscription_id, error.code, reason)
            raise
        return self.register_subscription(  # type: ignore[attr-defined,no-any-return]
            connection_id,
            subscription_id,
            query,
            operation_name or None,
            variables,
            channels=channels,
            event_types=definition.event_types,
            filter=conditions,
            resolver=None if definition.resolver is None else Projected(definition.resolver),
            context=context,
            since=since,
            positions=positions,
        )
