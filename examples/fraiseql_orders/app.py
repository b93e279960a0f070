"""Orders, live: a FraiseQL application whose clients see what their tenant's mutations do.

    psql "$DATABASE_URL" -f schema.sql
    uvicorn app:app

Queries and mutations are at /graphql, subscriptions at /graphql/subscriptions. Events go
through this process's memory, unless SUBSCRIPTIONS_BUS names a bus that several share: then,
with ``postgresql://``, an event is part of the mutation's transaction.
"""

from __future__ import annotations

import logging
import os
from collections.abc import AsyncGenerator
from typing import Any

import fraiseql
from fraiseql.auth.base import AuthenticationError, AuthProvider, UserContext
from fraiseql.fastapi import create_fraiseql_app
from fraiseql.fastapi.dependencies import get_db_pool
from fraiseql.subscriptions import cache, complexity, with_lifecycle
from fraiseql.subscriptions import filter as subscription_filter
from fraiseql.subscriptions.caching import SubscriptionCache
from psycopg.types.json import Jsonb

from fraiseql_subscriptions import SecurityPolicy, SubscriptionExecutor
from fraiseql_subscriptions.fraiseql import attach

logger = logging.getLogger("uvicorn.error")

BUS = os.environ.get("SUBSCRIPTIONS_BUS", "memory://")
# Events without a user_id are everybody's in the tenant.
executor = SubscriptionExecutor(BUS, security=SecurityPolicy(row="if_present"))
results = SubscriptionCache()


@fraiseql.type(sql_source="v_order")
class Order:
    id: int
    region: str
    order_status: str
    total_cents: int


def order_of(data: dict[str, Any]) -> Order:
    return Order(**{name: value for name, value in data.items() if name != "tenant_id"})


@fraiseql.query
async def orders(info: Any) -> list[Order]:
    return await info.context["db"].find("v_order", tenant_id=info.context["tenant_id"])


@fraiseql.mutation
async def place_order(info: Any, region: str, total_cents: int) -> Order:
    async with get_db_pool().connection() as connection:  # one transaction
        placed = await connection.execute(
            "SELECT place_order(%s, %s, %s)", (info.context["tenant_id"], region, total_cents)
        )
        (data,) = await placed.fetchone()
        event = ("placed", f"orders.{region}", data)
        if BUS.startswith("postgresql:"):
            await connection.execute(
                "SELECT fraiseql_subscriptions.publish("
                "event_type => %s, channel => %s, data => %s)",
                (*event[:2], Jsonb(data)),
            )
    if not BUS.startswith("postgresql:"):
        await executor.publish(*event)
    return order_of(data)


async def began(info: Any, name: str, arguments: dict[str, Any]) -> None:
    logger.info("%s follows %s %s", info.context["user"].user_id, name, arguments)


async def ended(info: Any, name: str, arguments: dict[str, Any]) -> None:
    logger.info("%s follows %s no more", info.context["user"].user_id, name)


@fraiseql.subscription
@with_lifecycle(on_start=began, on_complete=ended)
@complexity(score=20)
async def order_placed(
    info: Any, region: str, min_total_cents: int = 0
) -> AsyncGenerator[Order, None]:
    enough = {"total_cents": {"gte": min_total_cents}}
    async for event in executor.listen(f"orders.{region}", filter=enough):
        yield order_of(event.data)


@fraiseql.subscription
@with_lifecycle(on_start=began, on_complete=ended)
@subscription_filter("'orders:audit' in user.permissions")
async def every_order(info: Any) -> AsyncGenerator[Order, None]:
    async for event in executor.listen("orders.*"):
        yield order_of(event.data)


@fraiseql.subscription
@cache(ttl=60)
async def turnover(info: Any, region: str) -> AsyncGenerator[int, None]:
    """The region's turnover in cents, at most a minute old; then the subscription is over."""
    async with get_db_pool().connection() as connection:
        found = await connection.execute(
            "SELECT coalesce(sum(total_cents), 0)::integer FROM tb_order WHERE region = %s",
            (region,),
        )
        (cents,) = await found.fetchone()
    yield cents


USERS = {
    "ann-of-acme": UserContext("ann", metadata={"tenant_id": "acme"}),
    "bob-of-bolt": UserContext("bob", metadata={"tenant_id": "bolt"}, permissions=["orders:audit"]),
}


class Tokens(AuthProvider):
    """Whoever has one of these tokens is somebody. A real application would verify a JWT."""

    async def validate_token(self, token: str) -> dict[str, Any]:
        return {"user": await self.get_user_from_token(token)}

    async def get_user_from_token(self, token: str) -> UserContext:
        if token not in USERS:
            raise AuthenticationError("nobody has this token")
        return USERS[token]


async def context_getter(request: Any, user: UserContext | None) -> dict[str, Any]:
    tenant = None if user is None else user.metadata["tenant_id"]
    return {"tenant_id": tenant, "subscription_cache": results}


app = create_fraiseql_app(
    database_url=os.environ["DATABASE_URL"],
    types=[Order],
    auth=Tokens(),
    context_getter=context_getter,
)
attach(app, executor, context_getter=context_getter)
