"""What an application sees of a bus that is a server, the same on Redis and PostgreSQL."""

# ruff: noqa: A001  (`id` is a name of the public API)

from __future__ import annotations

import asyncio
import gc
import json
import threading
import time
import weakref
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Any

import pytest
from postgres_server import PostgresServer, run_server
from redis_server import RedisServer, run_redis

from fraiseql_subscriptions import (
    BusUnavailable,
    DispatchTimeout,
    DuplicateSubscription,
    EngineClosed,
    EventBusConfig,
    PublishOutcomeUnknown,
    QueuePolicy,
    SecurityContext,
    SubscriptionExecutor,
)

if TYPE_CHECKING:
    from subprocess import CompletedProcess

QUERY = "subscription { order { id } }"
PATIENCE = 30.0


@pytest.fixture(scope="module")
def postgres() -> Iterator[PostgresServer]:
    with run_server() as server:
        yield server


@pytest.fixture(scope="module")
def redis() -> Iterator[RedisServer]:
    with run_redis() as server:
        yield server


@pytest.fixture(params=["redis", "postgresql"])
def url(request: pytest.FixtureRequest) -> str:
    """An empty bus of a running server."""
    if request.param == "redis":
        server: RedisServer = request.getfixturevalue("redis")
        server.command("FLUSHALL")
        return server.url
    postgres: PostgresServer = request.getfixturevalue("postgres")
    return postgres.installed()


@pytest.fixture
def node(url: str) -> Iterator[Callable[..., SubscriptionExecutor]]:
    """Make executors on the bus, closed at the end."""
    nodes: list[SubscriptionExecutor] = []

    def make(**options: Any) -> SubscriptionExecutor:
        nodes.append(SubscriptionExecutor(url, **options))
        return nodes[-1]

    yield make
    for one in nodes:
        one.close()


def number_in(message: bytes) -> Any:
    return json.loads(message)["payload"]["data"]["order"]["id"]


def ids(executor: SubscriptionExecutor, subscription: str, count: int) -> list[Any]:
    """The next `count` ids that a subscription gets."""
    found: list[Any] = []
    deadline = time.monotonic() + PATIENCE
    tick = threading.Event()
    while len(found) < count:
        assert time.monotonic() < deadline, f"{count} responses did not come, but {found}"
        found.extend(map(number_in, executor.next_events(subscription)))
        tick.wait(0.002)
    assert len(found) == count
    return found


Node = Callable[..., SubscriptionExecutor]


def test_every_node_sees_every_event_in_one_order(node: Node) -> None:
    nodes = [node() for _ in range(3)]
    subscriptions = [
        one.register_subscription("c", "1", QUERY, channels=["orders.*", "bills"]) for one in nodes
    ]
    for number in range(60):
        nodes[number % 3].publish_event("t", ("orders.eu", "bills")[number % 2], {"id": number})
    seen = [ids(one, id, 60) for one, id in zip(nodes, subscriptions, strict=True)]
    assert seen == [list(range(60))] * 3


def test_an_event_was_dispatched_here_when_publishing_returns(node: Node) -> None:
    executor = node()
    id = executor.register_subscription("c", "1", QUERY, channels="orders")
    for number in range(50):
        executor.publish_event("t", "orders", {"id": number})
        message = executor.next_event(id)
        assert message is not None
        assert json.loads(message)["payload"]["data"] == {"order": {"id": number}}


def test_the_first_event_of_a_channel_is_not_missed(node: Node) -> None:
    reader, writer = node(), node()
    for number in range(20):
        name = f"new.{number}"
        exact = reader.register_subscription("c", f"e{number}", QUERY, channels=name)
        wild = reader.register_subscription("c", f"w{number}", QUERY, channels=f"*.{number}")
        writer.publish_event("t", name, {"id": number}, wait="accepted")
        assert ids(reader, exact, 1) == ids(reader, wild, 1) == [number]
        reader.complete_subscription(exact)
        reader.complete_subscription(wild)


def test_a_client_resumes_on_another_node(node: Node) -> None:
    first, second = node(), node()
    id = first.register_subscription("c", "1", QUERY, channels="orders.*", positions=True)
    positions = []
    for number in range(30):
        first.publish_event("t", f"orders.{number % 4}", {"id": number})
        message = json.loads(first.next_event(id) or b"null")
        positions.append(message["payload"]["extensions"]["position"])
    for number, since in enumerate(positions):
        again = second.register_subscription(
            "c", f"a{number}", QUERY, channels="orders.*", since=since
        )
        # Order is a channel's; Redis tells no order between those of one millisecond.
        got = ids(second, again, 29 - number)
        assert sorted(got) == list(range(number + 1, 30))
        assert sorted(got, key=lambda n: (n % 4, n)) == sorted(got, key=lambda n: n % 4)
        assert second.next_event(again) is None
        second.complete_subscription(again)


def test_a_foreign_position_starts_live_and_says_so(node: Node) -> None:
    executor = node()
    id = executor.register_subscription("c", "1", QUERY, channels="orders", since="other:5")
    executor.publish_event("t", "orders", {"id": 1})
    message = json.loads(executor.next_event(id) or b"null")
    assert message["payload"] == {
        "data": {"order": {"id": 1}},
        "extensions": {"recovered": False},
    }


def test_resolvers_run_outside_the_reader_and_may_publish(node: Node) -> None:
    executor = node()
    entered, release = threading.Event(), threading.Event()

    def resolve(data: dict[str, Any]) -> Any:
        if data["id"] == 0:
            entered.set()
            assert release.wait(PATIENCE)
            executor.publish_event("t", "inner", {"id": 100})
        return {"order": {"id": data["id"]}}

    slow = executor.register_subscription("c", "1", QUERY, channels="slow", resolver=resolve)
    inner = executor.register_subscription("c", "2", QUERY, channels="inner")
    executor.publish_event("t", "slow", {"id": 0}, wait="accepted")
    assert entered.wait(PATIENCE)
    executor.publish_event("t", "inner", {"id": 1})  # another channel goes on
    assert ids(executor, inner, 1) == [1]
    executor.publish_event("t", "slow", {"id": 2}, wait="accepted")
    release.set()
    assert ids(executor, slow, 2) == [0, 2]
    assert ids(executor, inner, 1) == [100]


def test_a_dispatch_that_takes_too_long_is_told_with_the_position(node: Node) -> None:
    executor = node(dispatch_timeout=0.05)
    release = threading.Event()
    executor.register_subscription(
        "c", "1", QUERY, channels="slow", resolver=lambda _: release.wait(PATIENCE)
    )
    after = executor.register_subscription("c", "2", QUERY, channels="slow")
    with pytest.raises(DispatchTimeout) as caught:
        executor.publish_event("t", "slow", {"id": 1})
    assert caught.value.position

    async def publish() -> None:
        with pytest.raises(DispatchTimeout) as caught:
            await executor.publish("t", "slow", {"id": 2})
        assert caught.value.position

    asyncio.run(publish())
    release.set()
    assert ids(executor, after, 2) == [1, 2]


async def _publish_all(executor: SubscriptionExecutor, count: int) -> list[str]:
    return await asyncio.gather(
        *(executor.publish("t", "orders", {"id": number}) for number in range(count))
    )


def test_asyncio_publishes_and_reads(node: Node) -> None:
    executor = node()

    async def main() -> None:
        async with executor.subscribe(QUERY, channels="orders") as stream:
            positions = await _publish_all(executor, 200)
            assert len(set(positions)) == 200
            got = [number_in(await anext(stream)) for _ in range(200)]
            assert got == list(range(200))
            assert await executor.publish("t", "orders", {"id": 7}, wait="accepted")
            assert json.loads(await anext(stream))["payload"]["data"] == {"order": {"id": 7}}

    asyncio.run(asyncio.wait_for(main(), PATIENCE))


def test_a_batch_is_accepted_as_one_and_keeps_its_order(node: Node) -> None:
    executor, other = node(), node()
    id = other.register_subscription("c", "1", QUERY, channels="*")
    positions = executor.publish_events([("t", f"c{n % 3}", {"id": n}) for n in range(30)])
    assert len(set(positions)) == 30
    got = ids(other, id, 30)
    assert [n for n in got if n % 3 == 0] == list(range(0, 30, 3))
    assert sorted(got) == list(range(30))


def test_a_chosen_id_is_delivered_once(node: Node) -> None:
    executor, other = node(), node()
    id = executor.register_subscription("c", "1", QUERY, channels="orders")
    for one in (executor, other, executor):
        one.publish_event("t", "orders", {"id": 1}, event_id="order-1")
    executor.publish_event("t", "orders", {"id": 2})
    assert ids(executor, id, 2) == [1, 2]
    assert executor.next_event(id) is None


def test_block_queues_hold_their_publisher_until_there_is_room(node: Node) -> None:
    executor = node()
    id = executor.register_subscription(
        "c",
        "1",
        QUERY,
        channels="orders",
        queue=QueuePolicy(max_responses=1, overflow="block", block_timeout=PATIENCE),
    )
    published: list[str] = []

    def publish() -> None:
        published.extend(executor.publish_event("t", "orders", {"id": n}) for n in range(3))

    thread = threading.Thread(target=publish)
    thread.start()
    assert ids(executor, id, 3) == [0, 1, 2]
    thread.join(PATIENCE)
    assert len(published) == 3

    async def main() -> None:
        tasks = [
            asyncio.ensure_future(executor.publish("t", "orders", {"id": number}))
            for number in range(3)
        ]
        got: list[Any] = []
        while len(got) < 3:
            await asyncio.sleep(0)
            got.extend(map(number_in, executor.next_events(id)))
        assert got == [0, 1, 2]
        assert all(await asyncio.gather(*tasks))

    asyncio.run(asyncio.wait_for(main(), PATIENCE))


def test_security_holds_for_what_comes_from_outside(node: Node) -> None:
    executor, other = node(), node()
    mine = executor.register_subscription("c", "1", QUERY, context=SecurityContext(tenant_id=5))
    for tenant in (6, "5", None, 5):
        data = {"id": str(tenant), "tenant_id": tenant}
        other.publish_event("t", "orders", data, wait="accepted")
    assert ids(executor, mine, 1) == ["5"]
    assert executor.next_event(mine) is None


def test_a_refused_registration_leaves_nothing(node: Node) -> None:
    executor = node()
    executor.register_subscription("c", "1", QUERY, channels="orders")
    with pytest.raises(DuplicateSubscription):
        executor.register_subscription("c", "1", QUERY, channels="orders")
    executor.publish_event("t", "orders", {"id": 1})
    assert executor.close_connection("c") == 1
    executor.publish_event("t", "orders", {"id": 2})  # nobody follows: accepted is all


def test_closing_dispatches_what_was_accepted_and_ends_everything(node: Node) -> None:
    threads = threading.active_count()
    executor = node()
    id = executor.register_subscription("c", "1", QUERY, channels="orders")
    for number in range(20):
        executor.publish_event("t", "orders", {"id": number}, wait="accepted")

    async def main() -> None:
        stream = executor.stream(id)
        closing = asyncio.get_running_loop().run_in_executor(None, executor.close)
        got = [number_in(message) async for message in stream]
        assert got == list(range(20))
        await closing

    asyncio.run(asyncio.wait_for(main(), PATIENCE))
    with pytest.raises(EngineClosed):
        executor.publish_event("t", "orders", {"id": 1})
    assert threading.active_count() <= threads


def test_a_dropped_executor_lets_its_server_go(node: Node, url: str) -> None:
    observer = node()
    observer.register_subscription("c", "1", QUERY)
    executor: SubscriptionExecutor | None = SubscriptionExecutor(url)
    assert executor is not None
    executor.register_subscription("c", "1", QUERY, resolver=lambda data, e=executor: data)
    executor.publish_event("t", "orders", {"id": 1})
    gone = weakref.ref(executor)
    executor = None
    gc.collect()
    assert gone() is None
    assert observer.publish_event("t", "orders", {"id": 2})


# --- A server that is away --------------------------------------------------------------


@pytest.fixture
def own_redis() -> Iterator[RedisServer]:
    with run_redis() as server:
        yield server


def test_a_server_that_is_away_is_an_error_in_time(own_redis: RedisServer) -> None:
    own_redis.kill()
    bus = EventBusConfig.redis(own_redis.url, publish_timeout=0.3)
    with SubscriptionExecutor(bus) as executor:
        begun = time.monotonic()
        with pytest.raises(BusUnavailable, match="nothing was published"):
            executor.publish_event("t", "orders", {"id": 1})
        with pytest.raises(BusUnavailable, match="redis"):
            executor.register_subscription("c", "1", QUERY)
        with pytest.raises(BusUnavailable):
            executor.publish_events([("t", "orders", {"id": 1}), ("t", "bills", {"id": 1})])
        assert 0.3 < time.monotonic() - begun < PATIENCE
        health = executor.health()["bus"]["server"]
        assert health["connected"] is False
        assert "refused" in health["error"]
        assert executor.get_metrics()["published"] == 0


def test_the_loop_goes_on_while_the_server_is_away(own_redis: RedisServer) -> None:
    async def main() -> None:
        bus = EventBusConfig.redis(own_redis.url, publish_timeout=1.0)
        async with SubscriptionExecutor(bus) as executor:
            executor.register_subscription("c", "1", QUERY)
            own_redis.pause()
            publishing = asyncio.ensure_future(executor.publish("t", "orders", {"id": 1}))
            longest, last = 0.0, time.monotonic()
            while not publishing.done():
                await asyncio.sleep(0.005)
                longest = max(longest, time.monotonic() - last)
                last = time.monotonic()
            with pytest.raises((PublishOutcomeUnknown, BusUnavailable)):
                await publishing
            assert longest < 0.5  # of the second that the publish took
            own_redis.resume()

    asyncio.run(asyncio.wait_for(main(), PATIENCE))


def test_events_published_while_the_server_restarts_arrive_once(own_redis: RedisServer) -> None:
    with (
        SubscriptionExecutor(EventBusConfig.redis(own_redis.url, publish_timeout=PATIENCE)) as one,
        SubscriptionExecutor(own_redis.url) as other,
    ):
        subscriptions = [(e, e.register_subscription("c", "1", QUERY)) for e in (one, other)]
        one.publish_event("t", "orders", {"id": 0})
        own_redis.kill()
        thread = threading.Thread(
            target=lambda: [one.publish_event("t", "orders", {"id": n}) for n in range(1, 20)]
        )
        thread.start()
        own_redis.start()
        thread.join(PATIENCE)
        for executor, id in subscriptions:
            assert ids(executor, id, 20) == list(range(20))
            assert executor.next_event(id) is None


def test_ctrl_c_ends_a_publish_that_waits_for_its_server(
    own_redis: RedisServer, run_python: Callable[..., CompletedProcess[str]]
) -> None:
    own_redis.pause()
    done = run_python(
        """
        import os, signal, sys, threading, time
        from fraiseql_subscriptions import EventBusConfig, SubscriptionExecutor
        executor = SubscriptionExecutor(EventBusConfig.redis(sys.argv[1], publish_timeout=60))
        begun = []
        def interrupt():
            begun.append(time.monotonic())
            os.kill(os.getpid(), signal.SIGINT)
        threading.Timer(0.2, interrupt).start()
        try:
            executor.publish_event("t", "orders", {"id": 1})
        except KeyboardInterrupt:
            print(time.monotonic() - begun[0] < 2)
        executor.close(0.1)
        """,
        own_redis.url,
    )
    assert done.stdout == "True\n"
