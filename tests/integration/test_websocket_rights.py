"""What a client of a WebSocket may see, end and become: its own, and nobody else's."""

# ruff: noqa: A001, A002  (`id` is a name of the protocols)

from __future__ import annotations

import contextlib
import json
import threading
import time
from collections import deque
from collections.abc import MutableMapping
from typing import Any

import pytest
from emptying import empty_while_read
from websocket_server import closed, dial, greet, hear, listening, say, subscribed, until
from websockets.asyncio.client import ClientConnection

from fraiseql_subscriptions import (
    AuditRecord,
    AuthorizationError,
    SecurityContext,
    SecurityPolicy,
    SubscriptionExecutor,
    Unauthenticated,
)
from fraiseql_subscriptions.asgi import GraphQLSubscriptions
from fraiseql_subscriptions.loop import Feed
from fraiseql_subscriptions.operation import EngineOperation

pytestmark = pytest.mark.asyncio

THING = "subscription { thing { id } }"
OTHER = "subscription { other { id } }"
#: How each protocol begins and ends an operation, and calls its responses.
PROTOCOLS = {
    "graphql-transport-ws": ("subscribe", "complete", "next"),
    "graphql-ws": ("start", "stop", "data"),
}


def serve(
    executor: SubscriptionExecutor, *contexts: SecurityContext | None
) -> GraphQLSubscriptions:
    """An application whose clients have these contexts, in the order in which they come."""
    executor.field("thing", channels="things")
    executor.field("other", channels="others")
    coming = iter(contexts)

    def on_connect(params: dict[str, Any], connection: Any) -> SecurityContext | None:
        return next(coming, None)

    return GraphQLSubscriptions(executor, on_connect=on_connect)


async def refused(socket: ClientConnection, query: str = THING, id: str = "r") -> str:
    """The code of the error that a subscription gets."""
    await say(socket, type="subscribe", id=id, payload={"query": query})
    message = await hear(socket)
    assert (message["type"], message["id"]) == ("error", id), message
    return str(message["payload"][0]["extensions"]["code"])


def engine_ids(app: GraphQLSubscriptions) -> list[str]:
    return [
        operation._feed.id
        for one in app._connections
        for operation in one._running.values()
        if isinstance(operation, EngineOperation)
    ]


@pytest.mark.parametrize("protocol", PROTOCOLS)
async def test_nobody_reads_or_ends_the_subscriptions_of_another_connection(protocol: str) -> None:
    begin, end, response = PROTOCOLS[protocol]
    async with SubscriptionExecutor() as executor:
        app = serve(executor, SecurityContext(user_id="ann"), SecurityContext(user_id="bob"))

        async def start(socket: ClientConnection, id: str, query: str) -> None:
            before = executor.get_metrics()["active"]
            await say(socket, type=begin, id=id, payload={"query": query})
            await until(lambda: executor.get_metrics()["active"] == before + 1)

        async def stop(socket: ClientConnection, id: str) -> None:
            before = executor.get_metrics()["active"]
            await say(socket, type=end, id=id)
            await until(lambda: executor.get_metrics()["active"] == before - 1)

        async def publish(id: str) -> None:
            await executor.publish("e", "things", {"id": id, "user_id": "ann"})
            await executor.publish("e", "others", {"id": id, "user_id": "bob"})

        async def heard(socket: ClientConnection) -> tuple[str, Any]:
            message = await hear(socket)
            assert message["type"] == response, message
            return message["id"], message["payload"]["data"]

        async with (
            listening(app) as url,
            dial(url, protocol) as ann,
            dial(url, protocol) as bob,
        ):
            for one in (ann, bob):
                await greet(one)
                if protocol == "graphql-ws":
                    assert await hear(one) == {"type": "ka"}
            await start(ann, "1", THING)
            await start(ann, "a name", THING)
            theirs = engine_ids(app)
            (connection,) = (one.connection_id for one in app._connections if one._running)
            guesses = sorted(
                {"1", "a name", connection, f"{connection}:1", "sub-0-0", *theirs}
                | {part for id in theirs for part in id.split("-")}
            )
            # Ending by any of these names ends nothing of Ann's.
            for guess in guesses:
                await say(bob, type=end, id=guess)
            await publish("first")
            for id in ("1", "a name"):
                assert await heard(ann) == (id, {"thing": {"id": "first"}})
            # Using them is a name of Bob's own: he gets his events under them and no other.
            for guess in guesses:
                await start(bob, guess, OTHER)
            await publish("second")
            for id in ("1", "a name"):
                assert await heard(ann) == (id, {"thing": {"id": "second"}})
            answers = sorted([await heard(bob) for _ in guesses], key=lambda one: one[0])
            assert answers == [(guess, {"other": {"id": "second"}}) for guess in guesses]
            # Nor does it help to ask for the field itself: Ann's events are not his.
            await start(bob, "curious", THING)
            await publish("third")
            for id in ("1", "a name"):
                assert await heard(ann) == (id, {"thing": {"id": "third"}})
            answers = sorted([await heard(bob) for _ in guesses], key=lambda one: one[0])
            assert answers == [(guess, {"other": {"id": "third"}}) for guess in guesses]
            # Ending what he has called so ends his own.
            for guess in guesses:
                await stop(bob, guess)
                if protocol == "graphql-ws":
                    assert await hear(bob) == {"id": guess, "type": "complete"}
            await publish("fourth")
            for id in ("1", "a name"):
                assert await heard(ann) == (id, {"thing": {"id": "fourth"}})
            # And nothing of hers goes with him, nor is anything left for him to hear.
            await bob.close()
            left = [json.loads(one) async for one in bob]
            assert left == []
            await until(lambda: executor.get_metrics()["active"] == 2)
            await publish("fifth")
            for id in ("1", "a name"):
                assert await heard(ann) == (id, {"thing": {"id": "fifth"}})
            # Her engine's ids were named, once each, where nothing of his was called so.
            assert executor.get_metrics()["violations"]["foreign_subscription"] == len(theirs)


@pytest.mark.parametrize("protocol", PROTOCOLS)
async def test_naming_anothers_subscriptions_again_and_again_cuts_the_connection_off(
    protocol: str,
) -> None:
    begin, end, response = PROTOCOLS[protocol]
    policy = SecurityPolicy(max_violations=5, violation_window=1000)
    async with SubscriptionExecutor(security=policy) as executor:
        app = serve(executor)
        async with (
            listening(app) as url,
            dial(url, protocol) as ann,
            dial(url, protocol) as bob,
        ):
            for one in (ann, bob):
                await greet(one)
                if protocol == "graphql-ws":
                    assert await hear(one) == {"type": "ka"}
            await say(ann, type=begin, id="1", payload={"query": THING})
            await until(lambda: len(engine_ids(app)) == 1)
            (hers,) = engine_ids(app)
            await say(bob, type=begin, id="1", payload={"query": THING})
            await until(lambda: len(engine_ids(app)) == 2)
            (own,) = set(engine_ids(app)) - {hers}
            for _ in range(10):  # no violations: his own, nobody's, what Ann calls hers
                for id in (own, "sub-0-0", "sub-1-999999", "sub--1", "2", "a\u00e9"):
                    await say(bob, type=end, id=id)
            for _ in range(5):
                await say(bob, type=end, id=hers)
            await until(lambda: executor.get_metrics()["violations"]["foreign_subscription"] == 5)
            assert executor.get_metrics()["active"] == 2
            await say(bob, type=end, id=hers)
            message = await hear(bob)
            assert (message["type"], message["id"]) == ("error", "1")
            assert "TOO_MANY_VIOLATIONS" in json.dumps(message["payload"])
            await say(bob, type=begin, id="2", payload={"query": THING})
            message = await hear(bob)
            assert message["type"] == "error"
            assert "TOO_MANY_VIOLATIONS" in json.dumps(message["payload"])
            await executor.publish("e", "things", {"id": "x"})
            assert (await hear(ann))["type"] == response
            metrics = executor.get_metrics()
            assert (metrics["active"], metrics["breaker_trips"]) == (1, 1)


async def test_who_was_revoked_gets_in_no_more_until_it_is_somebody_again() -> None:
    async with SubscriptionExecutor() as executor:
        ann, bob = SecurityContext(user_id="ann"), SecurityContext(user_id="bob", tenant_id=1)
        app = serve(executor, ann, bob)
        async with listening(app) as url, dial(url) as first, dial(url) as second:
            await greet(first)
            await greet(second)
            await subscribed(first, THING)
            await subscribed(second, THING)
            assert executor.revoke(user_id="ann") == 1
            assert (await hear(first))["payload"][0]["extensions"] == {"code": "UNAUTHENTICATED"}
            assert await refused(first) == "UNAUTHENTICATED"
            assert executor.revoke(user_id="ann") == 0  # with nothing left to end
            assert await refused(first) == "UNAUTHENTICATED"
            assert executor.revoke(tenant_id=1) == 1
            assert (await hear(second))["payload"][0]["extensions"] == {"code": "FORBIDDEN"}
            assert await refused(second) == "FORBIDDEN"
            assert executor.get_metrics()["active"] == 0
            assert executor.get_metrics()["refused"] == {"FORBIDDEN": 1, "UNAUTHENTICATED": 2}
            for one in app._connections:
                with contextlib.suppress(Unauthenticated, AuthorizationError):
                    raise AssertionError(one._operations.context)
            (connection,) = {
                one.connection_id
                for one in app._connections
                if one._operations._context.user_id == "ann"
            }
            assert executor.update_context(connection, ann) == 0
            await subscribed(first, THING)
            await executor.publish("e", "things", {"id": 1, "user_id": "ann"})
            assert (await hear(first))["type"] == "next"
            assert await refused(second) == "FORBIDDEN"


async def test_a_client_subscribes_as_who_it_is_now_and_not_as_who_it_came() -> None:
    policy = SecurityPolicy(permissions={"thing": "thing:read", "other": None})
    came = SecurityContext(tenant_id=1, permissions={"thing:read"})
    known: list[str] = []

    def on_connect(params: dict[str, Any], connection: Any) -> SecurityContext:
        known.append(connection.state.connection_id)
        return came

    async with SubscriptionExecutor(security=policy) as executor:
        executor.field("thing", channels="things")
        executor.field("other", channels="others")
        app = GraphQLSubscriptions(executor, on_connect=on_connect)
        async with listening(app) as url, dial(url) as socket:
            await greet(socket)
            (connection,) = known
            # It has nothing that the call could end or change.
            assert executor.revoke(permission="thing:read") == 0
            assert await refused(socket) == "FORBIDDEN"
            await subscribed(socket, OTHER)
            become = SecurityContext(tenant_id=2, permissions={"thing:read"})
            assert executor.update_context(connection, become) == 1
            await subscribed(socket, THING, id="2")
            for tenant in (1, 2):
                await executor.publish("e", "others", {"id": tenant, "tenant_id": tenant})
                await executor.publish("e", "things", {"id": tenant, "tenant_id": tenant})
            heard = [await hear(socket), await hear(socket)]
            assert {one["id"]: list(one["payload"]["data"].values()) for one in heard} == {
                "1": [{"id": 2}],
                "2": [{"id": 2}],
            }
            assert executor.update_context(connection, SecurityContext(permissions=())) == 1
            assert (await hear(socket))["payload"][0]["extensions"] == {"code": "FORBIDDEN"}
            assert await refused(socket) == "FORBIDDEN"


async def test_who_has_expired_is_told_so_when_it_subscribes_again() -> None:
    async with SubscriptionExecutor() as executor:
        app = serve(executor, SecurityContext(expires_at=time.time() + 2))
        async with listening(app) as url, dial(url) as socket:
            await greet(socket)
            await subscribed(socket, THING)
            message = await hear(socket)
            assert message["payload"][0]["extensions"] == {"code": "EXPIRED"}
            assert await refused(socket) == "EXPIRED"
            assert executor.get_metrics()["refused"] == {"EXPIRED": 1}


async def test_a_client_is_told_of_the_end_also_while_its_subscription_is_emptied(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    async with SubscriptionExecutor() as executor:
        app = serve(executor)
        async with listening(app) as url, dial(url) as socket:
            await greet(socket)
            await subscribed(socket, THING)
            (subscription,) = engine_ids(app)
            met = empty_while_read(monkeypatch, executor, subscription)
            assert executor.invalidate({}) == 1
            assert (await hear(socket)) == {"id": "1", "type": "complete"}
            met()


async def test_a_closed_connection_leaves_nothing_of_who_it_was() -> None:
    async with SubscriptionExecutor() as executor:
        app = serve(executor, SecurityContext(user_id="ann"))
        async with listening(app) as url:
            async with dial(url) as socket:
                await greet(socket)
                (connection,) = (one.connection_id for one in app._connections)
            await until(lambda: not app._connections)
            executor.revoke(user_id="ann")
            # The application may use the id as any: nobody is known by it.
            assert executor.register_subscription(connection, 1, THING, user_id="ann")


async def test_what_a_transport_refuses_is_told_and_counted() -> None:
    records: list[AuditRecord] = []
    policy = SecurityPolicy(require_context=True)
    async with SubscriptionExecutor(security=policy, audit=records.append) as executor:
        executor.field("thing", channels="things.{at}")
        app = GraphQLSubscriptions(
            executor, on_connect=lambda _, __: SecurityContext(user_id="ann")
        )
        async with listening(app) as url, dial(url) as socket:
            await greet(socket)
            (connection,) = (one.connection_id for one in app._connections)
            queries = (
                "subscription { secret { id } }",
                "subscription {",
                'subscription { thing(at: "*") { id } }',
            )
            for number, query in enumerate(queries):
                assert await refused(socket, query, id=str(number)) == "INVALID_QUERY"
            extensions = {"since": 5}
            payload = {"query": 'subscription { thing(at: "a") { id } }', "extensions": extensions}
            await say(socket, type="subscribe", id="3", payload=payload)
            assert (await hear(socket))["payload"][0]["extensions"] == {"code": "INVALID_QUERY"}
            await until(lambda: len(records) == 4)
            assert {(one.kind, one.code, one.user_id) for one in records} == {
                ("refused", "INVALID_QUERY", "ann")
            }
            assert [one.subscription_id for one in records] == ["0", "1", "2", "3"]
            assert {one.connection_id for one in records} == {connection}
            assert "secret" in records[0].reason
            assert executor.get_metrics()["refused"] == {"INVALID_QUERY": 4}
            await subscribed(socket, payload["query"])  # type: ignore[arg-type]


class Emptied(deque[bytes]):
    """A feed's messages that another thread takes away between a look and the next step."""

    looks = 0

    def __bool__(self) -> bool:
        self.looks += 1
        found = len(self) > 0
        self.clear()
        return found


async def test_a_connection_survives_what_another_thread_empties_under_its_hands() -> None:
    async with SubscriptionExecutor() as executor:
        app = serve(executor)
        async with listening(app) as url, dial(url) as socket:
            await greet(socket)
            await subscribed(socket, THING)
            (one,) = app._connections
            (operation,) = one._running.values()
            assert isinstance(operation, EngineOperation)
            feed = operation._feed
            taken = feed.buffer = Emptied([b"never sent"])
            feed.wake()
            await until(lambda: taken.looks)
            feed.buffer = deque()
            await executor.publish("e", "things", {"id": 1})
            assert (await hear(socket))["payload"] == {"data": {"thing": {"id": 1}}}


class Slow(dict[str, Feed]):
    """A loop's feeds. While the loop hands on the second text a thread settles the others.

    That thread waits, in the middle of it, until the loop needs what it holds.
    """

    def __init__(self, feeds: dict[str, Feed], settle: threading.Thread) -> None:
        super().__init__(feeds)
        self.settle = settle
        self.entered, self.left = threading.Event(), threading.Event()
        self.sent = self.looks = self.others = 0

    def send(self) -> None:
        """A text is sent: in the callback that drained it, where callbacks can run errands."""
        self.sent += 1
        if self.sent == 2 and self.settle.ident is None:
            self._begin()

    def _begin(self) -> None:
        self.settle.start()
        assert self.entered.wait(20)

    def get(self, id: str, default: Any = None) -> Any:
        if threading.current_thread() is self.settle:
            self.others += 1
            if self.others == 2:  # after that for the one whose rights were taken
                self.entered.set()
                assert self.left.wait(20)
        else:
            self.looks += 1
            if self.looks == 2 and not self.sent:  # texts are taken under the lock (see `Pump`)
                self._begin()
            if self.entered.is_set():
                self.left.set()
        return super().get(id, default)


async def test_nobody_gets_anothers_message_when_a_thread_revokes_meanwhile() -> None:
    async with SubscriptionExecutor() as executor:
        contexts = [SecurityContext(user_id=name) for name in ("ann", "bob", "eve", "fay", "gus")]
        come = iter(contexts)
        executor.field("thing", channels="things.{at}")
        app = GraphQLSubscriptions(executor, on_connect=lambda _, __: next(come))
        slow: list[Slow] = []

        async def middleware(scope: Any, receive: Any, send: Any) -> None:
            async def sending(message: MutableMapping[str, Any]) -> None:
                for feeds in slow:
                    feeds.send()
                await send(message)

            await app(scope, receive, sending)

        async with listening(middleware) as url, contextlib.AsyncExitStack() as sockets:
            clients = [await sockets.enter_async_context(dial(url)) for _ in contexts]
            for client, context in zip(clients, contexts, strict=True):
                await greet(client)
                query = f'subscription {{ thing(at: "{context.user_id}") {{ id }} }}'
                await subscribed(client, query, id=str(context.user_id))
            revoking = threading.Thread(target=executor.revoke, kwargs={"user_id": "gus"})
            consumer = executor._hub.consumer()  # type: ignore[union-attr]
            consumer.feeds = feeds = Slow(consumer.feeds, revoking)
            slow.append(feeds)
            executor.publish_events(
                [
                    ("e", f"things.{one.user_id}", {"id": one.user_id, "user_id": one.user_id})
                    for one in contexts
                ]
            )
            for client, context in zip(clients[:-1], contexts, strict=False):
                message = await hear(client)
                assert message["id"] == context.user_id
                assert message["payload"] == {"data": {"thing": {"id": context.user_id}}}
            await until(lambda: not revoking.is_alive())
            assert feeds.left.is_set()
            message = await hear(clients[-1])
            if message["type"] == "next":  # it was handed on before
                assert message["id"] == "gus"
                message = await hear(clients[-1])
            assert message["payload"][0]["extensions"] == {"code": "UNAUTHENTICATED"}


async def test_a_refused_context_turns_the_client_away() -> None:
    async with SubscriptionExecutor() as executor:
        app = serve(executor, SecurityContext(user_id="\ud800"))  # which no text can hold
        async with listening(app) as url, dial(url) as socket:
            await say(socket, type="connection_init")
            assert await closed(socket) == (1011, "Internal error")
