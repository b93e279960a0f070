"""The example applications: a real server, a real client, the three ways on one socket."""

from __future__ import annotations

import importlib.util
import sys
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
from websocket_server import ask, dial, greet, hear, listening, say, subscribed, until
from websockets.asyncio.client import ClientConnection

EXAMPLES = Path(__file__).parents[2] / "examples"


@pytest.fixture(params=["graphql_core_app", "strawberry_app", "ariadne_app"])
def example(
    request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch
) -> Iterator[ModuleType]:
    spec = importlib.util.spec_from_file_location(request.param, EXAMPLES / f"{request.param}.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    monkeypatch.setitem(sys.modules, request.param, module)  # Strawberry looks there
    spec.loader.exec_module(module)
    yield module
    module.executor.close()


async def answer(socket: ClientConnection, text: str, id: str = "q") -> Any:  # noqa: A002
    """The result of a query or a mutation, whatever else comes meanwhile."""
    await ask(socket, text, id)
    result = None
    while True:
        message = await hear(socket)
        if message["id"] != id:
            continue
        if message["type"] == "complete":
            return result
        result = message["payload"]
        assert "errors" not in result


@pytest.mark.asyncio
async def test_the_three_ways_mix(example: ModuleType) -> None:
    async with listening(example.app) as url, dial(url) as mine, dial(url) as theirs:
        await greet(mine, payload={"tenant": "me"})
        await greet(theirs, payload={"tenant": "them"})
        await subscribed(mine, "subscription { orderPlaced { id total } }", "projected")
        await subscribed(mine, "subscription { orderTaxed { total } }", "resolved")
        await ask(mine, "subscription { sum: turnover }", "generated")
        await until(lambda: example.executor.get_metrics()["active"] == 4)
        for region, total in (("eu", 10), ("us", 20)):
            text = f'mutation {{ placeOrder(region: "{region}", total: {total}) {{ region }} }}'
            # Another tenant's orders are not seen, and mine come in order.
            for socket in (theirs, mine):
                await ask(socket, text, region)
            while await hear(theirs) != {"id": region, "type": "complete"}:
                pass
        heard: dict[str, list[Any]] = {}
        while sum(map(len, heard.values())) < 9:
            message = await hear(mine)
            heard.setdefault(message["id"], []).append(message.get("payload", {}).get("data"))
        assert heard["generated"] == [{"sum": 10.0}, {"sum": 30.0}]
        assert heard["projected"] in ([{"orderPlaced": {"id": n, "total": 10}}] for n in (1, 2))
        assert heard["resolved"] == [{"orderTaxed": {"total": 12}}, {"orderTaxed": {"total": 24}}]
        assert heard["eu"] == [{"placeOrder": {"region": "eu"}}, None]
        assert len((await answer(theirs, "{ orders { id } }"))["data"]["orders"]) == 4
        for name in heard:
            await say(mine, type="complete", id=name)
        await until(lambda: not example.executor.get_metrics()["active"])


@pytest.mark.asyncio
async def test_what_does_not_validate_is_an_error_list(example: ModuleType) -> None:
    async with listening(example.app) as url, dial(url) as socket:
        await greet(socket)
        for text in (
            "{ orders { price } }",
            "subscription { orderPlaced { price } }",
            "subscription { turnover { price } }",
        ):
            await ask(socket, text)
            message = await hear(socket)
            assert message["type"] == "error", text
            assert "price" in str(message["payload"][0]["message"]) or "turnover" in str(
                message["payload"][0]["message"]
            )
        assert (await answer(socket, "{ orders { id } }"))["data"] == {"orders": []}
