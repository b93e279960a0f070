"""explain() tells beforehand what publish_event() then does."""

# ruff: noqa: A001  (`id` is what the API calls it)

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fraiseql_subscriptions import (
    AuthorizationError,
    Explanation,
    ScopeViolation,
    SecurityContext,
    SecurityPolicy,
    SubscriptionExecutor,
)

QUERY = "subscription { thing { id } }"

identities = st.sampled_from([None, 1, 2, "1", "a"])
values: st.SearchStrategy[Any] = st.sampled_from([None, 1, 2, "1", "a", 1.0, True, [], {"b": 1}])
contexts = st.none() | st.builds(
    SecurityContext, identities, identities, identities, st.sampled_from([None, "s"])
)
leaves = st.one_of(
    st.builds(lambda path, value: {path: {"equals": value}}, st.sampled_from(["n", "o.n"]), values),
    st.builds(
        lambda path, value: {path: {"in": [value, 5]}}, st.sampled_from(["n", "o.n"]), values
    ),
    st.builds(lambda value: {"n": {"gt": value}}, st.sampled_from([0, 1, "0"])),
    st.builds(lambda there: {"o": {"exists": there}}, st.booleans()),
)
filters = st.recursive(
    leaves,
    lambda inner: (
        st.builds(lambda some: {"any": some}, st.lists(inner, max_size=2))
        | st.builds(lambda some: {"all": some}, st.lists(inner, max_size=2))
        | st.builds(lambda one: {"not": one}, inner)
    ),
    max_leaves=4,
)
subscriptions = st.fixed_dictionaries(
    {
        "channels": st.sampled_from(["*", "a", "a.b", "a.*", "a.>", "tenant-1.>", ["a", "a.b"]]),
        "event_types": st.sampled_from([None, "x", ["x", "y"]]),
        "filter": st.none() | filters,
        "context": contexts,
    }
)
policies = st.builds(
    SecurityPolicy,
    tenant=st.sampled_from(["strict", "if_present", "off"]),
    row=st.sampled_from(["strict", "if_present", "off"]),
    federation=st.sampled_from(["strict", "if_present", "off"]),
    identifiers=st.sampled_from(["strict", "loose"]),
)
events = st.tuples(
    st.sampled_from(["x", "y", "z"]),
    st.sampled_from(["a", "a.b", "a.b.c", "tenant-1.a", "other"]),
    st.fixed_dictionaries(
        {},
        optional={
            "tenant_id": values,
            "user_id": values,
            "federation_id": values,
            "service_name": st.sampled_from(["s", "t"]),
            "n": values,
            "o": st.fixed_dictionaries({"n": values}),
        },
    ),
)


@settings(max_examples=300, deadline=None)
@given(policies, st.lists(subscriptions, min_size=1, max_size=8), st.lists(events, max_size=6))
def test_what_is_explained_is_what_happens(
    policy: SecurityPolicy, wanted: list[dict[str, Any]], published: list[Any]
) -> None:
    with SubscriptionExecutor(security=policy) as executor:
        ids = [
            executor.register_subscription("c", number, QUERY, **options)
            for number, options in enumerate(wanted)
        ]
        for event in published:
            before = executor.get_metrics()
            try:
                told = executor.explain(*event)
            except ValueError:
                with pytest.raises(ValueError, match="names the tenant"):
                    executor.publish_event(*event)
                continue
            assert executor.get_metrics() == before
            assert [one.subscription for one in told] == ids
            executor.publish_event(*event)
            after = executor.get_metrics()
            for one in told:
                delivered = executor.next_event(one.subscription) is not None
                assert delivered == (one.verdict == "delivered"), (one, event)
                assert bool(one.module) != delivered
                assert one.reason
            verdicts = [one.verdict for one in told]
            assert after["filtered"] - before["filtered"] <= verdicts.count(
                "filtered"
            ) + verdicts.count("denied")
            assert after["delivered"] - before["delivered"] == verdicts.count("delivered")


def explained(executor: SubscriptionExecutor, *event: Any, **how: Any) -> list[Explanation]:
    return executor.explain(*event, **how)


def test_each_verdict_has_its_module_and_reason(executor: SubscriptionExecutor) -> None:
    def register(number: int, **options: Any) -> str:
        return executor.register_subscription("c", number, QUERY, **options)

    ids = [
        register(1),
        register(2, tenant_id=6),
        register(3, tenant_id=5, user_id="ann"),
        register(4, context=SecurityContext(tenant_id=5, federation_id="eu")),
        register(5, channels="elsewhere"),
        register(6, event_types="created"),
        register(7, filter={"total": {"gte": 100}}),
        register(8, filter={"any": [{"total": 1}]}),
        register(9, filter={"not": {"total": 7}}),
        register(10, filter={"gone": 1}),
    ]
    event = "changed", "things", {"id": 1, "tenant_id": 5, "total": 7, "secret": "s3cr3t"}
    told = explained(executor, *event)
    assert [(one.subscription, one.verdict, one.module, one.reason) for one in told] == [
        (ids[0], "delivered", "", "every check passes"),
        (ids[1], "denied", "tenant", "the event's tenant_id is not the context's tenant_id"),
        (ids[2], "denied", "row", "the event has no user_id, and the context has a user_id"),
        (
            ids[3],
            "denied",
            "federation",
            "the event has no federation_id, and the context has a federation_id",
        ),
        (
            ids[4],
            "not_on_channel",
            "channels",
            "the event's channel matches none of its channels",
        ),
        (ids[5], "other_event_type", "event_types", "it asked for other event types"),
        (ids[6], "filtered", "filter", "the filter's gte on total does not hold"),
        (
            ids[7],
            "filtered",
            "filter",
            'no part of the filter\'s "any" holds, which begins with total',
        ),
        (
            ids[8],
            "filtered",
            "filter",
            'what the filter\'s "not" excludes holds, which begins with total',
        ),
        (
            ids[9],
            "filtered",
            "filter",
            "the filter's equals on gone does not hold: the event has no gone",
        ),
    ]
    shown = explained(executor, *event, show_data=True)
    assert shown[1].reason == "the event's tenant_id (5) is not the context's tenant_id"
    assert shown[6].reason == "the filter's gte on total does not hold: the event has 7"
    assert executor.get_metrics()["published"] == 0
    assert executor.drain() == []


def test_the_counters_say_by_module_and_verdict_what_is_explained() -> None:
    """Of one event to subscriptions that are kept away, each for another reason."""
    with SubscriptionExecutor() as executor:
        for number, options in enumerate(
            (
                {"context": SecurityContext(user_id=1, tenant_id=1)},
                {"context": SecurityContext(user_id=1, tenant_id=2)},
                {"context": SecurityContext(user_id=2, tenant_id=1)},
                {"context": SecurityContext(user_id=2, tenant_id=1, service_name="s")},
                {"context": SecurityContext(1, 1, "f")},
                {"context": SecurityContext(1, 1, None, "s")},
                {"filter": {"n": {"gt": 5}}},
                {"filter": {"n": 1}},
                {"event_types": "other"},
                {"channels": "elsewhere"},
            )
        ):
            executor.register_subscription("c", number, QUERY, **options)  # type: ignore[arg-type]
        event = ("x", "things", {"n": 1, "user_id": 1, "tenant_id": 1})
        verdicts = [(one.verdict, one.module) for one in executor.explain(*event)]
        assert verdicts == [
            ("delivered", ""),
            ("denied", "tenant"),
            ("denied", "row"),
            ("denied", "row"),
            ("denied", "federation"),
            ("denied", "federation"),
            ("filtered", "filter"),
            ("delivered", ""),
            ("other_event_type", "event_types"),
            ("not_on_channel", "channels"),
        ]
        executor.publish_event(*event)
        metrics = executor.get_metrics()
        assert metrics["denied"] == {
            "expired": 0,
            "federation": 2,
            "rbac": 0,
            "row": 2,
            "scope": 0,
            "tenant": 1,
        }
        assert (metrics["delivered"], metrics["filtered"]) == (2, 1)
        with pytest.raises(AuthorizationError):
            executor.register_subscription("c", "x", QUERY, context=SecurityContext(permissions=()))
        with pytest.raises(ScopeViolation):
            executor.register_subscription(
                "c",
                "y",
                "subscription ($tenant_id: Int) { a }",
                None,
                {"tenant_id": 2},
                tenant_id=1,
            )
        metrics = executor.get_metrics()
        assert metrics["refused"] == {"FORBIDDEN": 1, "SCOPE_VIOLATION": 1}
        assert (metrics["violations"]["field"], metrics["violations"]["scope"]) == (1, 1)
        text = executor.metrics_text()
        for module, count in metrics["denied"].items():
            assert f'denied_total{{module="{module}"}} {count}' in text


def test_an_ended_subscription_is_not_explained(executor: SubscriptionExecutor) -> None:
    executor.register_subscription("c", 1, QUERY, tenant_id=1)
    assert executor.revoke(tenant_id=1) == 1
    assert executor.explain("x", "c", {}) == []


def test_nothing_of_an_explained_event_is_kept(executor: SubscriptionExecutor) -> None:
    position = executor.publish_event("x", "things", {"id": 1})
    executor.explain("x", "things", {"id": 2})
    id = executor.register_subscription("c", 1, QUERY, channels="things", since=position)
    assert executor.next_event(id) is None
    assert executor.health()["bus"]["stats"]["published"] == 1


def test_what_cannot_be_published_cannot_be_explained(executor: SubscriptionExecutor) -> None:
    for arguments, wrong in (
        (("", "c", {}), ValueError),
        (("x", "a.*", {}), ValueError),
        (("x", "c", []), (TypeError, ValueError)),
        (("x", "c", {"n": float("nan")}), ValueError),
        (("x", "tenant-1", {"tenant_id": 2}), ValueError),
        ((1, "c", {}), TypeError),
    ):
        with pytest.raises(wrong):
            executor.explain(*arguments)
    with pytest.raises(TypeError, match="show_data"):
        executor.explain("x", "c", {}, show_data=1)  # type: ignore[arg-type]
    assert json.dumps(executor.explain("x", "c", {})) == "[]"
