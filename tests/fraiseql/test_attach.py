"""What attach() takes from an application: its case, its rules of access, its context."""

from __future__ import annotations

import asyncio
import contextlib
import json
import subprocess
import textwrap
import urllib.error
import urllib.request
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any

import pytest
from websocket_server import ask, closed, dial, greet, hear, say

pytestmark = pytest.mark.asyncio

APP = """
    import os
    from collections.abc import AsyncGenerator
    from typing import Any

    import fraiseql
    from fastapi import HTTPException
    from fraiseql.fastapi import FraiseQLConfig, create_fraiseql_app
    from fraiseql_subscriptions import SecurityContext, SubscriptionExecutor
    from fraiseql_subscriptions.fraiseql import attach

    @fraiseql.type
    class Tick:
        tick_number: int
        seen_by: str | None

    @fraiseql.query
    async def who_asks(info) -> str:
        return str(info.context.get("who"))

    @fraiseql.subscription
    async def tick_made(info, at_least: int = 0) -> AsyncGenerator[Tick, None]:
        events = executor.listen("ticks", filter={"number": {"gte": at_least}})
        print("listening", flush=True)
        async for event in events:
            yield Tick(tick_number=event.data["number"], seen_by=info.context.get("who"))

    async def named(connection):
        name = connection.query_params.get("name")
        if name == "mallory":
            raise HTTPException(403, "not you")
        return {"who": name, "tenant_id": connection.query_params.get("tenant")}

    async def by_name(params, connection):
        return SecurityContext(user_id=params["name"])

    database = os.environ["DATABASE_URL"]
    app = create_fraiseql_app(CREATE)

    @app.post("/tick/{number}")
    async def tick(number: int, data: dict[str, Any]) -> None:
        await executor.publish("made", "ticks", {"number": number, **data})

    executor = attach(app, ATTACH)
"""
QUERY = "subscription { tickMade { tickNumber seenBy } }"


class Application:
    def __init__(self, served: Any) -> None:
        self.served = served

    async def tick(self, number: int, **data: Any) -> None:
        await self.post(f"/tick/{number}", data)

    async def post(self, path: str, body: Any) -> Any:
        request = urllib.request.Request(
            f"{self.served.url}{path}",
            json.dumps(body).encode(),
            {"content-type": "application/json"},
        )

        def read() -> Any:
            with urllib.request.urlopen(request, timeout=20) as response:
                return json.loads(response.read() or b"null")

        return await asyncio.to_thread(read)

    def dial(self, query: str = "", **headers: str) -> Any:
        return dial(self.served.socket + query, additional_headers=headers)

    async def listen(self, socket: Any, query: str = QUERY) -> None:
        heard = self.served.log.read_text().count("listening")
        await ask(socket, query)
        await asyncio.to_thread(self.served.until_logged, "listening\n" * (heard + 1))


@pytest.fixture
def application(
    serve: Callable[..., Any], tmp_path: Path
) -> Callable[..., contextlib.AbstractAsyncContextManager[Application]]:
    """Serve the application above with other arguments."""

    @contextlib.asynccontextmanager
    async def serving(
        create: str = "database_url=database", attach: str = ""
    ) -> AsyncIterator[Application]:
        (tmp_path / "app.py").write_text(
            textwrap.dedent(APP).replace("CREATE", create).replace("ATTACH", attach)
        )
        with serve(tmp_path, "--log-level", "info", "--no-access-log") as served:
            yield Application(served)

    return serving


Serving = Callable[..., contextlib.AbstractAsyncContextManager[Application]]


async def test_without_more_than_the_application_anonymous_clients_get_events(
    application: Serving,
) -> None:
    async with application() as app, app.dial() as socket:
        await greet(socket)
        await app.listen(socket)
        await app.tick(1, tenant_id="t")
        await app.tick(2, user_id="u")
        await app.tick(3)
        assert (await hear(socket))["payload"] == {
            "data": {"tickMade": {"tickNumber": 3, "seenBy": None}}
        }


async def test_snake_case_stays_where_the_application_says_so(application: Serving) -> None:
    config = "config=FraiseQLConfig(database_url=database, auto_camel_case=False)"
    async with application(config) as app, app.dial() as socket:
        await greet(socket)
        await app.listen(socket, "subscription { tick_made(at_least: 5) { tick_number } }")
        await app.tick(4)
        await app.tick(5)
        assert (await hear(socket))["payload"] == {"data": {"tick_made": {"tick_number": 5}}}
        await ask(socket, "subscription { tickMade { tickNumber } }", "2")
        assert (await hear(socket))["type"] == "error"


async def test_the_development_password_is_asked_for(application: Serving) -> None:
    create = 'database_url=database, dev_auth_username="dev", dev_auth_password="secret"'
    good = "Basic ZGV2OnNlY3JldA=="  # dev:secret
    async with application(create) as app:
        for wrong in ("", "Basic ZGV2Ondyb25n", "Basic !", "Bearer ZGV2OnNlY3JldA=="):
            async with app.dial(authorization=wrong) as socket:
                await say(socket, type="connection_init")
                assert (await closed(socket))[0] == 4403
        async with app.dial(authorization=good) as socket:
            await greet(socket)
        async with app.dial() as socket:
            await greet(socket, payload={"authorization": good})
            await ask(socket, "{ whoAsks }")  # the endpoint asks, too
            assert (await hear(socket))["payload"]["data"] == {"whoAsks": "None"}


async def test_the_context_getter_names_the_tenant_and_may_refuse(application: Serving) -> None:
    async with application(attach="context_getter=named") as app:
        async with app.dial("?name=ann&tenant=t") as socket:
            await greet(socket)
            await app.listen(socket)
            await app.tick(1, tenant_id="other")
            await app.tick(2)
            await app.tick(3, tenant_id="t")
            assert (await hear(socket))["payload"] == {
                "data": {"tickMade": {"tickNumber": 3, "seenBy": "ann"}}
            }
        async with app.dial("?name=mallory") as socket:
            await say(socket, type="connection_init")
            assert await closed(socket) == (4403, "not you")


async def test_an_on_connect_of_ones_own_decides_instead(application: Serving) -> None:
    attach = "SubscriptionExecutor(), on_connect=by_name, context_getter=named"
    async with application(attach=attach) as app, app.dial("?name=ann") as socket:
        await greet(socket, payload={"name": "u"})
        await app.listen(socket)
        await app.tick(1)  # the executor's own policy is strict about users
        await app.tick(2, user_id="u")
        assert (await hear(socket))["payload"] == {
            "data": {"tickMade": {"tickNumber": 2, "seenBy": "ann"}}
        }


async def test_introspection_that_the_endpoint_refuses_is_refused_here(
    application: Serving,
) -> None:
    config = (
        'config=FraiseQLConfig(database_url=database, environment="production", '
        "enable_introspection=False)"
    )
    query = "{ __schema { types { name } } }"
    async with application(config) as app, app.dial() as socket:
        told = await app.post("/graphql", {"query": query})
        assert told["errors"]
        await greet(socket)
        await ask(socket, query)
        assert (await hear(socket)) == {"id": "1", "type": "error", "payload": told["errors"]}


@pytest.mark.parametrize(
    ("call", "told"),
    [
        ("attach(app)", "ValueError: the application has no subscriptions"),
        ("attach(app, schema=3)", "TypeError: schema must be"),
        ("attach(app, 3)", "TypeError: executor must be"),
    ],
)
async def test_what_cannot_be_attached_is_said(
    python: str, tmp_path: Path, call: str, told: str
) -> None:
    program = f"""
        import fraiseql
        from fraiseql.fastapi import create_fraiseql_app
        from fraiseql_subscriptions.fraiseql import attach

        @fraiseql.query
        async def hello(info) -> str:
            return "hello"

        app = create_fraiseql_app(database_url="postgresql://nowhere/nothing", queries=[hello])
        {call}
        """
    process = await asyncio.create_subprocess_exec(
        python, "-c", textwrap.dedent(program), cwd=tmp_path, stderr=subprocess.PIPE
    )
    assert told in (await process.communicate())[1].decode()
