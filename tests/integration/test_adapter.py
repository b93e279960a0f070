"""Servers that plug in through a WebSocketAdapter: the example's, and Starlette's own endpoint."""

from __future__ import annotations

import asyncio
import contextlib
import json
import sys
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
from fastapi import FastAPI, WebSocket
from websocket_server import PATIENCE, closed, dial, greet, hear, listening, say, subscribed, until

from fraiseql_subscriptions.adapter import (
    GraphQLTransportWSHandler,
    SubscriptionProtocolHandler,
    WebSocketAdapter,
)
from fraiseql_subscriptions.fastapi import FastAPIWebSocketAdapter
from fraiseql_subscriptions.manager import SubscriptionManager

pytestmark = pytest.mark.asyncio

EXAMPLE = Path(__file__).parents[2] / "examples" / "websockets_server" / "server.py"
QUERY = "subscription { tick }"


def new_manager(**options: Any) -> SubscriptionManager:
    manager = SubscriptionManager(**options)
    manager.register_resolver("tick", lambda event: event["number"], channels="clock")
    return manager


@contextlib.asynccontextmanager
async def example() -> AsyncIterator[str]:
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-W", "error", EXAMPLE, "0", stdout=asyncio.subprocess.PIPE
    )
    assert process.stdout is not None
    try:
        port = int(await asyncio.wait_for(process.stdout.readline(), PATIENCE))
        yield f"ws://127.0.0.1:{port}/"
    finally:
        process.terminate()
        await process.wait()


@contextlib.asynccontextmanager
async def through_starlette(
    manager: SubscriptionManager, **arguments: Any
) -> AsyncIterator[tuple[str, list[FastAPIWebSocketAdapter]]]:
    """An endpoint of the application's own that hands its WebSocket over."""
    adapters = []
    app = FastAPI()

    @app.websocket("/")
    async def endpoint(websocket: WebSocket) -> None:
        adapters.append(FastAPIWebSocketAdapter(websocket))
        await manager.handle_connection(adapters[-1], **arguments)

    async with listening(app) as url:
        yield url, adapters
    await manager.close()


async def test_the_example_serves_a_server_that_is_not_asgi() -> None:
    async with example() as url, dial(url) as socket:
        await greet(socket)
        await subscribed(socket, QUERY)
        first = (await hear(socket))["payload"]["data"]["tick"]
        assert (await hear(socket))["payload"] == {"data": {"tick": first + 1}}
        await say(socket, type="complete", id="1")
        await say(socket, type="subscribe", id="2", payload={"query": "subscription { other }"})
        while (heard := await hear(socket))["type"] == "next":
            pass
        assert (heard["type"], heard["id"]) == ("error", "2")


@pytest.mark.parametrize("frame", ["{", b'{"type":"connection_init"}', '{"type":"next"}'])
async def test_the_examples_clients_are_closed_as_the_protocol_says(frame: Any) -> None:
    async with example() as url, dial(url) as socket:
        await socket.send(frame)
        assert (await closed(socket))[0] == 4400


async def test_the_example_lets_no_other_sites_pages_in() -> None:
    async with example() as url, dial(url, origin="https://evil.example") as socket:
        assert (await closed(socket))[0] == 4403


async def test_an_endpoint_hands_its_websocket_over() -> None:
    manager = new_manager()
    async with through_starlette(manager) as (url, adapters), dial(url) as socket:
        await greet(socket)
        await subscribed(socket, QUERY)
        await manager.publish_event("ticked", "clock", {"number": 2**70})
        assert (await hear(socket))["payload"] == {"data": {"tick": 2**70}}
        assert adapters[0].is_connected
        await socket.send("no JSON")
        assert (await closed(socket))[0] == 4400
        await until(lambda: not adapters[0].is_connected)
        assert not manager.get_metrics()["active"]


async def test_the_legacy_protocol_is_not_this_handlers() -> None:
    async with (
        through_starlette(new_manager()) as (url, _),
        dial(url, "graphql-ws", "graphql-transport-ws") as socket,
    ):
        assert socket.subprotocol == "graphql-transport-ws"
        async with dial(url, "graphql-ws") as other:
            assert (await closed(other))[0] == 4406


async def test_the_auth_handler_is_asked() -> None:
    async def nobody(params: dict[str, Any]) -> None:
        raise PermissionError(f"not {params['name']}")

    async with (
        through_starlette(new_manager(), auth_handler=nobody) as (url, _),
        dial(url) as socket,
    ):
        await say(socket, type="connection_init", payload={"name": "you"})
        assert await closed(socket) == (4403, "not you")


async def test_the_managers_options_apply_and_closing_it_drains() -> None:
    manager = new_manager(ping=0.05)
    async with through_starlette(manager) as (url, _), dial(url) as socket:
        await greet(socket)
        assert (await hear(socket)) == {"type": "ping"}
        await say(socket, type="pong")
        await say(socket, type="subscribe", id="1", payload={"query": QUERY})
        await until(lambda: manager.get_metrics()["active"])
        await manager.close()
        heard = [await hear(socket)]
        while heard[-1] == {"type": "ping"}:
            heard.append(await hear(socket))
        assert heard[-1] == {"id": "1", "type": "complete"}
        assert (await closed(socket))[0] == 1001


async def test_a_handler_of_ones_own_takes_the_protocols_place() -> None:
    class Echo(SubscriptionProtocolHandler):
        async def handle_connection(
            self, websocket: WebSocketAdapter, manager: Any, auth_handler: Any = None
        ) -> None:
            await websocket.accept("graphql-transport-ws")
            await websocket.send_json({"heard": await websocket.receive_json()})
            await websocket.close(4000, "done")

    async with (
        through_starlette(new_manager(), protocol=Echo()) as (url, _),
        dial(url) as socket,
    ):
        await socket.send('{"a": [1, "ä"]}')
        assert await hear(socket) == {"heard": {"a": [1, "ä"]}}
        assert await closed(socket) == (4000, "done")


class Decoded(WebSocketAdapter):
    """An adapter of the abstract methods only; what goes wrong is told to it."""

    def __init__(self, frames: list[Any]) -> None:
        self.frames = frames
        self.sent: list[Any] = []
        self.connected = True
        self.gone = asyncio.Event()

    async def accept(self, subprotocol: str | None = None) -> None:
        self.sent.append(subprotocol)

    async def receive_json(self) -> Any:
        if not self.frames:
            await self.gone.wait()
        frame = self.frames.pop(0)
        if isinstance(frame, Exception):
            self.connected = isinstance(frame, ValueError)
            raise frame
        return frame

    async def send_bytes(self, data: bytes) -> None:
        self.sent.append(json.loads(data))

    async def close(self, code: int = 1000, reason: str = "") -> None:
        self.sent.append(code)
        self.connected = False
        self.frames.append(EOFError())
        self.gone.set()

    @property
    def is_connected(self) -> bool:
        return self.connected


INIT = {"type": "connection_init"}


@pytest.mark.parametrize(
    ("frames", "closed_with"),
    [
        ([INIT, EOFError()], []),
        ([INIT, ValueError("no JSON")], [4400]),
        ([[1]], [4400]),
    ],
)
async def test_an_adapters_errors_mean_what_is_connected_says(
    frames: list[Any], closed_with: list[int]
) -> None:
    manager = new_manager()
    adapter = Decoded(frames)
    handling = GraphQLTransportWSHandler().handle_connection(adapter, manager)
    await asyncio.wait_for(handling, PATIENCE)
    assert adapter.sent[0] == "graphql-transport-ws"
    assert [one for one in adapter.sent if isinstance(one, int)] == closed_with
    await manager.close()


async def test_an_adapters_own_fault_is_logged_and_closes_with_1011(
    caplog: pytest.LogCaptureFixture,
) -> None:
    class Broken(Decoded):
        async def receive_json(self) -> Any:
            raise RuntimeError("a fault of the adapter's")

    manager = new_manager()
    adapter = Broken([])
    await asyncio.wait_for(manager.handle_connection(adapter), PATIENCE)
    assert adapter.sent[-1] == 1011
    assert "a fault of the adapter's" in caplog.text
    await manager.close()


async def test_a_manager_is_an_executor_by_other_names() -> None:
    manager = SubscriptionManager()
    resolver = manager.register_resolver("tick", lambda event: event["number"])
    assert manager.get_resolver("tick") is resolver
    assert manager.get_resolver("tock") is None
    await manager.create_subscription(
        subscription_id="sub1",
        connection_id="conn1",
        query="subscription ($by: Int) { tick }",
        variables={"by": 3},
        resolver_fn=lambda data, variables: {"tick": data["number"] * variables["by"]},
        user_id="u",
        tenant_id="t",
    )
    for tenant in ("other", "t"):
        data = {"number": 2, "user_id": "u", "tenant_id": tenant}
        await manager.publish_event("ticked", "clock", data)
    response = await manager.get_next_event("sub1")
    assert response is not None
    assert json.loads(response)["payload"] == {"data": {"tick": 6}}
    assert await manager.get_next_event("sub1") is None
    await manager.complete_subscription("sub1")
    with pytest.raises(ValueError, match="sub1"):
        await manager.get_next_event("sub1")
    with pytest.raises(ValueError, match="sub1"):
        await manager.complete_subscription("sub1")
    assert manager.get_metrics()["completed"] == 1
    await manager.close()
