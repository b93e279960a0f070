"""A Strawberry schema runs its operations itself: its extensions, and its ends."""

import asyncio
from collections.abc import AsyncGenerator, Iterator
from typing import Any

import pytest
import strawberry
from strawberry.extensions import MaskErrors, SchemaExtension
from websocket_server import ask, closed, dial, greet, hear, listening, say, until

from fraiseql_subscriptions import SubscriptionExecutor
from fraiseql_subscriptions.asgi import GraphQLSubscriptions

pytestmark = pytest.mark.asyncio


class Seen:
    """What the extension and the generators of a test have seen."""

    def __init__(self) -> None:
        self.operations: list[str | None] = []
        self.finished = 0
        self.begun = 0


def make(executor: SubscriptionExecutor, seen: Seen) -> strawberry.Schema:
    class Watch(SchemaExtension):
        def on_operation(self) -> Iterator[None]:
            seen.operations.append(self.execution_context.operation_name)
            yield

    @strawberry.type
    class Query:
        @strawberry.field
        def name(self, info: strawberry.Info) -> str:
            return f"{info.context['who']} of {info.root_value}"

        @strawberry.field
        def secret(self) -> int | None:
            raise ValueError("the password is 1234")

    @strawberry.type
    class Subscription:
        @strawberry.subscription
        async def events(self) -> AsyncGenerator[int, None]:
            seen.begun += 1
            try:
                async for event in executor.listen("things"):
                    yield event.data["id"]
            finally:
                await asyncio.sleep(0)
                seen.finished += 1

        @strawberry.subscription
        async def ending(self) -> AsyncGenerator[int, None]:
            yield 1
            raise ValueError("the password is 1234")

    return strawberry.Schema(
        Query, subscription=Subscription, extensions=[Watch, lambda: MaskErrors()]
    )


def serve(executor: SubscriptionExecutor, seen: Seen) -> GraphQLSubscriptions:
    return GraphQLSubscriptions(
        executor,
        schema=make(executor, seen),
        context_getter=lambda connection: {"who": connection.url.path},
        root_value="root",
    )


async def test_extensions_see_every_operation_and_mask_its_errors(
    caplog: pytest.LogCaptureFixture,
) -> None:
    seen, executor = Seen(), SubscriptionExecutor()
    async with executor, listening(serve(executor, seen)) as url, dial(url) as socket:
        await greet(socket)
        await ask(socket, "query A { name } query B { secret }", operationName="A")
        assert (await hear(socket))["payload"] == {"data": {"name": "/ of root"}}
        await hear(socket)
        await ask(socket, "query A { name } query B { secret }", operationName="B")
        payload: Any = (await hear(socket))["payload"]
        assert payload["data"] == {"secret": None}
        assert payload["errors"][0]["message"] == "Unexpected error."
        await hear(socket)
        await ask(socket, "subscription C { ending }")
        assert (await hear(socket))["payload"] == {"data": {"ending": 1}}
        message = await hear(socket)
        assert "1234" not in str(message)
        assert seen.operations == ["A", "B", None]


@pytest.mark.parametrize("how", ["complete", "vanish", "drain"])
async def test_a_generator_is_closed_with_its_operation(how: str) -> None:
    seen = Seen()
    async with SubscriptionExecutor() as executor:
        app = serve(executor, seen)
        async with listening(app) as url, dial(url) as socket:
            await greet(socket)
            await ask(socket, "subscription { events }")
            await until(lambda: executor.get_metrics()["active"] == 2)
            await executor.publish("e", "things", {"id": 7})
            assert (await hear(socket))["payload"] == {"data": {"events": 7}}
            if how == "complete":
                await say(socket, type="complete", id="1")
            elif how == "vanish":
                socket.transport.abort()
            else:
                await app.drain()
                assert await hear(socket) == {"id": "1", "type": "complete"}
                assert (await closed(socket))[0] == 1001
            await until(lambda: seen.finished == 1)
            assert executor.get_metrics()["active"] == 0
