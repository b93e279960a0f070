"""Apollo's multipart protocol for subscriptions, with the servers that applications run under."""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import AsyncIterator
from typing import Any

import pytest
from asgi_servers import SERVERS, serving_by
from http_client import asking
from websocket_server import until

from fraiseql_subscriptions import SecurityContext, SubscriptionExecutor
from fraiseql_subscriptions.asgi import GraphQLSubscriptions

pytestmark = pytest.mark.asyncio

REQUEST = {"query": "subscription { thing { id text } }"}
#: As Apollo Client writes it.
APOLLO = {
    "accept": "multipart/mixed;boundary=graphql;subscriptionSpec=1.0,"
    "application/graphql-response+json,application/json;q=0.9"
}


@contextlib.asynccontextmanager
async def serving(
    server: str = "uvicorn", **options: Any
) -> AsyncIterator[tuple[SubscriptionExecutor, GraphQLSubscriptions, int]]:
    async with SubscriptionExecutor() as executor:
        executor.field("thing", channels="things")
        app = GraphQLSubscriptions(executor, **options)
        async with serving_by(server, app) as port:
            yield executor, app, port


@pytest.mark.parametrize("server", SERVERS)
async def test_results_are_parts_and_the_last_boundary_ends_them(server: str) -> None:
    async with serving(server) as (executor, app, port):
        async with asking(port, body=REQUEST, **APOLLO) as stream:
            assert stream.status == 200
            assert stream.headers["content-type"] == (
                'multipart/mixed; boundary="graphql"; subscriptionSpec=1.0'
            )
            await until(lambda: executor.get_metrics()["active"])
            texts = ["\r\n--graphql--\r\n", "é\u2028", '"', ""]
            for number, text in enumerate(texts):
                await executor.publish("e", "things", {"id": number, "text": text})
            for number, text in enumerate(texts):
                thing = {"id": number, "text": text}
                assert await stream.part() == {"payload": {"data": {"thing": thing}}}
            executor.invalidate({})
            assert await stream.part() is None
        await until(lambda: not app._connections)


@pytest.mark.parametrize("server", SERVERS)
async def test_a_client_that_closes_the_response_ends_its_operation(server: str) -> None:
    async with serving(server) as (executor, app, port):
        async with asking(port, body=REQUEST, **APOLLO):
            await until(lambda: executor.get_metrics()["active"])
        await until(lambda: not executor.get_metrics()["active"] and not app._connections)


async def test_each_result_can_be_read_before_there_is_a_next_one() -> None:
    async with serving() as (executor, _, port), asking(port, body=REQUEST, **APOLLO) as stream:
        await until(lambda: executor.get_metrics()["active"])
        for number in range(5):
            await executor.publish("e", "things", {"id": number})
            assert (await stream.part())["payload"]["data"]["thing"]["id"] == number


async def test_heartbeats_are_empty_objects() -> None:
    async with serving(ping=0.02) as (_, _, port), asking(port, body=REQUEST, **APOLLO) as stream:
        assert [await stream.part() for _ in range(3)] == [{}, {}, {}]


async def test_what_the_operation_got_wrong_is_its_only_result() -> None:
    async with (
        serving() as (_, _, port),
        asking(port, body={"query": "subscription {"}, **APOLLO) as stream,
    ):
        part = await stream.part()
        assert part["payload"]["errors"][0]["extensions"]["code"] == "INVALID_QUERY"
        assert await stream.part() is None


async def test_an_expired_context_ends_the_response_with_an_error_of_the_transport() -> None:
    expiry = time.time() + 2

    async def on_connect(params: dict[str, Any], connection: Any) -> SecurityContext:
        return SecurityContext(expires_at=expiry)

    async with (
        serving(on_connect=on_connect) as (executor, _, port),
        asking(port, body=REQUEST, **APOLLO) as stream,
    ):
        await until(lambda: executor.get_metrics()["active"])
        await executor.publish("e", "things", {"id": 1})
        assert (await stream.part())["payload"]["data"]["thing"]["id"] == 1
        part = await stream.part()
        assert part["payload"] is None
        assert part["errors"][0]["extensions"]["code"] == "EXPIRED"
        assert await stream.part() is None


async def test_a_shutdown_sends_what_is_queued_and_the_end() -> None:
    async with serving() as (executor, app, port), asking(port, body=REQUEST, **APOLLO) as stream:
        await until(lambda: executor.get_metrics()["active"])
        for number in range(1000):
            await executor.publish("e", "things", {"id": number})
        draining = asyncio.create_task(app.drain())
        for number in range(1000):
            assert (await stream.part())["payload"]["data"]["thing"]["id"] == number
        assert await stream.part() is None
        await draining
