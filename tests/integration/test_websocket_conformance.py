"""Every close code and message of graphql-transport-ws, and the older protocol's manners, with
the servers that applications run under and a client that says each frame itself.

The rules are those of graphql-ws' PROTOCOL.md; go/internal/protocol has all of them as tables.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import logging
from collections.abc import AsyncIterator
from typing import Any

import pytest
from asgi_servers import SERVERS, serving_by
from websocket_server import PATIENCE, closed, dial, greet, hear, say, subscribed, until
from websockets.asyncio.client import ClientConnection
from websockets.exceptions import ConnectionClosed
from websockets.extensions.permessage_deflate import PerMessageDeflate

from fraiseql_subscriptions import AuthorizationError, SecurityContext, SubscriptionExecutor
from fraiseql_subscriptions.asgi import GraphQLSubscriptions

pytestmark = pytest.mark.asyncio

QUERY = "subscription { thing { id } }"
INIT = '{"type":"connection_init"}'
SUBSCRIBE = json.dumps({"type": "subscribe", "id": "1", "payload": {"query": QUERY}})


@contextlib.asynccontextmanager
async def serving(
    server: str, **options: Any
) -> AsyncIterator[tuple[SubscriptionExecutor, GraphQLSubscriptions, str]]:
    async with SubscriptionExecutor() as executor:
        executor.field("thing", channels="things")
        app = GraphQLSubscriptions(executor, **options)
        async with serving_by(server, app) as port:
            yield executor, app, f"ws://127.0.0.1:{port}/"


async def let_in(params: dict[str, Any], connection: Any) -> SecurityContext | bool:
    told = params.get("as")
    if told == "refused":
        raise AuthorizationError("you again? " + "é" * 100)
    if told == "broken":
        raise KeyError("secret")
    if told == "slow":
        await asyncio.Event().wait()
    return told != "nobody" and SecurityContext()


def init(told: str) -> str:
    return json.dumps({"type": "connection_init", "payload": {"as": told}})


@pytest.mark.parametrize("server", SERVERS)
@pytest.mark.parametrize(
    ("frames", "code", "reason"),
    [
        ([], 4408, "Connection initialisation timeout"),
        (["{"], 4400, "The message is not valid JSON"),
        (["[]"], 4400, "The message is not a JSON object"),
        ([INIT.encode()], 4400, "Only text frames are understood"),
        (['{"type":"start"}'], 4400, "Clients send no messages of the type start"),
        (['{"type":"ping","payload":1}'], 4400, '"payload" is not an object'),
        ([SUBSCRIBE], 4401, "Unauthorized"),
        ([init("slow"), SUBSCRIBE], 4401, "Unauthorized"),
        ([init("nobody")], 4403, "Forbidden"),
        ([init("refused")], 4403, ("you again? " + "é" * 100).encode()[:123].decode()),
        ([INIT, SUBSCRIBE, SUBSCRIBE], 4409, "Subscriber for 1 already exists"),
        ([init("slow"), INIT], 4429, "Too many initialisation requests"),
        ([INIT, INIT], 4429, "Too many initialisation requests"),
        (["x" * 2001], 1009, "The message is too big"),
        ([init("broken")], 1011, "Internal error"),
    ],
)
async def test_close_codes(
    server: str,
    frames: list[Any],
    code: int,
    reason: str,
    caplog: pytest.LogCaptureFixture,
) -> None:
    caplog.set_level(logging.CRITICAL, "fraiseql_subscriptions")
    timeout = 10 if frames else 0.05
    options = {"on_connect": let_in, "init_timeout": timeout, "max_message_bytes": 2000}
    async with serving(server, **options) as (executor, app, url), dial(url) as socket:
        for frame in frames:
            await socket.send(frame)
            if frame == INIT and frame is not frames[-1]:
                assert (await hear(socket))["type"] == "connection_ack"
        assert await closed(socket) == (code, reason)
        await until(lambda: not app._connections and not executor.get_metrics()["active"])


@pytest.mark.parametrize("server", SERVERS)
async def test_no_known_subprotocol_closes_with_4406(server: str) -> None:
    async with serving(server) as (_, _, url), dial(url, "soap") as socket:
        assert await closed(socket) == (4406, "Subprotocol not acceptable")


@pytest.mark.parametrize("server", SERVERS)
async def test_a_client_that_answers_no_ping_is_closed_with_1001(server: str) -> None:
    async with serving(server, ping=0.05, pong=0.1) as (_, _, url), dial(url) as socket:
        await greet(socket)
        assert await hear(socket) == {"type": "ping"}
        await say(socket, type="pong", payload={"late": False})
        assert await hear(socket) == {"type": "ping"}
        assert (await closed(socket)) == (1001, "No pong received")


@pytest.mark.parametrize("server", SERVERS)
async def test_a_ping_is_answered_with_its_payload_at_any_time(server: str) -> None:
    async with serving(server) as (_, _, url), dial(url) as socket:
        payload = {"deep": [{"é": None}], "big": 12345678901234567890}
        for _ in range(2):
            await say(socket, type="ping", payload=payload)
            assert await hear(socket) == {"type": "pong", "payload": payload}
            await say(socket, type="ping", payload=None)
            assert await hear(socket) == {"type": "pong"}
            await say(socket, type="pong", payload=payload)  # unasked, and welcome
        await greet(socket)
        await say(socket, type="ping")
        assert await hear(socket) == {"type": "pong"}


@pytest.mark.parametrize("server", SERVERS)
async def test_frames_are_compressed_where_the_server_offers_it(server: str) -> None:
    async with serving(server) as (executor, _, url), dial(url) as socket:
        offered = any(isinstance(one, PerMessageDeflate) for one in socket.protocol.extensions)
        assert offered == (server != "granian")  # which has no compression
        await greet(socket)
        await subscribed(socket, QUERY)
        for size in (1, 100, 100_000):
            await executor.publish("e", "things", {"id": "é" * size})
            assert (await hear(socket))["payload"]["data"]["thing"]["id"] == "é" * size


@pytest.mark.parametrize("server", SERVERS)
async def test_a_megabyte_both_ways(server: str) -> None:
    async with serving(server) as (executor, _, url), dial(url, max_size=2**22) as socket:
        await greet(socket)
        big = "x" * 999_000
        await say(socket, type="ping", payload={"text": big})
        assert (await hear(socket))["payload"] == {"text": big}
        await subscribed(socket, QUERY)
        await executor.publish("e", "things", {"id": big})
        assert (await hear(socket))["payload"]["data"]["thing"]["id"] == big


@pytest.mark.parametrize("server", SERVERS)
async def test_complete_from_both_sides_at_once(server: str) -> None:
    """Whoever is first, one `complete` at most comes, and the id is free again."""
    async with serving(server) as (executor, _, url), dial(url) as socket:
        await greet(socket)
        for number in range(50):
            await subscribed(socket, QUERY)
            await executor.publish("e", "things", {"id": number})
            if number % 2:
                await say(socket, type="complete", id="1")
                executor.invalidate({})
            else:
                executor.invalidate({})
                await say(socket, type="complete", id="1")
            await say(socket, type="complete", id="1")
            await say(socket, type="ping", payload={"n": number})
            heard = [await hear(socket)]
            while heard[-1] != {"type": "pong", "payload": {"n": number}}:
                heard.append(await hear(socket))
            kinds = [one["type"] for one in heard]
            assert kinds.count("complete") <= 1
            assert kinds.count("next") <= 1
            await until(lambda: not executor.get_metrics()["active"])
            if "complete" not in kinds:
                continue
            assert kinds.index("complete") > kinds.index("next")


@pytest.mark.parametrize("server", SERVERS)
async def test_a_server_that_goes_away_completes_and_closes_with_1001(server: str) -> None:
    async with SubscriptionExecutor() as executor:
        executor.field("thing", channels="things")
        app = GraphQLSubscriptions(executor)
        heard: list[Any] = []

        async def listen(socket: ClientConnection) -> None:
            while True:
                heard.append(await hear(socket))

        async with serving_by(server, app) as port, dial(f"ws://127.0.0.1:{port}/") as socket:
            await greet(socket)
            await subscribed(socket, QUERY)
            await executor.publish("e", "things", {"id": 1})
            await app.drain()
            with contextlib.suppress(ConnectionClosed):
                await listen(socket)
            assert [one["type"] for one in heard] == ["next", "complete"]
            assert await closed(socket) == (1001, "The server is shutting down")


@pytest.mark.parametrize("server", SERVERS)
async def test_the_older_protocols_manners(server: str) -> None:
    async with serving(server, on_connect=let_in, ping=0.1) as (executor, app, url):
        async with dial(url, "graphql-ws") as socket:
            for frame in ("{", b"{}", '{"type":"ping"}'):  # reported, and no more
                await socket.send(frame)
                assert (await hear(socket))["type"] == "connection_error"
            await say(socket, type="connection_init")
            assert [await hear(socket) for _ in range(3)] == [
                {"type": "connection_ack"},
                {"type": "ka"},
                {"type": "ka"},
            ]
            await say(socket, type="start", id="1", payload={})
            while (message := await hear(socket))["type"] == "ka":
                pass
            assert message == {
                "id": "1",
                "type": "error",
                "payload": {"message": '"query" is not a string'},
            }
            await say(socket, type="start", id="1", payload={"query": QUERY})
            await until(lambda: executor.get_metrics()["active"])
            await say(socket, type="connection_terminate")
            await asyncio.wait_for(socket.wait_closed(), PATIENCE)
            assert socket.close_code == 1000
        async with dial(url, "graphql-ws") as socket:
            await socket.send(init("nobody"))
            payload = {"message": "Forbidden"}
            assert await hear(socket) == {"type": "connection_error", "payload": payload}
            assert await closed(socket) == (4403, "Forbidden")
        await until(lambda: not app._connections and not executor.get_metrics()["active"])
