"""The example application, as its clients see it: HTTP for mutations, WebSocket for events."""

from __future__ import annotations

import asyncio
import contextlib
import json
import urllib.request
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from http_client import asking
from postgres_server import PostgresServer
from websocket_server import ask, closed, dial, greet, hear, say

pytestmark = pytest.mark.asyncio

Serve = Callable[..., contextlib.AbstractContextManager[Any]]

FOLDER = Path(__file__).parents[2] / "examples" / "fraiseql_orders"
ANN = {"authorization": "Bearer ann-of-acme"}
BOB = {"authorization": "Bearer bob-of-bolt"}
PLACED = 'subscription { orderPlaced(region: "eu") { id orderStatus totalCents } }'


@pytest.fixture
def orders(serve: Serve, request: pytest.FixtureRequest) -> Iterator[Any]:
    with serve(FOLDER, bus=getattr(request, "param", "memory")) as served:
        yield served


async def post(served: Any, query: str, headers: dict[str, str]) -> Any:
    """A query or mutation over HTTP."""
    request = urllib.request.Request(
        f"{served.url}/graphql",
        json.dumps({"query": query}).encode(),
        {"content-type": "application/json", **headers},
    )

    def read() -> Any:
        with urllib.request.urlopen(request, timeout=20) as response:
            return json.loads(response.read())

    told = await asyncio.to_thread(read)
    assert not told.get("errors"), told
    return told["data"]


async def place(served: Any, cents: int, headers: dict[str, str], region: str = "eu") -> int:
    mutation = f'mutation {{ placeOrder(region: "{region}", totalCents: {cents}) {{ id }} }}'
    number: int = (await post(served, mutation, headers))["placeOrder"]["id"]
    return number


async def follow(served: Any, socket: Any, user: str, query: str, **request: Any) -> None:
    """Subscribe, and wait until the generator's first hook has told so."""
    await ask(socket, query, **request)
    await asyncio.to_thread(served.until_logged, f"{user} follows ")


@pytest.mark.parametrize("orders", ["memory", "postgresql"], indirect=True)
async def test_a_mutation_reaches_the_clients_of_its_tenant_and_region(orders: Any) -> None:
    async with dial(orders.socket) as ann, dial(orders.socket) as bob:
        await greet(ann, payload={"Authorization": ANN["authorization"]})
        await greet(bob, payload={"authorization": BOB["authorization"]})
        await follow(orders, ann, "ann", PLACED)
        await follow(orders, bob, "bob", PLACED)
        await place(orders, 5, ANN, region="us")
        for cents, headers in ((700, ANN), (900, BOB)):
            await place(orders, cents, headers)
        for socket, cents, number in ((ann, 700, 2), (bob, 900, 3)):
            assert (await hear(socket)) == {
                "id": "1",
                "type": "next",
                "payload": {
                    "data": {
                        "orderPlaced": {"id": number, "orderStatus": "placed", "totalCents": cents}
                    }
                },
            }
    told = await post(orders, "{ orders { totalCents } }", BOB)
    assert [one["totalCents"] for one in told["orders"]] == [900]


async def test_arguments_are_camel_case_and_reach_the_generator_in_python_s(orders: Any) -> None:
    query = 'subscription ($least: Int) { orderPlaced(region: "eu", minTotalCents: $least) { id } }'
    async with dial(orders.socket, additional_headers=ANN) as socket:
        await greet(socket)
        await follow(orders, socket, "ann", query, variables={"least": 500})
        await place(orders, 499, ANN)
        number = await place(orders, 500, ANN)
        assert (await hear(socket))["payload"]["data"]["orderPlaced"] == {"id": number}


@pytest.mark.parametrize("init", [{}, {"payload": {"authorization": "Bearer nobody"}}])
async def test_nobody_is_let_in(orders: Any, init: dict[str, Any]) -> None:
    async with dial(orders.socket) as socket:
        await say(socket, type="connection_init", **init)
        assert await closed(socket) == (4403, "Authentication required")


async def test_the_filter_decides_who_may_subscribe(orders: Any) -> None:
    query = "subscription { everyOrder { id } }"
    orders.failures = 1
    async with dial(orders.socket, additional_headers=ANN) as ann:
        await greet(ann)
        await ask(ann, query)
        message = await hear(ann)
        assert message["type"] == "error"
        assert "Filter condition not met" in message["payload"][0]["message"]
    async with dial(orders.socket, additional_headers=BOB) as bob:
        await greet(bob)
        await follow(orders, bob, "bob", query)
        await place(orders, 1, ANN, region="us")  # an auditor is of a tenant, too
        number = await place(orders, 1, BOB, region="us")
        assert (await hear(bob))["payload"]["data"]["everyOrder"] == {"id": number}


async def test_complexity_is_limited(orders: Any) -> None:
    fields = " ".join(f"f{number}: id" for number in range(30))
    orders.failures = 1
    async with dial(orders.socket, additional_headers=ANN) as socket:
        await greet(socket)
        query = f'subscription {{ orderPlaced(region: "eu") {{ {fields} }} }}'
        await ask(socket, query)
        message = await hear(socket)
        assert message["type"] == "error"
        assert "complexity" in message["payload"][0]["message"]
        await follow(orders, socket, "ann", PLACED)


@pytest.mark.parametrize("vanish", [False, True])
async def test_lifecycle_hooks_run_however_a_client_leaves(orders: Any, vanish: bool) -> None:
    async with dial(orders.socket, additional_headers=ANN) as socket:
        await greet(socket)
        await follow(orders, socket, "ann", PLACED)
        if vanish:
            socket.transport.abort()
        else:
            await say(socket, type="complete", id="1")
        await asyncio.to_thread(orders.until_logged, "ann follows order_placed no more")


async def test_cached_results_are_given_once_more(orders: Any) -> None:
    query = 'subscription { turnover(region: "eu") }'
    await place(orders, 30, ANN)
    async with dial(orders.socket, additional_headers=ANN) as socket:
        await greet(socket)
        for key in ("1", "2"):
            await ask(socket, query, key)
            assert (await hear(socket))["payload"] == {"data": {"turnover": 30}}
            assert (await hear(socket)) == {"id": key, "type": "complete"}
            await place(orders, 12, ANN)  # not seen before the minute is over


async def test_what_the_schema_does_not_have_is_refused(orders: Any) -> None:
    async with dial(orders.socket, additional_headers=ANN) as socket:
        await greet(socket)
        for query in (
            "subscription { order_placed { id } }",
            "subscription { turnover(region: 7) }",
        ):
            await ask(socket, query)
            assert (await hear(socket))["type"] == "error"


async def test_queries_and_mutations_go_to_the_applications_own_endpoint(orders: Any) -> None:
    async with dial(orders.socket) as socket:
        await greet(socket, payload={"authorization": ANN["authorization"]})
        mutation = 'mutation { placeOrder(region: "eu", totalCents: 7) { id orderStatus } }'
        await ask(socket, mutation)
        told = (await hear(socket))["payload"]
        assert told["data"] == {"placeOrder": {"id": 1, "orderStatus": "placed"}}
        assert (await hear(socket)) == {"id": "1", "type": "complete"}
        await place(orders, 8, BOB)
        await ask(socket, "query Mine { orders { totalCents } }", operationName="Mine")
        told = (await hear(socket))["payload"]
        assert [one["totalCents"] for one in told["data"]["orders"]] == [7]


async def test_what_is_committed_anywhere_reaches_every_process(
    serve: Serve, postgres: PostgresServer
) -> None:
    with (
        serve(FOLDER, bus="postgresql") as here,
        serve(FOLDER, bus="postgresql", database=here.database) as there,
    ):
        async with dial(there.socket, additional_headers=ANN) as socket:
            await greet(socket)
            await follow(there, socket, "ann", PLACED)
            await place(here, 3, ANN)
            publishing = """
                BEGIN;
                SELECT fraiseql_subscriptions.publish(channel => 'orders.eu',
                    event_type => 'placed', data => place_order('acme', 'eu', {cents}));
                {end};
            """
            for cents, end in ((4, "ROLLBACK"), (5, "COMMIT")):
                postgres.sql(here.database, publishing.format(cents=cents, end=end))
            for cents in (3, 5):
                told = (await hear(socket))["payload"]["data"]["orderPlaced"]
                assert told["totalCents"] == cents


async def test_event_streams_are_for_the_same_users(orders: Any) -> None:
    stream = {"path": "/graphql/subscriptions", "accept": "text/event-stream"}
    async with asking(orders.port, "POST", {"query": PLACED}, **stream) as response:
        assert response.status == 403
    async with asking(orders.port, "POST", {"query": PLACED}, **stream, **ANN) as response:
        assert response.status == 200
        await asyncio.to_thread(orders.until_logged, "ann follows ")
        number = await place(orders, 5, ANN)
        name, data, _ = await response.event()
        assert (name, data["data"]["orderPlaced"]["id"]) == ("next", number)
