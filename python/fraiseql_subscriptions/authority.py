"""What changes while subscriptions live: contexts, rights, and who is asked to go."""

# ruff: noqa: A002  (`filter` is a name of the public API)

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

import orjson

from .arguments import identifier, text_argument
from .encode import encode, encode_object
from .errors import from_native
from .publisher import Publisher
from .security import SecurityContext

if TYPE_CHECKING:
    from collections.abc import Mapping

    from .types import Identifier

__all__ = ["Authority", "Explanation"]


@dataclass(frozen=True, slots=True)
class Explanation:
    """What publishing an event would do for one subscription, and why.

    `subscription` is its id. `module` is what decided: one of the security modules (``"tenant"``,
    ``"row"``, ``"federation"``), ``"expired"``, ``"filter"``, ``"event_types"``, ``"channels"``;
    "" where the event is delivered. `reason` is a sentence for people.
    """

    subscription: str
    verdict: Literal[
        "delivered", "denied", "expired", "filtered", "other_event_type", "not_on_channel", "ended"
    ]
    module: str
    reason: str


class Authority(Publisher):
    """The executor's methods that give and take rights."""

    __slots__ = ()

    def update_context(self, connection_id: Identifier, context: SecurityContext) -> int:
        """Replace the context of all of a connection's subscriptions; how many live on with it.

        An event whose publishing began after this returned is decided by `context`. When it sees
        everything that the one before saw (the same user, tenant and federation, the same fields
        or more; a later `expires_at`, other claims), nothing is lost, repeated or dropped.
        Otherwise every response to an event accepted before that has not been read is dropped,
        queued or still being computed: it cannot be read after this returned. `get_metrics()`
        counts those as dropped under "revoked". A subscription that `context` may not have ends
        with an ``error`` message of the code FORBIDDEN (EXPIRED when it has expired), and one
        that had no context, a trusted one, has this from now on.

        Raises TypeError for what is no SecurityContext, EngineClosed, ForkedProcessError.
        """
        if not isinstance(context, SecurityContext):
            raise TypeError(f"context must be a SecurityContext, not {type(context).__name__}")
        connection = identifier("connection_id", connection_id)
        text = encode(context._as_json()).decode()
        return self._take_back("update_context", connection, text)

    def revoke(
        self,
        *,
        user_id: Identifier | None = None,
        tenant_id: Identifier | None = None,
        permission: str | None = None,
    ) -> int:
        """Take rights from every subscription whose context fits all that is given.

        With a `permission`, that is taken from the contexts that hold it: a subscription that
        cannot do without ends with FORBIDDEN, or has the field nulled from the next event on,
        as the policy's `rbac` says. Without one the subscriptions end: with UNAUTHENTICATED when
        only a `user_id` is given (who was signed out signs in again), with FORBIDDEN when a
        `tenant_id` is. Identifiers compare as the policy says. What may not be seen any more
        cannot be read after this returned. Returns how many subscriptions ended or changed;
        later registrations are the application's to refuse.

        Raises ValueError when nothing is given, TypeError, EngineClosed, ForkedProcessError.
        """
        who: dict[str, Any] = {}
        if permission is not None:
            who["permission"] = text_argument("permission", permission)
        identity = SecurityContext(user_id, tenant_id)._as_json()
        if not identity and not who:
            raise ValueError("nothing to revoke; give user_id=, tenant_id= or permission=")
        return self._take_back("revoke", encode({**who, **identity}).decode())

    def _take_back(self, name: str, *arguments: str) -> int:
        handle = self._entry()
        assert self._hub is not None
        try:
            with self._hub.emptying() as emptied:
                changed: int = getattr(self._native, name)(handle, *arguments, id(emptied))
        except RuntimeError as error:
            raise from_native(error) from None
        if self._callbacks._interrupts:
            self._raise_interrupt()
        return changed

    def invalidate(self, filter: Mapping[str, Any]) -> int:
        """End the subscriptions that pass `filter`; how many.

        Their readers get what is queued and then a ``complete`` message. The filter is written as
        that of a subscription, over what a subscription is: `connection_id` and `subscription_id`
        (text, as in messages), `field` (its root field), ``variables.…``, and `user_id`,
        `tenant_id` and ``claims.…`` of its context. Variables are those given, coerced where the
        query defines them. ``{}`` is everybody.

        Raises ValueError that names an unknown operator or path, LimitExceeded for a filter
        that is too deep, TypeError, EngineClosed, ForkedProcessError.
        """
        text = encode_object(filter, "filter").decode()
        handle = self._entry()
        try:
            ended: int = self._native.invalidate(handle, text)
        except RuntimeError as error:
            raise from_native(error) from None
        if self._callbacks._interrupts:
            self._raise_interrupt()
        return ended

    def explain(
        self, event_type: str, channel: str, data: Mapping[str, Any], *, show_data: bool = False
    ) -> list[Explanation]:
        """Why an event reaches a subscription or not: one `Explanation` a live subscription.

        In the order of registration. The engine decides as for a publish, but nothing is
        published, delivered, kept or counted. ``"delivered"`` means that a response would be
        queued; a full queue or a rate may still drop one. Reasons hold no data of the event without
        `show_data`.

        Raises what `publish_event` does for the same arguments.
        """
        event_type = text_argument("event_type", event_type)
        channel = text_argument("channel", channel)
        if type(show_data) is not bool:
            raise TypeError(f"show_data must be a bool, not {type(show_data).__name__}")
        encoded = encode_object(data)
        handle = self._entry()
        try:
            text: str = self._native.explain(
                handle, event_type, channel, id(encoded), int(show_data)
            )
        except RuntimeError as error:
            raise from_native(error) from None
        return [Explanation(**one) for one in orjson.loads(text) or ()]
