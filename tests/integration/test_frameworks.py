"""Subscriptions in FastAPI and Starlette applications, served by uvicorn."""

from __future__ import annotations

import contextlib
from collections.abc import AsyncIterator, Callable
from typing import Any

import pytest
from fastapi import Depends, FastAPI, HTTPException, WebSocketException
from http_client import asking
from starlette.applications import Starlette
from starlette.requests import HTTPConnection
from websocket_server import closed, dial, greet, hear, listening, say, subscribed, until
from websockets.exceptions import InvalidStatus

from fraiseql_subscriptions import EngineClosed, SecurityContext, SubscriptionExecutor
from fraiseql_subscriptions.fastapi import (
    create_subscription_router,
    create_subscription_router_with_auth,
    subscription_router,
)
from fraiseql_subscriptions.manager import SubscriptionManager
from fraiseql_subscriptions.starlette import (
    add_subscription_routes,
    add_subscription_routes_with_auth,
)

pytestmark = pytest.mark.asyncio

#: Where clients connect, after the server's URL with its slash.
PATH = "graphql/subscriptions"
QUERY = "subscription { thing { id } }"
FRAMEWORKS = ["fastapi", "starlette"]


def new_executor() -> SubscriptionExecutor:
    executor = SubscriptionExecutor()
    executor.field("thing", channels="things")
    return executor


def application(framework: str, executor: Any, *, lifespan: Any = None, **options: Any) -> Any:
    """An application of either framework with subscriptions at the usual path."""
    if framework == "starlette":
        app = Starlette(lifespan=lifespan)
        add_subscription_routes(app, executor, **options)
        return app
    fast = FastAPI(lifespan=lifespan)
    fast.include_router(subscription_router(executor, **options))
    return fast


async def heard_by_a_client(url: str, executor: SubscriptionExecutor, path: str = PATH) -> Any:
    """What one client gets of one event."""
    async with dial(url + path) as socket:
        await greet(socket)
        await subscribed(socket, QUERY)
        await executor.publish("e", "things", {"id": 7})
        return (await hear(socket))["payload"]


@pytest.mark.parametrize("framework", FRAMEWORKS)
async def test_clients_are_served_at_the_usual_path_or_another(framework: str) -> None:
    for options in ({}, {"path": "/live"}):
        executor = new_executor()
        async with listening(application(framework, executor, **options)) as url:
            path = options.get("path", f"/{PATH}")[1:]
            assert await heard_by_a_client(url, executor, path) == {"data": {"thing": {"id": 7}}}


@pytest.mark.parametrize("framework", FRAMEWORKS)
async def test_the_lifespan_drains_clients_and_closes_the_executor(framework: str) -> None:
    executor = new_executor()
    app = application(framework, executor)
    async with listening(app, lifespan="off") as url:
        async with app.router.lifespan_context(app):
            socket = await dial(url + PATH)
            await greet(socket)
            await subscribed(socket, QUERY)
            for number in range(500):
                await executor.publish("e", "things", {"id": number})
        for number in range(500):
            assert (await hear(socket))["payload"]["data"]["thing"] == {"id": number}
        assert (await hear(socket)) == {"id": "1", "type": "complete"}
        assert (await closed(socket))[0] == 1001
        with pytest.raises(InvalidStatus):
            await dial(url + PATH)
    with pytest.raises(EngineClosed):
        executor.publish_event("e", "things", {})


@pytest.mark.parametrize("framework", FRAMEWORKS)
async def test_the_applications_own_lifespan_runs_around_it(framework: str) -> None:
    executor = new_executor()
    told = []

    @contextlib.asynccontextmanager
    async def own(app: Any) -> AsyncIterator[dict[str, str]]:
        told.append(executor.health()["status"])
        yield {"whose": "own"}
        told.append(executor.health()["status"])

    seen = []

    async def on_connect(params: dict[str, Any], connection: HTTPConnection) -> None:
        seen.append(connection.state.whose)

    app = application(framework, executor, lifespan=own, on_connect=on_connect)
    async with listening(app) as url:
        await heard_by_a_client(url, executor)
    assert told == ["open", "closed"]
    assert seen == ["own"], "the state of the application's lifespan is kept"


@pytest.mark.parametrize("framework", FRAMEWORKS)
async def test_an_executor_that_is_the_applications_own_outlives_its_lifespans(
    framework: str,
) -> None:
    async with new_executor() as executor:
        app = application(framework, executor, close_executor=False)
        for _ in range(2):
            async with listening(app) as url:
                assert await heard_by_a_client(url, executor) == {"data": {"thing": {"id": 7}}}
        assert executor.health()["status"] == "open"


@pytest.mark.parametrize("framework", FRAMEWORKS)
async def test_a_second_lifespan_with_a_closed_executor_says_what_to_do(framework: str) -> None:
    app = application(framework, new_executor())
    async with app.router.lifespan_context(app):
        pass
    with pytest.raises(EngineClosed, match="close_executor=False"):
        async with app.router.lifespan_context(app):
            pass


def from_state(connection: HTTPConnection) -> SubscriptionExecutor:
    executor: SubscriptionExecutor = connection.state.executor
    return executor


async def from_state_later(connection: HTTPConnection) -> SubscriptionExecutor:
    return from_state(connection)


@pytest.mark.parametrize("framework", FRAMEWORKS)
@pytest.mark.parametrize("dependency", [from_state, from_state_later])
async def test_an_executor_made_in_the_lifespan_comes_by_a_dependency(
    framework: str, dependency: Any
) -> None:
    made: list[SubscriptionExecutor] = []

    @contextlib.asynccontextmanager
    async def own(app: Any) -> AsyncIterator[dict[str, Any]]:
        async with new_executor() as executor:
            made.append(executor)
            yield {"executor": executor}

    app = application(framework, dependency, lifespan=own)
    for number in range(2):
        async with listening(app) as url:
            assert len(made) == number + 1
            assert await heard_by_a_client(url, made[-1]) == {"data": {"thing": {"id": 7}}}
    assert [one.health()["status"] for one in made] == ["closed", "closed"]


async def test_the_clients_of_a_dependencys_executor_are_drained() -> None:
    async with new_executor() as executor:
        app = application("fastapi", lambda: executor)
        async with listening(app, lifespan="off") as url:
            async with app.router.lifespan_context(app):
                socket = await dial(url + PATH)
                await greet(socket)
                await subscribed(socket, QUERY)
            assert (await hear(socket)) == {"id": "1", "type": "complete"}
            assert (await closed(socket))[0] == 1001
        assert executor.health()["status"] == "open"


def returning(executor: SubscriptionExecutor) -> Callable[[], SubscriptionExecutor]:
    return lambda: executor


async def test_fastapi_can_override_the_dependency() -> None:
    def real() -> SubscriptionExecutor:
        raise AssertionError("overridden")

    app = application("fastapi", real)
    async with new_executor() as executor, new_executor() as other:
        for chosen in (executor, other):
            app.dependency_overrides[real] = returning(chosen)
            async with listening(app) as url:
                assert await heard_by_a_client(url, chosen) == {"data": {"thing": {"id": 7}}}


async def test_dependencies_of_including_guard_every_client() -> None:
    def guard(connection: HTTPConnection) -> None:
        if "token" not in connection.headers:
            if connection.scope["type"] == "websocket":
                raise WebSocketException(1008)
            raise HTTPException(401)

    executor = new_executor()
    app = FastAPI()
    app.include_router(subscription_router(executor), prefix="/api", dependencies=[Depends(guard)])
    async with listening(app) as url:
        with pytest.raises(InvalidStatus):
            await dial(f"{url}api/{PATH}")
        async with dial(f"{url}api/{PATH}", additional_headers={"token": "t"}) as socket:
            await greet(socket)


@pytest.mark.parametrize("framework", FRAMEWORKS)
async def test_what_is_no_executor_is_refused_at_once(framework: str) -> None:
    for wrong in (None, "memory://", SubscriptionExecutor):
        with pytest.raises(TypeError, match="executor must be"):
            application(framework, wrong)
    with pytest.raises(TypeError, match="pings"):
        application(framework, lambda: None, pings=3)


@pytest.mark.parametrize("framework", FRAMEWORKS)
async def test_a_manager_serves_what_it_has_resolvers_for(framework: str) -> None:
    manager = SubscriptionManager("memory://", ping=5)

    @manager.register_resolver("thing", channels="things")
    def thing(event: dict[str, Any], variables: dict[str, Any]) -> dict[str, Any]:
        return {"id": event["id"] * variables.get("by", 1)}

    gone = []

    async def on_disconnect() -> None:
        gone.append(True)

    if framework == "fastapi":
        app: Any = FastAPI()
        app.include_router(create_subscription_router(manager, on_disconnect=on_disconnect))
    else:
        app = Starlette()
        add_subscription_routes(app, manager)
    async with listening(app) as url, dial(url + PATH) as socket:
        await greet(socket)
        query = "subscription ($by: Int!) { thing { id } }"
        await subscribed(socket, query, variables={"by": 3})
        await manager.publish_event("e", "things", {"id": 7})
        assert (await hear(socket))["payload"] == {"data": {"thing": {"id": 21}}}
        await socket.close()
        if framework == "fastapi":
            await until(lambda: gone)


@pytest.mark.parametrize("framework", FRAMEWORKS)
async def test_an_auth_handler_must_know_every_client(framework: str) -> None:
    async def who(params: dict[str, Any]) -> Any:
        if not params:
            raise ValueError("a token is needed")
        return {"a": {"tenant_id": "a", "name": "Ann"}, "b": SecurityContext(tenant_id="b")}.get(
            params["token"]
        )

    manager = SubscriptionManager()
    manager.register_resolver("thing", lambda event: event, channels="things")
    if framework == "fastapi":
        app: Any = FastAPI()
        app.include_router(create_subscription_router_with_auth(manager, who))
    else:
        app = Starlette()
        add_subscription_routes_with_auth(app, manager, who)
    async with listening(app) as url:
        refusals: list[tuple[dict[str, Any], str]] = [
            ({}, "a token is needed"),
            ({"payload": {"token": "c"}}, "Forbidden"),
        ]
        for init, reason in refusals:
            async with dial(url + PATH) as socket:
                await say(socket, type="connection_init", **init)
                assert await closed(socket) == (4403, reason)
        for token in ("a", "b"):
            async with dial(url + PATH) as socket:
                await greet(socket, payload={"token": token})
                await subscribed(socket, QUERY)
                for tenant in ("a", "b"):
                    await manager.publish_event("e", "things", {"id": tenant, "tenant_id": tenant})
                assert (await hear(socket))["payload"]["data"]["thing"] == {"id": token}


@pytest.mark.parametrize("framework", FRAMEWORKS)
async def test_event_streams_and_reservations_have_the_same_path(framework: str) -> None:
    executor = new_executor()
    async with listening(application(framework, executor)) as url:
        port = int(url.split(":")[2].strip("/"))
        stream = {"path": f"/{PATH}", "accept": "text/event-stream"}
        async with asking(port, "POST", {"query": QUERY}, **stream) as response:
            assert response.status == 200
            await until(lambda: executor.get_metrics()["active"])
            await executor.publish("e", "things", {"id": 7})
            name, data, _ = await response.event()
            assert (name, data["data"]) == ("next", {"thing": {"id": 7}})
        async with asking(port, "PUT", path=f"/{PATH}", content_length="0") as reserved:
            assert reserved.status == 201
            token = await reserved.text()
        mine = {"path": f"/{PATH}", "x_graphql_event_stream_token": token}
        async with asking(port, "GET", accept="text/event-stream", **mine) as response:
            body = {"query": QUERY, "extensions": {"operationId": "1"}}
            async with asking(port, "POST", body, **mine) as started:
                assert started.status == 202
            await executor.publish("e", "things", {"id": 8})
            name, data, _ = await response.event()
            assert (name, data["id"]) == ("next", "1")
            async with asking(
                port, "DELETE", **{**mine, "path": f"/{PATH}?operationId=1"}
            ) as ended:
                assert ended.status == 200
            assert (await response.event())[0] == "complete"
