"""A shop on graphql-core: queries, mutations and three ways to answer a subscription.

pip install 'fraiseql-subscriptions[asgi]' 'graphql-core<3.3' uvicorn websockets
uvicorn graphql_core_app:app
"""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any

from graphql import GraphQLResolveInfo, GraphQLSchema, build_schema

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

# The first way: the engine projects the event.
executor.field("orderPlaced", channels="orders.{region}")


# The second: a resolver makes the field's value from the event, and the engine projects that.
@executor.field("orderTaxed", channels="orders.*")
def order_taxed(order: dict[str, Any]) -> dict[str, Any]:
    return {**order, "total": order["total"] * 1.2}


# The third: the schema's own generator.
async def turnover(root: object, info: GraphQLResolveInfo) -> AsyncIterator[float]:
    total = 0.0
    async for event in executor.listen("orders.*"):  # what this client may see
        total += event.data["total"]
        yield total


async def place_order(
    root: object, info: GraphQLResolveInfo, region: str, total: float
) -> dict[str, Any]:
    client = current_context()
    assert client is not None
    order = {"id": len(orders) + 1, "region": region, "total": total}
    orders.append(order)
    await executor.publish("placed", f"orders.{region}", {**order, "tenant_id": client.tenant_id})
    return order


def make_schema() -> GraphQLSchema:
    schema = build_schema(SDL)
    assert schema.query_type
    assert schema.mutation_type
    assert schema.subscription_type
    schema.query_type.fields["orders"].resolve = lambda root, info: orders
    schema.mutation_type.fields["placeOrder"].resolve = place_order
    schema.subscription_type.fields["turnover"].subscribe = turnover
    schema.subscription_type.fields["turnover"].resolve = lambda total, info: total
    return schema


async def on_connect(params: dict[str, Any], connection: Any) -> SecurityContext:
    return SecurityContext(tenant_id=params.get("tenant"))


app = GraphQLSubscriptions(executor, schema=make_schema(), on_connect=on_connect)
