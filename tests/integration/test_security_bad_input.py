"""What the security of a subscription cannot be made of is refused at once, and by its name."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any

import pytest

from fraiseql_subscriptions import SecurityContext, SecurityPolicy, SubscriptionExecutor

QUERY = "subscription { order { id } }"
SCHEMA = """
type Query { a: Int }
type Subscription { order: Order }
type Order { id: Int customer: Customer }
type Customer { name: String }
"""


@pytest.mark.parametrize(
    ("wrong", "error", "named"),
    [
        ({"total": {"like": 5}}, ValueError, '"like" on "total"'),
        ({"total": {"gte": 5, "Equals": 5}}, ValueError, '"Equals" on "total"'),
        ({"any": [{"not": {"total": {"$gt": 5}}}]}, ValueError, r'"\$gt" on "total"'),
        ({5: 1}, ValueError, "the key 5"),
        ({"total": {5: 1}}, ValueError, r"\$\.total has the key 5"),
        ({None: 1}, ValueError, "the key None"),
        ({("a", "b"): 1}, ValueError, r"the key \('a', 'b'\)"),
        ({"order..total": 1}, ValueError, r'"order\.\.total" is no path'),
        ({"": 1}, ValueError, '"" is no path'),
        ({"name": {"regex": "^a"}}, ValueError, '"regex" on "name"'),
        ({"name": {"matches": "^a"}}, ValueError, '"matches" on "name"'),
        ({"name": re.compile("^a")}, TypeError, r"\$\.name is of type Pattern"),
        ({"name": {"equals": re.compile("^a")}}, TypeError, r"\$\.name\.equals is of type Pattern"),
        ({"name": {"in": "ab"}}, ValueError, '"in" on "name"'),
        ({"name": {"starts_with": 5}}, ValueError, '"starts_with" on "name"'),
        ({"name": {"exists": 1}}, ValueError, '"exists" on "name"'),
        ({"name": {}}, ValueError, '"name" in a filter has no operator'),
        ({"all": {"a": 1}}, ValueError, '"all" in a filter'),
    ],
)
@pytest.mark.parametrize("of", ["events", "subscriptions"])
def test_a_filter_that_means_nothing_is_refused(
    executor: SubscriptionExecutor, wrong: Any, error: type[Exception], named: str, of: str
) -> None:
    if of == "events":
        with pytest.raises(error, match=named):
            executor.register_subscription("c", 1, QUERY, filter=wrong)
    else:
        with pytest.raises(error, match=named):
            executor.invalidate(wrong)
    assert executor.get_metrics()["total"] == 0


@pytest.mark.parametrize(
    ("path", "error"),
    [(5, TypeError), (None, TypeError), (("meta", "tenant"), TypeError), ("a..b", ValueError)],
)
@pytest.mark.parametrize("name", ["tenant_field", "user_field"])
def test_a_path_that_is_none_is_refused(name: str, path: Any, error: type[Exception]) -> None:
    with pytest.raises(error, match=name):
        SecurityPolicy(**{name: path})


@pytest.mark.parametrize(
    "path",
    ["invoice", "order.total", "order.customer.name.first", "order.id.x", "*.total", "*.*.*.*"],
)
def test_a_permission_for_what_the_schema_has_not_is_refused(path: str) -> None:
    policy = SecurityPolicy(permissions={"order": "order:read", path: "x:read"})
    executor = SubscriptionExecutor(schema=SCHEMA, security=policy)
    calls: list[Callable[[], Any]] = [
        lambda: executor.register_subscription("c", 1, QUERY),
        lambda: executor.publish_event("t", "c", {}),
        executor.fileno,
    ]
    for call in calls:  # whichever comes first, and it does not begin to work
        with pytest.raises(ValueError, match=re.escape(f'"{path}"')):
            call()
    for known in ("order.customer.name", "*.customer", "order.*.name"):
        with SubscriptionExecutor(
            schema=SCHEMA, security=SecurityPolicy(permissions={known: "x:read"})
        ) as other:
            other.register_subscription("c", 1, QUERY)


@pytest.mark.parametrize("unknown", ["user", "tenant", "userId", "exp", "is_admin", "__class__"])
def test_a_context_of_unknown_keys_is_refused(executor: SubscriptionExecutor, unknown: str) -> None:
    given: dict[str, Any] = {unknown: 1}
    with pytest.raises(TypeError, match=unknown):
        SecurityContext(**given)
    # Nor does the engine take one, whoever may hand it over.
    handle = executor._entry()
    options = f'{{"context":{{"tenant_id":1,"{unknown}":1}}}}'
    native = executor._native
    with pytest.raises(RuntimeError, match=f'INVALID_VALUE: .*no "{unknown}"'):
        native.register_subscription(handle, "c", "1", QUERY, "", "", options, "", 0)
    with pytest.raises(RuntimeError, match=f'INVALID_VALUE: .*no "{unknown}"'):
        native.connect(handle, "c", f'{{"{unknown}":1}}')
    with pytest.raises(RuntimeError, match=f'INVALID_VALUE: .*no "{unknown}"'):
        native.update_context(handle, "c", f'{{"{unknown}":1}}', id([]))
    with pytest.raises(TypeError, match=unknown):
        executor.revoke(**given)


@pytest.mark.parametrize(
    ("wrong", "error", "named"),
    [
        ({"user": "ann"}, ValueError, '"user"'),
        ({"field.name": "x"}, ValueError, '"field.name"'),
        ({"variables": {"exists": True}}, ValueError, '"variables"'),
        ({"claims": {"a": 1}}, ValueError, '"a" on "claims"'),
        ([], TypeError, "filter"),
    ],
)
def test_an_invalidation_of_what_no_subscription_has_is_refused(
    executor: SubscriptionExecutor, wrong: Any, error: type[Exception], named: str
) -> None:
    executor.register_subscription("c", 1, QUERY, user_id="ann")
    with pytest.raises(error, match=named):
        executor.invalidate(wrong)
    assert executor.get_metrics()["active"] == 1
