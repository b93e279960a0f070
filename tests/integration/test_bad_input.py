"""Whatever is wrong with a call gives its typed error, and harms nobody else."""

# ruff: noqa: A001, A002  (`id` is a name of the public API)

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import orjson
import pytest

from fraiseql_subscriptions import (
    AuthorizationError,
    DuplicateSubscription,
    EngineClosed,
    InvalidQuery,
    LimitExceeded,
    Limits,
    SecurityContext,
    SecurityPolicy,
    SubscriptionExecutor,
    SubscriptionNotFound,
)

QUERY = "subscription { thing { id } }"
Subscribe = Callable[..., str]


@pytest.mark.parametrize("value", ["", "a\0b", "\ud800"])
@pytest.mark.parametrize("name", ["connection_id", "subscription_id"])
def test_empty_and_nul_identifiers_are_value_errors(
    executor: SubscriptionExecutor, name: str, value: str
) -> None:
    arguments: dict[str, Any] = {"connection_id": "c", "subscription_id": "s", name: value}
    with pytest.raises(ValueError, match=name):
        executor.register_subscription(**arguments, query=QUERY)


@pytest.mark.parametrize(
    "query",
    [
        "",
        "subscription {",
        "not graphql",
        "subscription { a b }",
        "subscription { a { id } ...F } fragment F on S { b }",
        "query { a }",
        "mutation { a }",
        "{ a }",
        "fragment F on A { b }",
        "subscription A { a } subscription B { b }",
        "subscription { ...Missing }",
        "subscription($v: Int!) { a(v: $v) { id } }",
        "type A { b: Int }",
    ],
)
def test_a_query_that_cannot_be_executed_is_an_invalid_query(
    executor: SubscriptionExecutor, query: str
) -> None:
    with pytest.raises(InvalidQuery):
        executor.register_subscription("c", "s", query)
    executor.register_subscription("c", "s", QUERY)  # nothing remains of the refused one


@pytest.mark.parametrize(
    ("arguments", "error"),
    [
        ({"query": 5}, TypeError),
        ({"query": None}, TypeError),
        ({"query": "subscription { a \0 }"}, ValueError),
        ({"query": 'subscription { a(x: "\ud800") }'}, ValueError),
        ({"operation_name": "Other"}, InvalidQuery),
        ({"operation_name": 5}, TypeError),
        ({"operation_name": "a\0"}, ValueError),
        ({"variables": [1]}, TypeError),
        ({"variables": "x"}, TypeError),
        ({"variables": {"a": math.nan}}, ValueError),
        ({"variables": {"a": object()}}, TypeError),
        ({"variables": {1: 2}}, ValueError),
        ({"query": "subscription($n: Int!) { a(n: $n) }", "variables": {"n": "x"}}, InvalidQuery),
        ({"query": "subscription($n: Int!) { a(n: $n) }", "variables": {"n": None}}, InvalidQuery),
        ({"channels": "orders..x"}, ValueError),
        ({"channels": "orders x"}, ValueError),
        ({"channels": ["a.>.b"]}, ValueError),
        ({"channels": []}, ValueError),
        ({"event_types": 5}, TypeError),
        ({"filter": {"a": {"resembles": 1}}}, ValueError),
        ({"filter": {"a": {"in": 5}}}, ValueError),
        ({"filter": "a"}, TypeError),
        ({"resolver": "name"}, TypeError),
        ({"resolver": lambda: 1}, TypeError),
        ({"context": {"user_id": 5}}, TypeError),
        ({"context": SecurityContext(), "user_id": 5}, ValueError),
        ({"user_id": 1.5}, TypeError),
        ({"tenant_id": True}, TypeError),
        ({"queue": 5}, TypeError),
        ({"since": "nonsense"}, ValueError),
        ({"since": 5}, TypeError),
        ({"positions": "yes"}, TypeError),
        ({"share": None}, TypeError),
    ],
)
def test_a_wrong_registration_is_refused_and_leaves_nothing(
    executor: SubscriptionExecutor, arguments: dict[str, Any], error: type[Exception]
) -> None:
    given = {"query": QUERY, "resolver": print, **arguments}
    with pytest.raises(error):
        executor.register_subscription("c", "s", **given)
    assert not executor._callbacks
    assert executor.subscriptions_by_channel("anything") == []
    executor.register_subscription("c", "s", QUERY)


def test_a_live_pair_of_ids_twice_is_a_duplicate(executor: SubscriptionExecutor) -> None:
    executor.register_subscription("c", 1, QUERY)
    with pytest.raises(DuplicateSubscription, match="1"):
        executor.register_subscription("c", "1", QUERY, resolver=print)
    assert not executor._callbacks
    executor.register_subscription("d", 1, QUERY)


def test_limits_name_themselves() -> None:
    limits = Limits(
        max_query_bytes=200,
        max_query_fields=3,
        max_query_depth=2,
        max_query_aliases=1,
        max_query_directives=1,
        max_variables_bytes=50,
    )
    deep, wide = "subscription { a { b { c } } }", "subscription { a { b c d } }"
    long = "subscription { a } " + "#" * 200
    named = "subscription { x: a { y: b } }"
    marked = "subscription { a { b @skip(if: false) c @skip(if: false) } }"
    refused = {
        "bytes": long, "fields": wide, "depth": deep, "aliases": named, "directives": marked,
    }  # fmt: skip
    with SubscriptionExecutor(limits=limits) as executor:
        for name, query in refused.items():
            with pytest.raises(LimitExceeded, match=f"max_query_{name}"):
                executor.register_subscription("c", "s", query)
        with pytest.raises(LimitExceeded, match="max_variables_bytes"):
            executor.register_subscription(
                "c", "s", "subscription($a: String) { a(a: $a) }", variables={"a": "x" * 60}
            )
    with SubscriptionExecutor(limits=Limits(max_query_depth=None)) as executor:
        executor.register_subscription("c", "s", "subscription {" + " a {" * 20 + " b " + "}" * 21)


def test_a_context_can_be_required() -> None:
    with SubscriptionExecutor(security=SecurityPolicy(require_context=True)) as executor:
        with pytest.raises(AuthorizationError):
            executor.register_subscription("c", "s", QUERY)
        executor.register_subscription("c", "s", QUERY, context=SecurityContext())


@pytest.mark.parametrize(
    ("data", "error"),
    [
        (None, TypeError),
        ([1], TypeError),
        ("text", TypeError),
        (b"{}", TypeError),
        ({"a": object()}, TypeError),
        ({"a": {1, 2}}, TypeError),
        ({"a": math.nan}, ValueError),
        ({"a": [math.inf]}, ValueError),
        ({1: 2}, ValueError),
        ({"a": "\ud800"}, ValueError),
    ],
)
def test_data_that_json_cannot_hold_is_refused(
    executor: SubscriptionExecutor, subscribe: Subscribe, data: Any, error: type[Exception]
) -> None:
    id = subscribe()
    with pytest.raises(error):
        executor.publish_event("t", "c", data)
    assert executor.next_event(id) is None


def test_cyclic_data_is_refused(executor: SubscriptionExecutor) -> None:
    data: dict[str, Any] = {"list": []}
    data["list"].append(data)
    with pytest.raises(ValueError, match=r"\$\.list\[0\] contains itself"):
        executor.publish_event("t", "c", data)


@pytest.mark.parametrize(("depth", "accepted"), [(500, True), (501, False)])
def test_data_nests_at_most_500_levels(
    executor: SubscriptionExecutor, subscribe: Subscribe, depth: int, accepted: bool
) -> None:
    id = subscribe("subscription { a }")
    data: dict[str, Any] = {}
    for _ in range(depth - 1):
        data = {"n": data}
    if accepted:
        executor.publish_event("t", "c", data)
        assert executor.next_event(id) is not None
        return
    with pytest.raises(ValueError, match="nested deeper than 500"):
        executor.publish_event("t", "c", data)


def test_an_event_of_2_mb_exceeds_the_limit(executor: SubscriptionExecutor) -> None:
    with pytest.raises(LimitExceeded, match="max_event_bytes"):
        executor.publish_event("t", "c", {"blob": "x" * 2_000_000})
    with SubscriptionExecutor(limits=Limits(max_event_bytes=None)) as unlimited:
        unlimited.publish_event("t", "c", {"blob": "x" * 2_000_000})


@pytest.mark.parametrize(
    ("event_type", "channel", "error"),
    [
        ("", "c", ValueError),
        ("t", "", ValueError),
        ("t\0", "c", ValueError),
        ("t", "c\0", ValueError),
        ("\ud800", "c", ValueError),
        ("t", "\ud800", ValueError),
        ("t", "a b", ValueError),
        ("t", "a.*", ValueError),
        ("t", "a.>", ValueError),
        ("t", "*", ValueError),
        ("t", "a\n", ValueError),
        ("t", "x" * 256, ValueError),
        (None, "c", TypeError),
        ("t", 5, TypeError),
    ],
)
def test_a_wrong_event_type_or_channel_is_refused(
    executor: SubscriptionExecutor, event_type: Any, channel: Any, error: type[Exception]
) -> None:
    with pytest.raises(error):
        executor.publish_event(event_type, channel, {})


@pytest.mark.parametrize("name", ["correlation_id", "event_id"])
@pytest.mark.parametrize(
    ("value", "error"), [("", ValueError), ("a\0", ValueError), (1.5, TypeError)]
)
def test_wrong_ids_of_an_event_are_refused(
    executor: SubscriptionExecutor, name: str, value: Any, error: type[Exception]
) -> None:
    with pytest.raises(error, match=name):
        executor.publish_event("t", "c", {}, **{name: value})


def test_data_that_contradicts_its_channels_tenant_is_refused(
    executor: SubscriptionExecutor,
) -> None:
    with pytest.raises(ValueError, match="tenant"):
        executor.publish_event("t", "orders:tenant-5", {"tenant_id": 6})
    executor.publish_event("t", "orders:tenant-5", {"tenant_id": 5})


@pytest.mark.parametrize("id", ["", "sub-1", "sub-0-99", "nonsense", "sub-1-1\0", "\ud800"])
def test_an_unknown_id_is_not_found(executor: SubscriptionExecutor, id: str) -> None:
    for call in (executor.next_event, executor.next_events):
        with pytest.raises(SubscriptionNotFound):
            call(id)
    with pytest.raises(SubscriptionNotFound):
        executor.register_resolver(id, print)


def test_an_id_is_the_returned_text(executor: SubscriptionExecutor) -> None:
    for call in (executor.next_event, executor.next_events, executor.complete_subscription):
        with pytest.raises(TypeError, match="id must be the str"):
            call(5)  # type: ignore[arg-type]


@pytest.mark.parametrize(("value", "error"), [(0, ValueError), (-1, ValueError), (1.5, TypeError)])
def test_a_maximum_is_at_least_one(
    executor: SubscriptionExecutor, subscribe: Subscribe, value: Any, error: type[Exception]
) -> None:
    id = subscribe()
    with pytest.raises(error, match="max"):
        executor.next_events(id, value)
    with pytest.raises(error, match="max"):
        executor.drain(value)


def test_json_that_is_given_as_it_is_stays_one_events_own(executor: SubscriptionExecutor) -> None:
    def published(*texts: bytes) -> list[str]:
        return executor.publish_events([("t", "c", orjson.Fragment(text)) for text in texts])

    assert len(published(b'{"a":1}\n', b'{"b":2}')) == 2
    with pytest.raises(ValueError, match="data cannot be read"):
        published(b'{"a":1},{"forged":1},{"z":"', b"{}", b'{"}')
    with pytest.raises(ValueError, match="data cannot be read"):
        executor.publish_events(
            [
                ("t", "c", {"a": orjson.Fragment(b'1},{"forged":1},{"z":"')}),
                ("t", "c", {}),
                ("t", "c", {'":"': orjson.Fragment(b"1")}),
            ]
        )
    swallowing = orjson.Fragment(b'[{"a":1'), orjson.Fragment(b'1}]},{"forged":1},{"z":2')
    with pytest.raises(ValueError, match="data cannot be read"):
        executor.publish_events(
            [("t", "c", {"x": swallowing[0]}), ("t", "c", {}), ("t", "c", {"q": swallowing[1]})]
        )


def test_every_call_after_close_says_so(
    executor: SubscriptionExecutor, subscribe: Subscribe
) -> None:
    id = subscribe()
    executor.close()
    executor.close()
    calls: list[Callable[[], object]] = [
        lambda: executor.register_subscription("c", "s", QUERY),
        lambda: executor.publish_event("t", "c", {}),
        lambda: executor.publish_events([("t", "c", {})]),
        lambda: executor.next_event(id),
        lambda: executor.next_events(id),
        executor.drain,
        executor.fileno,
        lambda: executor.complete_subscription(id),
        lambda: executor.close_connection("c"),
        lambda: executor.register_resolver(id, print),
        lambda: executor.subscriptions_by_channel("c"),
        lambda: executor.update_context("c", SecurityContext()),
        lambda: executor.revoke(user_id="u"),
        lambda: executor.invalidate({}),
        lambda: executor.explain("t", "c", {}),
        executor.get_metrics,
        executor.metrics_text,
    ]
    for call in calls:
        with pytest.raises(EngineClosed, match="closed"):
            call()


def test_an_executor_that_never_started_closes_too() -> None:
    executor = SubscriptionExecutor()
    executor.close()
    with pytest.raises(EngineClosed):
        executor.publish_event("t", "c", {})


def test_a_wrong_schema_is_told_by_the_first_call() -> None:
    with (
        SubscriptionExecutor(schema="type Query { a: Missing }") as executor,
        pytest.raises(ValueError, match="Missing"),
    ):
        executor.publish_event("t", "c", {})


def test_errors_do_not_show_the_native_exception_as_their_context(
    executor: SubscriptionExecutor,
) -> None:
    with pytest.raises(InvalidQuery) as caught:
        executor.register_subscription("c", "s", "{")
    assert caught.value.__suppress_context__
    assert caught.value.code == "INVALID_QUERY"
