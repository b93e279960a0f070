"""Clients that do not read, talk nonsense, ask too much or go at a bad moment: what they hold is
given back, every `finally` runs, and nobody else notices."""

from __future__ import annotations

import asyncio
import contextlib
import json
import logging
import random
import time
from collections.abc import AsyncIterator, Callable
from typing import Any

import pytest
from asgi_servers import SERVERS, serving_by
from faulty_clients import (
    INIT,
    PARTS,
    QUERY,
    STREAM,
    SUBSCRIBE,
    alive,
    http,
    nothing_left,
    serving,
)
from graphql import build_schema
from http_client import asking
from raw_websocket import BINARY, TEXT, connected, frame, message, shaken, vanish
from websocket_server import PATIENCE, ask, closed, dial, greet, hear, say, subscribed, until

from fraiseql_subscriptions import SecurityContext, SubscriptionExecutor
from fraiseql_subscriptions.asgi import GraphQLSubscriptions

pytestmark = pytest.mark.asyncio


class Healthy:
    """A client that must get every event, in order, whatever others do."""

    def __init__(self, executor: SubscriptionExecutor, port: int) -> None:
        self.executor = executor
        self.port = port
        self.seen: list[int] = []
        self.published = 0

    @contextlib.asynccontextmanager
    async def listening(self) -> AsyncIterator[Healthy]:
        url = f"ws://127.0.0.1:{self.port}/"
        async with dial(url, max_queue=None) as socket:
            await greet(socket)
            await subscribed(socket, QUERY)

            async def listen() -> None:
                while True:
                    payload = (await hear(socket))["payload"]
                    self.seen.append(payload["data"]["thing"]["id"])

            task = asyncio.create_task(listen())
            try:
                yield self
                await until(lambda: len(self.seen) == self.published or task.done())
                assert self.seen == list(range(self.published))
            finally:
                task.cancel()

    async def publish(self, text: str = "") -> None:
        thing = {"id": self.published, "text": text}
        self.published += 1
        await self.executor.publish("e", "things", thing)

    async def is_up_to_date(self, *, within: float) -> None:
        started = time.monotonic()
        await until(lambda: len(self.seen) == self.published)
        assert time.monotonic() - started < within


@pytest.mark.parametrize("server", SERVERS)
@pytest.mark.parametrize("kind", ["socket", "stream", "parts"])
async def test_a_client_that_stops_reading_is_dropped(server: str, kind: str) -> None:
    """It stays connected and answers nothing: as when it hangs, or its network is gone."""
    options: dict[str, Any] = {"ping": 0.2, "pong": 0.2, "shutdown_grace": 0.2}
    async with serving(server, **options) as (executor, app, port):
        loop = asyncio.get_running_loop()
        # The healthy one answers pings, as its library does not: it is asked for none.
        async with (
            serving_by("uvicorn", GraphQLSubscriptions(executor, ping=0)) as other,
            Healthy(executor, other).listening() as healthy,
        ):
            if kind == "socket":
                stuck = await shaken(port, window=4096)
                await loop.sock_sendall(stuck, INIT)
                await loop.sock_recv(stuck, 4096)
                await loop.sock_sendall(stuck, SUBSCRIBE)
            else:
                stuck = await connected(port, window=4096)
                accept = STREAM if kind == "stream" else PARTS
                await loop.sock_sendall(stuck, http({"query": QUERY}, **accept))
            await until(lambda: executor.get_metrics()["active"] == 2)
            gone = loop.time() + PATIENCE
            while executor.get_metrics()["active"] == 2:
                await healthy.publish("x" * 200_000)
                await asyncio.sleep(0.01)
                assert loop.time() < gone, "it was not dropped"
            await until(lambda: not app._connections)
            metrics = executor.get_metrics()
            assert metrics["queued_bytes"] <= 1_000_000, metrics
            stuck.close()


@pytest.mark.parametrize("server", SERVERS)
async def test_nonsense_closes_its_own_connection_only(
    server: str, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.CRITICAL)  # a record would keep what it tells of
    chance = random.Random(5)
    words = [INIT, SUBSCRIBE, message(type="complete", id="1"), message(type="pong")]

    def nonsense() -> bytes:
        kind = chance.randrange(6)
        if kind == 0:
            return chance.choice(words)
        if kind == 1:
            return frame(chance.randbytes(chance.randrange(200)), BINARY)
        if kind == 2:  # no WebSocket at all
            return chance.randbytes(chance.randrange(100))
        if kind == 3:
            return frame(chance.choice(["", "{", '"a"', "[" * 1000, '{"type":{}}']).encode())
        if kind == 4:  # a message with a hole
            text = bytearray(SUBSCRIBE[6:])
            text[chance.randrange(len(text))] = chance.randrange(256)
            return frame(bytes(text))
        return frame(chance.randbytes(20), TEXT)  # no UTF-8

    async with serving(server) as (executor, app, port):
        loop = asyncio.get_running_loop()
        async with Healthy(executor, port).listening() as healthy:

            async def babble() -> None:
                one = await shaken(port)
                with contextlib.suppress(OSError):
                    for _ in range(chance.randrange(12)):
                        await loop.sock_sendall(one, nonsense())
                        await asyncio.sleep(0)
                one.close()

            async def babble_http() -> None:
                one = await connected(port)
                with contextlib.suppress(OSError, asyncio.TimeoutError):
                    head = http({"query": QUERY}, **chance.choice([STREAM, PARTS]))
                    text = bytearray(head)
                    for _ in range(3):
                        text[chance.randrange(len(text))] = chance.randrange(256)
                    await loop.sock_sendall(one, bytes(text))
                    await asyncio.wait_for(loop.sock_recv(one, 4096), 0.05)
                one.close()

            for _ in range(30):
                await asyncio.gather(
                    *(babble() for _ in range(8)), *(babble_http() for _ in range(4))
                )
                await healthy.publish()
            await until(lambda: executor.get_metrics()["active"] == 1)
        await nothing_left(executor, app)


@pytest.mark.parametrize("server", SERVERS)
async def test_a_megabyte_too_much_closes_with_1009(server: str) -> None:
    async with serving(server) as (executor, app, port):
        url = f"ws://127.0.0.1:{port}/"
        async with Healthy(executor, port).listening() as healthy, dial(url) as socket:
            await greet(socket)
            await subscribed(socket, QUERY, "big")
            payload = {"query": QUERY + " " * 1_000_000}
            await say(socket, type="subscribe", id="2", payload=payload)
            assert await closed(socket) == (1009, "The message is too big")
            await healthy.publish()
        await nothing_left(executor, app)


@pytest.mark.parametrize("server", SERVERS)
async def test_thousands_of_subscribes_are_answered_each_and_keep_nobody_waiting(
    server: str,
) -> None:
    async with serving(server) as (executor, app, port):
        url = f"ws://127.0.0.1:{port}/"
        async with (
            Healthy(executor, port).listening() as healthy,
            dial(url, max_queue=None) as socket,
        ):
            await greet(socket)

            async def storm() -> None:
                for number in range(3000):
                    await ask(socket, QUERY, f"s{number}")
                await say(socket, type="ping")

            storming = asyncio.create_task(storm())
            refused = 0
            while (told := await hear(socket)) != {"type": "pong"}:
                if told["type"] == "error":
                    assert told["payload"][0]["extensions"]["code"] == "LIMIT_EXCEEDED"
                    refused += 1
                if healthy.published < 20 and refused % 100 == 1:
                    await healthy.publish()
                    await healthy.is_up_to_date(within=1)
            await storming
            assert refused == 2900
            assert healthy.published == 20
        await nothing_left(executor, app)


async def test_subscribing_and_completing_at_once_leaves_nothing() -> None:
    async with serving() as (executor, _, port), dial(f"ws://127.0.0.1:{port}/") as socket:
        await greet(socket)
        for _ in range(1000):
            await ask(socket, QUERY)
            await say(socket, type="complete", id="1")
            await say(socket, type="complete", id="1")
        await say(socket, type="ping")
        assert await hear(socket) == {"type": "pong"}
        assert executor.get_metrics()["active"] == 0
        assert executor.get_metrics()["total"] == 1000
        assert alive() == 1


# --- Going at a bad moment -----------------------------------------------------------------

SDL = """
type Thing { id: Int, text: String }
type Query { slow: String }
type Subscription { thing: Thing, ticks: Int, late: Thing }
"""
TICKS = "subscription { ticks }"


class Application:
    """One whose resolvers say when they begin and whether their `finally` ran."""

    def __init__(self) -> None:
        self.running = 0
        self.begun = 0
        self.executor = SubscriptionExecutor()
        schema = build_schema(SDL)
        assert schema.subscription_type is not None
        schema.subscription_type.fields["ticks"].subscribe = self.ticks
        self.executor.field("late", channels="late")(self.late)
        self.app = GraphQLSubscriptions(
            self.executor,
            schema=schema,
            root_value={"slow": self.slow},
            on_connect=self.on_connect,
            shutdown_grace=1,
        )

    @contextlib.asynccontextmanager
    async def inside(self) -> AsyncIterator[None]:
        self.running += 1
        self.begun += 1
        try:
            yield
        finally:
            await asyncio.sleep(0)  # as what closes a connection of its own does
            self.running -= 1

    async def ticks(self, root: Any, info: Any) -> AsyncIterator[dict[str, int]]:
        async with self.inside():
            for number in range(1_000_000):
                yield {"ticks": number}
                if number > 3:
                    await asyncio.Event().wait()

    async def slow(self, info: Any) -> str:
        async with self.inside():
            await asyncio.Event().wait()
        return ""

    async def late(self, data: dict[str, Any]) -> dict[str, Any]:
        async with self.inside():
            await asyncio.Event().wait()
        return data

    async def on_connect(self, params: dict[str, Any], connection: Any) -> SecurityContext:
        if connection.headers.get("x-slow"):
            async with self.inside():
                await asyncio.Event().wait()
        return SecurityContext()

    async def begins(self, count: int = 1) -> None:
        await until(lambda: self.begun == count)

    async def ends(self) -> None:
        await until(lambda: not self.running)
        await nothing_left(self.executor, self.app)


@contextlib.asynccontextmanager
async def application(server: str) -> AsyncIterator[tuple[Application, int]]:
    made = Application()
    async with made.executor, serving_by(server, made.app) as port:
        yield made, port


@pytest.mark.parametrize("server", SERVERS)
@pytest.mark.parametrize("end", ["vanish", "close", "complete", "drain"])
async def test_a_generator_is_closed_however_its_socket_ends(server: str, end: str) -> None:
    async with application(server) as (made, port), dial(f"ws://127.0.0.1:{port}/") as socket:
        await greet(socket)
        await ask(socket, TICKS)
        await made.begins()
        assert (await hear(socket))["payload"] == {"data": {"ticks": 0}}
        assert made.running == 1
        if end == "vanish":
            socket.transport.abort()
        elif end == "close":
            await socket.close()
        elif end == "complete":
            await say(socket, type="complete", id="1")
            await until(lambda: not made.running)
            await socket.close()
        else:
            await made.app.drain()
        await made.ends()


@pytest.mark.parametrize("server", SERVERS)
@pytest.mark.parametrize("end", ["vanish", "drain"])
@pytest.mark.parametrize("accept", [STREAM, PARTS])
async def test_a_generator_is_closed_however_its_response_ends(
    server: str, end: str, accept: dict[str, str]
) -> None:
    async with (
        application(server) as (made, port),
        asking(port, body={"query": TICKS}, **accept) as stream,
    ):
        await made.begins()
        if accept is STREAM:
            assert (await stream.event())[1] == {"data": {"ticks": 0}}
        else:
            assert await stream.part() == {"payload": {"data": {"ticks": 0}}}
        if end == "drain":
            await made.app.drain()
        else:
            stream.abort()
        await made.ends()


@pytest.mark.parametrize("server", SERVERS)
@pytest.mark.parametrize("end", ["vanish", "delete", "drain"])
async def test_a_generator_is_closed_however_its_reservation_ends(server: str, end: str) -> None:
    async with application(server) as (made, port):
        async with asking(port, "PUT") as answer:
            token = {"x_graphql_event_stream_token": await answer.text()}
        async with asking(port, "GET", **STREAM, **token) as stream:
            body = {"query": TICKS, "extensions": {"operationId": "a"}}
            async with asking(port, body=body, **token) as answer:
                assert answer.status == 202
            await made.begins()
            assert (await stream.event())[1]["id"] == "a"
            if end == "vanish":
                stream.abort()
            elif end == "drain":
                await made.app.drain()
            else:
                async with asking(port, "DELETE", path="/?operationId=a", **token) as answer:
                    assert answer.status == 200
                await until(lambda: not made.running)
                stream.abort()
            await made.ends()


@pytest.mark.parametrize("server", SERVERS)
async def test_a_client_that_goes_while_a_resolver_runs_cancels_it(server: str) -> None:
    async with application(server) as (made, port):
        loop = asyncio.get_running_loop()
        late = {"query": "subscription { late { id } }"}
        one = await shaken(port)
        two = await connected(port)
        await loop.sock_sendall(one, INIT)
        await loop.sock_recv(one, 4096)
        await loop.sock_sendall(one, message(type="subscribe", id="1", payload=late))
        await loop.sock_sendall(two, http(late, **STREAM))
        await until(lambda: made.executor.get_metrics()["active"] == 2)
        for number in range(3):
            await made.executor.publish("e", "late", {"id": number}, wait="accepted")
        await until(lambda: made.begun >= 2)
        vanish(one)
        vanish(two)
        await made.ends()


@pytest.mark.parametrize("server", SERVERS)
async def test_a_client_that_goes_before_it_is_decided_or_answered(server: str) -> None:
    async with application(server) as (made, port):
        loop = asyncio.get_running_loop()
        requests: list[Callable[[], bytes]] = [
            lambda: http({"query": QUERY}, x_slow="1", **STREAM).replace(b"x_slow", b"x-slow"),
            lambda: http(None, "PUT", x_slow="1").replace(b"x_slow", b"x-slow"),
            lambda: http({"query": "{ slow }"}, accept="application/json"),
        ]
        clients = []
        for made_request in requests:
            clients.append(await connected(port))
            await loop.sock_sendall(clients[-1], made_request())
        url = f"ws://127.0.0.1:{port}/"
        async with dial(url, additional_headers={"x-slow": "1"}) as socket:
            await say(socket, type="connection_init")
            await made.begins(4)
            for one in clients:
                vanish(one)
            socket.transport.abort()
        await made.ends()


async def test_one_result_is_given_before_a_server_goes_away() -> None:
    """A query that is running may finish; who waits for more gets the end."""
    go = asyncio.Event()

    async def slow(info: Any) -> str:
        await go.wait()
        return "done"

    async with SubscriptionExecutor() as executor:
        app = GraphQLSubscriptions(executor, schema=build_schema(SDL), root_value={"slow": slow})
        async with serving_by("uvicorn", app) as port:

            async def query() -> Any:
                async with asking(port, body={"query": "{ slow }"}) as answer:
                    return await answer.json()

            asked = asyncio.create_task(query())
            await until(lambda: app._connections)
            draining = asyncio.create_task(app.drain())
            await asyncio.sleep(0)
            go.set()
            assert json.dumps(await asked) == '{"data": {"slow": "done"}}'
            await draining
