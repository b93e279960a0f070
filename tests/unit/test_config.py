"""Configuration is checked when it is made; what is not enforced is refused."""

from __future__ import annotations

import dataclasses
import uuid
from datetime import datetime, timedelta, timezone
from typing import Any

import pytest

from fraiseql_subscriptions import (
    EventBusConfig,
    Limits,
    QueuePolicy,
    Rate,
    SecurityContext,
    SecurityPolicy,
    SubscriptionExecutor,
)


@pytest.mark.parametrize(
    "made", [EventBusConfig(), Limits(), QueuePolicy(), SecurityContext(), SecurityPolicy()]
)
def test_configuration_is_frozen_and_hashable(made: Any) -> None:
    field = dataclasses.fields(made)[0].name
    with pytest.raises(dataclasses.FrozenInstanceError):
        setattr(made, field, getattr(made, field))
    assert hash(made) == hash(type(made)())


@pytest.mark.parametrize("url", ["memory://", "memory:", "memory:///"])
def test_the_memory_bus_has_a_url(url: str) -> None:
    assert EventBusConfig.from_url(url) == EventBusConfig.memory()
    SubscriptionExecutor(url).close()


@pytest.mark.parametrize(
    "url",
    [
        "redis+cluster://user:secret@host/0",
        "rediss-cluster://user:secret@host",
        "mysql://user:secret@host/db",
        "redis://user:secret@host/\0",
        "memory://secret",
        "secret",
        "",
        "http://[secret",
    ],
)
def test_another_url_is_refused_without_repeating_its_password(url: str) -> None:
    with pytest.raises(ValueError, match=r"memory|NUL") as caught:
        SubscriptionExecutor(url)
    assert "secret" not in str(caught.value)


@pytest.mark.parametrize(
    ("url", "made"),
    [
        ("redis://user:secret@host/0", EventBusConfig.redis),
        ("rediss://:secret@host:6380", EventBusConfig.redis),
        ("redis+sentinel://:secret@a:1,b:2/0?master=m", EventBusConfig.redis),
        ("postgresql://user:secret@host/db", EventBusConfig.postgresql),
        ("postgres://user:secret@host/db", EventBusConfig.postgresql),
    ],
)
def test_servers_have_urls_that_are_not_shown(url: str, made: Any) -> None:
    config = EventBusConfig.from_url(url)
    assert config == made(url)
    assert "secret" not in repr(config)
    assert "secret" not in repr(SubscriptionExecutor(url))


def test_the_url_is_of_the_bus_that_is_named() -> None:
    makers: list[tuple[Any, dict[str, Any]]] = [
        (EventBusConfig.redis, {"url": "postgresql://secret"}),
        (EventBusConfig.postgresql, {"url": "redis://secret"}),
        (EventBusConfig, {"kind": "redis"}),
        (EventBusConfig, {"url": "redis://secret"}),
    ]
    for make, arguments in makers:
        with pytest.raises(ValueError, match="url") as caught:
            make(**arguments)
        assert "secret" not in str(caught.value)


@pytest.mark.parametrize(
    ("kind", "unknown"),
    [
        (SecurityPolicy, "max_violation"),
        (SecurityContext, "userid"),
        (Limits, "max_queries"),
        (Limits, "connection_rate"),
        (SubscriptionExecutor, "permissions"),
    ],
)
def test_an_option_that_is_not_enforced_is_refused(kind: Any, unknown: str) -> None:
    with pytest.raises(TypeError, match=unknown):
        kind(**{unknown: None})


@pytest.mark.parametrize("overflow", ["newest", "Latest", "", None, 1])
def test_an_overflow_policy_that_does_not_exist_is_refused(overflow: Any) -> None:
    with pytest.raises(ValueError, match="overflow must be one of drop_oldest, drop_newest"):
        QueuePolicy(overflow=overflow)


@pytest.mark.parametrize(
    ("kind", "arguments", "error"),
    [
        (QueuePolicy, {"max_responses": 0}, ValueError),
        (QueuePolicy, {"max_responses": 1.5}, TypeError),
        (QueuePolicy, {"max_bytes": True}, TypeError),
        (QueuePolicy, {"max_bytes": 2**60}, ValueError),
        (QueuePolicy, {"key": "id"}, ValueError),
        (QueuePolicy, {"key": "id", "overflow": "block"}, ValueError),
        (QueuePolicy, {"key": "", "overflow": "latest"}, ValueError),
        (QueuePolicy, {"key": "a..b", "overflow": "latest"}, ValueError),
        (QueuePolicy, {"key": "a\ud800", "overflow": "latest"}, ValueError),
        (QueuePolicy, {"key": 5, "overflow": "latest"}, TypeError),
        (QueuePolicy, {"overflow": "block", "block_timeout": -1}, ValueError),
        (QueuePolicy, {"overflow": "block", "block_timeout": float("inf")}, ValueError),
        (QueuePolicy, {"overflow": "block", "block_timeout": float("nan")}, ValueError),
        (QueuePolicy, {"overflow": "block", "block_timeout": "1"}, TypeError),
        (QueuePolicy, {"overflow": "latest", "block_timeout": 1.0}, ValueError),
        (QueuePolicy, {"block_timeout": 1.0}, ValueError),
        (QueuePolicy, {"overflow": "block", "block_timeout": True}, TypeError),
        (Limits, {"max_query_depth": 0}, ValueError),
        (Limits, {"max_query_bytes": -1}, ValueError),
        (Limits, {"max_event_bytes": "1"}, TypeError),
        (Limits, {"max_subscriptions": 0}, ValueError),
        (Limits, {"max_connections": True}, TypeError),
        (Limits, {"user_rate": 5}, TypeError),
        (Limits, {"user_rate": (5, 1)}, TypeError),
        (Rate, {"per_second": 0, "burst": 1}, ValueError),
        (Rate, {"per_second": -1, "burst": 1}, ValueError),
        (Rate, {"per_second": float("nan"), "burst": 1}, ValueError),
        (Rate, {"per_second": float("inf"), "burst": 1}, ValueError),
        (Rate, {"per_second": 1_000_001, "burst": 1}, ValueError),
        (Rate, {"per_second": "1", "burst": 1}, TypeError),
        (Rate, {"per_second": True, "burst": 1}, TypeError),
        (Rate, {"burst": 0, "per_second": 1}, ValueError),
        (Rate, {"burst": 1.5, "per_second": 1}, TypeError),
        (Rate, {"burst": 10**9, "per_second": 1}, ValueError),
        (EventBusConfig, {"history": -1}, ValueError),
        (EventBusConfig, {"kind": "nats"}, ValueError),
        (EventBusConfig, {"publish_timeout": -1}, ValueError),
        (EventBusConfig, {"retention": "1h"}, TypeError),
        (EventBusConfig, {"max_length": 0}, ValueError),
        (EventBusConfig, {"prefix": "Pre-fix"}, ValueError),
        (EventBusConfig, {"prefix": 1}, TypeError),
        (SecurityPolicy, {"tenant": "sometimes"}, ValueError),
        (SecurityPolicy, {"max_violations": -1}, ValueError),
        (SecurityPolicy, {"max_violations": 1.0}, TypeError),
        (SecurityPolicy, {"violation_window": 0}, ValueError),
        (SecurityPolicy, {"violation_window": "60"}, TypeError),
        (SecurityPolicy, {"row": True}, ValueError),
        (SecurityPolicy, {"identifiers": "close"}, ValueError),
        (SecurityPolicy, {"tenant_field": ""}, ValueError),
        (SecurityPolicy, {"user_field": "a..b"}, ValueError),
        (SecurityPolicy, {"user_field": None}, TypeError),
        (SecurityPolicy, {"require_context": 1}, TypeError),
        (SecurityContext, {"user_id": 1.5}, TypeError),
        (SecurityContext, {"user_id": True}, TypeError),
        (SecurityContext, {"tenant_id": b"5"}, TypeError),
        (SecurityContext, {"tenant_id": ""}, ValueError),
        (SecurityContext, {"federation_id": 1.5}, TypeError),
        (SecurityContext, {"service_name": b"x"}, TypeError),
        (SecurityContext, {"permissions": "order:read"}, TypeError),
        (SecurityContext, {"permissions": {"order:read": True}}, TypeError),
        (SecurityContext, {"permissions": [5]}, TypeError),
        (SecurityContext, {"permissions": 5}, TypeError),
        (SecurityContext, {"permissions": [""]}, ValueError),
        (SecurityContext, {"roles": ""}, TypeError),
        (SecurityContext, {"roles": None}, TypeError),
        (SecurityContext, {"scopes": ["a\ud800"]}, ValueError),
        (SecurityContext, {"expires_at": "2030-01-01"}, TypeError),
        (SecurityContext, {"expires_at": True}, TypeError),
        (SecurityContext, {"expires_at": datetime(2030, 1, 1)}, ValueError),  # noqa: DTZ001
        (SecurityContext, {"expires_at": float("nan")}, ValueError),
        (SecurityContext, {"expires_at": float("inf")}, ValueError),
        (SecurityContext, {"expires_at": -1}, ValueError),
        (SecurityContext, {"expires_at": 1_700_000_000_000}, ValueError),
        (SecurityContext, {"expires_at": 10**400}, ValueError),
        (SecurityContext, {"expires_at": datetime.min.replace(tzinfo=timezone.utc)}, ValueError),
        (SecurityContext, {"claims": []}, TypeError),
        (SecurityContext, {"claims": {"a": object()}}, TypeError),
        (SecurityContext, {"claims": {"a": float("nan")}}, ValueError),
        (SecurityContext, {"claims": {5: 1}}, ValueError),
        (SubscriptionExecutor, {"bus": 5}, TypeError),
        (SubscriptionExecutor, {"schema": 5}, TypeError),
        (SubscriptionExecutor, {"schema": " "}, ValueError),
        (SubscriptionExecutor, {"schema": "type Q { a: Int }\0"}, ValueError),
        (SubscriptionExecutor, {"security": {}}, TypeError),
        (SubscriptionExecutor, {"limits": 5}, TypeError),
        (SubscriptionExecutor, {"queue": "drop_oldest"}, TypeError),
        (SubscriptionExecutor, {"dispatch_timeout": "5"}, TypeError),
        (SubscriptionExecutor, {"dispatch_timeout": -1}, ValueError),
        (SubscriptionExecutor, {"resolver_timeout": float("nan")}, ValueError),
        (SubscriptionExecutor, {"debug": 1}, TypeError),
    ],
)
def test_a_wrong_value_is_refused_by_name(
    kind: Any, arguments: dict[str, Any], error: type[Exception]
) -> None:
    name = next(name for name in arguments if name != "overflow")
    with pytest.raises(error, match=f"{name}|memory"):
        kind(**arguments)


def test_no_limit_is_none() -> None:
    unlimited = Limits.unlimited()
    assert {getattr(unlimited, field.name) for field in dataclasses.fields(Limits)} == {None}
    assert set(unlimited._as_json().values()) == {0}


def test_a_uuid_is_its_canonical_text() -> None:
    user = uuid.UUID("6BA7B810-9DAD-11D1-80B4-00C04FD430C8")
    assert SecurityContext(user_id=user) == SecurityContext(
        user_id="6ba7b810-9dad-11d1-80b4-00c04fd430c8"
    )


def test_a_context_keeps_one_form_of_what_can_be_written_in_several() -> None:
    at = datetime(2030, 1, 1, tzinfo=timezone(timedelta(hours=2)))
    owed = [1]
    context = SecurityContext(
        permissions=["b", "a", "b"], expires_at=at, claims={"owed": owed, "n": 2**70}
    )
    owed.append(2)
    assert context.permissions == frozenset({"a", "b"})
    assert context.expires_at == at.timestamp()
    assert context.claims == {"owed": [1], "n": 2**70}
    assert context == SecurityContext(
        permissions={"a", "b"}, expires_at=at.timestamp(), claims={"n": 2**70, "owed": [1]}
    )
    assert hash(context) == hash(dataclasses.replace(context))


def test_no_permissions_are_not_an_empty_set_of_them() -> None:
    assert SecurityContext() != SecurityContext(permissions=())
    assert SecurityContext(permissions=[]) == SecurityContext(permissions=())


def test_the_defaults_are_the_documented_ones() -> None:
    assert Limits() == Limits(
        max_subscriptions=None,
        max_subscriptions_per_connection=100,
        max_subscriptions_per_user=100,
        max_connections=10_000,
        max_connections_per_user=10,
        subscription_rate=None,
        user_rate=None,
        channel_rate=None,
        max_filter_depth=5,
        max_query_bytes=100_000,
        max_query_fields=500,
        max_query_depth=10,
        max_query_aliases=None,
        max_query_directives=None,
        max_variables_bytes=1_000_000,
        max_event_bytes=1_000_000,
    )
    assert QueuePolicy() == QueuePolicy(
        max_responses=1024, max_bytes=16 * 1024 * 1024, overflow="drop_oldest"
    )
    assert SecurityPolicy() == SecurityPolicy(
        tenant="strict", row="strict", tenant_field="tenant_id", user_field="user_id"
    )
    assert EventBusConfig.memory().history == 1024
