"""Python's gql, over websockets and over aiohttp, with both subprotocols."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncGenerator, Callable
from typing import Any

import pytest
from client_server import PATIENCE, ClientServer
from gql import Client, GraphQLRequest
from gql.client import AsyncClientSession
from gql.transport.aiohttp_websockets import AIOHTTPWebsocketsTransport
from gql.transport.exceptions import (
    TransportConnectionFailed,
    TransportQueryError,
    TransportServerError,
)
from gql.transport.websockets import WebsocketsTransport
from websockets.exceptions import ConnectionClosedError
from websockets.frames import Close

pytestmark = pytest.mark.asyncio

QUERY = """subscription ($airport: String!, $carrier: String) {
  flightUpdated(airport: $airport, carrier: $carrier) { id gate { number } }
}"""
Serve = Callable[..., ClientServer]
Dial = Callable[..., Client]


@pytest.fixture(params=["graphql-transport-ws", "graphql-ws"])
def subprotocol(request: pytest.FixtureRequest) -> str:
    name: str = request.param
    return name


@pytest.fixture(
    params=[WebsocketsTransport, AIOHTTPWebsocketsTransport], ids=["websockets", "aiohttp"]
)
def dial(request: pytest.FixtureRequest) -> Dial:
    def client(server: ClientServer, subprotocol: str, **options: Any) -> Client:
        return Client(
            transport=request.param(url=server.url, subprotocols=[subprotocol], **options)
        )

    return client


def asking(airport: str, carrier: str | None = None) -> GraphQLRequest:
    return GraphQLRequest(QUERY, variable_values={"airport": airport, "carrier": carrier})


async def told(results: AsyncGenerator[dict[str, Any], None]) -> dict[str, Any]:
    return await asyncio.wait_for(anext(results), PATIENCE)


async def subscribed(
    session: AsyncClientSession, request: GraphQLRequest, server: ClientServer, count: int
) -> tuple[AsyncGenerator[dict[str, Any], None], asyncio.Task[dict[str, Any]]]:
    """gql subscribes when its iterator is first asked; the task has the first result."""
    results = session.subscribe(request)
    first = asyncio.create_task(told(results))
    await asyncio.to_thread(server.expect_active, count)
    return results, first


async def test_several_subscriptions_over_one_socket(
    serve: Serve, dial: Dial, subprotocol: str
) -> None:
    server = serve()
    async with dial(server, subprotocol) as session:
        everything, first = await subscribed(session, asking("JFK"), server, 1)
        delta, other_first = await subscribed(session, asking("JFK", "DL"), server, 2)
        for number in range(20):
            data = {"id": number, "carrier": "DL" if number % 4 == 0 else "B6"}
            await asyncio.to_thread(server.publish, "flights.JFK", data)
        seen = [await first] + [await told(everything) for _ in range(19)]
        assert seen == [{"flightUpdated": {"id": n, "gate": None}} for n in range(20)]
        seen = [await other_first] + [await told(delta) for _ in range(4)]
        assert seen == [{"flightUpdated": {"id": n, "gate": None}} for n in range(0, 20, 4)]
        await everything.aclose()
        await asyncio.to_thread(server.expect_active, 1)
        await delta.aclose()
    await asyncio.to_thread(server.expect_active, 0)


async def test_a_refused_operation_raises_its_errors(
    serve: Serve, dial: Dial, subprotocol: str
) -> None:
    server = serve()
    async with dial(server, subprotocol) as session:
        with pytest.raises(TransportQueryError) as refused:
            await told(session.subscribe(GraphQLRequest("subscription { secret { id } }")))
        assert "field 'secret' cannot be subscribed to" in str(refused.value)
        results, first = await subscribed(session, asking("JFK"), server, 1)  # it goes on
        await asyncio.to_thread(server.publish, "flights.JFK", {"id": 1})
        assert (await first)["flightUpdated"]["id"] == 1
        await results.aclose()


async def test_the_servers_complete_ends_the_iteration(
    serve: Serve, dial: Dial, subprotocol: str
) -> None:
    server = serve()
    async with dial(server, subprotocol) as session:
        _, first = await subscribed(session, asking("JFK"), server, 1)
        assert await asyncio.to_thread(server.end, {"variables.airport": "JFK"}) == 1
        with pytest.raises(StopAsyncIteration):
            await first


async def test_a_refused_connection_raises(serve: Serve, dial: Dial, subprotocol: str) -> None:
    server = serve()
    with pytest.raises((TransportConnectionFailed, TransportServerError)) as refused:
        async with dial(server, subprotocol, init_payload={"refuse": "no entry"}):
            pass
    if subprotocol == "graphql-ws":
        assert "no entry" in str(refused.value)
    elif isinstance(refused.value.__cause__, ConnectionClosedError):  # aiohttp's says no more
        assert refused.value.__cause__.rcvd == Close(4403, "no entry")


async def test_each_side_pings_and_the_other_answers(serve: Serve, dial: Dial) -> None:
    server = serve(ping=0.05, pong=2.0)
    client = dial(server, "graphql-transport-ws", ping_interval=0.05, pong_timeout=2)
    transport = client.transport
    assert isinstance(transport, WebsocketsTransport | AIOHTTPWebsocketsTransport)
    async with client as session:
        results, first = await subscribed(session, asking("JFK"), server, 1)
        for heard in (transport.ping_received, transport.pong_received) * 3:
            heard.clear()
            await asyncio.wait_for(heard.wait(), PATIENCE)
        await asyncio.to_thread(server.publish, "flights.JFK", {"id": 1})
        assert (await first)["flightUpdated"]["id"] == 1
        await results.aclose()


async def test_keep_alives_of_the_older_protocol_keep_the_connection(
    serve: Serve, dial: Dial
) -> None:
    server = serve(ping=0.05)
    async with dial(server, "graphql-ws", keep_alive_timeout=0.5) as session:
        results, first = await subscribed(session, asking("JFK"), server, 1)
        end = time.monotonic() + 1.5
        number = 0
        while time.monotonic() < end:  # gql counts keep-alives only, whatever else arrives
            await asyncio.to_thread(server.publish, "flights.JFK", {"id": number})
            result = await (told(results) if number else first)
            assert result["flightUpdated"]["id"] == number
            number += 1
        await results.aclose()


async def test_a_crash_is_an_error_and_the_client_can_come_back(
    serve: Serve, dial: Dial, subprotocol: str
) -> None:
    server = serve()
    client = dial(server, subprotocol)
    async with client as session:
        _, first = await subscribed(session, asking("JFK"), server, 1)
        await asyncio.to_thread(server.kill)
        with pytest.raises(TransportConnectionFailed):
            await first
    await asyncio.to_thread(server.start)
    async with client as session:
        results, first = await subscribed(session, asking("JFK"), server, 1)
        await asyncio.to_thread(server.publish, "flights.JFK", {"id": 2})
        assert (await first)["flightUpdated"]["id"] == 2
        await results.aclose()
    await asyncio.to_thread(server.expect_active, 0)
