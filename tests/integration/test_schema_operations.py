"""Queries, mutations and generators of a schema, over the socket that the engine's fields use."""

from __future__ import annotations

import asyncio
import contextlib
import gc
import time
from collections.abc import AsyncIterator, Callable
from typing import Any

import pytest
from graphql import (
    GraphQLArgument,
    GraphQLField,
    GraphQLInt,
    GraphQLNonNull,
    GraphQLObjectType,
    GraphQLScalarType,
    GraphQLSchema,
    GraphQLString,
    build_client_schema,
    get_introspection_query,
    print_schema,
)
from websocket_server import (
    PATIENCE,
    ask,
    closed,
    dial,
    greet,
    hear,
    listening,
    say,
    subscribed,
    until,
)

from fraiseql_subscriptions import (
    AuthorizationError,
    Limits,
    SecurityContext,
    SecurityPolicy,
    SubscriptionExecutor,
    current_context,
)
from fraiseql_subscriptions.asgi import GraphQLSubscriptions
from fraiseql_subscriptions.operation import Operation
from fraiseql_subscriptions.operations import Operations

pytestmark = pytest.mark.asyncio

Thing = GraphQLObjectType(
    "Thing",
    {
        "id": GraphQLField(GraphQLInt),
        "text": GraphQLField(GraphQLString),
        "broken": GraphQLField(GraphQLInt, resolve=lambda *_: 1 // 0),
    },
)
Odd = GraphQLScalarType("Odd", serialize=lambda _: object())


class World:
    """A schema, and what its resolvers have seen."""

    def __init__(self, executor: SubscriptionExecutor) -> None:
        self.executor = executor
        self.begun = 0
        self.finished = 0
        self.gate = asyncio.Event()
        self.mutated: list[int] = []
        integer = {"n": GraphQLArgument(GraphQLNonNull(GraphQLInt))}
        self.schema = GraphQLSchema(
            query=GraphQLObjectType(
                "Query",
                {
                    "twice": GraphQLField(GraphQLInt, integer, resolve=lambda root, info, n: 2 * n),
                    "root": GraphQLField(GraphQLString, resolve=lambda root, info: root["name"]),
                    "context": GraphQLField(
                        GraphQLString, resolve=lambda root, info: info.context["who"]
                    ),
                    "tenant": GraphQLField(GraphQLInt, resolve=self.tenant),
                    "slow": GraphQLField(GraphQLInt, resolve=self.slow),
                    "broken": GraphQLField(GraphQLInt, resolve=lambda *_: 1 // 0),
                    "odd": GraphQLField(Odd, resolve=lambda *_: 1),
                },
            ),
            mutation=GraphQLObjectType(
                "Mutation",
                {
                    "publish": GraphQLField(GraphQLInt, integer, resolve=self.publish),
                    "late": GraphQLField(GraphQLInt, integer, resolve=self.late),
                },
            ),
            subscription=GraphQLObjectType(
                "Subscription",
                {
                    "count": GraphQLField(
                        GraphQLInt,
                        integer,
                        subscribe=self.count,
                        resolve=lambda event, *_, **__: event,
                    ),
                    "things": GraphQLField(
                        Thing,
                        {"tenantId": GraphQLArgument(GraphQLInt)},
                        subscribe=self.things,
                        resolve=lambda event, *_, **__: event.data,
                    ),
                    "forever": GraphQLField(
                        GraphQLInt, subscribe=self.forever, resolve=lambda event, *_: event
                    ),
                    "engine": GraphQLField(Thing),
                    "both": GraphQLField(Thing, subscribe=self.forever),
                    "refusing": GraphQLField(GraphQLInt, subscribe=self.refusing),
                    "nothing": GraphQLField(GraphQLInt, subscribe=lambda *_: 3),
                    "private": GraphQLField(GraphQLInt),
                },
            ),
        )

    def tenant(self, root: Any, info: Any) -> Any:
        context = current_context()
        assert context is not None
        return context.tenant_id

    async def slow(self, root: Any, info: Any) -> int:
        self.begun += 1
        try:
            await self.gate.wait()
        finally:
            self.finished += 1
        return 1

    async def publish(self, root: Any, info: Any, n: int) -> int:
        await self.executor.publish("made", "things", {"id": n})
        return n

    async def late(self, root: Any, info: Any, n: int) -> int:
        self.begun += 1
        await self.gate.wait()
        self.mutated.append(n)
        return n

    async def count(self, root: Any, info: Any, n: int) -> AsyncIterator[int]:
        for number in range(n):
            yield number
        if n == 13:
            raise ValueError("thirteen")

    async def things(self, root: Any, info: Any, **arguments: Any) -> AsyncIterator[Any]:
        self.begun += 1
        try:
            async for event in self.executor.listen("things"):
                yield event
        finally:
            self.finished += 1

    async def forever(self, root: Any, info: Any) -> AsyncIterator[int]:
        self.begun += 1
        number = 0
        try:
            while True:
                yield number
                number += 1
                await asyncio.sleep(0)
        finally:
            await asyncio.sleep(0)  # a generator may clean up asynchronously
            self.finished += 1

    async def refusing(self, root: Any, info: Any) -> AsyncIterator[int]:
        nothing: tuple[int, ...] = ()
        for never in nothing:
            yield never
        raise AuthorizationError("not today")


@contextlib.asynccontextmanager
async def serving(
    *, options: dict[str, Any] | None = None, **settings: Any
) -> AsyncIterator[tuple[World, GraphQLSubscriptions, str]]:
    async with SubscriptionExecutor(**(options or {})) as executor:
        world = World(executor)
        executor.field("engine", channels="things")
        executor.field("both", channels="things")
        app = GraphQLSubscriptions(executor, schema=world.schema, **settings)
        async with listening(app) as url:
            yield world, app, url


def data(message: Any) -> Any:
    assert message["type"] == "next", message
    return message["payload"]["data"]


async def test_a_query_and_a_mutation_give_one_result_and_complete() -> None:
    async with serving(root_value={"name": "r"}) as (_, _, url), dial(url) as socket:
        await greet(socket)
        query = "query Q($n: Int!) { twice(n: $n) root } query Other { root }"
        await ask(socket, query, variables={"n": 21}, operationName="Q")
        assert data(await hear(socket)) == {"twice": 42, "root": "r"}
        assert await hear(socket) == {"id": "1", "type": "complete"}
        await ask(socket, "mutation { publish(n: 3) }")  # the id is free again
        assert data(await hear(socket)) == {"publish": 3}
        assert await hear(socket) == {"id": "1", "type": "complete"}


async def test_three_ways_to_answer_mix_on_one_socket() -> None:
    async with serving() as (world, _, url), dial(url) as socket:
        await greet(socket)
        await subscribed(socket, "subscription { engine { id } }", "projected")
        await ask(socket, "subscription { things { id } }", "generated")
        await until(lambda: world.executor.get_metrics()["active"] == 3)
        await ask(socket, "mutation { publish(n: 7) }", "mutated")
        heard: dict[str, list[Any]] = {}
        for _ in range(4):
            message = await hear(socket)
            heard.setdefault(message["id"], []).append(message.get("payload", {}).get("data"))
        assert heard == {
            "projected": [{"engine": {"id": 7}}],
            "generated": [{"things": {"id": 7}}],
            "mutated": [{"publish": 7}, None],
        }


async def test_an_executors_field_comes_before_the_schemas_generator() -> None:
    async with serving() as (world, _, url), dial(url) as socket:
        await greet(socket)
        await subscribed(socket, "subscription { both { id } }")
        await world.executor.publish("e", "things", {"id": 1})
        assert data(await hear(socket)) == {"both": {"id": 1}}
        assert world.begun == 0


async def test_a_generator_that_ends_completes_its_operation() -> None:
    async with serving() as (_, _, url), dial(url) as socket:
        await greet(socket)
        await ask(socket, "subscription { n: count(n: 100) }")
        for number in range(100):
            assert data(await hear(socket)) == {"n": number}
        assert await hear(socket) == {"id": "1", "type": "complete"}
        await ask(socket, "subscription { count(n: 1) }")
        assert data(await hear(socket)) == {"count": 0}


@pytest.mark.parametrize(
    ("query", "told"),
    [
        ("{ absent }", "Cannot query field 'absent'"),
        ("{ twice }", "of type 'Int!' is required"),
        ("{", "Expected"),
        ("query A { root } query B { root }", "must say which one"),
        ("subscription { private }", "cannot be subscribed to"),
        ("subscription { absent }", "absent"),
        ("subscription { count(n: 13) }", "thirteen"),
        ("subscription { refusing }", "not today"),
        ("subscription { nothing }", "must return AsyncIterable"),
        ("query Q($n: Int!) { twice(n: $n) }", "$n"),
    ],
)
async def test_what_fails_is_an_error_message_and_the_socket_goes_on(
    query: str, told: str, caplog: pytest.LogCaptureFixture
) -> None:
    async with serving() as (_, _, url), dial(url) as socket:
        await greet(socket)
        await ask(socket, query)
        message = await hear(socket)
        while message["type"] == "next" and message["payload"].get("data"):
            message = await hear(socket)
        if message["type"] == "next":  # graphql-core found out while executing
            errors = message["payload"]["errors"]
            assert (await hear(socket))["type"] == "complete"
        else:
            assert message["type"] == "error"
            errors = message["payload"]
        assert told in errors[0]["message"]
        await ask(socket, "{ twice(n: 1) }")
        assert data(await hear(socket)) == {"twice": 2}


async def test_every_validation_error_is_told() -> None:
    async with serving() as (_, _, url), dial(url) as socket:
        await greet(socket)
        await ask(socket, "{ absent missing }")
        message = await hear(socket)
        assert [one["locations"] for one in message["payload"]] == [
            [{"line": 1, "column": 3}],
            [{"line": 1, "column": 10}],
        ]


async def test_a_resolver_that_fails_is_an_error_in_the_result_logged_once(
    caplog: pytest.LogCaptureFixture,
) -> None:
    async with serving() as (world, _, url), dial(url) as socket:
        await greet(socket)
        await ask(socket, "{ broken again: broken twice(n: 1) }")
        payload = (await hear(socket))["payload"]
        assert payload["data"] == {"broken": None, "again": None, "twice": 2}
        assert [one["path"] for one in payload["errors"]] == [["broken"], ["again"]]
        assert len([one for one in caplog.records if "a resolver failed" in one.message]) == 1
        await hear(socket)
        await ask(socket, "{ odd }")  # a scalar that gives what JSON cannot hold
        payload = (await hear(socket))["payload"]
        assert payload["data"] is None
        assert "object" in payload["errors"][0]["message"]
        await hear(socket)
        await ask(socket, "subscription { things { id broken } }")
        await until(lambda: world.executor.get_metrics()["active"] == 2)
        for number in (1, 2):  # a generator lives on
            await world.executor.publish("e", "things", {"id": number})
            payload = (await hear(socket))["payload"]
            assert payload["data"] == {"things": {"id": number, "broken": None}}
            assert payload["errors"][0]["path"] == ["things", "broken"]


@pytest.mark.parametrize(
    ("limits", "query", "limit"),
    [
        (Limits(max_query_depth=1), "subscription { things { id } }", "max_query_depth"),
        (Limits(max_query_fields=2), "{ root context tenant }", "max_query_fields"),
        (Limits(max_query_aliases=1), "{ a: root b: root }", "max_query_aliases"),
        (Limits(max_query_bytes=20), "mutation { publish(n: 1) }", "max_query_bytes"),
        (Limits(max_query_directives=1), "{ root @skip(if: true) tenant @skip(if: true) }", "dir"),
        (Limits(max_variables_bytes=5), "query Q($n: Int!) { twice(n: $n) }", "max_variables"),
        (Limits(max_subscriptions_per_connection=1), "subscription { count(n: 1) }", "per_conn"),
    ],
)
async def test_limits_hold_for_what_the_schema_runs(limits: Limits, query: str, limit: str) -> None:
    async with serving(options={"limits": limits}) as (_, _, url), dial(url) as socket:
        await greet(socket)
        if "connection" in limit or limit == "per_conn":
            await subscribed(socket, "subscription { engine { id } }", "0")
        await ask(socket, query, variables={"n": 1})
        message = await hear(socket)
        assert message["type"] == "error"
        assert message["payload"][0]["extensions"]["code"] == "LIMIT_EXCEEDED"
        assert limit in message["payload"][0]["message"]


async def test_tools_get_the_schema_within_the_limits() -> None:
    async with serving() as (_, _, url), dial(url) as socket:
        await greet(socket)
        await ask(socket, get_introspection_query(input_value_deprecation=True))
        payload = (await hear(socket))["payload"]
        assert "things" in print_schema(build_client_schema(payload["data"]))


async def test_a_generators_own_listening_is_not_counted_again() -> None:
    limits = Limits(max_subscriptions_per_connection=3, max_subscriptions=3)
    async with serving(options={"limits": limits}) as (world, _, url), dial(url) as socket:
        await greet(socket)
        for number in range(3):
            await ask(socket, "subscription { things { id } }", str(number))
        await until(lambda: world.executor.get_metrics()["active"] == 6)
        await world.executor.publish("e", "things", {"id": 1})
        assert sorted([(await hear(socket))["id"] for _ in range(3)]) == ["0", "1", "2"]


async def test_a_clients_complete_closes_the_generator() -> None:
    async with serving() as (world, _, url), dial(url) as socket:
        await greet(socket)
        await ask(socket, "subscription { things { id } }")
        await until(lambda: world.executor.get_metrics()["active"] == 2)
        await say(socket, type="complete", id="1")
        await until(lambda: world.finished == 1)
        assert world.executor.get_metrics()["active"] == 0
        await ask(socket, "subscription { forever }")  # the id is free again
        assert data(await hear(socket)) == {"forever": 0}
        await say(socket, type="complete", id="1")
        await until(lambda: world.finished == 2)


def collected() -> list[object]:
    """The operations that are still there after a collection."""
    gc.collect()
    return [one for one in gc.get_objects() if isinstance(one, (Operation, Operations))]


async def test_a_client_that_vanishes_closes_every_generator() -> None:
    async with serving() as (world, app, url):
        tasks = len(asyncio.all_tasks())
        for _ in range(10):
            socket = await dial(url)
            await greet(socket)
            await ask(socket, "subscription { things { id } }", "a")
            await ask(socket, "subscription { forever }", "b")
            await ask(socket, "{ slow }", "c")
            assert data(await hear(socket)) == {"forever": 0}
            socket.transport.abort()
        await until(lambda: world.begun == world.finished == 30)
        assert world.executor.get_metrics()["active"] == 0
        await until(lambda: len(asyncio.all_tasks()) <= tasks)
        await until(lambda: not app._connections)
        hub = world.executor._hub
        assert hub is not None
        assert not hub.consumer().feeds
        await until(lambda: not collected())


async def test_a_generator_waits_for_a_client_that_does_not_read() -> None:
    async with serving(shutdown_grace=0.2) as (world, _, url):
        produced = 0

        async def big(root: Any, info: Any) -> AsyncIterator[Any]:
            nonlocal produced
            try:
                while True:
                    produced += 1
                    yield {"text": "x" * 200_000}
            finally:
                world.finished += 1

        world.schema.subscription_type.fields["things"].subscribe = big  # type: ignore[union-attr]
        world.schema.subscription_type.fields["things"].resolve = (  # type: ignore[union-attr]
            lambda event, *_: event
        )
        async with dial(url, max_queue=1, compression=None) as socket:
            await greet(socket)
            await ask(socket, "subscription { things { text } }")
            seen, since = 0, time.monotonic()
            while time.monotonic() - since < 0.5:  # it stops by itself
                if produced != seen:
                    seen, since = produced, time.monotonic()
                await asyncio.sleep(0.01)
            assert 0 < produced < 200
            socket.transport.abort()
        await until(lambda: world.finished == 1)


async def test_draining_closes_generators_sends_what_they_gave_and_completes() -> None:
    async with serving() as (world, app, url), dial(url) as socket:
        await greet(socket)
        await ask(socket, "subscription { things { id } }", "g")
        await until(lambda: world.executor.get_metrics()["active"] == 2)
        await ask(socket, "{ slow }", "q")
        await until(lambda: world.begun == 2)
        for number in range(5):
            await world.executor.publish("e", "things", {"id": number})
        for number in range(5):
            assert data(await hear(socket)) == {"things": {"id": number}}
        draining = asyncio.create_task(app.drain())
        await until(lambda: world.finished == 1)
        world.gate.set()  # the query finishes, too
        await draining
        heard = [await hear(socket) for _ in range(3)]
        assert {"id": "g", "type": "complete"} in heard
        assert {"id": "q", "type": "next", "payload": {"data": {"slow": 1}}} in heard
        assert {"id": "q", "type": "complete"} in heard
        assert (await closed(socket))[0] == 1001
        assert world.finished == 2
        assert world.executor.get_metrics()["active"] == 0


async def test_a_mutation_goes_on_without_its_client() -> None:
    async with serving() as (world, _, url):
        async with dial(url) as socket:
            await greet(socket)
            await ask(socket, "mutation { late(n: 1) }", "a")
            await ask(socket, "mutation { late(n: 2) }", "b")
            await until(lambda: world.begun == 2)
            await say(socket, type="complete", id="a")
            await say(socket, type="ping")
            assert await hear(socket) == {"type": "pong"}
        world.gate.set()
        await until(lambda: sorted(world.mutated) == [1, 2])


async def test_completing_does_not_let_a_client_run_ever_more() -> None:
    async with serving(max_operations=3) as (world, _, url), dial(url) as socket:
        await greet(socket)
        for number in range(3):
            await ask(socket, "mutation { late(n: 1) }", str(number))
            await until(lambda: world.begun == number + 1)  # noqa: B023
            await say(socket, type="complete", id=str(number))
        await ask(socket, "mutation { late(n: 2) }", "more")
        message = await hear(socket)
        assert message["payload"][0]["extensions"]["code"] == "LIMIT_EXCEEDED"
        world.gate.set()
        await until(lambda: world.mutated == [1, 1, 1])
        await ask(socket, "{ twice(n: 1) }", "more")
        assert data(await hear(socket)) == {"twice": 2}


async def test_context_getter_gets_the_connection_and_may_fail(
    caplog: pytest.LogCaptureFixture,
) -> None:
    async def context_getter(connection: Any) -> dict[str, str]:
        who = connection.headers["x-who"]
        if who == "nobody":
            raise RuntimeError("a secret")
        return {"who": who}

    async with serving(context_getter=context_getter) as (_, _, url):
        async with dial(url, additional_headers={"x-who": "me"}) as socket:
            await greet(socket)
            await ask(socket, "{ context }")
            assert data(await hear(socket)) == {"context": "me"}
        async with dial(url, additional_headers={"x-who": "nobody"}) as socket:
            await greet(socket)
            await ask(socket, "{ context }")
            message = await hear(socket)
            assert message["payload"] == [
                {"message": "Internal error", "extensions": {"code": "INTERNAL_ERROR"}}
            ]
    async with (
        serving(context_getter=lambda connection: {"who": "plain"}) as (_, _, url),
        dial(url) as socket,
    ):
        await greet(socket)
        await ask(socket, "{ context }")
        assert data(await hear(socket)) == {"context": "plain"}


# --- Rights --------------------------------------------------------------------------------


def tenant(params: dict[str, Any], connection: Any) -> SecurityContext:
    return SecurityContext(**params)


async def test_a_generator_sees_what_its_client_may_see() -> None:
    async with serving(on_connect=tenant) as (world, _, url), dial(url) as socket:
        await greet(socket, payload={"tenant_id": 1})
        await ask(socket, "{ tenant }", "q")
        assert data(await hear(socket)) == {"tenant": 1}
        await hear(socket)
        await ask(socket, "subscription { things { id } }")
        await until(lambda: world.executor.get_metrics()["active"] == 2)
        for number, owner in enumerate((2, None, 1)):
            event = {"id": number} if owner is None else {"id": number, "tenant_id": owner}
            await world.executor.publish("e", "things", event)
        assert data(await hear(socket)) == {"things": {"id": 2}}


async def test_scope_and_permissions_are_checked_of_what_a_generator_answers() -> None:
    async with serving(on_connect=tenant) as (world, _, url):
        async with dial(url) as socket:
            await greet(socket, payload={"tenant_id": 1})
            await ask(socket, "subscription { things(tenantId: 2) { id } }")
            message = await hear(socket)
            assert message["payload"][0]["extensions"]["code"] == "SCOPE_VIOLATION"
        async with dial(url) as socket:
            await greet(socket, payload={"permissions": []})
            await ask(socket, "subscription { things { id } }")
            message = await hear(socket)
            assert message["payload"][0]["extensions"]["code"] == "FORBIDDEN"
            assert "thing:read" in message["payload"][0]["message"]
        assert world.begun == 0


async def test_fields_to_be_nulled_refuse_what_the_engine_does_not_project() -> None:
    options = {"security": SecurityPolicy(rbac="null")}
    async with (
        serving(on_connect=tenant, options=options) as (world, _, url),
        dial(url) as socket,
    ):
        await greet(socket, payload={"permissions": []})
        await subscribed(socket, "subscription { engine { id } }", "e")  # nulled
        await ask(socket, "subscription { things { id } }")
        message = await hear(socket)
        assert message["type"] == "error"
        assert message["payload"][0]["extensions"]["code"] == "FORBIDDEN"
        assert world.begun == 0


async def test_a_revocation_ends_generators_and_runs_their_finally() -> None:
    who = {"tenant_id": 1, "user_id": "u", "permissions": ["thing:read"]}
    async with serving(on_connect=tenant) as (world, _, url):
        ends: tuple[tuple[Callable[[], int], str], ...] = (
            (lambda: world.executor.revoke(user_id="u"), "UNAUTHENTICATED"),
            (lambda: world.executor.revoke(permission="thing:read"), "FORBIDDEN"),
            (lambda: world.executor.invalidate({"subscription_id": "1"}), ""),
        )
        for end, code in ends:
            async with dial(url) as socket:
                await greet(socket, payload=who)
                await ask(socket, "subscription { things { id } }")
                await until(lambda: world.executor.get_metrics()["active"] == 2)
                before = world.finished
                assert end() >= 1
                message = await hear(socket)
                assert message["type"] == ("error" if code else "complete")
                await until(lambda: world.finished == before + 1)  # noqa: B023
                assert world.executor.get_metrics()["active"] == 0
                # What was taken away is gone for what the client asks for afterwards, too.
                await ask(socket, "subscription { things { id } }", "again")
                if code:
                    message = await hear(socket)
                    assert message["payload"][0]["extensions"]["code"] == code
                else:
                    await until(lambda: world.executor.get_metrics()["active"] == 2)
                if code == "UNAUTHENTICATED":
                    await ask(socket, "{ tenant }", "query")
                    message = await hear(socket)
                    assert message["payload"][0]["extensions"]["code"] == code
            await until(lambda: world.executor.get_metrics()["active"] == 0)


async def test_an_expired_context_ends_generators_and_runs_no_query() -> None:
    contexts = [SecurityContext(expires_at=time.time() + 1)]
    async with (
        serving(on_connect=lambda params, connection: contexts[0]) as (world, _, url),
        dial(url) as socket,
    ):
        await greet(socket)
        await ask(socket, "subscription { things { id } }")
        await until(lambda: world.begun == 1)
        message = await hear(socket)
        assert message["payload"][0]["extensions"]["code"] == "EXPIRED"
        await until(lambda: world.finished == 1)
        for query in ("{ root }", "mutation { late(n: 1) }", "subscription { things { id } }"):
            await ask(socket, query)
            message = await hear(socket)
            assert message["type"] == "error"
            assert message["payload"][0]["extensions"]["code"] == "EXPIRED"
        assert world.begun == 1


async def test_what_a_new_context_may_not_see_is_not_sent_any_more() -> None:
    """Not even what the generator had been handed before, or had answered already."""
    async with serving(on_connect=tenant) as (world, app, url), dial(url) as socket:
        hold, held = asyncio.Event(), asyncio.Event()

        async def holding(root: Any, info: Any) -> AsyncIterator[Any]:
            async for event in world.executor.listen("things"):
                if event.data["id"] == 1:
                    held.set()
                    await hold.wait()
                yield event

        world.schema.subscription_type.fields["things"].subscribe = holding  # type: ignore[union-attr]
        await greet(socket, payload={"tenant_id": 1})
        await ask(socket, "subscription { things { id } }")
        await until(lambda: world.executor.get_metrics()["active"] == 2)
        for number in (1, 2):
            await world.executor.publish("e", "things", {"id": number, "tenant_id": 1})
        await asyncio.wait_for(held.wait(), PATIENCE)
        (connection,) = (one.connection_id for one in app._connections)
        assert world.executor.update_context(connection, SecurityContext(tenant_id=2)) == 2
        hold.set()
        for number, owner in ((3, 1), (4, 2)):
            await world.executor.publish("e", "things", {"id": number, "tenant_id": owner})
        assert data(await hear(socket)) == {"things": {"id": 4}}
        await ask(socket, "{ tenant }", "q")  # later operations have it, too
        assert data(await hear(socket)) == {"tenant": 2}


async def test_renewing_a_context_loses_nothing() -> None:
    async with serving(on_connect=tenant) as (world, app, url), dial(url) as socket:
        await greet(socket, payload={"tenant_id": 1, "expires_at": time.time() + 100})
        await ask(socket, "subscription { things { id } }")
        await until(lambda: world.executor.get_metrics()["active"] == 2)
        (connection,) = (one.connection_id for one in app._connections)
        for number in range(50):
            await world.executor.publish("e", "things", {"id": number, "tenant_id": 1})
            renewed = SecurityContext(tenant_id=1, expires_at=time.time() + 200 + number)
            assert world.executor.update_context(connection, renewed) == 2
        for number in range(50):
            assert data(await hear(socket)) == {"things": {"id": number}}


async def test_no_schema_runs_no_query() -> None:
    executor = SubscriptionExecutor()
    async with executor, listening(GraphQLSubscriptions(executor)) as url, dial(url) as socket:
        await greet(socket)
        await ask(socket, "mutation { a }")
        message = await hear(socket)
        assert "the operation is a mutation" in message["payload"][0]["message"]
