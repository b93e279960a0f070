"""GraphQL over Server-Sent Events, both modes, with the servers that applications run under."""

from __future__ import annotations

import asyncio
import contextlib
import random
import time
from collections.abc import AsyncIterator
from typing import Any

import pytest
from asgi_servers import SERVERS, serving_by
from http_client import Response, asking, query_string
from websocket_server import PATIENCE, until

from fraiseql_subscriptions import SecurityContext, SubscriptionExecutor
from fraiseql_subscriptions.asgi import GraphQLSubscriptions

pytestmark = pytest.mark.asyncio

QUERY = "subscription { thing { id } }"
REQUEST = {"query": QUERY}
STREAM = {"accept": "text/event-stream"}


@contextlib.asynccontextmanager
async def serving(
    server: str = "uvicorn", **options: Any
) -> AsyncIterator[tuple[SubscriptionExecutor, GraphQLSubscriptions, int]]:
    async with SubscriptionExecutor() as executor:
        executor.field("thing", channels="things")
        executor.field("other", channels="others")
        app = GraphQLSubscriptions(executor, **options)
        async with serving_by(server, app) as port:
            yield executor, app, port


async def live(executor: SubscriptionExecutor, count: int = 1) -> None:
    await until(lambda: executor.get_metrics()["active"] == count)


@contextlib.asynccontextmanager
async def reserved(port: int) -> AsyncIterator[tuple[str, Response]]:
    """A reservation's token, and its stream."""
    async with asking(port, "PUT") as answer:
        assert answer.status == 201
        assert answer.headers["content-type"].startswith("text/plain")
        token = await answer.text()
    async with asking(port, "GET", **STREAM, x_graphql_event_stream_token=token) as stream:
        assert stream.status == 200
        yield token, stream


async def order(port: int, token: str, id: str, query: str = QUERY) -> tuple[int, str]:  # noqa: A002
    body = {"query": query, "extensions": {"operationId": id}}
    async with asking(port, body=body, x_graphql_event_stream_token=token) as answer:
        return answer.status, await answer.text()


# --- Distinct connections ------------------------------------------------------------------


@pytest.mark.parametrize("server", SERVERS)
async def test_results_are_events_until_the_application_ends_them(server: str) -> None:
    async with serving(server) as (executor, _, port):
        async with asking(port, body=REQUEST, **STREAM) as stream:
            assert stream.status == 200
            assert stream.headers["content-type"] == "text/event-stream; charset=utf-8"
            assert stream.headers["cache-control"] == "no-cache"
            await live(executor)
            positions = [await executor.publish("e", "things", {"id": n}) for n in range(300)]
            for number in range(300):
                name, data, at = await stream.event()
                assert (name, at) == ("next", positions[number])
                assert data["data"] == {"thing": {"id": number}}
            executor.invalidate({})
            assert await stream.event() == ("complete", None, None)
            assert await stream.more() == b""
        await live(executor, 0)


@pytest.mark.parametrize("server", SERVERS)
async def test_a_client_that_closes_the_stream_ends_its_operation(server: str) -> None:
    async with serving(server) as (executor, app, port):
        async with asking(port, body=REQUEST, **STREAM):
            await live(executor)
        await live(executor, 0)
        await until(lambda: not app._connections)


@pytest.mark.parametrize("query", ["subscription {", "subscription { nothing { id } }", "{ a }"])
async def test_what_cannot_be_run_is_told_in_the_stream(query: str) -> None:
    async with serving() as (_, _, port), asking(port, body={"query": query}, **STREAM) as stream:
        assert stream.status == 200
        name, data, _ = await stream.event()
        assert name == "next"
        assert data["errors"][0]["extensions"]["code"] == "INVALID_QUERY"
        assert "data" not in data
        assert (await stream.event())[0] == "complete"
        assert await stream.more() == b""


async def test_a_browser_asks_by_url_and_is_told_when_to_come_back() -> None:
    async with serving(retry=2.5) as (executor, _, port):
        path = query_string(
            query="subscription S($x: Int) { thing { id } } subscription T { other { id } }",
            operationName="S",
            variables={"x": 1},
        )
        async with asking(port, "GET", path=path, **STREAM) as stream:
            assert await stream.until(b"\n\n") == b"retry: 2500\n\n"
            await live(executor)
            await executor.publish("e", "others", {"id": 0})
            await executor.publish("e", "things", {"id": 1})
            assert (await stream.event())[1]["data"] == {"thing": {"id": 1}}


@pytest.mark.parametrize("server", SERVERS)
async def test_a_browser_that_comes_back_misses_nothing_and_sees_nothing_twice(
    server: str,
) -> None:
    """As an EventSource: the same URL again, and the last id that it saw."""
    chance = random.Random(7)
    total = 400
    async with serving(server) as (executor, _, port):

        async def publish() -> None:
            for number in range(total):
                await executor.publish("e", "things", {"id": number})
                await asyncio.sleep(0)

        seen: list[int] = []
        last: dict[str, str] = {}
        publishing: asyncio.Task[None] | None = None
        connections = 0
        while len(seen) < total:
            connections += 1
            path = query_string(query=QUERY)
            async with asking(port, "GET", path=path, **STREAM, **last) as stream:
                if publishing is None:
                    await live(executor)
                    publishing = asyncio.create_task(publish())
                for _ in range(chance.randint(1, 40)):
                    if len(seen) == total:
                        break
                    name, data, at = await stream.event()
                    assert name == "next"
                    assert at is not None
                    assert "recovered" not in data["extensions"]
                    seen.append(data["data"]["thing"]["id"])
                    last = {"last_event_id": at}
        assert publishing is not None
        await publishing
        assert seen == list(range(total))
        assert connections > 5


async def test_a_position_that_is_too_old_is_said_not_to_be_exact() -> None:
    async with serving() as (executor, _, port):
        path = query_string(query=QUERY)
        async with asking(port, "GET", path=path, **STREAM, last_event_id="gone:1") as stream:
            await live(executor)
            await executor.publish("e", "things", {"id": 1})
            _, data, at = await stream.event()
            assert data["extensions"] == {"position": at, "recovered": False}


async def test_comments_keep_the_stream_alive() -> None:
    async with (
        serving(ping=0.2, retry=0) as (_, _, port),
        asking(port, body=REQUEST, **STREAM) as stream,
    ):
        for _ in range(3):
            assert await stream.until(b"\n\n") == b":\n\n"


# --- A single connection -------------------------------------------------------------------


@pytest.mark.parametrize("server", SERVERS)
async def test_one_stream_carries_many_operations(server: str) -> None:
    async with serving(server) as (executor, _, port):
        async with reserved(port) as (token, stream):
            assert await order(port, token, "a") == (202, "")
            assert await order(port, token, "b", "subscription { other { id } }") == (202, "")
            await executor.publish("e", "things", {"id": 1})
            assert await stream.event() == (
                "next",
                {"id": "a", "payload": {"data": {"thing": {"id": 1}}}},
                None,
            )
            await executor.publish("e", "others", {"id": 2})
            assert (await stream.event())[1]["id"] == "b"
            assert (await order(port, token, "a"))[0] == 409
            path = "/?operationId=a"
            async with asking(
                port, "DELETE", path=path, x_graphql_event_stream_token=token
            ) as answer:
                assert answer.status == 200
            assert await stream.event() == ("complete", {"id": "a"}, None)
            await live(executor, 1)
            assert (await order(port, token, "a"))[0] == 202
            executor.invalidate({"subscription_id": "b"})
            assert await stream.event() == ("complete", {"id": "b"}, None)
            status, text = await order(port, token, "c", "subscription {")
            assert status == 400
            assert "INVALID_QUERY" in text
        await live(executor, 0)
        await gone(port, token)


async def gone(port: int, token: str) -> None:
    """Wait until nobody knows a token."""
    deadline = time.monotonic() + PATIENCE
    while True:
        async with asking(port, "DELETE", path="/?operationId=x&token=" + token) as answer:
            if answer.status == 404:
                return
        assert time.monotonic() < deadline


async def test_results_wait_for_the_stream_of_their_reservation() -> None:
    async with serving() as (executor, _, port):
        async with asking(port, "PUT") as answer:
            token = await answer.text()
        assert (await order(port, token, "a"))[0] == 202
        for number in range(100):
            await executor.publish("e", "things", {"id": number})
        path = f"/?token={token}"  # an EventSource has no headers to send
        async with asking(port, "GET", path=path, **STREAM) as stream:
            for number in range(100):
                assert (await stream.event())[1]["payload"]["data"]["thing"]["id"] == number
            async with asking(port, "GET", path=path, **STREAM) as second:
                assert second.status == 409


async def test_a_reservation_that_nobody_uses_is_forgotten() -> None:
    async with serving(init_timeout=0.05) as (executor, app, port):
        async with asking(port, "PUT") as answer:
            token = await answer.text()
        assert (await order(port, token, "a"))[0] == 202
        await live(executor, 0)
        await gone(port, token)
        await until(lambda: not app._connections)


async def test_nobody_guesses_or_ends_what_another_has_reserved() -> None:
    async with (
        serving() as (executor, _, port),
        reserved(port) as (mine, stream),
        reserved(port) as (theirs, _),
    ):
        assert mine != theirs
        assert len(mine) >= 26
        await order(port, mine, "a")
        for token in (theirs, mine[:-1], mine + "A", mine.lower(), "a"):
            path = f"/?operationId=a&token={token}"
            async with asking(port, "DELETE", path=path) as answer:
                assert answer.status == (200 if token == theirs else 404)
        await executor.publish("e", "things", {"id": 1})
        assert (await stream.event())[1]["id"] == "a"


async def test_who_was_revoked_orders_nothing_more_over_a_stream_that_is_open() -> None:
    async with (
        serving(on_connect=lambda _, __: SecurityContext(user_id="ann")) as (executor, app, port),
        reserved(port) as (token, stream),
    ):
        assert (await order(port, token, "a"))[0] == 202
        assert executor.revoke(user_id="ann") == 1
        name, told, _ = await stream.event()
        assert (name, told["id"]) == ("next", "a")
        assert told["payload"]["errors"][0]["extensions"] == {"code": "UNAUTHENTICATED"}
        assert (await stream.event())[0] == "complete"
        status, text = await order(port, token, "b")
        assert status >= 400
        assert "UNAUTHENTICATED" in text
        (connection,) = (one.connection_id for one in app._connections)
        executor.update_context(connection, SecurityContext(user_id="eve"))
        assert (await order(port, token, "c"))[0] == 202
        await executor.publish("e", "things", {"id": 1, "user_id": "ann"})
        await executor.publish("e", "things", {"id": 2, "user_id": "eve"})
        assert (await stream.event())[1]["payload"]["data"] == {"thing": {"id": 2}}


async def test_ending_anothers_subscription_by_the_engines_id_is_a_violation() -> None:
    async with (
        serving() as (executor, _, port),
        reserved(port) as (mine, stream),
        reserved(port) as (theirs, _),
    ):
        await order(port, mine, "a")
        (engine_id,) = executor.subscriptions_by_channel("things")
        for token, id in ((theirs, engine_id), (theirs, "a"), (mine, engine_id)):  # noqa: A001
            path = f"/?operationId={id}&token={token}"
            async with asking(port, "DELETE", path=path) as answer:
                assert answer.status == 200  # nobody is told whether there is such a one
        assert executor.get_metrics()["violations"]["foreign_subscription"] == 1
        await executor.publish("e", "things", {"id": 1})
        assert (await stream.event())[1]["id"] == "a"
