"""Scope and field permissions, from registration to the responses."""

from __future__ import annotations

import json
from typing import Any

import pytest

from fraiseql_subscriptions import (
    AuthorizationError,
    ScopeViolation,
    SecurityContext,
    SecurityPolicy,
    SubscriptionExecutor,
)

QUERY = (
    "subscription { orderUpdated { id lines: items { sku } ... on Order { customer { name } } } }"
)
DATA = {"id": 1, "items": [{"sku": "a"}], "customer": {"name": "Ann"}}
ALL = {"order:read", "item:read", "customer:read"}
SCHEMA = """
type Query { a: Int }
type Subscription { orderUpdated: Order }
type Order { id: Int! amount: Float @requiresPermission(name: "order.amount:read") }
"""


def context(*permissions: str, **given: Any) -> SecurityContext:
    return SecurityContext(permissions=permissions, **given)


def read(executor: SubscriptionExecutor, id: str) -> dict[str, Any]:  # noqa: A002
    message = executor.next_event(id)
    assert message is not None
    found: dict[str, Any] = json.loads(message)["payload"]
    return found


@pytest.mark.parametrize("missing", sorted(ALL))
def test_a_missing_permission_refuses_the_subscription(missing: str) -> None:
    with SubscriptionExecutor() as executor:
        with pytest.raises(AuthorizationError, match=missing):
            executor.register_subscription("c", "1", QUERY, context=context(*ALL - {missing}))
        assert executor.get_metrics()["active"] == 0
        assert executor.get_metrics()["violations"]["field"] == 1
        assert executor.register_subscription("c", "1", QUERY, context=context(*ALL))


@pytest.mark.parametrize(
    ("missing", "path"),
    [
        ("order:read", ["orderUpdated"]),
        ("item:read", ["orderUpdated", "lines"]),
        ("customer:read", ["orderUpdated", "customer"]),
    ],
)
def test_a_missing_permission_nulls_its_field(missing: str, path: list[str]) -> None:
    with SubscriptionExecutor(security=SecurityPolicy(rbac="null")) as executor:
        whole = executor.register_subscription("c", "1", QUERY, context=context(*ALL))
        part = executor.register_subscription("c", "2", QUERY, context=context(*ALL - {missing}))
        executor.publish_event("t", "c", DATA)
        expected = {"id": 1, "lines": [{"sku": "a"}], "customer": {"name": "Ann"}}
        assert read(executor, whole) == {"data": {"orderUpdated": expected}}
        found = read(executor, part)
        nulled: Any = None if path == ["orderUpdated"] else {**expected, path[-1]: None}
        assert found["data"] == {"orderUpdated": nulled}
        assert [(error["path"], error["extensions"]) for error in found["errors"]] == [
            (path, {"code": "FORBIDDEN"})
        ]


def test_a_resolvers_response_cannot_be_nulled_so_it_is_refused() -> None:
    with SubscriptionExecutor(security=SecurityPolicy(rbac="null")) as executor:
        with pytest.raises(AuthorizationError, match="item:read"):
            executor.register_subscription(
                "c", "1", QUERY, resolver=lambda data: data, context=context("order:read")
            )
        id = executor.register_subscription("c", "1", QUERY, context=context("order:read"))  # noqa: A001
        with pytest.raises(AuthorizationError, match="item:read"):
            executor.register_resolver(id, lambda data: {"orderUpdated": data})
        executor.publish_event("t", "c", DATA)
        assert read(executor, id)["data"]["orderUpdated"] == {
            "id": 1,
            "lines": None,
            "customer": None,
        }


def test_a_context_without_permissions_is_asked_for_them_only_where_the_policy_says() -> None:
    with SubscriptionExecutor() as executor:
        assert executor.register_subscription("c", "1", QUERY, user_id=1)
    policy = SecurityPolicy(require_permissions=True)
    with SubscriptionExecutor(security=policy) as executor, pytest.raises(AuthorizationError):
        executor.register_subscription("c", "1", QUERY, user_id=1)
    with SubscriptionExecutor(security=SecurityPolicy(rbac="off")) as executor:
        assert executor.register_subscription("c", "1", QUERY, context=context())


def test_the_schema_says_what_a_field_needs_and_the_map_comes_before_it() -> None:
    query = "subscription { orderUpdated { id amount __typename } }"
    held = context("order:read", "order.amount:read")
    with SubscriptionExecutor(schema=SCHEMA) as executor:
        assert executor.register_subscription("c", "1", query, context=held)
        with pytest.raises(AuthorizationError, match=r"order\.amount:read"):
            executor.register_subscription("c", "2", query, context=context("order:read"))
    free = SecurityPolicy(permissions={"*.amount": None})
    with SubscriptionExecutor(schema=SCHEMA, security=free) as executor:
        assert executor.register_subscription("c", "1", query, context=context("order:read"))
    misspelt = SecurityPolicy(permissions={"orderUpdated.amuont": "x"})
    executor = SubscriptionExecutor(schema=SCHEMA, security=misspelt)
    with pytest.raises(ValueError, match=r"orderUpdated\.amuont"):
        executor.register_subscription("c", "1", query)


@pytest.mark.parametrize(
    ("query", "variables"),
    [
        ("subscription ($tenant_id: Int) { a(t: $tenant_id) }", {"tenant_id": 6}),
        ("subscription ($tenantId: String) { a(t: $tenantId) }", {"tenantId": "5"}),
        ("subscription ($userId: Int) { a(u: $userId) }", {"userId": 5}),
        ("subscription { a(tenantId: 6) }", None),
        ("subscription { a(user_id: null) }", None),
        ("subscription ($t: Int) { a(tenant_id: $t) }", {"t": 6}),
    ],
)
def test_a_query_that_names_somebody_else_is_refused(
    query: str, variables: dict[str, Any] | None
) -> None:
    own = SecurityContext(user_id=7, tenant_id=5)
    with SubscriptionExecutor() as executor:
        with pytest.raises(ScopeViolation):
            executor.register_subscription("c", "1", query, None, variables, context=own)
        assert executor.get_metrics()["violations"]["scope"] == 1
    with SubscriptionExecutor(security=SecurityPolicy(scope="off")) as executor:
        assert executor.register_subscription("c", "1", query, None, variables, context=own)


def test_a_query_that_names_its_own_context_is_not_refused() -> None:
    query = "subscription ($tenantId: Int) { a(tenant_id: $tenantId, userId: 7) { id } }"
    with SubscriptionExecutor() as executor:
        id = executor.register_subscription(  # noqa: A001
            "c", "1", query, None, {"tenantId": 5}, user_id=7, tenant_id=5
        )
        executor.publish_event("t", "c", {"id": 1, "user_id": 7, "tenant_id": 5})
        assert read(executor, id) == {"data": {"a": {"id": 1}}}
        executor.update_context("c", SecurityContext(user_id=7, tenant_id=6))
        message = executor.next_event(id)
        assert message is not None
        assert b"FORBIDDEN" in message


@pytest.mark.parametrize("rbac", ["refuse", "null"])
def test_a_revoked_permission_is_gone_from_the_next_event_on(rbac: Any) -> None:
    with SubscriptionExecutor(security=SecurityPolicy(rbac=rbac)) as executor:
        id = executor.register_subscription("c", "1", QUERY, context=context(*ALL))  # noqa: A001
        executor.publish_event("t", "c", DATA)
        assert executor.revoke(permission="item:read") == 1
        executor.publish_event("t", "c", DATA)
        message = executor.next_event(id)
        assert message is not None
        told = json.loads(message)
        if rbac == "refuse":
            assert told["type"] == "error"
            assert told["payload"][0]["extensions"] == {"code": "FORBIDDEN"}
        else:  # what was queued showed the items
            assert told["payload"]["data"]["orderUpdated"]["lines"] is None
            assert executor.next_event(id) is None
        assert executor.get_metrics()["dropped"]["revoked"] == 1


def test_forbidden_fields_trip_the_breaker() -> None:
    with SubscriptionExecutor(security=SecurityPolicy(max_violations=2)) as executor:
        id = executor.register_subscription("c", "1", QUERY, context=context(*ALL))  # noqa: A001
        other = executor.register_subscription("d", "1", QUERY, context=context(*ALL))
        for number in range(3):
            with pytest.raises(AuthorizationError):
                executor.register_subscription("c", f"x{number}", QUERY, context=context())
        message = executor.next_event(id)
        assert message is not None
        assert b"TOO_MANY_VIOLATIONS" in message
        executor.publish_event("t", "c", DATA)
        assert read(executor, other)["data"]


def test_without_a_schema_a_leaf_shows_no_objects_to_whom_permissions_apply() -> None:
    with SubscriptionExecutor() as executor:
        id = executor.register_subscription(  # noqa: A001
            "c", "1", "subscription { orderUpdated { id customer } }", context=context("order:read")
        )
        executor.publish_event("t", "c", DATA)
        found = read(executor, id)
        assert found["data"] == {"orderUpdated": {"id": 1, "customer": None}}
        assert found["errors"][0]["path"] == ["orderUpdated", "customer"]
