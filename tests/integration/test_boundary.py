"""Arbitrary JSON values cross into the engine and out again unchanged."""

# ruff: noqa: A001  (`id` is a name of the public API)

from __future__ import annotations

import json
import math
from collections.abc import Iterator
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from fraiseql_subscriptions import SubscriptionExecutor

texts = st.text(st.characters(codec="utf-8"))
scalars = (
    st.none()
    | st.booleans()
    | st.integers(min_value=-(10**100), max_value=10**100)
    | st.integers(min_value=2**53 - 2, max_value=2**64 + 2)
    | st.floats(allow_nan=False, allow_infinity=False)
    | texts
)
values = st.recursive(
    scalars, lambda inner: st.lists(inner) | st.dictionaries(texts, inner), max_leaves=15
)
objects = st.dictionaries(texts, values)


@pytest.fixture(scope="module")
def engine() -> Iterator[SubscriptionExecutor]:
    with SubscriptionExecutor() as made:
        yield made


def same(left: Any, right: Any) -> bool:
    """Equal in value and type: 1, 1.0 and True are three things, -0.0 is not 0.0."""
    return json.dumps(left) == json.dumps(right)


@given(data=objects)
@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
def test_data_comes_out_of_the_projection_as_it_went_in(
    engine: SubscriptionExecutor, data: dict[str, Any]
) -> None:
    id = engine.register_subscription("projection", "1", "subscription { a }")
    engine.publish_event("t", "c", data)
    message = engine.next_event(id)
    engine.complete_subscription(id)
    assert message is not None
    assert same(json.loads(message)["payload"]["data"]["a"], data)


@given(data=objects, answer=values)
@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
def test_data_reaches_a_resolver_and_its_answer_comes_back(
    engine: SubscriptionExecutor, data: dict[str, Any], answer: Any
) -> None:
    seen: list[Any] = []

    def resolver(got: Any) -> Any:
        seen.append(got)
        return {"data": answer}

    id = engine.register_subscription("resolver", "1", "subscription { a }", resolver=resolver)
    engine.publish_event("t", "c", data)
    message = engine.next_event(id)
    engine.complete_subscription(id)
    assert message is not None
    assert same(seen[0], data)
    assert same(json.loads(message)["payload"]["data"], answer)


@given(
    variables=st.dictionaries(st.sampled_from(["a", "b"]), values.filter(lambda v: v is not None))
)
@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
def test_variables_of_a_custom_scalar_reach_a_resolver(
    engine: SubscriptionExecutor, variables: dict[str, Any]
) -> None:
    seen: list[Any] = []
    id = engine.register_subscription(
        "variables",
        "1",
        "subscription($a: JSON, $b: JSON) { x(a: $a, b: $b) }",
        variables=variables,
        resolver=lambda data, variables: seen.append(variables),
    )
    engine.publish_event("t", "c", {})
    engine.complete_subscription(id)
    assert json.dumps(seen[0], sort_keys=True) == json.dumps(variables, sort_keys=True)


@given(name=texts.filter(lambda t: t and "\0" not in t and len(t) < 200))
@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
def test_identifiers_come_back_as_they_were(engine: SubscriptionExecutor, name: str) -> None:
    infos: list[Any] = []
    id = engine.register_subscription(
        name, name, "subscription { a }", resolver=lambda d, v, info: infos.append(info)
    )
    engine.publish_event(name, "c", {}, correlation_id=name)
    message = engine.next_event(id)
    assert engine.close_connection(name) == 1
    assert message is not None
    assert json.loads(message)["id"] == name
    (info,) = infos
    assert (info.connection_id, info.subscription_id, info.event_type, info.correlation_id) == (
        name,
        name,
        name,
        name,
    )


@given(data=objects, bad=st.sampled_from([math.nan, math.inf, -math.inf]), key=texts)
@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
def test_a_number_that_json_lacks_is_refused_wherever_it_is(
    engine: SubscriptionExecutor, data: dict[str, Any], bad: float, key: str
) -> None:
    with pytest.raises(ValueError, match="JSON has no such number"):
        engine.publish_event("t", "c", {**data, key: [{"deep": bad}]})
