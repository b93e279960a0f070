"""What Python servers do without the engine: three libraries, one asyncio queue a subscriber.

Each makes the source of one subscriber's responses: the library's own subscription over a queue
of events, the selection set executed by the library for every delivery.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable
from typing import Any

import ariadne
import strawberry
from graphql import ExecutionResult, build_schema, parse, subscribe

from .workload import DATA, QUERY

__all__ = ["PEERS", "Events", "Source"]

#: One subscriber's events.
Events = asyncio.Queue[Any]
#: Subscribes: from a subscriber's queue to the results of the library.
Source = Callable[[Events], Awaitable[AsyncIterator[Any]]]

SCHEMA = """
type Query { ready: Boolean }
type Customer { id: Int name: String }
type Order { id: Int status: String total: Float currency: String customer: Customer
             region: Int items: Int }
type Subscription { orderUpdated: Order }
"""


def graphql_core() -> tuple[Source, Any]:
    """graphql-core: the query parsed once for all, as a careful server does."""
    schema = build_schema(SCHEMA)
    document = parse(QUERY)

    async def source(events: Events) -> AsyncIterator[Any]:
        async def updates(*_: object) -> AsyncIterator[dict[str, Any]]:
            while True:
                yield {"orderUpdated": await events.get()}

        return _accepted(await subscribe(schema, document, subscribe_field_resolver=updates))

    return source, DATA


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


@strawberry.type
class Query:
    ready: bool = True


@strawberry.type
class Subscription:
    @strawberry.subscription
    async def order_updated(self, info: strawberry.Info) -> AsyncGenerator[Order, None]:
        while True:
            yield await info.context.get()


def strawberry_graphql() -> tuple[Source, Any]:
    """strawberry-graphql: types as classes; the event is made an object once for all."""
    schema = strawberry.Schema(query=Query, subscription=Subscription)

    async def source(events: Events) -> AsyncIterator[Any]:
        return _accepted(await schema.subscribe(QUERY, context_value=events))

    return source, Order(**{**DATA, "customer": Customer(**DATA["customer"])})


def ariadne_graphql() -> tuple[Source, Any]:
    """ariadne: schema first, resolvers bound to it."""
    bindable = ariadne.SubscriptionType()

    @bindable.source("orderUpdated")
    async def updates(_: object, info: Any) -> AsyncGenerator[dict[str, Any], None]:
        while True:
            yield await info.context.get()

    @bindable.field("orderUpdated")
    def resolve(event: dict[str, Any], _: object) -> dict[str, Any]:
        return event

    schema = ariadne.make_executable_schema(SCHEMA, bindable)

    async def source(events: Events) -> AsyncIterator[Any]:
        accepted, results = await ariadne.subscribe(schema, {"query": QUERY}, context_value=events)
        if not accepted:
            raise RuntimeError(results)
        return _accepted(results)

    return source, DATA


#: By name: makes the source of every subscriber's results, and the event its queues are given.
PEERS: dict[str, Callable[[], tuple[Source, Any]]] = {
    "graphql-core": graphql_core,
    "strawberry": strawberry_graphql,
    "ariadne": ariadne_graphql,
}


def _accepted(results: Any) -> AsyncIterator[Any]:
    if isinstance(results, ExecutionResult) or not hasattr(results, "__aiter__"):
        raise RuntimeError(f"the subscription was refused: {results}")
    found: AsyncIterator[Any] = results
    return found
