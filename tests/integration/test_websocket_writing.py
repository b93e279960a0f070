"""How responses get from the engine to `send`: at once, as the connection's own task, in order.

A real server and client, with a middleware in between that looks, or makes `send` wait.
"""

from __future__ import annotations

import asyncio
import contextlib
import contextvars
import sys
from collections.abc import AsyncIterator, Awaitable, Callable, MutableMapping
from typing import Any

import pytest
from websocket_server import dial, greet, hear, listening, say, subscribed, until

from fraiseql_subscriptions import SecurityContext, SubscriptionExecutor
from fraiseql_subscriptions.asgi import GraphQLSubscriptions
from fraiseql_subscriptions.process import load

pytestmark = pytest.mark.asyncio

QUERY = "subscription { numbers { id } }"
CLIENT: contextvars.ContextVar[str] = contextvars.ContextVar("CLIENT")

Message = MutableMapping[str, Any]


@contextlib.asynccontextmanager
async def serving(
    around_send: Callable[[Message], Awaitable[None]], **options: Any
) -> AsyncIterator[tuple[SubscriptionExecutor, str]]:
    """A server whose middleware awaits `around_send(message)` before each response is sent."""
    async with SubscriptionExecutor() as executor:
        executor.field("numbers", channels="numbers")
        app = GraphQLSubscriptions(executor, **options)

        async def middleware(scope: Any, receive: Any, send: Any) -> None:
            async def watched(message: Message) -> None:
                if '"payload":{"data":' in message.get("text", ""):
                    await around_send(message)
                await send(message)

            CLIENT.set(scope.get("path", ""))
            await app(scope, receive, watched)

        async with listening(middleware) as url:
            yield executor, url


async def test_middleware_sends_as_its_own_connections_task_and_context() -> None:
    seen: set[tuple[str, asyncio.Task[Any] | None]] = set()

    async def look(message: Message) -> None:
        seen.add((CLIENT.get(), asyncio.current_task()))

    async with (
        serving(look) as (executor, url),
        dial(f"{url}one") as one,
        dial(f"{url}two") as two,
    ):
        for socket in (one, two):
            await greet(socket)
            await subscribed(socket, QUERY)
        for number in range(3):
            executor.publish_event("made", "numbers", {"id": number})
            for socket in (one, two):
                assert (await hear(socket))["payload"]["data"]["numbers"] == {"id": number}
        tasks = {client: {task for name, task in seen if name == client} for client, _ in seen}
        assert sorted(tasks) == ["/one", "/two"]
        assert all(len(found) == 1 and None not in found for found in tasks.values())
        assert tasks["/one"] != tasks["/two"]


async def test_what_a_client_does_not_read_waits_in_the_engine_and_comes_in_order() -> None:
    gate = asyncio.Event()

    async def wait(message: Message) -> None:
        await gate.wait()

    events = 300
    async with serving(wait) as (executor, url), dial(url) as slow:
        await greet(slow)
        await subscribed(slow, QUERY)
        for number in range(events):
            executor.publish_event("made", "numbers", {"id": number})
            await asyncio.sleep(0)
        # One is being sent, and what one drain hands out is with the connection.
        await until(lambda: executor.get_metrics()["queued"] < events)
        for _ in range(10):
            await asyncio.sleep(0)
        assert executor.get_metrics()["queued"] >= events - 2 * 64
        gate.set()
        got = [(await hear(slow))["payload"]["data"]["numbers"]["id"] for _ in range(events)]
        assert got == list(range(events))
        # It is fast again.
        executor.publish_event("made", "numbers", {"id": events})
        assert (await hear(slow))["payload"]["data"]["numbers"] == {"id": events}


async def test_one_client_that_waits_holds_up_no_other() -> None:
    gate = asyncio.Event()

    async def wait(message: Message) -> None:
        if CLIENT.get() == "/slow":
            await gate.wait()

    async with (
        serving(wait) as (executor, url),
        dial(f"{url}slow") as slow,
        dial(f"{url}fast") as fast,
    ):
        for socket in (slow, fast):
            await greet(socket)
            await subscribed(socket, QUERY)
        for number in range(5):
            executor.publish_event("made", "numbers", {"id": number})
            assert (await hear(fast))["payload"]["data"]["numbers"] == {"id": number}
        gate.set()
        for number in range(5):
            assert (await hear(slow))["payload"]["data"]["numbers"] == {"id": number}


async def test_a_send_that_fails_ends_its_connection_alone(
    caplog: pytest.LogCaptureFixture,
) -> None:
    async def fail(message: Message) -> None:
        if CLIENT.get() == "/bad":
            raise ValueError("middleware's mistake")

    async with (
        serving(fail) as (executor, url),
        dial(f"{url}bad") as bad,
        dial(f"{url}good") as good,
    ):
        for socket in (bad, good):
            await greet(socket)
            await subscribed(socket, QUERY)
        for number in range(2):
            executor.publish_event("made", "numbers", {"id": number})
            assert (await hear(good))["payload"]["data"]["numbers"] == {"id": number}
        await asyncio.wait_for(bad.wait_closed(), 20)
        await until(lambda: executor.get_metrics()["active"] == 1)
        assert bad.close_code == 1011
        assert "middleware's mistake" in caplog.text


async def look_on(message: Message) -> None:
    """Nothing is in the way."""


@pytest.mark.parametrize("protocol", ["graphql-transport-ws", "graphql-ws"])
async def test_every_client_is_sent_its_own_id_and_every_character(protocol: str) -> None:
    texts = ["plain", "schön", "∂x", "\U0001f6eb", '","type":"next","payload":', "plain"]
    names = ["1", "1", "zwei", "straße", "1", "∂"]
    begin, data = ("subscribe", "next") if protocol == "graphql-transport-ws" else ("start", "data")
    async with serving(look_on, ping=0) as (executor, url), contextlib.AsyncExitStack() as stack:
        sockets = [await stack.enter_async_context(dial(url, protocol)) for _ in names]
        for socket, name in zip(sockets, names, strict=True):
            await greet(socket)
            await say(socket, type=begin, id=name, payload={"query": QUERY})
        await until(lambda: executor.get_metrics()["active"] == len(names))
        for text in texts:  # at once, for one drain, and one by one
            executor.publish_event("made", "numbers", {"id": text})
        for text in texts:
            for socket, name in zip(sockets, names, strict=True):
                assert await hear(socket) == {
                    "id": name,
                    "type": data,
                    "payload": {"data": {"numbers": {"id": text}}},
                }
            executor.publish_event("made", "numbers", {"id": text})
        for text in texts:
            for socket in sockets:
                assert (await hear(socket))["payload"]["data"]["numbers"] == {"id": text}


@pytest.mark.parametrize("change", ["other rights", "the end"])
async def test_what_a_send_takes_from_another_client_is_not_sent_to_it(change: str) -> None:
    """All clients' messages were drained together; the first that is sent one acts on the next."""
    names = ["one", "two", "three", "four"]
    connections: dict[str, str] = {}
    acted: list[str] = []
    executor: SubscriptionExecutor

    async def on_connect(params: Any, connection: Any) -> SecurityContext:
        connections[connection.url.path] = connection.state.connection_id
        return SecurityContext(tenant_id=1)

    async def act(message: Message) -> None:
        if acted:
            return
        acted.append(CLIENT.get())
        other = connections["/two" if CLIENT.get() == "/one" else "/three"]
        if change == "the end":
            executor.close_connection(other)
        else:
            executor.update_context(other, SecurityContext(tenant_id=2))

    async with (
        serving(act, on_connect=on_connect) as (executor, url),
        contextlib.AsyncExitStack() as stack,
    ):
        sockets = {name: await stack.enter_async_context(dial(f"{url}{name}")) for name in names}
        for name, socket in sockets.items():
            await greet(socket)
            await subscribed(socket, QUERY, name)
        for number in range(3):
            executor.publish_event("made", "numbers", {"id": number, "tenant_id": 1})
        await until(lambda: acted)
        assert acted[0] in ("/one", "/four")
        other = "two" if acted[0] == "/one" else "three"
        # Nothing of anybody else's is lost, overtaken or given to another.
        for name in names:
            for number in range(3 if name != other else 0):
                message = await hear(sockets[name])
                assert message["id"] == name
                assert message["payload"]["data"]["numbers"] == {"id": number}
        executor.publish_event("made", "numbers", {"id": 3, "tenant_id": 2})
        await say(sockets[other], type="ping")
        if change == "other rights":
            assert (await hear(sockets[other]))["payload"]["data"]["numbers"] == {"id": 3}
        else:
            assert (await hear(sockets[other]))["type"] == "complete"
        assert await hear(sockets[other]) == {"type": "pong"}


async def test_the_engine_is_asked_once_a_frame_and_once_a_batch(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    sent = 0

    async def count(message: Message) -> None:
        nonlocal sent
        sent += 1

    async with serving(count) as (executor, url), dial(url) as socket:
        await greet(socket)
        for number in range(2):
            await subscribed(socket, QUERY, id=str(number))
        native = load()
        called: list[str] = []

        def spied(name: str, function: Callable[..., Any]) -> Callable[..., Any]:
            def spy(*arguments: Any) -> Any:
                called.append(name)
                return function(*arguments)

            return spy

        for name, function in list(vars(native).items()):
            if callable(function) and not name.startswith("_"):
                monkeypatch.setattr(native, name, spied(name, function))
        for number in range(10):
            await say(socket, type="ping", payload={"number": number})
            assert await hear(socket) == {"type": "pong", "payload": {"number": number}}
        assert called == ["socket_frame"] * 10
        called.clear()
        executor.publish_events([("made", "numbers", {"id": number}) for number in range(50)])
        for _ in range(100):
            assert (await hear(socket))["type"] == "next"
        assert sent == 100
        wanted = ["publish_events", "drain"]
        if sys.version_info < (3, 11):  # the connection's task sends, and looks for more
            wanted += ["hold", "next_events", "next_events"]
        assert [name for name in called if name != "process_turn"] == wanted
        monkeypatch.undo()
