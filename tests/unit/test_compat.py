"""The drop-in value classes keep the manners of the module they replace."""

from __future__ import annotations

import pytest

from fraiseql_subscriptions.compat import (
    PyEventBusConfig,
    PyGraphQLMessage,
    PySubscriptionExecutor,
    PySubscriptionPayload,
)


def test_a_payload_has_a_query_and_optional_parts() -> None:
    payload = PySubscriptionPayload("subscription Test { test }")
    assert payload.query == "subscription Test { test }"
    assert payload.operation_name is None
    assert payload.variables == {}
    assert payload.extensions is None
    payload.operation_name = "Test"
    payload.variables = {"a": 1}
    assert (payload.operation_name, payload.variables) == ("Test", {"a": 1})


def test_a_message_comes_from_a_dict_and_goes_back() -> None:
    data = {"type": "next", "id": "123", "payload": {"data": 1}}
    message = PyGraphQLMessage.from_dict(data)
    assert (message.type_, message.id, message.payload) == ("next", "123", {"data": 1})
    assert message.to_dict() == data
    assert PyGraphQLMessage.from_dict({"type": "ping"}).to_dict() == {"type": "ping"}
    assert PyGraphQLMessage().to_dict() == {"type": ""}


def test_a_message_without_a_type_is_refused() -> None:
    with pytest.raises(ValueError, match="Missing required field: 'type'"):
        PyGraphQLMessage.from_dict({"id": "1"})
    with pytest.raises(TypeError, match="type"):
        PyGraphQLMessage.from_dict({"type": 1})


def test_bus_configurations_know_their_type() -> None:
    assert PyEventBusConfig.memory().bus_type == "memory"
    assert PyEventBusConfig.redis("redis://localhost:6379", "group").bus_type == "redis"
    assert PyEventBusConfig.postgresql("postgresql://u:p@localhost/db").bus_type == "postgresql"


def test_wrong_addresses_are_refused() -> None:
    with pytest.raises(ValueError, match="Invalid Redis URL"):
        PyEventBusConfig.redis("invalid-url", "group")
    with pytest.raises(ValueError, match="Invalid PostgreSQL connection string"):
        PyEventBusConfig.postgresql("invalid-url")


def test_addresses_are_in_no_repr_and_no_error() -> None:
    config = PyEventBusConfig.redis("redis://user:secret@host", "group")
    assert "secret" not in repr(config)
    assert "secret" not in repr(PySubscriptionExecutor(config))
    assert "secret" not in repr(config._config())
