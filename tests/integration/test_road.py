"""The main road: a subscription is registered, an event published, bytes come out."""

# ruff: noqa: A001  (`id` is a name of the public API)

from __future__ import annotations

import json
import re
from collections.abc import Callable
from typing import Any

import pytest

from fraiseql_subscriptions import (
    Event,
    InvalidQuery,
    SubscriptionExecutor,
    SubscriptionNotFound,
)

Subscribe = Callable[..., str]
Payloads = Callable[[str], list[Any]]


def test_response_format(executor: SubscriptionExecutor) -> None:
    id = executor.register_subscription("c", "client-1", "subscription { order { id total } }")
    executor.publish_event("created", "orders", {"id": 1, "total": 9.5, "secret": "x"})
    message = executor.next_event(id)
    assert type(message) is bytes
    assert (
        message
        == b'{"id":"client-1","type":"next","payload":{"data":{"order":{"id":1,"total":9.5}}}}'
    )
    assert executor.next_event(id) is None


def test_100_subscriptions_in_parallel(executor: SubscriptionExecutor) -> None:
    ids = [
        executor.register_subscription(f"connection-{i}", "s", "subscription { a { n } }")
        for i in range(100)
    ]
    assert len(set(ids)) == 100
    for n in range(10):
        executor.publish_event("t", "c", {"n": n})
    for id in ids:
        values = [json.loads(m)["payload"]["data"]["a"]["n"] for m in executor.next_events(id)]
        assert values == list(range(10))


def test_unauthorized_events_are_blocked(
    executor: SubscriptionExecutor, subscribe: Subscribe
) -> None:
    mine = subscribe(user_id=1, tenant_id=1)
    trusted = subscribe()
    for data in (
        {"id": 1, "user_id": 1, "tenant_id": 2},
        {"id": 2, "user_id": 2, "tenant_id": 1},
        {"id": 3, "user_id": 1},
        {"id": 4, "tenant_id": 1},
        {"id": 5, "user_id": "1", "tenant_id": 1},
        {"id": 6, "user_id": True, "tenant_id": 1},
        {"id": 7},
        {"id": 8, "user_id": 1, "tenant_id": 1},
    ):
        executor.publish_event("t", "c", data)
    assert [
        json.loads(m)["payload"]["data"]["thing"]["id"] for m in executor.next_events(mine)
    ] == [8]
    assert len(executor.next_events(trusted)) == 8


@pytest.mark.parametrize(
    ("query", "variables", "expected"),
    [
        ("subscription { a { id } }", None, {"a": {"id": 1}}),
        ("subscription { b: a { x: id } }", None, {"b": {"x": 1}}),
        ("subscription { a { nested { deep } } }", None, {"a": {"nested": {"deep": [1, None]}}}),
        (
            "subscription { a { items { sku } } }",
            None,
            {"a": {"items": [{"sku": "p"}, {"sku": "q"}]}},
        ),
        ("subscription { a { ...F } } fragment F on Any { id }", None, {"a": {"id": 1}}),
        (
            "subscription S($s: Boolean!) { a { id @skip(if: $s) big } }",
            {"s": True},
            {"a": {"big": 2**70}},
        ),
        ("subscription { a { missing } }", None, {"a": {"missing": None}}),
        ("subscription { a }", None, {"a": "everything"}),
    ],
)
def test_the_selection_set_decides_what_is_delivered(
    subscribe: Subscribe,
    executor: SubscriptionExecutor,
    payloads: Payloads,
    query: str,
    variables: Any,
    expected: Any,
) -> None:
    data = {
        "id": 1,
        "big": 2**70,
        "nested": {"deep": [1, None], "other": 2},
        "items": [{"sku": "p", "n": 1}, {"sku": "q", "n": 2}],
    }
    if expected == {"a": "everything"}:
        expected = {"a": data}
    id = subscribe(query, variables=variables)
    executor.publish_event("t", "c", data)
    assert payloads(id) == [{"data": expected}]


def test_a_query_is_validated_against_the_schema() -> None:
    sdl = """
        type Query { a: Int }
        type Order { id: ID! total: Int }
        type Subscription { order(since: Int): Order }
    """
    with SubscriptionExecutor(schema=sdl) as executor:
        with pytest.raises(InvalidQuery, match="nothing"):
            executor.register_subscription("c", "1", "subscription { order { nothing } }")
        id = executor.register_subscription("c", "1", "subscription { order { id __typename } }")
        executor.publish_event("t", "c", {"id": 7})
        message = executor.next_event(id)
        assert message is not None
        assert json.loads(message)["payload"]["data"] == {
            "order": {"id": "7", "__typename": "Order"}
        }


def test_a_graphql_core_schema_serves_as_well() -> None:
    from graphql import build_schema

    schema = build_schema("type Query { a: Int } type Subscription { b: Int }")
    with (
        SubscriptionExecutor(schema=schema) as executor,
        pytest.raises(InvalidQuery),
    ):
        executor.register_subscription("c", "1", "subscription { c }")


def test_channels_and_event_types_select(
    executor: SubscriptionExecutor, subscribe: Subscribe, payloads: Payloads
) -> None:
    ids = {
        "all": subscribe(),
        "one": subscribe(channels="orders.1"),
        "star": subscribe(channels="orders.*"),
        "rest": subscribe(channels=["orders.>"]),
        "two": subscribe(channels=("orders.1", "other")),
        "typed": subscribe(event_types="created"),
        "types": subscribe(event_types=["created", "deleted"]),
    }
    published = [
        ("created", "orders.1"),
        ("deleted", "orders.2"),
        ("changed", "orders.2.items"),
        ("created", "other"),
        ("created", "orders:1"),
    ]
    for n, (event_type, channel) in enumerate(published):
        executor.publish_event(event_type, channel, {"id": n})
    got = {
        name: [payload["data"]["thing"]["id"] for payload in payloads(id)]
        for name, id in ids.items()
    }
    assert got == {
        "all": [0, 1, 2, 3, 4],
        "one": [0],
        "star": [0, 1],
        "rest": [0, 1, 2],
        "two": [0, 3],
        "typed": [0, 3, 4],
        "types": [0, 1, 3, 4],
    }
    assert set(executor.subscriptions_by_channel("orders.1")) == {
        ids[name] for name in ("all", "one", "star", "rest", "two", "typed", "types")
    }
    assert set(executor.subscriptions_by_channel("nowhere")) == {
        ids[name] for name in ("all", "typed", "types")
    }


def test_a_filter_selects_by_the_events_data(
    executor: SubscriptionExecutor, subscribe: Subscribe, payloads: Payloads
) -> None:
    id = subscribe(filter={"amount": {"gte": 10, "lt": 2**70}, "customer.country": "NL"})
    events: tuple[dict[str, Any], ...] = (
        {"amount": 9, "customer": {"country": "NL"}},
        {"amount": 10, "customer": {"country": "NL"}},
        {"amount": 2**70, "customer": {"country": "NL"}},
        {"amount": 2**70 - 1, "customer": {"country": "NL"}},
        {"amount": 11, "customer": {"country": "DE"}},
        {"amount": 11},
    )
    for n, data in enumerate(events):
        executor.publish_event("t", "c", {"id": n, **data})
    assert [payload["data"]["thing"]["id"] for payload in payloads(id)] == [1, 3]


def test_a_position_resumes_where_it_was_left(
    executor: SubscriptionExecutor, subscribe: Subscribe, payloads: Payloads
) -> None:
    first = subscribe(positions=True)
    positions = [executor.publish_event("t", "c", {"id": n}) for n in range(3)]
    assert [p["extensions"]["position"] for p in payloads(first)] == positions
    second = subscribe(since=positions[0])
    executor.publish_event("t", "c", {"id": 3})
    assert [payload["data"]["thing"]["id"] for payload in payloads(second)] == [1, 2, 3]


def test_a_foreign_position_starts_live_and_says_so(
    executor: SubscriptionExecutor, subscribe: Subscribe, payloads: Payloads
) -> None:
    executor.publish_event("t", "c", {"id": 0})
    id = subscribe(since="elsewhere:5")
    executor.publish_event("t", "c", {"id": 1})
    executor.publish_event("t", "c", {"id": 2})
    assert payloads(id) == [
        {"data": {"thing": {"id": 1}}, "extensions": {"recovered": False}},
        {"data": {"thing": {"id": 2}}},
    ]


def test_completing_leaves_nothing(executor: SubscriptionExecutor, subscribe: Subscribe) -> None:
    id = subscribe(resolver=lambda data: data)
    executor.publish_event("t", "c", {"id": 1})
    assert executor.complete_subscription(id) is True
    assert executor.complete_subscription(id) is False
    assert executor.complete_subscription("sub-0-0") is False
    assert executor.subscriptions_by_channel("c") == []
    assert executor.drain() == []
    assert not executor._callbacks
    with pytest.raises(SubscriptionNotFound):
        executor.next_event(id)
    with pytest.raises(SubscriptionNotFound):
        executor.register_resolver(id, lambda data: data)
    executor.publish_event("t", "c", {"id": 2})


def test_closing_a_connection_ends_its_subscriptions_only(executor: SubscriptionExecutor) -> None:
    query = "subscription { a { id } }"
    gone = [executor.register_subscription(5, n, query, resolver=print) for n in range(3)]
    kept = executor.register_subscription("5 ", 1, query)
    assert executor.close_connection(5) == 3
    assert executor.close_connection(5) == 0
    for id in gone:
        with pytest.raises(SubscriptionNotFound):
            executor.next_event(id)
    assert not executor._callbacks
    executor.publish_event("t", "c", {"id": 1})
    assert executor.next_event(kept) is not None


def test_an_id_can_be_used_again_after_its_subscription_ended(
    executor: SubscriptionExecutor,
) -> None:
    first = executor.register_subscription("c", "1", "subscription { a }")
    executor.complete_subscription(first)
    second = executor.register_subscription("c", "1", "subscription { a }")
    assert first != second


def test_many_events_are_published_at_once(
    executor: SubscriptionExecutor, subscribe: Subscribe, payloads: Payloads
) -> None:
    id = subscribe()
    positions = executor.publish_events(
        [
            Event("t", "c", {"id": 1}, correlation_id="k"),
            ("t", "c", {"id": 2}),
            {"event_type": "t", "channel": "c", "data": {"id": 3}},
        ]
    )
    assert len(set(positions)) == 3
    assert [payload["data"]["thing"]["id"] for payload in payloads(id)] == [1, 2, 3]
    assert executor.publish_events([]) == []
    assert (
        len(executor.publish_events((("t", "c", {"id": n}) for n in range(2)), wait="accepted"))
        == 2
    )


def test_one_wrong_event_of_many_publishes_none(
    executor: SubscriptionExecutor, subscribe: Subscribe, payloads: Payloads
) -> None:
    id = subscribe()
    with pytest.raises(ValueError, match="event 1: channel"):
        executor.publish_events([("t", "c", {"id": 1}), ("t", "", {"id": 2})])
    with pytest.raises(ValueError, match=r"c\*|wildcard|channel"):
        executor.publish_events([("t", "c", {"id": 1}), ("t", "c*", {"id": 2})])
    assert payloads(id) == []


def test_an_event_id_seen_before_is_not_delivered_again(
    executor: SubscriptionExecutor, subscribe: Subscribe, payloads: Payloads
) -> None:
    id = subscribe()
    first = executor.publish_event("t", "c", {"id": 1}, event_id="e-1")
    again = executor.publish_event("t", "c", {"id": 1}, event_id="e-1")
    assert first == again
    assert len(payloads(id)) == 1


def test_waiting_for_acceptance_only_still_delivers(
    executor: SubscriptionExecutor, subscribe: Subscribe, until: Callable[..., None]
) -> None:
    id = subscribe()
    position = executor.publish_event("t", "c", {"id": 1}, wait="accepted")
    assert re.fullmatch(r"[^ ]+:\d+", position)
    until(lambda: executor.next_event(id) is not None, "the response")


def test_metrics_count_what_happened(executor: SubscriptionExecutor, subscribe: Subscribe) -> None:
    kept = subscribe()
    executor.complete_subscription(subscribe())
    subscribe(user_id=1)
    executor.publish_event("t", "c", {"id": 1})
    assert executor.next_event(kept)
    executor.publish_event("t", "c", {"id": 1})
    metrics = executor.get_metrics()
    assert {
        name: metrics[name] for name in ("total", "active", "completed", "published", "queued")
    } == {"total": 3, "active": 2, "completed": 1, "published": 2, "queued": 1}
    assert metrics["queued_bytes"] > 0
    for name in ("errored", "dispatched", "delivered", "dropped", "denied", "filtered"):
        assert name in metrics
    assert metrics["denied"]


def test_metrics_text_is_read_by_prometheus(
    executor: SubscriptionExecutor, subscribe: Subscribe
) -> None:
    from prometheus_client.parser import text_string_to_metric_families

    subscribe()
    executor.publish_event("t", "c", {"id": 1})
    families = {
        family.name: family for family in text_string_to_metric_families(executor.metrics_text())
    }
    assert families
    assert all(name.startswith("fraiseql_subscriptions_") for name in families)


def test_health_is_told(executor: SubscriptionExecutor) -> None:
    health = executor.health()
    assert health["status"] == "open"
    assert health["bus"]["name"] == "memory"
