"""strawberry-graphql's own ASGI application over a queue a subscriber."""

from __future__ import annotations

from collections.abc import AsyncGenerator

import strawberry
from harness.workload import DATA
from strawberry.asgi import GraphQL

from .queues import Queues
from .served import Application, stamp

__all__ = ["Strawberry"]


@strawberry.type
class Customer:
    id: int
    name: str


@strawberry.type
class Order:
    id: int
    status: str
    total: float
    currency: str
    customer: Customer
    region: int
    items: int
    sent: str


@strawberry.type
class Query:
    ready: bool = True


_queues: Queues[Order] = Queues()


@strawberry.type
class Subscription:
    @strawberry.subscription
    async def order_updated(self) -> AsyncGenerator[Order, None]:
        async for order in _queues.subscribe():
            yield order


class Strawberry:
    def __init__(self) -> None:
        schema = strawberry.Schema(query=Query, subscription=Subscription)
        self.app: Application = GraphQL(schema)

    def subscribers(self) -> int:
        return len(_queues)

    def publish(self, count: int) -> None:
        customer = Customer(**DATA["customer"])
        for _ in range(count):
            _queues.put(Order(**{**DATA, "customer": customer, "sent": stamp()}))
