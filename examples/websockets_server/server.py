"""Subscriptions on a server that knows nothing of ASGI: the `websockets` library's.

Run it with ``python server.py``, and connect a GraphQL client to ws://127.0.0.1:8000/.
"""

from __future__ import annotations

import asyncio
from typing import Any

from websockets.asyncio.server import ServerConnection, serve
from websockets.protocol import State
from websockets.typing import Subprotocol

from fraiseql_subscriptions.adapter import WebSocketAdapter
from fraiseql_subscriptions.manager import SubscriptionManager


class Adapter(WebSocketAdapter):
    """A connection of `websockets`, which accepts it with a subprotocol by itself."""

    def __init__(self, connection: ServerConnection) -> None:
        self.connection = connection

    async def accept(self, subprotocol: str | None = None) -> None:
        pass

    async def receive_frame(self) -> str | bytes:
        return await self.connection.recv()

    async def receive_json(self) -> Any:
        return self.decode(await self.receive_frame())

    async def send_bytes(self, data: bytes) -> None:
        await self.connection.send(data, text=True)

    async def close(self, code: int = 1000, reason: str = "") -> None:
        await self.connection.close(code, reason)

    @property
    def is_connected(self) -> bool:
        return self.connection.state is State.OPEN

    @property
    def scope(self) -> dict[str, Any]:
        assert self.connection.request is not None
        headers = self.connection.request.headers.raw_items()
        pairs = [(name.lower().encode(), value.encode()) for name, value in headers]
        return {**super().scope, "headers": pairs}


manager = SubscriptionManager("memory://")


@manager.register_resolver("tick", channels="clock")
def tick(event: dict[str, Any]) -> int:
    number: int = event["number"]
    return number


async def handle(connection: ServerConnection) -> None:
    await manager.handle_connection(Adapter(connection))


async def main(port: int = 8000) -> None:
    protocols = [Subprotocol("graphql-transport-ws")]
    async with serve(handle, "127.0.0.1", port, subprotocols=protocols) as server:
        print(server.sockets[0].getsockname()[1], flush=True)
        for number in range(1_000_000):
            await manager.publish_event("ticked", "clock", {"number": number})
            await asyncio.sleep(0.1)


if __name__ == "__main__":
    import sys

    asyncio.run(main(*map(int, sys.argv[1:])))
