"""`disconnect`: who reads too slowly is ended, gets what is queued, and is told why."""

# ruff: noqa: A001  (`id` is a name of the public API)

from __future__ import annotations

import asyncio
import contextlib
import gc
import json
import logging
import threading
import weakref
from collections.abc import Callable
from typing import Any

import pytest

from fraiseql_subscriptions import QueuePolicy, SubscriptionExecutor, SubscriptionNotFound

PATIENCE = 30.0
QUERY = "subscription { thing { n } }"
InThread = Callable[..., threading.Thread]


def disconnect(room: int) -> QueuePolicy:
    return QueuePolicy(max_responses=room, overflow="disconnect")


def told(message: bytes | None) -> Any:
    """A response's number, or the code of the final error."""
    assert message is not None
    decoded = json.loads(message)
    if decoded["type"] == "error":
        assert decoded["payload"][0]["message"]
        return decoded["payload"][0]["extensions"]["code"]
    assert decoded["type"] == "next"
    return decoded["payload"]["data"]["thing"]["n"]


@pytest.fixture
def slow(executor: SubscriptionExecutor) -> Callable[..., str]:
    """A subscription that was ended with two responses queued."""

    def make(**options: Any) -> str:
        id = executor.register_subscription("c", "slow", QUERY, queue=disconnect(2), **options)
        for n in range(4):
            executor.publish_event("t", "c", {"n": n})
        return id

    return make


def test_it_is_ended_with_what_was_queued_and_an_error(
    executor: SubscriptionExecutor, slow: Callable[..., str]
) -> None:
    id = slow()
    assert executor.subscriptions_by_channel("c") == []
    assert told(executor.next_event(id)) == 0
    assert [told(message) for message in executor.next_events(id)] == [1, "SLOW_CONSUMER"]
    for read in (executor.next_event, executor.next_events):
        with pytest.raises(SubscriptionNotFound):
            read(id)
    assert not executor.complete_subscription(id)
    metrics = executor.get_metrics()
    assert metrics["ended"]["slow_consumer"] == metrics["errored"] == 1
    assert metrics["active"] == metrics["completed"] == metrics["queued"] == 0
    assert 'fraiseql_subscriptions_ended_total{reason="slow_consumer"} 1' in executor.metrics_text()


def test_its_id_is_free_at_once(executor: SubscriptionExecutor, slow: Callable[..., str]) -> None:
    old = slow()
    new = executor.register_subscription("c", "slow", QUERY)
    executor.publish_event("t", "c", {"n": 9})
    assert [told(message) for message in executor.next_events(new)] == [9]
    assert [told(message) for message in executor.next_events(old)] == [0, 1, "SLOW_CONSUMER"]
    assert executor.close_connection("c") == 1


def test_drain_hands_out_the_end(executor: SubscriptionExecutor, slow: Callable[..., str]) -> None:
    executor.drain()
    id = slow()
    assert [(key, told(message)) for key, message in executor.drain(2)] == [(id, 0), (id, 1)]
    assert [(key, told(message)) for key, message in executor.drain()] == [(id, "SLOW_CONSUMER")]
    with pytest.raises(SubscriptionNotFound):
        executor.next_event(id)


def test_completing_it_discards_once(
    executor: SubscriptionExecutor, slow: Callable[..., str]
) -> None:
    id = slow()
    assert executor.complete_subscription(id)
    assert not executor.complete_subscription(id)
    with pytest.raises(SubscriptionNotFound):
        executor.next_event(id)
    metrics = executor.get_metrics()
    assert {why: count for why, count in metrics["ended"].items() if count} == {"slow_consumer": 1}
    assert metrics["queued"] == 0


def test_closing_its_connection_discards_it(
    executor: SubscriptionExecutor, slow: Callable[..., str]
) -> None:
    id = slow()
    assert executor.close_connection("c") == 1
    with pytest.raises(SubscriptionNotFound):
        executor.next_event(id)


def test_it_takes_no_other_resolver(
    executor: SubscriptionExecutor, slow: Callable[..., str]
) -> None:
    with pytest.raises(SubscriptionNotFound):
        executor.register_resolver(slow(), print)


def test_its_resolver_is_let_go_while_it_is_read(
    executor: SubscriptionExecutor, slow: Callable[..., str]
) -> None:
    def resolver(data: dict[str, Any]) -> dict[str, Any]:
        return {"thing": data}

    alive = weakref.ref(resolver)
    id = slow(resolver=resolver)
    del resolver
    gc.collect()
    assert alive() is None
    assert [told(message) for message in executor.next_events(id)] == [0, 1, "SLOW_CONSUMER"]


def test_a_resolver_whose_end_publishes_does_no_harm(executor: SubscriptionExecutor) -> None:
    """It is let go when the event has been dispatched, outside its channel's turn."""
    other = executor.register_subscription("o", 1, QUERY)

    class Resolver:
        def __call__(self, data: dict[str, Any]) -> dict[str, Any]:
            return {"thing": data}

        def __del__(self) -> None:
            executor.publish_event("t", "c", {"n": "last"})

    executor.register_subscription("c", 1, QUERY, resolver=Resolver(), queue=disconnect(2))
    for n in range(4):
        executor.publish_event("t", "c", {"n": n})
    assert [told(message) for message in executor.next_events(other)] == [0, 1, 2, "last", 3]


def test_a_stream_gives_the_final_message_and_ends(executor: SubscriptionExecutor) -> None:
    async def main() -> None:
        id = executor.register_subscription("c", 1, QUERY, queue=disconnect(3))
        stream = executor.stream(id)
        executor.publish_event("t", "c", {"n": 0})
        first = told(await asyncio.wait_for(stream.__anext__(), PATIENCE))
        reader = asyncio.ensure_future(_all(stream))
        await asyncio.sleep(0)  # it waits
        for n in range(1, 9):  # without giving the loop a chance to read
            executor.publish_event("t", "c", {"n": n})
        rest = await asyncio.wait_for(reader, PATIENCE)
        assert [first, *rest] == [0, 1, 2, 3, "SLOW_CONSUMER"]
        assert executor.get_metrics()["active"] == 0

    asyncio.run(main())


async def _all(stream: Any) -> list[Any]:
    return [told(message) async for message in stream]


def test_what_a_closed_stream_left_is_read_elsewhere(
    executor: SubscriptionExecutor, slow: Callable[..., str]
) -> None:
    async def main() -> None:
        id = slow()
        async with contextlib.aclosing(executor.stream(id)) as stream:
            assert told(await stream.__anext__()) == 0
        assert told(executor.next_event(id)) == 1
        assert [told(one) async for one in executor.stream(id)] == ["SLOW_CONSUMER"]
        with pytest.raises(SubscriptionNotFound):
            executor.next_event(id)

    asyncio.run(asyncio.wait_for(main(), PATIENCE))


@pytest.mark.parametrize("how", ["complete", "connection"])
def test_what_a_stream_has_taken_is_discarded_with_it(
    executor: SubscriptionExecutor, slow: Callable[..., str], how: str
) -> None:
    async def main() -> None:
        id = slow()
        stream = executor.stream(id)
        assert told(await stream.__anext__()) == 0  # and took the rest
        if how == "complete":
            assert executor.complete_subscription(id)
        else:
            assert executor.close_connection("c") == 1
        assert [told(one) async for one in stream] == []

    asyncio.run(asyncio.wait_for(main(), PATIENCE))


def test_close_leaves_the_end_to_the_streams(executor: SubscriptionExecutor) -> None:
    async def main() -> None:
        ended = executor.register_subscription("c", 1, QUERY, queue=disconnect(1))
        live = executor.register_subscription("c", 2, QUERY)
        streams = [executor.stream(ended), executor.stream(live)]
        for n in range(3):
            executor.publish_event("t", "c", {"n": n})
        await asyncio.to_thread(executor.close)
        assert [told(one) async for one in streams[0]] == [0, "SLOW_CONSUMER"]
        assert [told(one) async for one in streams[1]] == [0, 1, 2]

    asyncio.run(asyncio.wait_for(main(), PATIENCE))


def test_async_answers_under_way_come_before_the_end(executor: SubscriptionExecutor) -> None:
    async def main() -> None:
        go_on = asyncio.Event()

        async def resolver(data: dict[str, Any]) -> dict[str, Any]:
            await go_on.wait()
            return {"thing": data}

        id = executor.register_subscription("c", 1, QUERY, resolver=resolver, queue=disconnect(2))
        for n in range(4):
            await executor.publish("t", "c", {"n": n})
        assert executor.get_metrics()["active"] == 0
        assert executor.next_event(id) is None
        go_on.set()
        assert [told(one) async for one in executor.stream(id)] == [0, 1, "SLOW_CONSUMER"]

    asyncio.run(asyncio.wait_for(main(), PATIENCE))


def test_concurrent_publishers_end_each_exactly_once(
    executor: SubscriptionExecutor, in_thread: InThread
) -> None:
    ids = [
        executor.register_subscription("c", n, QUERY, queue=disconnect(5 + n % 5))
        for n in range(40)
    ]

    def publish(channel: int) -> None:
        for n in range(30):
            executor.publish_event("t", f"c{channel}", {"n": n})

    threads = [in_thread(publish, channel) for channel in range(4)]
    for thread in threads:
        thread.join(PATIENCE)
    for n, id in enumerate(ids):
        found = [told(message) for message in executor.next_events(id)]
        assert len(found) == 5 + n % 5 + 1
        assert found.index("SLOW_CONSUMER") == len(found) - 1
    metrics = executor.get_metrics()
    assert metrics["ended"]["slow_consumer"] == len(ids)
    assert metrics["queued_bytes"] == metrics["active"] == 0


def test_a_resume_goes_on_where_the_end_came(executor: SubscriptionExecutor) -> None:
    since = executor.publish_event("t", "c", {"n": -1})
    for n in range(10):
        executor.publish_event("t", "c", {"n": n})
    found: list[int] = []
    while True:
        id = executor.register_subscription(
            "c", 1, QUERY, queue=disconnect(4), since=since, positions=True
        )
        *messages, last = executor.next_events(id)
        if told(last) != "SLOW_CONSUMER":
            messages.append(last)
        found += [told(message) for message in messages]
        since = json.loads(messages[-1])["payload"]["extensions"]["position"]
        if last is messages[-1]:
            break
    assert found == list(range(10))


def test_the_log_tells_of_the_first_by_name_and_of_the_others_by_number(
    caplog: pytest.LogCaptureFixture, until: Callable[..., None]
) -> None:
    executor = SubscriptionExecutor(queue=disconnect(1))
    with caplog.at_level(logging.WARNING, "fraiseql_subscriptions"):
        for n in range(500):
            executor.register_subscription(f"c{n // 100}", n, QUERY)
        executor.publish_events([("t", "c", {"n": n}) for n in range(3)])
        executor.close()
        until(lambda: len(caplog.messages) >= 2, "the log")
    # Two threads of the engine hand them to Python, in either order.
    first, others = sorted(caplog.messages)
    assert "a subscription read too slowly and was ended" in first
    assert "subscriptions=499" in others
