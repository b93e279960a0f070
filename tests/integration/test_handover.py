"""From the engine to a reader, while another thread ends what is read: each race, once."""

# ruff: noqa: A002  (`id` is a name of the public API)

from __future__ import annotations

import asyncio
import contextlib
import errno
import threading
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from http_client import asking
from websocket_server import ask, closed, dial, greet, hear, listening, subscribed

from fraiseql_subscriptions import EngineClosed, SecurityContext, SubscriptionExecutor, loop
from fraiseql_subscriptions.aio import Hub
from fraiseql_subscriptions.asgi import GraphQLSubscriptions
from fraiseql_subscriptions.loop import Feed, LoopConsumer
from fraiseql_subscriptions.operation import EngineOperation, Request
from fraiseql_subscriptions.operations import Operations

PATIENCE = 20
THING = "subscription { thing { id } }"


def serve(executor: SubscriptionExecutor) -> GraphQLSubscriptions:
    executor.field("thing", channels="things")
    return GraphQLSubscriptions(executor)


def feed_of(app: GraphQLSubscriptions) -> Feed:
    (connection,) = app._connections
    (operation,) = connection._running.values()
    assert isinstance(operation, EngineOperation)
    return operation._feed


def elsewhere(call: Callable[..., object], *arguments: Any) -> threading.Thread:
    """Call it on another thread."""
    thread = threading.Thread(target=call, args=arguments)
    thread.start()
    return thread


@pytest.mark.asyncio
async def test_a_client_is_told_of_an_end_that_its_reader_learned_from_the_engine(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    # The engine has ended it, and the thread that asked for that has not told the reader yet.
    looked = threading.Event()
    refill, end = LoopConsumer.refill, Hub.end

    def asking(consumer: LoopConsumer, feed: Feed) -> int:
        got = refill(consumer, feed)
        if feed.ended:
            looked.set()
        return got

    def ending(hub: Hub, id: str) -> None:
        if not looked.is_set():
            feed.consumer.loop.call_soon_threadsafe(feed.wake)
            assert looked.wait(PATIENCE)
        end(hub, id)

    async with SubscriptionExecutor() as executor:
        app = serve(executor)
        async with listening(app) as url, dial(url) as socket:
            await greet(socket)
            await subscribed(socket, THING)
            feed = feed_of(app)
            monkeypatch.setattr(LoopConsumer, "refill", asking)
            monkeypatch.setattr(Hub, "end", ending)
            thread = elsewhere(executor.complete_subscription, feed.id)
            assert (await hear(socket)) == {"id": "1", "type": "complete"}
            thread.join(PATIENCE)
            assert not thread.is_alive()


@pytest.mark.asyncio
async def test_a_message_that_is_handed_on_while_the_application_ends_it_is_discarded(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    take = Feed.take

    def taking(feed: Feed, pop: Any) -> bool:
        thread = elsewhere(executor.complete_subscription, feed.id)
        thread.join(PATIENCE)
        assert not thread.is_alive()
        return take(feed, pop)

    async with SubscriptionExecutor() as executor:
        app = serve(executor)
        async with listening(app) as url, dial(url) as socket:
            await greet(socket)
            await subscribed(socket, THING)
            monkeypatch.setattr(loop, "hand_over", lambda *given: given[-1])  # it is sending
            monkeypatch.setattr(Feed, "take", taking)
            executor.publish_event("t", "things", {"id": 1})
            assert (await hear(socket)) == {"id": "1", "type": "complete"}


@pytest.mark.asyncio
async def test_what_is_sent_while_the_application_ends_it_is_the_last_of_a_drain() -> None:
    def end() -> None:
        thread = elsewhere(executor.complete_subscription, feed.id)
        thread.join(PATIENCE)
        assert not thread.is_alive()

    async with SubscriptionExecutor() as executor:
        app = serve(executor)
        ends: list[Callable[[], None]] = []

        async def middleware(scope: Any, receive: Any, send: Any) -> None:
            async def sending(message: Any) -> None:
                if ends:
                    ends.pop()()
                await send(message)

            await app(scope, receive, sending)

        async with listening(middleware) as url, dial(url) as socket:
            await greet(socket)
            await subscribed(socket, THING)
            feed = feed_of(app)
            ends.append(end)
            executor.publish_events([("t", "things", {"id": number}) for number in range(3)])
            assert (await hear(socket))["payload"]["data"]["thing"] == {"id": 0}
            assert (await hear(socket)) == {"id": "1", "type": "complete"}


COLLECTS = """
import asyncio, gc
from fraiseql_subscriptions import SubscriptionExecutor
from fraiseql_subscriptions.loop import Feed

async def main():
    async with SubscriptionExecutor() as executor:
        executor.register_subscription("c", 1, "subscription { thing { id } }")
        consumer = executor._hub.consumer()
        feed = consumer.feeds["a"] = Feed("a", consumer)
        expected = [f"text {number}" for number in range(100)]
        consumer._names, consumer._texts = ["a"] * 100, expected[::-1]
        taken = []

        def hand_on(phase, _):  # a finalizer gives the GIL up, and the loop's thread goes on
            while phase == "stop" and consumer._texts:
                taken.append(consumer._texts.pop())

        with consumer.lock:
            gc.collect()
            kept = [[] for _ in range(100)]  # CPython has no more lists ready
            gc.callbacks.append(hand_on)
            gc.set_threshold(1)
            consumer._settle()
            gc.set_threshold(700)
        assert [*taken, *(text.decode() for text in feed.buffer)] == expected

asyncio.run(main())
"""


def test_a_collection_in_the_middle_of_settling_loses_and_doubles_nothing(
    run_python: Callable[..., Any],
) -> None:
    run_python(COLLECTS)


@pytest.mark.asyncio
async def test_a_stream_that_comes_while_the_executor_closes_does_not_wait_for_ever(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    # The streams that there are have been told of their end, and the engine still works.
    told, tried = threading.Event(), threading.Event()
    finish = Hub.finish

    def finishing(hub: Hub) -> None:
        finish(hub)
        told.set()
        assert tried.wait(PATIENCE)

    executor = SubscriptionExecutor()
    first, second = (executor.register_subscription("c", n, THING) for n in range(2))
    stream = executor.stream(first)
    monkeypatch.setattr(Hub, "finish", finishing)
    thread = elsewhere(executor.close)
    assert await asyncio.to_thread(told.wait, PATIENCE)
    assert [message async for message in stream] == []
    with pytest.raises(EngineClosed):
        executor.stream(second)
    tried.set()
    await asyncio.to_thread(thread.join, PATIENCE)
    assert not thread.is_alive()


@pytest.mark.asyncio
@pytest.mark.parametrize("reader", ["subscribe", "listen", "client"])
async def test_the_plain_side_takes_nothing_from_a_reader_that_is_about_to_come(
    reader: str, executor: SubscriptionExecutor, monkeypatch: pytest.MonkeyPatch
) -> None:
    claim, adopt = Hub.claim, Hub.adopt
    drained = []

    def publish_and_drain() -> None:
        executor.publish_event("t", "things", {"id": 1})
        drained.extend(executor.drain())

    def claiming(hub: Hub, id: str, stream: Any) -> Feed:
        publish_and_drain()
        return claim(hub, id, stream)

    def adopting(hub: Hub, feed: Feed) -> None:
        publish_and_drain()
        adopt(hub, feed)

    monkeypatch.setattr(Hub, "claim", claiming)
    monkeypatch.setattr(Hub, "adopt", adopting)
    executor.fileno()
    if reader == "subscribe":
        async with executor.subscribe(THING) as stream:
            await asyncio.wait_for(anext(stream), PATIENCE)
    elif reader == "listen":
        listener = executor.listen("things")
        assert (await asyncio.wait_for(anext(listener), PATIENCE)).data == {"id": 1}
        listener.close()
    else:
        async with listening(serve(executor)) as url, dial(url) as socket:
            await greet(socket)
            await ask(socket, THING)
            assert (await hear(socket))["payload"] == {"data": {"thing": {"id": 1}}}
    assert drained == []


@pytest.mark.asyncio
@pytest.mark.parametrize("transport", ["websocket", "event stream"])
async def test_a_server_that_goes_away_tells_clients_their_end_whatever_others_publish(
    transport: str, executor: SubscriptionExecutor
) -> None:
    executor.field("thing", channels="things")
    app = GraphQLSubscriptions(executor, shutdown_grace=2)

    async def busy(scope: Any, receive: Any, send: Any) -> None:
        """There is always one more to send."""

        async def sending(message: Any) -> None:
            await send(message)
            executor.publish_event("t", "things", {"id": 1})
            for _ in range(3):  # the loop brings it
                await asyncio.sleep(0)

        await app(scope, receive, sending)

    async with contextlib.AsyncExitStack() as stack:
        url = await stack.enter_async_context(listening(busy, lifespan="off"))
        if transport == "websocket":
            socket = await stack.enter_async_context(dial(url))
            await greet(socket)
            await subscribed(socket, THING)

            async def one() -> str:
                return str((await hear(socket))["type"])
        else:
            port = int(url.rpartition(":")[2].strip("/"))
            asked = asking(port, body={"query": THING}, accept="text/event-stream")
            stream = await stack.enter_async_context(asked)

            async def one() -> str:
                return (await stream.event())[0]

        executor.publish_event("t", "things", {"id": 0})
        assert await one() == "next"
        draining = asyncio.create_task(app.drain())
        while (last := await one()) == "next":
            pass
        assert last == "complete"
        if transport == "websocket":
            assert await closed(socket) == (1001, "The server is shutting down")
        await asyncio.wait_for(draining, PATIENCE)


@pytest.mark.asyncio
async def test_an_operation_that_cannot_be_read_leaves_nothing(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    async with SubscriptionExecutor() as executor:
        executor.field("thing", channels="things")
        executor._entry()  # as the application that serves clients does
        operations = Operations(executor, "c", SecurityContext(), lambda: None)

        def fail(hub: Hub) -> LoopConsumer:
            raise OSError(errno.EMFILE, "Too many open files")

        with monkeypatch.context() as patch:
            patch.setattr(Hub, "consumer", fail)
            refused = operations.start("1", Request(THING))
            assert refused.next() is None
            assert b"INTERNAL_ERROR" in refused.errors
        assert executor.get_metrics()["active"] == 0
        begun = operations.start("1", Request(THING))
        assert begun.next() is None
        assert not begun.ended


class Watched:
    """A lock that tells when somebody wants it in vain."""

    def __init__(self, lock: Any) -> None:
        self._lock = lock
        self.wanted = threading.Event()

    def acquire(self, blocking: bool = True, timeout: float = -1) -> bool:
        if self._lock.acquire(blocking=False):
            return True
        self.wanted.set()
        return blocking and bool(self._lock.acquire(timeout=timeout))

    def release(self) -> None:
        self._lock.release()

    def __enter__(self) -> None:
        self.acquire()

    def __exit__(self, *exc_info: object) -> None:
        self.release()


@pytest.fixture
def two_loops(
    executor: SubscriptionExecutor, in_thread: Callable[..., threading.Thread]
) -> Iterator[list[LoopConsumer]]:
    """The consumers of two loops with a stream each, of user 1."""
    ready, done = threading.Barrier(3, timeout=PATIENCE), threading.Event()

    async def read() -> None:
        async with executor.subscribe(THING, context=SecurityContext(1)):
            ready.wait()
            await asyncio.to_thread(done.wait, PATIENCE)

    for _ in range(2):
        in_thread(asyncio.run, read())
    ready.wait()
    assert executor._hub is not None
    yield sorted(executor._hub._consumers.values(), key=lambda one: one.number)
    done.set()


def test_one_loops_subscription_ends_while_anothers_lock_is_held_and_wanted(
    executor: SubscriptionExecutor,
    two_loops: list[LoopConsumer],
    in_thread: Callable[..., threading.Thread],
) -> None:
    """As the garbage collector may end it: on a thread that drains what another loop reads."""
    first, last = two_loops
    watched: Any = Watched(last.lock)
    last.lock = watched
    (other,) = first.feeds

    def drain() -> None:
        with watched:
            in_thread(lambda: executor.revoke(user_id=1))
            assert watched.wanted.wait(PATIENCE)
            executor.complete_subscription(other)

    draining = in_thread(drain)
    draining.join(PATIENCE)
    assert not draining.is_alive(), "both wait for each other"


def test_two_loops_subscriptions_end_on_each_others_threads(
    executor: SubscriptionExecutor,
    two_loops: list[LoopConsumer],
    in_thread: Callable[..., threading.Thread],
) -> None:
    """As the garbage collector may end both, while each of the threads drains."""
    held = threading.Barrier(2, timeout=PATIENCE)

    def drain(own: LoopConsumer, other: LoopConsumer) -> None:
        (ended,) = other.feeds
        with own.lock:
            held.wait()
            executor.complete_subscription(ended)

    threads = [in_thread(drain, one, other) for one, other in (two_loops, two_loops[::-1])]
    for thread in threads:
        thread.join(PATIENCE)
        assert not thread.is_alive(), "both wait for each other"
