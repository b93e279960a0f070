"""A shop on Ariadne: queries, mutations and three ways to answer a subscription.

pip install 'fraiseql-subscriptions[asgi]' ariadne 'graphql-core<3.3' uvicorn websockets
uvicorn ariadne_app:app
"""

from __future__ import annotations

from collections.abc import AsyncGenerator
from typing import Any

from ariadne import MutationType, QueryType, SubscriptionType, make_executable_schema

from fraiseql_subscriptions import SecurityContext, SubscriptionExecutor, current_context
from fraiseql_subscriptions.asgi import GraphQLSubscriptions

SDL = """
type Order { id: Int!, region: String!, total: Float! }
type Query { orders: [Order!]! }
type Mutation { placeOrder(region: String!, total: Float!): Order! }
type Subscription {
  orderPlaced(region: String = "eu"): Order
  orderTaxed: Order
  turnover: Float!
}
"""

orders: list[dict[str, Any]] = []
executor = SubscriptionExecutor()
query, mutation, subscription = QueryType(), MutationType(), SubscriptionType()

# The first way: the engine projects the event.
executor.field("orderPlaced", channels="orders.{region}")


# The second: a resolver makes the field's value from the event, and the engine projects that.
@executor.field("orderTaxed", channels="orders.*")
def order_taxed(order: dict[str, Any]) -> dict[str, Any]:
    return {**order, "total": order["total"] * 1.2}


# The third: the schema's own generator.
@subscription.source("turnover")
async def turnover_source(root: object, info: Any) -> AsyncGenerator[float, None]:
    total = 0.0
    async for event in executor.listen("orders.*"):  # what this client may see
        total += event.data["total"]
        yield total


@subscription.field("turnover")
def turnover(total: float, info: Any) -> float:
    return total


@query.field("orders")
def all_orders(root: object, info: Any) -> list[dict[str, Any]]:
    return orders


@mutation.field("placeOrder")
async def place_order(root: object, info: Any, region: str, total: float) -> dict[str, Any]:
    client = current_context()
    assert client is not None
    order = {"id": len(orders) + 1, "region": region, "total": total}
    orders.append(order)
    await executor.publish("placed", f"orders.{region}", {**order, "tenant_id": client.tenant_id})
    return order


async def on_connect(params: dict[str, Any], connection: Any) -> SecurityContext:
    return SecurityContext(tenant_id=params.get("tenant"))


schema = make_executable_schema(SDL, query, mutation, subscription)
app = GraphQLSubscriptions(executor, schema=schema, on_connect=on_connect)
