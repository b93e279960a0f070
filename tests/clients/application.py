"""The server that the clients meet: ``application.py PORT OPTIONS``, a process of its own.

Tests control it over HTTP: ``POST /publish`` publishes an event, ``POST /end`` completes the
subscriptions that a filter finds, ``GET /metrics`` counts.
"""

from __future__ import annotations

import json
import sys
from typing import Any

import uvicorn
from graphql import build_schema
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse
from starlette.routing import Route

from fraiseql_subscriptions import AuthorizationError, SecurityContext, SubscriptionExecutor
from fraiseql_subscriptions.starlette import add_subscription_routes

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

    async def publish(request: Request) -> JSONResponse:
        event = await request.json()
        return JSONResponse(await executor.publish("updated", event["channel"], event["data"]))

    async def end(request: Request) -> JSONResponse:
        return JSONResponse(executor.invalidate(await request.json()))

    async def metrics(request: Request) -> JSONResponse:
        return JSONResponse(executor.get_metrics())

    app = Starlette(
        routes=[
            Route("/publish", publish, methods=["POST"]),
            Route("/end", end, methods=["POST"]),
            Route("/metrics", metrics),
        ]
    )
    add_subscription_routes(
        app,
        executor,
        "/graphql/",
        schema=build_schema(SDL),
        root_value={"airports": ["JFK", "LGA"], "depart": depart},
        on_connect=on_connect,
        **options,
    )
    return app


if __name__ == "__main__":
    uvicorn.run(
        application(json.loads(sys.argv[2])),
        port=int(sys.argv[1]),
        log_level="warning",
        ws="websockets-sansio",
    )
