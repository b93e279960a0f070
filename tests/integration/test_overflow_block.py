"""`block`: the publisher waits for the slowest reader, within bounds, and nobody else does."""

# ruff: noqa: A001, A002  (`id` is a name of the public API)

from __future__ import annotations

import asyncio
import json
import threading
import time
from collections.abc import Callable
from typing import Any

import pytest

from fraiseql_subscriptions import QueuePolicy, SubscriptionExecutor

PATIENCE = 30.0
QUERY = "subscription { thing { n } }"
Until = Callable[..., None]
InThread = Callable[..., threading.Thread]


def block(room: int = 1, timeout: float = 1000.0, **more: Any) -> QueuePolicy:
    return QueuePolicy(max_responses=room, overflow="block", block_timeout=timeout, **more)


def numbers(executor: SubscriptionExecutor, id: str, maximum: int = 256) -> list[int]:
    return [
        json.loads(message)["payload"]["data"]["thing"]["n"]
        for message in executor.next_events(id, maximum)
    ]


def queued(executor: SubscriptionExecutor) -> int:
    """Responses in queues, those that wait beyond the bound included."""
    count: int = executor.get_metrics()["queued"]
    return count


def dropped(executor: SubscriptionExecutor) -> int:
    count: int = executor.get_metrics()["dropped"]["block"]
    return count


def test_the_publisher_goes_on_when_its_response_fits(
    executor: SubscriptionExecutor, in_thread: InThread, until: Until
) -> None:
    id = executor.register_subscription("c", 1, QUERY, queue=block(2))
    for n in range(2):
        executor.publish_event("t", "c", {"n": n})
    publisher = in_thread(executor.publish_event, "t", "c", {"n": 2})
    until(lambda: queued(executor) == 3, "the publisher")
    assert publisher.is_alive()
    assert numbers(executor, id, 1) == [0]
    publisher.join(PATIENCE)
    assert not publisher.is_alive()
    assert numbers(executor, id) == [1, 2]
    assert dropped(executor) == 0


def test_a_blocked_publisher_holds_up_nobody_else(
    executor: SubscriptionExecutor, in_thread: InThread, until: Until
) -> None:
    full = executor.register_subscription("c", 1, QUERY, queue=block())
    other = executor.register_subscription("c", 2, QUERY)
    answered = executor.register_subscription(
        "c", 3, QUERY, resolver=lambda data: {"thing": {"n": -data["n"]}}
    )
    executor.publish_event("t", "c", {"n": 0})
    publishers = []
    for n in range(1, 4):  # several publishers wait for one queue, and the channel goes on
        publishers.append(in_thread(executor.publish_event, "t", "c", {"n": n}))
        until(lambda n=n: queued(executor) == 3 * (n + 1), f"event {n}")
    executor.publish_event("t", "c", {"n": 4}, wait="accepted")
    assert all(publisher.is_alive() for publisher in publishers)
    assert numbers(executor, other) == [0, 1, 2, 3, 4]
    assert numbers(executor, answered) == [0, -1, -2, -3, -4]
    for n, publisher in enumerate(publishers):
        assert numbers(executor, full, 1) == [n]
        publisher.join(PATIENCE)
        assert not publisher.is_alive()
        assert all(later.is_alive() for later in publishers[n + 1 :])
    assert numbers(executor, full) == [3]
    assert dropped(executor) == 1  # 4, which nobody waited with


def test_after_the_timeout_it_counts_as_dropped(executor: SubscriptionExecutor) -> None:
    id = executor.register_subscription("c", 1, QUERY, queue=block(2, timeout=0.05))
    began = time.monotonic()
    executor.publish_events([("t", "c", {"n": n}) for n in range(4)])
    assert time.monotonic() - began >= 0.05
    assert numbers(executor, id) == [0, 1]
    assert dropped(executor) == 2
    executor.publish_event("t", "c", {"n": 4})  # and the queue works on
    assert numbers(executor, id) == [4]


def test_no_timeout_at_all_is_drop_newest(executor: SubscriptionExecutor) -> None:
    id = executor.register_subscription("c", 1, QUERY, queue=block(2, timeout=0))
    executor.publish_events([("t", "c", {"n": n}) for n in range(4)])
    assert numbers(executor, id) == [0, 1]
    assert dropped(executor) == 2


def test_the_wait_is_not_part_of_the_dispatch_timeout(in_thread: InThread, until: Until) -> None:
    with SubscriptionExecutor(dispatch_timeout=0.01) as executor:
        id = executor.register_subscription("c", 1, QUERY, queue=block())
        executor.publish_event("t", "c", {"n": 0})
        publisher = in_thread(executor.publish_event, "t", "c", {"n": 1})
        until(lambda: queued(executor) == 2, "the publisher")
        publisher.join(0.1)
        assert publisher.is_alive()

        async def main() -> None:
            task = asyncio.ensure_future(executor.publish("t", "c", {"n": 2}))
            await asyncio.wait([task], timeout=0.1)
            assert not task.done()
            assert numbers(executor, id) == [0, 1, 2]
            await asyncio.wait_for(task, PATIENCE)

        asyncio.run(main())


def test_bytes_are_waited_for_too(
    executor: SubscriptionExecutor, in_thread: InThread, until: Until
) -> None:
    id = executor.register_subscription(
        "c", 1, "subscription { thing { text } }", queue=block(1000, max_bytes=10_000)
    )
    executor.publish_event("t", "c", {"text": "x" * 6000})
    publisher = in_thread(executor.publish_event, "t", "c", {"text": "y" * 6000})
    until(lambda: queued(executor) == 2, "the publisher")
    assert publisher.is_alive()
    assert len(executor.next_events(id, 1)) == 1
    publisher.join(PATIENCE)
    assert not publisher.is_alive()
    executor.publish_event("t", "c", {"text": "z" * 20_000})  # can never fit: dropped at once
    assert dropped(executor) == 1


@pytest.mark.parametrize("how", ["complete", "connection", "close", "drain"])
def test_whatever_makes_room_ends_the_wait(
    executor: SubscriptionExecutor, in_thread: InThread, until: Until, how: str
) -> None:
    executor.drain()
    id = executor.register_subscription("c", 1, QUERY, queue=block())
    executor.publish_event("t", "c", {"n": 0})
    publishers = [
        in_thread(executor.publish_event, "t", "c", {"n": 1}),
        in_thread(executor.publish_events, [("t", "c", {"n": 2}), ("t", "c", {"n": 3})]),
    ]
    until(lambda: queued(executor) == 4, "the publishers")
    if how == "complete":
        assert executor.complete_subscription(id)
    elif how == "connection":
        assert executor.close_connection("c") == 1
    elif how == "close":
        executor.close()
    else:
        assert len(executor.drain()) == 4
    for publisher in publishers:
        publisher.join(PATIENCE)
        assert not publisher.is_alive()
    if how != "close":
        assert queued(executor) == 0
        assert dropped(executor) == 0


def test_setting_a_resolver_leaves_the_wait_alone(
    executor: SubscriptionExecutor, in_thread: InThread, until: Until
) -> None:
    id = executor.register_subscription("c", 1, QUERY, queue=block())
    executor.publish_event("t", "c", {"n": 0})
    publisher = in_thread(executor.publish_event, "t", "c", {"n": 1})
    until(lambda: queued(executor) == 2, "the publisher")
    executor.register_resolver(id, lambda data: {"thing": {"n": -data["n"]}})
    later = in_thread(executor.publish_event, "t", "c", {"n": 2})
    until(lambda: queued(executor) == 3, "the second publisher")
    assert publisher.is_alive()
    assert numbers(executor, id) == [0, 1, -2]
    for thread in (publisher, later):
        thread.join(PATIENCE)
        assert not thread.is_alive()


def test_a_resolver_that_publishes_does_not_wait(executor: SubscriptionExecutor) -> None:
    full = executor.register_subscription("c", 1, QUERY, channels="full", queue=block())

    def resolver(data: dict[str, Any]) -> dict[str, Any]:
        for n in range(3):
            executor.publish_event("t", "full", {"n": n})
        return {"thing": data}

    executor.register_subscription("c", 2, QUERY, channels="in", resolver=resolver)
    executor.publish_event("t", "in", {"n": 0})
    assert numbers(executor, full) == [0]
    assert dropped(executor) == 2


def test_an_async_answer_takes_its_place_within_the_bound(executor: SubscriptionExecutor) -> None:
    async def main() -> None:
        async def resolver(data: dict[str, Any]) -> dict[str, Any]:
            await asyncio.sleep(0)
            return {"thing": data}

        id = executor.register_subscription("c", 1, QUERY, resolver=resolver, queue=block())
        await executor.publish("t", "c", {"n": 0})
        task = asyncio.ensure_future(executor.publish("t", "c", {"n": 1}))
        stream = executor.stream(id)
        for n in range(2):
            message = await stream.__anext__()
            assert json.loads(message)["payload"]["data"]["thing"]["n"] == n
        await task

    asyncio.run(asyncio.wait_for(main(), PATIENCE))


def test_on_a_running_loop_publish_event_does_not_wait_and_publish_does(
    executor: SubscriptionExecutor,
) -> None:
    async def main() -> None:
        id = executor.register_subscription("c", 1, QUERY, queue=block())
        executor.publish_event("t", "c", {"n": 0})
        executor.publish_event("t", "c", {"n": 1})
        executor.publish_events([("t", "c", {"n": 2})])
        assert dropped(executor) == 2
        task = asyncio.ensure_future(executor.publish("t", "c", {"n": 3}))
        for _ in range(10):  # the loop goes on
            await asyncio.sleep(0)
        assert not task.done()
        assert numbers(executor, id) == [0, 3]
        await task
        assert dropped(executor) == 2

    asyncio.run(asyncio.wait_for(main(), PATIENCE))


@pytest.mark.parametrize("finds_out", [False, True])
def test_closing_lets_an_awaited_publish_go(
    executor: SubscriptionExecutor, monkeypatch: pytest.MonkeyPatch, finds_out: bool
) -> None:
    async def main() -> None:
        executor.register_subscription("c", 1, QUERY, queue=block())
        executor.publish_event("t", "c", {"n": 0})
        tasks = [asyncio.ensure_future(executor.publish("t", "c", {"n": n})) for n in range(1, 4)]
        await asyncio.sleep(0)
        hub, loop = executor._hub, asyncio.get_running_loop()
        assert hub is not None
        consumer, let_go = hub.consumer(), type(hub).close

        async def look() -> None:
            consumer._readable()

        def close(hub: Any) -> None:
            if finds_out:  # before it is told, the loop looks and finds the engine closed
                asyncio.run_coroutine_threadsafe(look(), loop).result(PATIENCE)
            let_go(hub)

        monkeypatch.setattr(type(hub), "close", close)
        await asyncio.to_thread(executor.close)
        positions = await asyncio.wait_for(asyncio.gather(*tasks), 2)  # the timeouts are longer
        assert [int(position.rpartition(":")[2]) for position in positions] == [2, 3, 4]

    asyncio.run(main())


def test_a_cancelled_publish_takes_its_response_back(executor: SubscriptionExecutor) -> None:
    async def main() -> None:
        id = executor.register_subscription("c", 1, QUERY, queue=block())
        executor.publish_event("t", "c", {"n": 0})
        for n in range(1, 20):
            with pytest.raises(asyncio.TimeoutError):
                await asyncio.wait_for(executor.publish("t", "c", {"n": n}), 0.001)
            assert dropped(executor) == n
        assert numbers(executor, id) == [0]

    asyncio.run(asyncio.wait_for(main(), PATIENCE))


def test_an_interrupted_publisher_takes_its_response_back(
    executor: SubscriptionExecutor, monkeypatch: pytest.MonkeyPatch
) -> None:
    id = executor.register_subscription("c", 1, QUERY, queue=block())
    executor.publish_event("t", "c", {"n": 0})

    def interrupted(*arguments: Any) -> int:
        raise KeyboardInterrupt

    with monkeypatch.context() as patched:
        patched.setattr(executor._native, "await_room", interrupted)
        with pytest.raises(KeyboardInterrupt):
            executor.publish_event("t", "c", {"n": 1})
        with pytest.raises(KeyboardInterrupt):
            executor.publish_events([("t", "c", {"n": n}) for n in range(2, 5)])
    assert numbers(executor, id) == [0]
    assert dropped(executor) == 4


def test_a_slow_reader_and_many_publishers_lose_nothing(
    executor: SubscriptionExecutor, in_thread: InThread
) -> None:
    id = executor.register_subscription("c", 1, "subscription { thing { p n } }", queue=block(3))
    publishers, events = 5, 60

    def publish(p: int) -> None:
        for n in range(0, events, 2):
            executor.publish_event("t", f"c{p % 2}", {"p": p, "n": n})
            executor.publish_events([("t", f"c{p % 2}", {"p": p, "n": n + 1})])

    threads = [in_thread(publish, p) for p in range(publishers)]
    seen: dict[int, list[int]] = {p: [] for p in range(publishers)}
    deadline = time.monotonic() + PATIENCE
    while sum(map(len, seen.values())) < publishers * events:
        assert time.monotonic() < deadline, {p: len(found) for p, found in seen.items()}
        for message in executor.next_events(id, 2):
            thing = json.loads(message)["payload"]["data"]["thing"]
            seen[thing["p"]].append(thing["n"])
        assert queued(executor) <= 3 + publishers
    for thread in threads:
        thread.join(PATIENCE)
    assert all(found == list(range(events)) for found in seen.values())
    assert dropped(executor) == 0
    assert queued(executor) == 0
