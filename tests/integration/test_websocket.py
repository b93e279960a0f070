"""A real server (uvicorn) and a real client (websockets) on a loopback port."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator
from typing import Any

import pytest
from websocket_server import (
    PATIENCE,
    closed,
    dial,
    greet,
    hear,
    listening,
    say,
    subscribed,
    until,
)
from websockets.asyncio.client import connect
from websockets.exceptions import InvalidStatus

from fraiseql_subscriptions import AuthorizationError, SecurityContext, SubscriptionExecutor
from fraiseql_subscriptions.asgi import GraphQLSubscriptions

pytestmark = pytest.mark.asyncio

SDL = """
type Flight { id: ID!, airport: String, carrier: String, gate: Gate }
type Gate { number: Int }
type Query { ok: Boolean }
type Subscription {
  flightUpdated(airport: String!, carrier: String): Flight
  resolved: Flight
  secret: Flight
}
"""
QUERY = 'subscription { flightUpdated(airport: "JFK") { id gate { number } } }'


@contextlib.asynccontextmanager
async def serving(**options: Any) -> AsyncIterator[tuple[SubscriptionExecutor, str]]:
    async with SubscriptionExecutor(schema=SDL) as executor:
        executor.field(
            "flightUpdated", channels="flights.{airport}", filter={"carrier": "$carrier?"}
        )

        @executor.field("resolved", channels="resolved")
        def resolved(data: dict[str, Any]) -> dict[str, Any]:
            return {**data, "gate": {"number": 7, "hidden": 1}, "hidden": True}

        app = GraphQLSubscriptions(executor, **options)
        async with listening(app) as url:
            yield executor, url


async def test_an_event_reaches_a_client_through_the_field() -> None:
    async with serving() as (executor, url), dial(url) as socket:
        await greet(socket)
        await subscribed(socket, QUERY)
        await executor.publish("departed", "flights.LAX", {"id": "0"})
        await executor.publish("departed", "flights.JFK", {"id": "1", "gate": {"number": 4}})
        assert await hear(socket) == {
            "id": "1",
            "type": "next",
            "payload": {"data": {"flightUpdated": {"id": "1", "gate": {"number": 4}}}},
        }
        await say(socket, type="complete", id="1")
        await subscribed(socket, QUERY)  # the id is free again
        assert executor.get_metrics()["active"] == 1


async def test_a_field_resolver_gives_the_root_value_which_is_projected() -> None:
    async with serving() as (executor, url), dial(url) as socket:
        await greet(socket)
        await subscribed(socket, "subscription { resolved { id gate { number } } }")
        await executor.publish("e", "resolved", {"id": "9"})
        payload = (await hear(socket))["payload"]
        assert payload == {"data": {"resolved": {"id": "9", "gate": {"number": 7}}}}


@pytest.mark.parametrize(
    ("query", "told"),
    [
        ("subscription { secret { id } }", "cannot be subscribed to"),
        ("subscription {", "Expected"),
        ('subscription { flightUpdated(airport: "*") { id } }', "one segment"),
        ('subscription { flightUpdated(airport: "JFK.a") { id } }', "one segment"),
        ('subscription { flightUpdated(airport: "") { id } }', "one segment"),
        ("query { ok }", "subscription"),
    ],
)
async def test_what_cannot_be_subscribed_to_is_an_error_message(query: str, told: str) -> None:
    async with serving() as (executor, url), dial(url) as socket:
        await greet(socket)
        await say(socket, type="subscribe", id="1", payload={"query": query})
        message = await hear(socket)
        assert message["type"] == "error"
        assert isinstance(message["payload"], list)
        assert told in message["payload"][0]["message"]
        await subscribed(socket, QUERY)  # the connection and the id go on
        assert executor.get_metrics()["active"] == 1


async def test_many_subscriptions_and_responses_come_in_order() -> None:
    async with serving() as (executor, url), dial(url) as socket:
        await greet(socket)
        for number in range(20):
            await subscribed(socket, QUERY, id=f"s{number}")
        for number in range(700):
            await executor.publish("e", "flights.JFK", {"id": str(number)})
        seen: dict[str, list[int]] = {}
        for _ in range(20 * 700):
            message = await hear(socket)
            seen.setdefault(message["id"], []).append(
                int(message["payload"]["data"]["flightUpdated"]["id"])
            )
        assert len(seen) == 20
        assert all(one == list(range(700)) for one in seen.values())


async def test_a_client_resumes_from_the_position_it_saw_last() -> None:
    async with serving() as (executor, url):
        async with dial(url) as socket:
            await greet(socket)
            extensions = {"since": None}
            await say(
                socket,
                type="subscribe",
                id="1",
                payload={"query": QUERY, "extensions": extensions},
            )
            await say(socket, type="ping")
            await hear(socket)
            await executor.publish("e", "flights.JFK", {"id": "1"})
            position = (await hear(socket))["payload"]["extensions"]["position"]
        await executor.publish("e", "flights.JFK", {"id": "2"})
        async with dial(url) as socket:
            await greet(socket)
            payload = {"query": QUERY, "extensions": {"since": position}}
            await say(socket, type="subscribe", id="1", payload=payload)
            assert (await hear(socket))["payload"]["data"] == {
                "flightUpdated": {"id": "2", "gate": None}
            }


async def test_the_server_ends_a_subscription_with_an_error_list() -> None:
    async with serving() as (executor, url), dial(url) as socket:
        await greet(socket)
        await subscribed(socket, QUERY)
        assert executor.invalidate({"subscription_id": "1"}) == 1
        assert (await hear(socket)) == {"id": "1", "type": "complete"}
        await subscribed(socket, QUERY)


@pytest.mark.parametrize(
    ("frames", "code"),
    [
        (["{"], 4400),
        ([b"{}"], 4400),
        (['{"type":"next"}'], 4400),
        (['{"type":"subscribe","id":"1","payload":{"query":"{a}"}}'], 4401),
        (['{"type":"connection_init"}', '{"type":"connection_init"}'], 4429),
    ],
)
async def test_close_codes(frames: list[Any], code: int) -> None:
    async with serving() as (_, url), dial(url) as socket:
        for frame in frames:
            await socket.send(frame)
        assert (await closed(socket))[0] == code


async def test_init_must_come_in_time() -> None:
    async with serving(init_timeout=0.05) as (_, url), dial(url) as socket:
        assert (await closed(socket))[0] == 4408


async def test_an_id_in_use_closes_with_4409() -> None:
    async with serving() as (_, url), dial(url) as socket:
        await greet(socket)
        await subscribed(socket, QUERY)
        await say(socket, type="subscribe", id="1", payload={"query": QUERY})
        assert await closed(socket) == (4409, "Subscriber for 1 already exists")


async def test_no_known_subprotocol_closes_with_4406() -> None:
    async with serving() as (_, url), connect(url) as socket:
        assert (await closed(socket))[0] == 4406


async def test_a_client_that_answers_no_ping_is_closed() -> None:
    async with serving(ping=0.05, pong=0.05) as (_, url), dial(url) as socket:
        await greet(socket)
        assert (await hear(socket)) == {"type": "ping"}
        assert (await closed(socket))[0] == 1001


async def test_on_connect_decides_before_the_ack() -> None:
    async def on_connect(params: dict[str, Any], connection: Any) -> SecurityContext | bool | None:
        assert connection.headers["host"]
        if params.get("token") == "wrong":
            raise AuthorizationError("the token is wrong")
        return False if "token" not in params else SecurityContext(tenant_id=params["token"])

    async with serving(on_connect=on_connect) as (executor, url):
        for init, reason in (
            ({"payload": {"token": "wrong"}}, "the token is wrong"),
            ({}, "Forbidden"),
        ):
            async with dial(url) as socket:
                await say(socket, type="connection_init", **init)
                assert await closed(socket) == (4403, reason)
        async with dial(url) as socket:
            await greet(socket, payload={"token": "a"})
            await subscribed(socket, QUERY)
            await executor.publish("e", "flights.JFK", {"id": "1", "tenant_id": "b"})
            await executor.publish("e", "flights.JFK", {"id": "2", "tenant_id": "a"})
            assert (await hear(socket))["payload"]["data"]["flightUpdated"]["id"] == "2"


async def test_an_anonymous_client_is_checked() -> None:
    async with serving() as (executor, url), dial(url) as socket:
        await greet(socket)
        await subscribed(socket, QUERY)
        await executor.publish("e", "flights.JFK", {"id": "1", "tenant_id": "b"})
        await executor.publish("e", "flights.JFK", {"id": "2"})
        assert (await hear(socket))["payload"]["data"]["flightUpdated"]["id"] == "2"


async def test_other_sites_pages_are_refused() -> None:
    async with serving(origins=["https://app.example"]) as (_, url):
        with pytest.raises(InvalidStatus):
            await dial(url, origin="https://evil.example").__aenter__()
        for origin in ("https://app.example", url.replace("ws:", "http:").rstrip("/")):
            async with dial(url, origin=origin) as socket:
                await greet(socket)


async def test_the_legacy_protocol_wraps_data_and_holds_early_starts() -> None:
    async with serving() as (executor, url), dial(url, "graphql-ws") as socket:
        await say(socket, type="connection_init")
        await say(socket, type="start", id="1", payload={"query": QUERY})
        assert (await hear(socket)) == {"type": "connection_ack"}
        assert (await hear(socket)) == {"type": "ka"}
        await until(lambda: executor.get_metrics()["active"])
        await executor.publish("e", "flights.JFK", {"id": "1"})
        assert await hear(socket) == {
            "id": "1",
            "type": "data",
            "payload": {"data": {"flightUpdated": {"id": "1", "gate": None}}},
        }
        await say(socket, type="stop", id="1")
        assert (await hear(socket)) == {"id": "1", "type": "complete"}
        await say(socket, type="start", id="2", payload={"query": "subscription {"})
        assert "message" in (await hear(socket))["payload"]


async def test_graphql_transport_ws_wins() -> None:
    async with serving() as (_, url), dial(url, "graphql-ws", "graphql-transport-ws") as socket:
        assert socket.subprotocol == "graphql-transport-ws"


async def test_a_client_that_vanishes_leaves_nothing() -> None:
    async with serving() as (executor, url):
        for _ in range(20):
            socket = await dial(url)
            await greet(socket)
            await subscribed(socket, QUERY)
            socket.transport.abort()
        await until(lambda: not executor.get_metrics()["active"])


async def test_draining_sends_what_is_queued_then_completes_and_goes_away() -> None:
    async with SubscriptionExecutor() as executor:
        executor.field("thing", channels="things")
        app = GraphQLSubscriptions(executor)
        async with listening(app) as url, dial(url) as socket:
            await greet(socket)
            await subscribed(socket, "subscription { thing { id } }")
            for number in range(1000):
                await executor.publish("e", "things", {"id": number})
            await app.drain()
            for number in range(1000):
                assert (await hear(socket))["payload"]["data"]["thing"] == {"id": number}
            assert (await hear(socket)) == {"id": "1", "type": "complete"}
            assert (await closed(socket))[0] == 1001


async def test_a_client_cannot_write_a_filters_operators() -> None:
    async with SubscriptionExecutor() as executor:
        executor.field("thing", filter={"owner": "$owner"})
        app = GraphQLSubscriptions(executor)
        async with listening(app) as url, dial(url) as socket:
            await greet(socket)
            query = 'subscription { thing(owner: {not_equals: "x"}) { id } }'
            await say(socket, type="subscribe", id="1", payload={"query": query})
            assert "scalar" in (await hear(socket))["payload"][0]["message"]


async def test_a_client_that_does_not_read_does_not_keep_the_server_from_going() -> None:
    async with SubscriptionExecutor() as executor:
        executor.field("thing", channels="things")
        app = GraphQLSubscriptions(executor, shutdown_grace=0.2)
        # The client's side stops reading once one frame waits.
        async with listening(app) as url, dial(url, max_queue=1) as socket:
            await greet(socket)
            await subscribed(socket, "subscription { thing { text } }")
            for _ in range(40):
                await executor.publish("e", "things", {"text": "x" * 500_000})
            await asyncio.wait_for(app.drain(), PATIENCE)
            await until(lambda: not executor.get_metrics()["active"])
            socket.transport.abort()
