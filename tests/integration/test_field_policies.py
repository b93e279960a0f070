"""Fields with a policy of their own, and permissions of their own."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator
from typing import Any

import pytest
from websocket_server import ask, dial, greet, hear, listening, say, subscribed

from fraiseql_subscriptions import SecurityContext, SecurityPolicy, SubscriptionExecutor
from fraiseql_subscriptions.asgi import GraphQLSubscriptions

pytestmark = pytest.mark.asyncio

Client = Any


@contextlib.asynccontextmanager
async def serving(
    executor: SubscriptionExecutor, connections: list[str] | None = None
) -> AsyncIterator[str]:
    """Serve clients who say who they are; `connections` gets their ids."""

    def on_connect(params: dict[str, Any], connection: Any) -> SecurityContext:
        if connections is not None:
            connections.append(connection.state.connection_id)
        return SecurityContext(**params)

    async with executor, listening(GraphQLSubscriptions(executor, on_connect=on_connect)) as url:
        yield url


async def heard_until(socket: Client, last: Any) -> list[tuple[str, Any]]:
    """What each subscription hears, up to the response that each hears last."""
    heard: list[tuple[str, Any]] = []
    ids = {"own", "wide"}
    while ids:
        message = await hear(socket)
        value = next(iter(message["payload"]["data"].values()))
        if value == last:
            ids.remove(message["id"])
        else:
            heard.append((message["id"], value["id"]))
    return sorted(heard)


async def test_a_tenant_wide_field_shows_the_tenants_events_and_no_others() -> None:
    executor = SubscriptionExecutor()
    executor.field("own", channels="orders")
    executor.field("wide", channels="orders", security=SecurityPolicy(row="off"))
    async with serving(executor) as url, dial(url) as socket:
        await greet(socket, payload={"tenant_id": 1, "user_id": "me"})
        await subscribed(socket, "subscription { own { id } }", "own")
        await subscribed(socket, "subscription { wide { id } }", "wide")
        for number, (tenant, user) in enumerate(
            [(1, "me"), (1, "you"), (1, None), (2, "me"), (2, "you"), (None, "me"), ("1", "me")]
        ):
            event: dict[str, Any] = {"id": number}
            if tenant is not None:
                event["tenant_id"] = tenant
            if user is not None:
                event["user_id"] = user
            await executor.publish("e", "orders", event)
        await executor.publish("e", "orders", {"id": "end", "tenant_id": 1, "user_id": "me"})
        assert await heard_until(socket, {"id": "end"}) == [
            ("own", 0),
            ("wide", 0),
            ("wide", 1),
            ("wide", 2),
        ]


async def test_a_stricter_field_stays_strict_beside_a_lax_executor() -> None:
    lax = SecurityPolicy(tenant="off", row="off")
    executor = SubscriptionExecutor(security=lax)
    executor.field("wide", channels="orders")
    executor.field("own", channels="orders", security=SecurityPolicy(tenant_field="owner.tenant"))
    async with serving(executor) as url, dial(url) as socket:
        await greet(socket, payload={"tenant_id": 1, "user_id": "me"})
        await subscribed(socket, "subscription { own { id } }", "own")
        await subscribed(socket, "subscription { wide { id } }", "wide")
        for number, tenant in enumerate((1, 2)):
            for user in ("me", "you"):
                data = {"id": f"{number}{user}", "owner": {"tenant": tenant}, "user_id": user}
                await executor.publish("e", "orders", data)
        last = {"id": "end", "owner": {"tenant": 1}, "user_id": "me"}
        await executor.publish("e", "orders", last)
        assert await heard_until(socket, {"id": "end"}) == [
            ("own", "0me"),
            ("wide", "0me"),
            ("wide", "0you"),
            ("wide", "1me"),
            ("wide", "1you"),
        ]


async def test_a_client_cannot_borrow_another_fields_policy() -> None:
    """By an alias, a fragment, a second operation, variables or the same document."""
    executor = SubscriptionExecutor()
    executor.field("own", channels="orders")
    executor.field("wide", channels="orders", security=SecurityPolicy(row="off", scope="off"))
    document = """
      subscription Own($user_id: String) { own(user_id: $user_id) { id } }
      subscription Wide($user_id: String) { wide(user_id: $user_id) { id } }
    """
    async with serving(executor) as url, dial(url) as socket:
        await greet(socket, payload={"user_id": "me"})
        attempts: list[dict[str, Any]] = [
            {"query": "subscription { wide: own { id } }"},
            {"query": "subscription { ...F } fragment F on Subscription { wide: own { id } }"},
            {"query": document, "operationName": "Own", "variables": {"user_id": "me"}},
            {
                "query": document,
                "operationName": "Own",
                "extensions": {"policy": 1, "security": {"row": "off"}},
            },
        ]
        await ask(socket, document, "wide", operationName="Wide", variables={"user_id": "you"})
        for number, request in enumerate(attempts):
            await say(socket, type="subscribe", id=f"{number}", payload=request)
        refused = {"user_id": "you"}
        await ask(socket, document, "refused", operationName="Own", variables=refused)
        message = await hear(socket)
        assert message["id"] == "refused"
        assert message["payload"][0]["extensions"]["code"] == "SCOPE_VIOLATION"
        assert executor.get_metrics()["active"] == 5
        await executor.publish("e", "orders", {"id": 1, "user_id": "you"})
        message = await hear(socket)
        assert (message["id"], message["payload"]) == ("wide", {"data": {"wide": {"id": 1}}})
        await executor.publish("e", "orders", {"id": 2, "user_id": "me"})
        assert {(await hear(socket))["id"] for _ in range(5)} == {"0", "1", "2", "3", "wide"}


async def test_a_fields_permissions_are_its_own_and_the_executors_hold_besides() -> None:
    executor = SubscriptionExecutor(
        security=SecurityPolicy(rbac="null", permissions={"*.secret": "secret:read"})
    )
    executor.field("own", channels="orders", permissions={"own.total": "money:read", "own": None})
    executor.field("wide", channels="orders", security=SecurityPolicy(rbac="null"))
    connections: list[str] = []
    async with serving(executor, connections) as url, dial(url) as socket:
        await greet(socket, payload={"permissions": ["wide:read"]})
        for name in ("own", "wide"):
            await subscribed(socket, f"subscription {{ x: {name} {{ id total secret }} }}", name)
        await executor.publish("e", "orders", {"id": 1, "total": 2, "secret": 3})
        heard = {}
        for _ in range(2):
            message = await hear(socket)
            heard[message["id"]] = message["payload"]
        assert heard["own"]["data"] == {"x": {"id": 1, "total": None, "secret": None}}
        assert len(heard["own"]["errors"]) == 2
        assert heard["wide"]["data"] == {"x": {"id": 1, "total": 2, "secret": None}}
        (connection,) = connections
        granted = SecurityContext(permissions=["money:read", "wide:read", "secret:read"])
        assert executor.update_context(connection, granted) == 2
        assert executor.revoke(permission="money:read") == 2
        await executor.publish("e", "orders", {"id": 2, "total": 2, "secret": 3})
        heard = {}
        for _ in range(2):
            message = await hear(socket)
            heard[message["id"]] = message["payload"]
        assert heard["own"]["data"] == {"x": {"id": 2, "total": None, "secret": 3}}
        assert heard["wide"] == {"data": {"x": {"id": 2, "total": 2, "secret": 3}}}


async def test_a_resolvers_field_is_guarded_by_its_policy_too() -> None:
    executor = SubscriptionExecutor()

    @executor.field("wide", channels="orders", security=SecurityPolicy(row="off"))
    def wide(data: dict[str, Any]) -> dict[str, Any]:
        return {"id": data["id"] * 10}

    async with serving(executor) as url, dial(url) as socket:
        await greet(socket, payload={"tenant_id": 1})
        await subscribed(socket, "subscription { wide { id } }")
        for number, tenant in ((1, 2), (2, 1)):
            event = {"id": number, "tenant_id": tenant, "user_id": "you"}
            await executor.publish("e", "orders", event)
        assert (await hear(socket))["payload"]["data"] == {"wide": {"id": 20}}


async def test_wrong_policies_are_refused_when_they_are_named() -> None:
    executor = SubscriptionExecutor(
        schema="type Query { a: Int } type Subscription { order: Order } type Order { id: Int }"
    )
    for wrong in (
        {"security": 1},
        {"permissions": 1},
        {"permissions": {"order..id": "a"}},
        {"permissions": {"other.id": "a"}},
        {"security": SecurityPolicy(max_violations=7)},
    ):
        with pytest.raises((TypeError, ValueError)):
            executor.field("order", **wrong)
    executor.fileno()
    with pytest.raises(ValueError, match=r"field 'order'.*order\.price"):
        executor.field("order", permissions={"order.price": "a"})
    executor.field("order", permissions={"order.id": "a"})
    executor.close()
    late = SubscriptionExecutor(
        schema="type Query { a: Int } type Subscription { order: Order } type Order { id: Int }",
        security=SecurityPolicy(max_violations=7),
    )
    late.field("order", permissions={"order.price": "a"}, security=SecurityPolicy(max_violations=7))
    for _ in range(2):  # it does not start, however often
        with pytest.raises(ValueError, match=r"order\.price"):
            await late.publish("e", "orders", {})
    late.close()
    await asyncio.sleep(0)
