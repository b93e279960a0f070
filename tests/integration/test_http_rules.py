"""Who may ask over HTTP, what for, and what is answered: the rules that all formats share."""

from __future__ import annotations

import asyncio
import contextlib
import json
import logging
import time
from collections.abc import AsyncIterator
from typing import Any

import pytest
from asgi_servers import SERVERS, serving_by
from graphql import build_schema
from http_client import asking, query_string
from websocket_server import PATIENCE, dial, greet, hear, say, subscribed, until

from fraiseql_subscriptions import AuthorizationError, SecurityContext, SubscriptionExecutor
from fraiseql_subscriptions.asgi import GraphQLSubscriptions

pytestmark = pytest.mark.asyncio

SDL = """
type Thing { id: Int, tenant_id: String }
type Query { hello(name: String): String, fails: String }
type Mutation { rename: String }
type Subscription { thing: Thing }
"""
QUERY = "subscription { thing { id } }"
REQUEST = {"query": QUERY}
STREAM = {"accept": "text/event-stream"}
PARTS = {"accept": "multipart/mixed;subscriptionSpec=1.0"}
FORMATS = (STREAM, PARTS)


@contextlib.asynccontextmanager
async def serving(
    server: str = "uvicorn", *, schema: bool = False, **options: Any
) -> AsyncIterator[tuple[SubscriptionExecutor, GraphQLSubscriptions, int]]:
    async with SubscriptionExecutor() as executor:
        executor.field("thing", channels="things")
        if schema:
            options["schema"] = build_schema(SDL)
            options["root_value"] = {
                "hello": lambda info, name="you": f"hello, {name}",
                "fails": lambda info: 1 / 0,
                "rename": lambda info: "renamed",
            }
        app = GraphQLSubscriptions(executor, **options)
        async with serving_by(server, app) as port:
            yield executor, app, port


async def live(executor: SubscriptionExecutor, count: int = 1) -> None:
    await until(lambda: executor.get_metrics()["active"] == count)


# --- Requests ------------------------------------------------------------------------------


@pytest.mark.parametrize("server", SERVERS)
@pytest.mark.parametrize(
    ("method", "headers", "body", "status", "code"),
    [
        ("PATCH", {}, b"", 405, "METHOD_NOT_ALLOWED"),
        ("POST", {"accept": "text/html"}, b"{}", 406, "NOT_ACCEPTABLE"),
        ("GET", {"accept": "text/html"}, b"", 406, "NOT_ACCEPTABLE"),
        ("POST", {**STREAM, "content_type": "text/plain"}, b"{}", 415, "UNSUPPORTED_MEDIA_TYPE"),
        ("POST", STREAM, b"{", 400, "BAD_REQUEST"),
        ("POST", STREAM, b"[]", 400, "BAD_REQUEST"),
        ("POST", PARTS, b'{"query":1}', 400, "BAD_REQUEST"),
        ("POST", STREAM, b'{"query":"' + b"x" * 2000 + b'"}', 413, "PAYLOAD_TOO_LARGE"),
        ("GET", STREAM, b"", 400, "BAD_REQUEST"),
        ("DELETE", {}, b"", 400, "BAD_REQUEST"),
        ("POST", {"x_graphql_event_stream_token": "x"}, b"{}", 404, "NOT_FOUND"),
    ],
)
async def test_what_is_no_request_is_an_error_in_json(
    server: str, method: str, headers: dict[str, str], body: bytes, status: int, code: str
) -> None:
    async with serving(server, max_message_bytes=1000) as (_, app, port):
        async with asking(port, method, body=body, **headers) as answer:
            assert answer.status == status
            assert answer.headers["content-type"] == "application/json; charset=utf-8"
            if status == 405:
                assert answer.headers["allow"] == "GET, POST, PUT, DELETE, OPTIONS"
            (error,) = (await answer.json())["errors"]
            assert error["message"]
            assert error["extensions"] == {"code": code}
        await until(lambda: not app._connections)


async def test_a_body_without_a_length_is_bounded_too() -> None:
    async with serving(max_message_bytes=1000) as (_, _, port):
        chunk = b"1f4\r\n" + b" " * 500 + b"\r\n"
        options = {"transfer_encoding": "chunked", "content_type": "application/json"}
        async with asking(
            port, "POST", body=chunk * 3 + b"0\r\n\r\n", **options, **STREAM
        ) as answer:
            assert answer.status == 413


@pytest.mark.parametrize("format", FORMATS)
async def test_pages_of_other_sites_are_refused(format: dict[str, str]) -> None:  # noqa: A002
    async with serving(origins=["https://app.example"]) as (executor, app, port):
        own = f"http://127.0.0.1:{port}"
        for origin, status in (
            ("https://evil.example", 403),
            ("null", 403),
            ("https://app.example", 200),
            (own, 200),
        ):
            async with asking(port, body=REQUEST, origin=origin, **format) as answer:
                assert answer.status == status
                if status == 403:
                    assert "access-control-allow-origin" not in answer.headers
                elif origin != own:
                    assert answer.headers["access-control-allow-origin"] == origin
                    assert answer.headers["access-control-allow-credentials"] == "true"
        # What a page may send without asking the server first.
        for kind in ("text/plain", "application/x-www-form-urlencoded", "multipart/form-data"):
            async with asking(port, body=REQUEST, content_type=kind, **format) as answer:
                assert answer.status == 415
        for site in ("cross-site", "same-site"):
            path = query_string(query=QUERY)
            async with asking(port, "GET", path=path, sec_fetch_site=site, **STREAM) as answer:
                assert answer.status == 403
        await live(executor, 0)
        await until(lambda: not app._connections)


async def test_a_page_of_another_site_asks_before_it_sends_json() -> None:
    async with serving(origins=["https://app.example"]) as (_, _, port):
        for origin, status in (("https://app.example", 204), ("https://evil.example", 403)):
            asked = {"origin": origin, "access_control_request_headers": "content-type"}
            async with asking(port, "OPTIONS", **asked) as answer:
                assert answer.status == status
                allowed = answer.headers.get("access-control-allow-headers")
                assert allowed == ("content-type" if status == 204 else None)


async def test_origins_that_no_browser_sends_are_refused() -> None:
    with SubscriptionExecutor() as executor:
        for origin in ("app.example", "https://app.example/", "https://app.example/path", ""):
            with pytest.raises(ValueError, match="no browser"):
                GraphQLSubscriptions(executor, origins=[origin])


# --- Queries and mutations -----------------------------------------------------------------


@pytest.mark.parametrize("server", SERVERS)
async def test_queries_and_mutations_are_answered_with_one_result(server: str) -> None:
    async with serving(server, schema=True) as (_, app, port):
        query = {"query": "query ($n: String) { hello(name: $n) }", "variables": {"n": "Ann"}}
        for accept, kind in (
            ("application/json", "application/json; charset=utf-8"),
            ("*/*", "application/json; charset=utf-8"),
            (
                "application/graphql-response+json, application/json;q=0.9",
                "application/graphql-response+json; charset=utf-8",
            ),
        ):
            async with asking(port, body=query, accept=accept) as answer:
                assert (answer.status, answer.headers["content-type"]) == (200, kind)
                assert await answer.json() == {"data": {"hello": "hello, Ann"}}
        async with asking(port, body={"query": "mutation { rename }"}) as answer:
            assert await answer.json() == {"data": {"rename": "renamed"}}
        await until(lambda: not app._connections)


@pytest.mark.parametrize(
    ("accept", "status"), [("application/json", 200), ("application/graphql-response+json", 400)]
)
@pytest.mark.parametrize("query", ["{", "{ nothing }", QUERY])
async def test_what_cannot_be_executed_has_errors_and_no_data(
    accept: str, status: int, query: str
) -> None:
    async with (
        serving(schema=True) as (_, _, port),
        asking(port, body={"query": query}, accept=accept) as answer,
    ):
        assert answer.status == status
        assert list(await answer.json()) == ["errors"]


async def test_a_resolver_that_fails_is_an_error_beside_the_data() -> None:
    async with (
        serving(schema=True) as (_, _, port),
        asking(
            port, body={"query": "{ fails }"}, accept="application/graphql-response+json"
        ) as answer,
    ):
        assert answer.status == 200
        told = await answer.json()
        assert told["data"] == {"fails": None}
        assert told["errors"][0]["path"] == ["fails"]


async def test_without_a_schema_one_result_is_not_acceptable() -> None:
    async with (
        serving() as (_, _, port),
        asking(port, body={"query": "{ hello }"}, accept="application/json") as answer,
    ):
        assert answer.status == 406


async def test_a_query_can_be_streamed_and_a_link_changes_nothing() -> None:
    async with serving(schema=True) as (_, _, port):
        async with asking(port, body={"query": "mutation { rename }"}, **STREAM) as stream:
            assert await stream.event() == ("next", {"data": {"rename": "renamed"}}, None)
            assert await stream.event() == ("complete", None, None)
        path = query_string(query="mutation { rename }")
        async with asking(port, "GET", path=path, **STREAM) as stream:
            _, told, _ = await stream.event()
            assert "GET" in told["errors"][0]["message"]


async def test_a_query_of_a_client_that_vanishes_is_cancelled() -> None:
    cancelled = asyncio.Event()
    begun = asyncio.Event()

    async def hello(info: Any) -> str:
        begun.set()
        try:
            await asyncio.Event().wait()
        finally:
            cancelled.set()
        return ""

    async with SubscriptionExecutor() as executor:
        app = GraphQLSubscriptions(executor, schema=build_schema(SDL), root_value={"hello": hello})
        async with serving_by("uvicorn", app) as port:
            writer = (await asyncio.open_connection("127.0.0.1", port))[1]
            body = b'{"query":"{ hello }"}'
            head = b"POST / HTTP/1.1\r\nhost: a\r\ncontent-type: application/json\r\n"
            writer.write(head + b"content-length: %d\r\n\r\n%s" % (len(body), body))
            await asyncio.wait_for(begun.wait(), PATIENCE)
            writer.transport.abort()
            await asyncio.wait_for(cancelled.wait(), PATIENCE)
            await until(lambda: not app._connections)


# --- Who it is -----------------------------------------------------------------------------


@pytest.mark.parametrize("server", SERVERS)
@pytest.mark.parametrize("format", FORMATS)
async def test_on_connect_decides_before_any_stream(
    server: str,
    format: dict[str, str],  # noqa: A002
) -> None:
    async def on_connect(params: dict[str, Any], connection: Any) -> SecurityContext | bool:
        assert params == {}
        token = connection.headers.get("authorization", "")
        if token == "wrong":
            raise AuthorizationError("the token is wrong")
        return SecurityContext(tenant_id=token) if token else False

    async with serving(server, on_connect=on_connect) as (executor, app, port):
        for headers, reason in (
            ({"authorization": "wrong"}, "the token is wrong"),
            ({}, "Forbidden"),
        ):
            async with asking(port, body=REQUEST, **headers, **format) as answer:
                assert answer.status == 403
                assert answer.headers["content-type"].startswith("application/json")
                assert await answer.json() == {
                    "errors": [{"message": reason, "extensions": {"code": "FORBIDDEN"}}]
                }
        async with asking(port, "PUT") as answer:
            assert answer.status == 403
        async with asking(port, body=REQUEST, authorization="a", **format) as stream:
            await live(executor)
            await executor.publish("e", "things", {"id": 1, "tenant_id": "b"})
            await executor.publish("e", "things", {"id": 2, "tenant_id": "a"})
            told = (
                (await stream.event())[1] if format is STREAM else (await stream.part())["payload"]
            )
            assert told["data"] == {"thing": {"id": 2}}
        await until(lambda: not app._connections)


async def test_an_on_connect_that_fails_keeps_everybody_out(
    caplog: pytest.LogCaptureFixture,
) -> None:
    def on_connect(params: dict[str, Any], connection: Any) -> SecurityContext:
        raise KeyError("secret")

    async with serving(on_connect=on_connect) as (_, app, port):
        with caplog.at_level(logging.CRITICAL, "fraiseql_subscriptions"):
            async with asking(port, body=REQUEST, **STREAM) as answer:
                assert answer.status == 500
                assert "secret" not in await answer.text()
        await until(lambda: not app._connections)


async def test_an_anonymous_client_is_checked() -> None:
    async with serving() as (executor, _, port), asking(port, body=REQUEST, **STREAM) as stream:
        await live(executor)
        await executor.publish("e", "things", {"id": 1, "tenant_id": "b"})
        await executor.publish("e", "things", {"id": 2})
        assert (await stream.event())[1]["data"] == {"thing": {"id": 2}}


async def test_a_context_that_expires_ends_what_runs_with_it() -> None:
    expiry = 0.0

    async def on_connect(params: dict[str, Any], connection: Any) -> SecurityContext:
        return SecurityContext(expires_at=expiry)

    async with serving(on_connect=on_connect) as (executor, _, port):
        expiry = time.time() + 2
        url = f"ws://127.0.0.1:{port}/"
        async with asking(port, body=REQUEST, **STREAM) as stream, dial(url) as socket:
            await greet(socket)
            await subscribed(socket, QUERY)
            await live(executor, 2)
            _, told, _ = await stream.event()
            assert told["errors"][0]["extensions"]["code"] == "EXPIRED"
            assert await stream.event() == ("complete", None, None)
            message = await hear(socket)
            assert message["type"] == "error"
            assert message["payload"][0]["extensions"]["code"] == "EXPIRED"


async def test_a_context_is_renewed_by_the_connections_id() -> None:
    clients: dict[str, str] = {}
    expiry = 0.0

    async def on_connect(params: dict[str, Any], connection: Any) -> SecurityContext:
        clients[connection.headers["x-client"]] = connection.state.connection_id
        return SecurityContext(user_id=1, expires_at=expiry)

    async with serving(on_connect=on_connect) as (executor, _, port):
        expiry = time.time() + 2
        url = f"ws://127.0.0.1:{port}/"
        head = {"x-client": "socket"}
        async with contextlib.AsyncExitStack() as stack:
            stream, parts = [
                await stack.enter_async_context(asking(port, body=REQUEST, x_client=name, **asked))
                for name, asked in (("stream", STREAM), ("parts", PARTS))
            ]
            socket = await stack.enter_async_context(dial(url, additional_headers=head))
            await greet(socket)
            await subscribed(socket, QUERY)
            await live(executor, 3)
            renewed = SecurityContext(user_id=1, expires_at=expiry + 3600)
            for name in ("stream", "parts", "socket"):
                assert executor.update_context(clients[name], renewed) == 1
            await until(lambda: time.time() > expiry)
            await executor.publish("e", "things", {"id": 1, "user_id": 1})
            assert (await stream.event())[1]["data"] == {"thing": {"id": 1}}
            assert (await parts.part())["payload"]["data"] == {"thing": {"id": 1}}
            assert (await hear(socket))["payload"]["data"] == {"thing": {"id": 1}}
            # What is subscribed to from now on has the new context, too.
            await subscribed(socket, QUERY, "2")
            await live(executor, 4)


# --- The end -------------------------------------------------------------------------------


async def test_a_server_that_goes_away_completes_and_lets_nobody_in() -> None:
    async with serving(schema=True) as (executor, app, port):
        async with asking(port, body=REQUEST, **STREAM) as stream, asking(port, "PUT"):
            await live(executor)
            await executor.publish("e", "things", {"id": 1})
            draining = asyncio.create_task(app.drain())
            assert (await stream.event())[1]["data"] == {"thing": {"id": 1}}
            assert await stream.event() == ("complete", None, None)
            await draining
        async with asking(port, body=REQUEST, **STREAM) as answer:
            assert answer.status == 503
            assert (await answer.json())["errors"][0]["extensions"]["code"] == "GOING_AWAY"


async def test_an_executor_that_is_closed_first_ends_the_streams() -> None:
    async with SubscriptionExecutor() as executor:
        executor.field("thing", channels="things")
        app = GraphQLSubscriptions(executor)
        async with serving_by("uvicorn", app) as port:
            url = f"ws://127.0.0.1:{port}/"
            async with asking(port, body=REQUEST, **STREAM) as stream, dial(url) as socket:
                await live(executor)
                await greet(socket)
                await asyncio.get_running_loop().run_in_executor(None, executor.close)
                with contextlib.suppress(EOFError):
                    assert (await stream.event())[0] == "complete"
                await until(lambda: len(app._connections) <= 1)
                await say(socket, type="ping")
                await asyncio.wait_for(socket.wait_closed(), PATIENCE)
                assert socket.close_code == 1001
            async with asking(port, body=REQUEST, **STREAM) as answer:
                assert answer.status == 503
                assert json.loads(await answer.text())["errors"]
            await until(lambda: not app._connections)
