"""The server that the clients meet: ``application.py PORT OPTIONS``, a process of its own.

Tests control it over HTTP: ``POST /publish`` publishes an event, ``POST /end`` completes the
subscriptions that a filter finds, ``POST /drain`` closes every connection, ``GET /metrics`` counts.
"""

from __future__ import annotations

import contextlib
import json
import sys
from collections.abc import AsyncIterator
from typing import Any

import uvicorn
from graphql import build_schema
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse
from starlette.routing import Mount, Route

from fraiseql_subscriptions import AuthorizationError, SecurityContext, SubscriptionExecutor
from fraiseql_subscriptions.asgi import GraphQLSubscriptions

SDL = """
type Flight { id: Int!, airport: String, carrier: String, gate: Gate }
type Gate { number: Int }
type Query { airports: [String!]! }
type Mutation { depart(airport: String!, id: Int!): Flight }
type Subscription {
  flightUpdated(airport: String!, carrier: String): Flight
  delayed(airport: String!): Flight
  secret: Flight
}
"""


async def on_connect(params: dict[str, Any], connection: Any) -> SecurityContext | None:
    if "refuse" in params:
        raise AuthorizationError(params["refuse"])
    return None


def application(options: dict[str, Any]) -> Starlette:
    executor = SubscriptionExecutor()
    executor.field("flightUpdated", channels="flights.{airport}", filter={"carrier": "$carrier?"})

    @executor.field("delayed", channels="flights.{airport}")
    def delayed(data: dict[str, Any]) -> dict[str, Any]:
        raise RuntimeError(f"nobody knows when flight {data['id']} leaves")

    async def depart(info: Any, airport: str, id: int) -> dict[str, Any]:  # noqa: A002
        await executor.publish("departed", f"flights.{airport}", {"id": id})
        return {"id": id, "airport": airport}

    subscriptions = GraphQLSubscriptions(
        executor,
        schema=build_schema(SDL),
        root_value={"airports": ["JFK", "LGA"], "depart": depart},
        on_connect=on_connect,
        **options,
    )

    async def publish(request: Request) -> JSONResponse:
        event = await request.json()
        return JSONResponse(await executor.publish("updated", event["channel"], event["data"]))

    async def end(request: Request) -> JSONResponse:
        return JSONResponse(executor.invalidate(await request.json()))

    async def drain(request: Request) -> JSONResponse:
        await subscriptions.drain()
        return JSONResponse(None)

    async def metrics(request: Request) -> JSONResponse:
        return JSONResponse(executor.get_metrics())

    @contextlib.asynccontextmanager
    async def lifespan(app: Starlette) -> AsyncIterator[None]:
        yield
        await subscriptions.drain()
        executor.close()

    routes = [
        Route("/publish", publish, methods=["POST"]),
        Route("/end", end, methods=["POST"]),
        Route("/drain", drain, methods=["POST"]),
        Route("/metrics", metrics),
        Mount("/graphql", subscriptions),
    ]
    return Starlette(routes=routes, lifespan=lifespan)


if __name__ == "__main__":
    uvicorn.run(
        application(json.loads(sys.argv[2])),
        port=int(sys.argv[1]),
        log_level="warning",
        ws="websockets-sansio",
    )
