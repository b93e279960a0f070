"""One callable that answers subscriptions, and what is needed to call it."""

from __future__ import annotations

import asyncio
import contextvars
import types
from collections.abc import Callable
from typing import Any

from .encode import decode, decode_exact
from .security import SecurityContext
from .signature import Shape
from .types import ResolverInfo

__all__ = ["Resolver", "identity_of"]


class Resolver:
    """One entry of the table: a callable and what is needed to call it.

    `context` is the contextvars context captured at registration; a sync resolver runs in a
    fresh copy of it at each call. `loop` is where an async one runs, None for a sync one.
    """

    __slots__ = (
        "arity",
        "call",
        "context",
        "failing",
        "identity",
        "loop",
        "security",
        "takes_data_only",
        "uses",
    )

    def __init__(
        self,
        call: Callable[..., Any],
        shape: Shape,
        context: contextvars.Context,
        loop: asyncio.AbstractEventLoop | None,
        security: SecurityContext | None,
        identity: tuple[Any, ...] | None,
    ) -> None:
        self.call = call
        self.arity = shape.arity
        self.context = context
        self.loop = loop
        self.takes_data_only = shape.arity == 1 and loop is None
        self.security = security
        self.identity = identity
        self.uses = 1
        self.failing = False

    def arguments(self, first: Any, variables: bytes | None, info: bytes | None) -> Any:
        """The arguments of one call: `first`, and the others decoded afresh."""
        if self.arity == 1:
            return (first,)
        second = decode_exact(variables) if variables else {}
        if self.arity == 2:
            return first, second
        return first, second, self._info(info)

    def _info(self, text: bytes | None) -> ResolverInfo:
        told = decode(text or b"{}")
        given, context = told.get("context"), self.security
        # The one that it was registered with may have been replaced.
        if given is not None and (context is None or context._as_json() != given):
            if "claims" in given or float in map(type, given.values()):
                # Perhaps an integer too big for the fast decoder.
                given = decode_exact(text or b"{}")["context"]
            context = SecurityContext(**given)
        return ResolverInfo(
            event_id=told["event_id"],
            event_type=told["event_type"],
            channel=told["channel"],
            timestamp=told["timestamp"],
            correlation_id=told["correlation_id"],
            position=told["position"],
            subscription_id=told["subscription_id"],
            connection_id=told["connection_id"],
            context=context,
        )


def identity_of(call: Callable[..., Any]) -> tuple[int, ...]:
    """Numbers that are equal for the same callable, as long as it lives.

    Each access to a bound method makes a new object, so its parts count.
    """
    if type(call) is types.MethodType:
        return id(call.__self__), id(call.__func__)
    return (id(call),)
