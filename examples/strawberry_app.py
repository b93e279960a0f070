"""A shop on Strawberry: queries, mutations and three ways to answer a subscription.

pip install 'fraiseql-subscriptions[asgi]' 'strawberry-graphql<0.330' uvicorn websockets
uvicorn strawberry_app:app
"""

from collections.abc import AsyncGenerator
from typing import Any

import strawberry

from fraiseql_subscriptions import SecurityContext, SubscriptionExecutor, current_context
from fraiseql_subscriptions.asgi import GraphQLSubscriptions

executor = SubscriptionExecutor()


@strawberry.type
class Order:
    id: int
    region: str
    total: float


orders: list[Order] = []


@strawberry.type
class Query:
    @strawberry.field
    def orders(self) -> list[Order]:
        return orders


@strawberry.type
class Mutation:
    @strawberry.mutation
    async def place_order(self, region: str, total: float) -> Order:
        order = Order(id=len(orders) + 1, region=region, total=total)
        orders.append(order)
        client = current_context()
        assert client is not None
        event = {**strawberry.asdict(order), "tenant_id": client.tenant_id}
        await executor.publish("placed", f"orders.{region}", event)
        return order


@strawberry.type
class Subscription:
    # The engine answers these two: they are only declared here.
    order_taxed: Order | None

    @strawberry.subscription
    def order_placed(self, region: str = "eu") -> AsyncGenerator[Order, None]:
        raise NotImplementedError

    # Strawberry runs this one.
    @strawberry.subscription
    async def turnover(self) -> AsyncGenerator[float, None]:
        total = 0.0
        async for event in executor.listen("orders.*"):  # what this client may see
            total += event.data["total"]
            yield total


executor.field("orderPlaced", channels="orders.{region}")


@executor.field("orderTaxed", channels="orders.*")
def order_taxed(order: dict[str, Any]) -> dict[str, Any]:
    return {**order, "total": order["total"] * 1.2}


async def on_connect(params: dict[str, Any], connection: Any) -> SecurityContext:
    return SecurityContext(tenant_id=params.get("tenant"))


schema = strawberry.Schema(Query, Mutation, Subscription)
app = GraphQLSubscriptions(executor, schema=schema, on_connect=on_connect)
