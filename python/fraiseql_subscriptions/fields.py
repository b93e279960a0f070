"""Field definitions of an executor: the only way from a client's query to a subscription."""

# ruff: noqa: A001, A002  (`id` and `filter` are names of the public API)

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import replace
from typing import TYPE_CHECKING, Any, TypeVar

from .arguments import _names, instance, refuse_unsafe, registration_options, text_argument
from .authority import Authority
from .definition import FieldDefinition
from .encode import decode_exact, encode, encode_object
from .errors import from_native
from .security import SecurityPolicy
from .signature import EVENTS, STREAMED, TAKES_INFO, Projected, shape_of

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
        permissions: Mapping[str, str | None] | None = None,
        security: SecurityPolicy | None = None,
    ) -> Callable[[_R], _R]:
        """Define what clients get who subscribe to the root field `name`.

        ``{argument}`` in a channel and ``"$argument"`` in a filter's values take the coerced
        value of the field's argument; ``"$argument?"`` drops its condition when the argument
        is absent or null. A value that could act as a wildcard or add a segment is refused.
        `resolver` returns the field's value, which is projected through the selection set;
        without one, the event's data is. Usable as a decorator on the resolver.

        `security` is the policy that guards this field instead of the executor's; ``row="off"``,
        for example, makes it tenant-wide. `permissions` are those of its selection paths, which
        begin with its name, as in `SecurityPolicy.permissions`. The executor's `permissions` hold
        besides, and its `max_violations`.

        Raises TypeError, and ValueError when the field is defined already.
        """
        text_argument("name", name)
        if name in self._definitions:
            raise ValueError(f"field {name!r} is defined already")
        if filter is not None and not isinstance(filter, Mapping):
            raise TypeError(f"filter must be a mapping, not {type(filter).__name__}")
        if resolver is not None:
            shape_of(resolver)
        definition = FieldDefinition(
            name,
            tuple(_names("channels", channels)),
            None if event_types is None else tuple(_names("event_types", event_types)),
            filter,
            resolver,
            self._policy_for(name, permissions, security),
        )
        if self._handle:
            self._add_policies(self._native, self._handle, [definition])
        self._definitions[name] = definition

        def decorate(function: _R) -> _R:
            if resolver is not None:
                raise TypeError(f"field {name!r} has a resolver already")
            shape_of(function)
            self._definitions[name] = replace(definition, resolver=function)
            return function

        return decorate

    def _policy_for(
        self,
        name: str,
        permissions: Mapping[str, str | None] | None,
        security: SecurityPolicy | None,
    ) -> str:
        """A field's policy as JSON, "" for the executor's. TypeError, ValueError."""
        if permissions is None and security is None:
            return ""
        general, default = self._security, SecurityPolicy()
        policy = general if security is None else instance("security", security, SecurityPolicy)
        for option in ("max_violations", "violation_window"):
            if getattr(policy, option) not in (getattr(default, option), getattr(general, option)):
                raise ValueError(
                    f"{option} is the executor's: a connection has subscriptions to several fields"
                )
        own = SecurityPolicy(permissions={} if permissions is None else permissions).permissions
        for path in own:
            if path.split(".")[0] not in (name, "*"):
                raise ValueError(
                    f"permissions has the path {path!r}, which does not begin with the field's "
                    f"name, {name!r}"
                )
        # What the executor's map protects stays protected, unless this names the same path.
        merged = {**general.permissions, **policy.permissions, **own}
        return encode(replace(policy, permissions=merged)._as_json()).decode()

    def _policy_number(self, definition: FieldDefinition) -> int:
        if not definition.policy:
            return 0
        if definition.policy not in self._policies:  # defined while the engine was starting
            self._add_policies(self._native, self._entry(), [definition])
        return self._policies[definition.policy]

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
            resolver=Projected(definition.resolver, self._policy_number(definition)),
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
                self._loop_flag() | STREAMED,
            )
        except RuntimeError as error:
            raise from_native(error) from None
        if self._callbacks._interrupts:
            self._raise_interrupt()
        return id
