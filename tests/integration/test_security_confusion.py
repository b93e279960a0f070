"""Attempts to pass for somebody else."""

# ruff: noqa: A001, RUF001, RUF003  (`id` is what the API calls it; letters that look alike are the point)

from __future__ import annotations

import json
import unicodedata
from collections.abc import Callable
from typing import Any

import pytest
from raw import raw

from fraiseql_subscriptions import (
    InvalidQuery,
    LimitExceeded,
    ScopeViolation,
    SecurityContext,
    SecurityPolicy,
    SubscriptionExecutor,
)

QUERY = "subscription { thing { id } }"


@pytest.fixture
def sees() -> Callable[..., bool]:
    """Whether a context sees an event; the same is asked of `explain`."""

    def ask(
        context: SecurityContext, data: str | dict[str, Any], channel: str = "c", **policy: Any
    ) -> bool:
        body = raw(data) if isinstance(data, str) else data
        with SubscriptionExecutor(security=SecurityPolicy(**policy)) as executor:
            id = executor.register_subscription("c", 1, QUERY, context=context)
            (told,) = executor.explain("t", channel, body)
            executor.publish_event("t", channel, body)
            seen = executor.next_event(id) is not None
            assert seen == (told.verdict == "delivered")
            return seen

    return ask


@pytest.mark.parametrize(
    ("own", "alike"),
    [
        ("acme", "аcme"),  # a Cyrillic а
        ("acme", "ACME"),
        ("acme", "acme "),
        ("acme", "acme\u200b"),  # zero width
        ("acme", "\ufeffacme"),
        ("acme", "acme\u0000"),
        ("acme", "ａｃｍｅ"),  # full width
        ("office", "oﬀice"),  # a ligature
        ("straße", "strasse"),
        ("é", unicodedata.normalize("NFD", "é")),
        ("Ω", "\u2126"),  # ohm
        ("ı", "i"),
        ("5", "５"),
        ("5", "٥"),
        (5, "5"),
        (5, "5.0"),
        (2**64, str(2**64)),
        (0, ""),
        (0, "0"),
        (1, "true"),
    ],
)
@pytest.mark.parametrize("field", ["tenant_id", "user_id", "federation_id", "service_name"])
def test_what_only_looks_alike_is_somebody_else(
    sees: Callable[..., bool], field: str, own: Any, alike: str
) -> None:
    identifiers: dict[str, Any] = {field: own}
    assert sees(SecurityContext(**identifiers), {"id": 1, field: own})
    assert not sees(SecurityContext(**identifiers), {"id": 1, field: alike})
    if isinstance(own, str):
        identifiers = {field: alike}
        assert not sees(SecurityContext(**identifiers), {"id": 1, field: own})


@pytest.mark.parametrize(
    ("number", "same"),
    [
        ("5", True),
        ("5.0", False),
        ("5e0", False),
        ("0.5e1", False),
        ("50E-1", False),
        ("5.00000000000000000000001", False),
        ("4.9999999999999999999", False),
    ],
)
def test_a_number_is_an_integer_only_where_it_is_written_as_one(
    sees: Callable[..., bool], number: str, same: bool
) -> None:
    for loose in ("strict", "loose"):
        data = f'{{"id":1,"tenant_id":{number}}}'
        assert sees(SecurityContext(tenant_id=5), data, identifiers=loose) is same
    assert not sees(SecurityContext(tenant_id=2**53), f'{{"tenant_id":{2**53 + 1}}}')
    assert not sees(SecurityContext(tenant_id=2**64), f'{{"tenant_id":{2**64}.0}}')


@pytest.mark.parametrize(
    ("data", "seen"),
    [
        ('{"tenant_id":6,"tenant_id":5}', True),  # the last, as for whoever reads the data
        ('{"tenant_id":5,"tenant_id":6}', False),
        ('{"tenant_id":5,"tenant\\u005fid":6}', False),
        ('{"tenant\\u005fid":6,"tenant_id":5}', True),
        ('{"tenant_id":5,"tenant_id":null}', False),
        ('{"tenant_id":6,"__proto__":{"tenant_id":5}}', False),
        ('{"__proto__":{"tenant_id":5}}', False),
        ('{"constructor":{"prototype":{"tenant_id":5}}}', False),
        ('{"$tenant_id":5,"tenant_id\\u0000":5,"Tenant_Id":5,"tenantId":5,"tenant-id":5}', False),
        ('{"tenant_id":{"$eq":5}}', False),
        ('{"tenant_id":{"valueOf":5}}', False),
        ('{"tenant_id":[5]}', False),
        ('{"data":{"tenant_id":5}}', False),
        ('{"":5}', False),
    ],
)
def test_members_of_one_name_and_names_that_mean_something_elsewhere(
    sees: Callable[..., bool], data: str, seen: bool
) -> None:
    assert sees(SecurityContext(tenant_id=5), data) is seen


def test_a_nested_field_is_found_where_the_path_says_and_nowhere_else(
    sees: Callable[..., bool],
) -> None:
    own, where = SecurityContext(tenant_id=5), {"tenant_field": "meta.__proto__.tenant"}
    assert sees(own, '{"meta":{"__proto__":{"tenant":5}}}', **where)
    assert not sees(own, '{"meta":{"tenant":5}}', **where)
    assert not sees(own, '{"meta.__proto__.tenant":5}', **where)
    assert not sees(own, '{"meta":{"__proto__":{"tenant":6},"__proto__.tenant":5}}', **where)
    # Of two objects of one name the last, whole.
    assert not sees(own, '{"meta":{"__proto__":{"tenant":5}},"meta":{}}', **where)


def test_very_deep_data_is_decided_or_refused(sees: Callable[..., bool]) -> None:
    def nested(depth: int, tenant: int) -> str:
        return '{"a":' * depth + str(tenant) + "}" * depth

    where = {"tenant_field": ".".join(["a"] * 100)}
    assert sees(SecurityContext(tenant_id=5), nested(100, 5), **where)
    assert not sees(SecurityContext(tenant_id=5), nested(100, 6), **where)
    assert not sees(SecurityContext(tenant_id=5), nested(99, 5), **where)
    assert not sees(SecurityContext(tenant_id=5), nested(101, 5), **where)
    assert not sees(SecurityContext(tenant_id=5), nested(500, 5))
    with SubscriptionExecutor() as executor:
        for depth in (501, 100_000):
            with pytest.raises(ValueError, match="nested too deeply"):
                executor.publish_event("t", "c", raw(nested(depth, 5)))
            with pytest.raises(ValueError, match="nested too deeply"):
                executor.publish_event("t", "c", raw('{"a":' + "[" * depth + "]" * depth + "}"))


@pytest.mark.parametrize("channel", ["c.*", "*", ">", "c.>", "tenant-*", "c:tenant-*", "tenant->"])
def test_no_event_is_published_on_a_pattern(channel: str) -> None:
    with SubscriptionExecutor() as executor:
        with pytest.raises(ValueError, match=r"[*>]"):
            executor.publish_event("t", channel, {"id": 1})
        assert executor.get_metrics()["published"] == 0


def test_a_pattern_of_channels_gives_no_right_to_them() -> None:
    with SubscriptionExecutor() as executor:
        own = SecurityContext(tenant_id=5)
        ids = [
            executor.register_subscription("c", number, QUERY, channels=channels, context=own)
            for number, channels in enumerate(["*", "*.c", "tenant-6.c", "tenant-6.>", ">"])
        ]
        executor.publish_event("t", "tenant-6.c", {"id": 1})
        executor.publish_event("t", "tenant-6.c", {"id": 2, "tenant_id": 6})
        executor.publish_event("t", "tenant-55.c", {"id": 3})
        executor.publish_event("t", "tenant-аcme.c", {"id": 4})
        assert [executor.next_events(id) for id in ids] == [[]] * 5
        executor.publish_event("t", "tenant-5.c", {"id": 5})
        assert [len(executor.next_events(id)) for id in ids] == [1, 1, 0, 0, 1]


def test_a_channel_and_its_data_cannot_name_two_tenants() -> None:
    with SubscriptionExecutor() as executor:
        for channel, data in (
            ("tenant-5", {"tenant_id": 6}),
            ("c:tenant-5", {"tenant_id": "05"}),
            ("tenant-5.tenant-6", {"tenant_id": 6}),  # the first segment names it
        ):
            with pytest.raises(ValueError, match="names the tenant"):
                executor.publish_event("t", channel, data)


@pytest.mark.parametrize(
    "variables",
    [
        {"tenant_id": 6},
        {"tenantId": "5"},
        {"tenantId": 5.0},
        {"tenant_id": [5]},
        {"tenant_id": None},
        {"user_id": "аnn"},
        {"tenant_id": {"tenant_id": 5}},
    ],
)
def test_variables_that_a_query_does_not_define_count_too(variables: dict[str, Any]) -> None:
    with SubscriptionExecutor() as executor:
        context = SecurityContext(tenant_id=5, user_id="ann")
        with pytest.raises(ScopeViolation):
            executor.register_subscription("c", 1, QUERY, None, variables, context=context)


@pytest.mark.parametrize(
    "text",
    [
        "subscription { ...F } fragment F on Subscription { thing(tenantId: 6) { id } }",
        "subscription { ... { mine: thing(tenant_id: 6) { id } } }",
        "subscription A { thing { id } } subscription B { thing(tenant_id: 6) { id } }",
        "subscription ($t: Int = 6) { thing(tenantId: $t) { id } }",
        "subscription ($tenantId: Int = 6) { thing(t: $tenantId) { id } }",
    ],
)
def test_another_tenant_is_found_however_the_query_names_it(text: str) -> None:
    with SubscriptionExecutor() as executor:
        name = "B" if "subscription B" in text else None
        with pytest.raises(ScopeViolation):
            executor.register_subscription("c", 1, text, name, context=SecurityContext(tenant_id=5))
        assert executor.get_metrics()["active"] == 0


@pytest.mark.parametrize(
    "text",
    [
        "subscription { thing(tenantId: 5, tenantId: 6) { id } }",
        "subscription { thing(tenantId: 6) { id } thing { id } }",
        "subscription { thing { id } ...F } fragment F on S { thing(tenantId: 6) { id } }",
    ],
)
def test_a_query_cannot_name_two_tenants(text: str) -> None:
    with SubscriptionExecutor() as executor, pytest.raises(InvalidQuery, match=r"twice|conflict"):
        executor.register_subscription("c", 1, text, context=SecurityContext(tenant_id=5))


def test_a_resolver_is_believed() -> None:
    """What a resolver returns is what is sent; the guide says so."""
    with SubscriptionExecutor() as executor:
        id = executor.register_subscription(
            "c", 1, QUERY, resolver=lambda data: {"thing": {"tenant_id": 6}}, tenant_id=5
        )
        executor.publish_event("t", "c", {"id": 1, "tenant_id": 5})
        executor.publish_event("t", "c", {"id": 2, "tenant_id": 6})  # never reaches it
        (message,) = executor.next_events(id)
        assert json.loads(message)["payload"]["data"] == {"thing": {"tenant_id": 6}}


@pytest.mark.parametrize(
    ("condition", "value", "passes"),
    [
        ({"equals": 5}, 5.0, True),
        ({"equals": 5}, "5", False),
        ({"equals": 1}, True, False),
        ({"equals": True}, 1, False),
        ({"equals": None}, 0, False),
        ({"equals": ""}, None, False),
        ({"equals": [1]}, 1, False),
        ({"in": ["1", True, None]}, 1, False),
        ({"not_equals": "5"}, 5, True),
        ({"not_in": ["5"]}, 5, True),
        ({"gt": "4"}, 5, False),
        ({"gt": 4}, "5", False),
        ({"gte": "a"}, True, False),
        ({"lt": 10}, None, False),
        ({"lte": "b"}, ["a"], False),
        ({"gt": 0}, True, False),
        ({"contains": 5}, "5", False),
        ({"contains": "5"}, [5], False),
        ({"contains": 1}, [True], False),
        ({"starts_with": "1"}, 1, False),
    ],
)
def test_filters_do_not_compare_across_types(
    condition: dict[str, Any], value: Any, passes: bool
) -> None:
    with SubscriptionExecutor() as executor:
        id = executor.register_subscription("c", 1, QUERY, filter={"n": condition})
        executor.publish_event("t", "c", {"id": 1, "n": value})
        assert (executor.next_event(id) is not None) is passes


def test_a_filter_can_only_take_away() -> None:
    """No filter shows what the context may not see, whatever it names."""
    with SubscriptionExecutor() as executor:
        filters: list[dict[str, Any]] = [
            {"tenant_id": 6},
            {"any": [{"tenant_id": 6}, {"tenant_id": 5}]},
            {"not": {"x": 1}},
        ]
        for number, wanted in enumerate(filters):
            executor.register_subscription("c", number, QUERY, filter=wanted, tenant_id=5)
        executor.publish_event("t", "c", {"id": 1, "tenant_id": 6})
        assert executor.drain() == []


def test_a_very_deep_filter_is_refused() -> None:
    deep: dict[str, Any] = {"n": 1}
    for _ in range(400):
        deep = {"not": deep}
    with SubscriptionExecutor() as executor, pytest.raises(LimitExceeded):
        executor.register_subscription("c", 1, QUERY, filter=deep)
