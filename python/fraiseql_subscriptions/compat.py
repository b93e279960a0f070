"""Drop-in names for FraiseQL code that used its Rust subscriptions core.

They keep that module's manners: empty strings raise ValueError, a subscription that is not
known raises ValueError, a query that cannot be executed raises RuntimeError, and methods take
the returned id or the client's own one. `install` puts them where FraiseQL looks.
"""

# ruff: noqa: A001, A002  (`id` is a name of the public API)

from __future__ import annotations

import importlib
import sys
import types
from collections.abc import Callable, Mapping
from typing import Any

from .config import EventBusConfig
from .errors import SubscriptionNotFound, SubscriptionsError
from .executor import SubscriptionExecutor
from .security import SecurityPolicy
from .signature import shape_of
from .types import Identifier

__all__ = [
    "PyEventBusConfig",
    "PyGraphQLMessage",
    "PySubscriptionExecutor",
    "PySubscriptionPayload",
    "install",
]


class PyEventBusConfig:
    """Which bus to use; `bus_type` is ``"memory"``, ``"redis"`` or ``"postgresql"``.

    Addresses may hold passwords, so they are in no repr and no error.
    """

    __slots__ = ("_address", "_bus_type", "_consumer_group")

    def __init__(self, bus_type: str, address: str = "", consumer_group: str = "") -> None:
        """Use memory(), redis() or postgresql() instead."""
        self._bus_type = bus_type
        self._address = address
        self._consumer_group = consumer_group

    @staticmethod
    def memory() -> PyEventBusConfig:
        """The bus inside this process."""
        return PyEventBusConfig("memory")

    @staticmethod
    def redis(url: str, consumer_group: str) -> PyEventBusConfig:
        """Redis at a ``redis://`` URL; ValueError for another. `consumer_group` is kept, unused."""
        _is_text("url", url)
        _is_text("consumer_group", consumer_group)
        if not url.startswith(("redis://", "rediss://")):
            raise ValueError("Invalid Redis URL: it must begin with redis:// or rediss://")
        return PyEventBusConfig("redis", url, consumer_group)

    @staticmethod
    def postgresql(connection_string: str) -> PyEventBusConfig:
        """PostgreSQL at a ``postgresql://`` URL; ValueError for another."""
        _is_text("connection_string", connection_string)
        if not connection_string.startswith(("postgresql://", "postgres://")):
            raise ValueError(
                "Invalid PostgreSQL connection string: it must begin with postgresql://"
            )
        return PyEventBusConfig("postgresql", connection_string)

    @property
    def bus_type(self) -> str:
        """The kind of bus."""
        return self._bus_type

    def _config(self) -> EventBusConfig:
        return EventBusConfig.from_url(self._address) if self._address else EventBusConfig.memory()

    def __repr__(self) -> str:
        return f"PyEventBusConfig.{self._bus_type}(…)"


class PySubscriptionPayload:
    """A GraphQL subscription as a client sends it."""

    __slots__ = ("extensions", "operation_name", "query", "variables")

    def __init__(self, query: str) -> None:
        _is_text("query", query)
        self.query = query
        self.operation_name: str | None = None
        self.variables: dict[str, Any] = {}
        self.extensions: dict[str, Any] | None = None


class PyGraphQLMessage:
    """One message of the graphql-transport-ws protocol."""

    __slots__ = ("id", "payload", "type_")

    def __init__(self) -> None:
        self.type_ = ""
        self.id: str | None = None
        self.payload: dict[str, Any] | None = None

    @staticmethod
    def from_dict(data: Mapping[str, Any]) -> PyGraphQLMessage:
        """The message in `data`. ValueError without a ``type``, TypeError when it is no str."""
        if "type" not in data:
            raise ValueError("Missing required field: 'type'")
        if not isinstance(data["type"], str):
            raise TypeError(f"type must be a str, not {type(data['type']).__name__}")
        message = PyGraphQLMessage()
        message.type_ = data["type"]
        if isinstance(data.get("id"), str):
            message.id = data["id"]
        if isinstance(data.get("payload"), dict):
            message.payload = data["payload"]
        return message

    def to_dict(self) -> dict[str, Any]:
        """The message as a dict, without what it does not have."""
        found: dict[str, Any] = {"type": self.type_}
        if self.id is not None:
            found["id"] = self.id
        if self.payload is not None:
            found["payload"] = self.payload
        return found


class _ReferencePolicy(SecurityPolicy):
    """The usual policy, but scope looks at variables named in snake_case only."""

    __slots__ = ()

    def _as_json(self) -> dict[str, Any]:
        return {**super()._as_json(), "scope": "variables"}


class PySubscriptionExecutor:
    """`SubscriptionExecutor` with the manners of the core it replaces.

    `register_resolver` may come before its subscription is registered, under the client's id.
    """

    __slots__ = ("_by_client", "_clients", "_early", "_executor")

    def __init__(self, bus: PyEventBusConfig | None = None) -> None:
        self._executor = SubscriptionExecutor(
            bus._config() if bus is not None else None, security=_ReferencePolicy()
        )
        #: The newest live id by the client's id, and back.
        self._by_client: dict[str, str] = {}
        self._clients: dict[str, str] = {}
        #: Resolvers of subscriptions that are still to be registered.
        self._early: dict[str, Callable[..., Any]] = {}

    def register_subscription(
        self,
        connection_id: str,
        subscription_id: str,
        query: str,
        operation_name: str | None = None,
        variables: Mapping[str, Any] | None = None,
        user_id: Identifier | None = None,
        tenant_id: Identifier | None = None,
    ) -> str:
        """Register a subscription; returns its id.

        Raises ValueError for empty strings, RuntimeError when it cannot be registered.
        """
        for name, value in (
            ("connection_id", connection_id),
            ("subscription_id", subscription_id),
            ("query", query),
        ):
            _not_empty(name, value)
        resolver = self._early.get(subscription_id)
        try:
            id = self._executor.register_subscription(
                connection_id,
                subscription_id,
                query,
                operation_name,
                variables,
                user_id,
                tenant_id,
                resolver=resolver,
            )
        except SubscriptionsError as error:
            raise RuntimeError(
                f"Failed to register subscription {subscription_id!r}: {error}"
            ) from error
        self._early.pop(subscription_id, None)
        self._by_client[subscription_id] = id
        self._clients[id] = subscription_id
        return id

    def register_resolver(self, subscription_id: str, resolver: Callable[..., Any]) -> None:
        """Answer a subscription with `resolver`, now or once it is registered.

        Raises ValueError for an empty id, TypeError for what cannot be called.
        """
        _not_empty("subscription_id", subscription_id)
        shape_of(resolver)
        try:
            self._executor.register_resolver(self._known(subscription_id), resolver)
        except SubscriptionNotFound:
            self._early[subscription_id] = resolver

    def publish_event(self, event_type: str, channel: str, data: Mapping[str, Any]) -> None:
        """Publish one event. ValueError for empty strings, RuntimeError when it failed."""
        _not_empty("event_type", event_type)
        _not_empty("channel", channel)
        try:
            self._executor.publish_event(event_type, channel, data)
        except SubscriptionsError as error:
            raise RuntimeError(f"Event dispatch failed: {error}") from error

    def next_event(self, subscription_id: str) -> bytes | None:
        """The oldest response, None when there is none. ValueError for an unknown id."""
        _not_empty("subscription_id", subscription_id)
        try:
            return self._executor.next_event(self._known(subscription_id))
        except SubscriptionNotFound:
            raise SubscriptionNotFound(
                f"Failed to get next event: Subscription not found: {subscription_id!r}"
            ) from None

    def complete_subscription(self, subscription_id: str) -> None:
        """End a subscription. ValueError for an unknown id."""
        _not_empty("subscription_id", subscription_id)
        id = self._known(subscription_id)
        client = self._clients.pop(id, None)
        if client is not None and self._by_client.get(client) == id:
            del self._by_client[client]
        if not self._executor.complete_subscription(id):
            raise SubscriptionNotFound(
                f"Failed to complete subscription {subscription_id!r}: Subscription not found"
            )

    def subscriptions_by_channel(self, channel: str) -> list[str]:
        """The ids of those that an event on `channel` would reach."""
        return self._executor.subscriptions_by_channel(channel)

    def get_metrics(self) -> dict[str, Any]:
        """Counters: ``total``, ``active``, ``completed``, ``errored`` and more."""
        return self._executor.get_metrics()

    def _known(self, id: str) -> str:
        """The engine's id for one of either kind."""
        return id if id in self._clients else self._by_client.get(id, id)


def _is_text(name: str, value: object) -> None:
    if not isinstance(value, str):
        raise TypeError(f"{name} must be a str, not {type(value).__name__}")


def _not_empty(name: str, value: object) -> None:
    _is_text(name, value)
    if not value:
        raise ValueError(f"{name} cannot be empty")


def install() -> types.ModuleType:
    """Serve the drop-in names as ``fraiseql._fraiseql_rs.subscriptions``; returns that module.

    Makes ``_fraiseql_rs`` where the installed FraiseQL has none. Nothing is written to disk.
    Raises ImportError when FraiseQL itself cannot be imported. Call it once, early.
    """
    fraiseql = importlib.import_module("fraiseql")
    name = "fraiseql._fraiseql_rs"
    try:
        core = importlib.import_module(name)
    except ImportError:
        core = types.ModuleType(name, "Stands in for FraiseQL's native module.")
        sys.modules[name] = core
    fraiseql._fraiseql_rs = core  # type: ignore[attr-defined]
    served = types.ModuleType(f"{name}.subscriptions", __doc__)
    served.__all__ = [kind for kind in __all__ if kind != "install"]  # type: ignore[attr-defined]
    for kind in served.__all__:
        setattr(served, kind, globals()[kind])
    core.subscriptions = served  # type: ignore[attr-defined]
    sys.modules[served.__name__] = served
    return served
