"""What a stream had taken when it was closed or dropped: others read it, once and in order."""

# ruff: noqa: A001, A002  (`id` is a name of the public API)

from __future__ import annotations

import asyncio
import gc
import json
import select
import sys
import threading
from collections.abc import Iterator
from typing import Any

import pytest

from fraiseql_subscriptions import (
    QueuePolicy,
    SecurityContext,
    SubscriptionExecutor,
    SubscriptionNotFound,
)
from fraiseql_subscriptions.aio import Hub, Stream
from fraiseql_subscriptions.loop import Feed, LoopConsumer

PATIENCE = 20
THING = "subscription { thing { id } }"


def number(message: bytes | None) -> Any:
    assert message is not None
    return json.loads(message)["payload"]["data"]["thing"]["id"]


def publish(executor: SubscriptionExecutor, *numbers: int) -> None:
    for n in numbers:
        executor.publish_event("t", "things", {"id": n, "tenant_id": 1})


def drained(executor: SubscriptionExecutor) -> list[Any]:
    return [number(message) for _, message in executor.drain()]


def readable(executor: SubscriptionExecutor) -> bool:
    return bool(select.select([executor.fileno()], [], [], 0)[0])


async def begun(executor: SubscriptionExecutor) -> Stream:
    """A stream that has read 0, and taken 1 and 2."""
    context = SecurityContext(tenant_id=1)
    id = executor.register_subscription("c", 1, THING, context=context)
    stream = executor.stream(id)
    publish(executor, 0, 1, 2)
    assert number(await asyncio.wait_for(anext(stream), PATIENCE)) == 0
    return stream


@pytest.mark.asyncio
@pytest.mark.parametrize("first", ["the descriptor", "the stream"])
async def test_the_descriptor_tells_of_what_a_stream_left(
    executor: SubscriptionExecutor, first: str
) -> None:
    if first == "the descriptor":
        assert not readable(executor)
    stream = await begun(executor)
    stream.close()
    assert readable(executor)
    assert [number(message) for _, message in executor.drain(1)] == [1]
    assert readable(executor)
    assert drained(executor) == [2]
    assert drained(executor) == []
    assert not readable(executor)


@pytest.mark.asyncio
async def test_nobody_gets_ahead_of_a_stream_that_is_being_closed(
    executor: SubscriptionExecutor, monkeypatch: pytest.MonkeyPatch
) -> None:
    give_up = LoopConsumer.give_up
    got: list[Any] = []

    def giving_up(consumer: LoopConsumer, feed: Feed, *rest: Any) -> None:
        give_up(consumer, feed, *rest)
        publish(executor, 3)
        got.extend(drained(executor))

    monkeypatch.setattr(LoopConsumer, "give_up", giving_up)
    (await begun(executor)).close()
    assert got + drained(executor) == [1, 2, 3]


@pytest.mark.asyncio
async def test_a_dropped_stream_is_not_overtaken_before_its_loop_has_put_anything_back(
    executor: SubscriptionExecutor,
) -> None:
    stream = await begun(executor)
    id = stream.id
    del stream
    publish(executor, 3)
    assert number(executor.next_event(id)) == 1
    assert [number(one) for one in executor.next_events(id)] == [2, 3]
    stream = executor.stream(id)
    publish(executor, 4, 5)
    assert number(await asyncio.wait_for(anext(stream), PATIENCE)) == 4
    del stream
    publish(executor, 6)
    assert drained(executor) == [5, 6]
    await asyncio.sleep(0)  # now the loop comes to it
    publish(executor, 7)
    assert drained(executor) == [7]
    assert not executor._leftovers


@pytest.mark.parametrize("held", [True, False])
def test_a_closed_loops_stream_leaves_its_messages_too(
    executor: SubscriptionExecutor, held: bool
) -> None:
    loop = asyncio.new_event_loop()
    stream: Stream | None = loop.run_until_complete(begun(executor))
    assert stream is not None
    id = stream.id
    loop.close()
    if not held:
        del stream
        assert drained(executor) == [1, 2]
        return

    async def main() -> list[Any]:
        again = executor.stream(id)
        return [number(await asyncio.wait_for(anext(again), PATIENCE)) for _ in range(2)]

    assert asyncio.run(main()) == [1, 2]


@pytest.mark.asyncio
async def test_a_subscription_completed_while_its_stream_is_closed_leaves_nothing(
    executor: SubscriptionExecutor, monkeypatch: pytest.MonkeyPatch
) -> None:
    find = Hub._find
    stream = await begun(executor)

    def finding(hub: Hub, id: str) -> Feed | None:
        monkeypatch.setattr(Hub, "_find", find)
        stream.close()  # as its loop's thread may at this moment
        return find(hub, id)

    monkeypatch.setattr(Hub, "_find", finding)
    assert executor.complete_subscription(stream.id)
    with pytest.raises(SubscriptionNotFound):
        executor.next_event(stream.id)
    assert not executor._leftovers


@pytest.mark.asyncio
async def test_what_a_stream_left_is_dropped_with_the_rights_to_it(
    executor: SubscriptionExecutor,
) -> None:
    stream = await begun(executor)
    stream.close()
    executor.update_context("c", SecurityContext(tenant_id=2))
    assert executor.next_event(stream.id) is None


@pytest.fixture
def restless() -> Iterator[None]:
    """Threads give way to each other as often as they can."""
    before = sys.getswitchinterval()
    sys.setswitchinterval(1e-6)
    yield
    sys.setswitchinterval(before)


@pytest.mark.usefixtures("restless")
@pytest.mark.parametrize("end", ["close", "drop"])
def test_streams_that_come_and_go_and_a_thread_that_drains_share_every_message(
    executor: SubscriptionExecutor, end: str
) -> None:
    count = 2000
    id = executor.register_subscription("c", 1, THING, queue=QueuePolicy(max_responses=count))
    by_loop: list[int] = []
    by_drain: list[int] = []
    everything = threading.Event()
    errors: list[BaseException] = []

    def look() -> None:
        if len(by_loop) + len(by_drain) >= count:
            everything.set()

    async def stream() -> None:
        while not everything.is_set():
            stream = executor.stream(id)
            for _ in range(3):  # or the loop takes nothing
                await asyncio.sleep(0)
            some = range(min(len(stream._feed.buffer), 7))
            by_loop.extend([number(await anext(stream)) for _ in some])
            look()
            if end == "close":
                stream.close()
            del stream
            await asyncio.sleep(0)

    def drain() -> None:
        while not everything.is_set():
            by_drain.extend(number(message) for _, message in executor.drain(50))
            look()

    def guarded(function: Any, *arguments: Any) -> None:
        try:
            function(*arguments)
        except BaseException as error:
            errors.append(error)
            everything.set()

    threads = [
        threading.Thread(target=guarded, args=(lambda: asyncio.run(stream()),)),
        threading.Thread(target=guarded, args=(drain,)),
    ]
    for thread in threads:
        thread.start()
    publish(executor, *range(count))
    assert everything.wait(PATIENCE), (len(by_loop), len(by_drain))
    for thread in threads:
        thread.join(PATIENCE)
        assert not thread.is_alive()
    assert not errors
    assert sorted(by_loop + by_drain) == list(range(count))
    assert (by_loop, by_drain) == (sorted(by_loop), sorted(by_drain))


@pytest.mark.asyncio
async def test_who_reads_on_while_a_stream_is_collected_keeps_the_subscription(
    executor: SubscriptionExecutor, monkeypatch: pytest.MonkeyPatch
) -> None:
    stream: Any = await begun(executor)
    id = stream.id
    found: list[Stream] = []
    note = Hub.note

    def noting(hub: Hub, *arguments: Any) -> None:
        if not found:  # as another thread, between two steps of the collected one's __del__
            found.append(executor.stream(id))
        note(hub, *arguments)

    monkeypatch.setattr(Hub, "note", noting)
    cycle = [stream]
    cycle.append(cycle)
    del stream, cycle
    gc.collect()
    second = found[0]
    await asyncio.sleep(0)  # what was scheduled
    publish(executor, 3)
    read = [number(await asyncio.wait_for(anext(second), PATIENCE)) for _ in range(3)]
    assert read == [1, 2, 3]
    # Collected while `note` is put back, it would have CPython 3.10 and 3.11 call what was freed.
    second.close()
    assert drained(executor) == []
