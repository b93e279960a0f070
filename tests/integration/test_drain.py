"""The plain side: next_events, drain and a descriptor to watch."""

# ruff: noqa: A001  (`id` is a name of the public API)

from __future__ import annotations

import json
import select
import threading
from collections.abc import Callable
from typing import Any

import pytest

from fraiseql_subscriptions import QueuePolicy, SubscriptionExecutor

Subscribe = Callable[..., str]


def readable(executor: SubscriptionExecutor, timeout: float = 0) -> bool:
    return bool(select.select([executor.fileno()], [], [], timeout)[0])


def number(message: bytes) -> Any:
    return json.loads(message)["payload"]["data"]["thing"]["id"]


def test_the_descriptor_is_readable_while_there_is_something_to_drain(
    executor: SubscriptionExecutor, subscribe: Subscribe
) -> None:
    id = subscribe()
    assert not readable(executor)
    for n in range(3):
        executor.publish_event("t", "c", {"id": n})
    assert readable(executor)
    assert [number(m) for _, m in executor.drain(2)] == [0, 1]
    assert readable(executor)
    assert [(name, number(m)) for name, m in executor.drain()] == [(id, 2)]
    assert executor.drain() == []
    assert not readable(executor)
    assert executor.fileno() == executor.fileno()


def test_another_threads_event_makes_the_descriptor_readable(
    executor: SubscriptionExecutor, subscribe: Subscribe, in_thread: Callable[..., threading.Thread]
) -> None:
    subscribe()
    executor.fileno()
    in_thread(executor.publish_event, "t", "c", {"id": 1})
    assert readable(executor, 30)


def test_events_before_the_first_use_of_the_descriptor_count(
    executor: SubscriptionExecutor, subscribe: Subscribe
) -> None:
    subscribe()
    executor.publish_event("t", "c", {"id": 1})
    assert readable(executor)


def test_drain_is_fair_between_subscriptions(
    executor: SubscriptionExecutor, subscribe: Subscribe
) -> None:
    busy, quiet = subscribe(channels="busy"), subscribe(channels="quiet")
    for n in range(1000):
        executor.publish_event("t", "busy", {"id": n})
    executor.publish_event("t", "quiet", {"id": -1})
    first = executor.drain(200)
    assert quiet in {name for name, _ in first}
    rest = executor.drain()
    order = [number(m) for name, m in first + rest if name == busy]
    assert order == list(range(1000))


def test_next_events_takes_at_most_what_is_asked_for(
    executor: SubscriptionExecutor, subscribe: Subscribe
) -> None:
    id = subscribe()
    for n in range(5):
        executor.publish_event("t", "c", {"id": n})
    assert [number(m) for m in executor.next_events(id, 2)] == [0, 1]
    assert [number(m) for m in executor.next_events(id, max=10)] == [2, 3, 4]
    assert executor.next_events(id) == []


@pytest.mark.parametrize(
    ("overflow", "left"), [("drop_oldest", [7, 8, 9]), ("drop_newest", [0, 1, 2])]
)
def test_a_full_queue_drops_and_counts(overflow: Any, left: list[int]) -> None:
    with SubscriptionExecutor(queue=QueuePolicy(max_responses=3, overflow=overflow)) as executor:
        id = executor.register_subscription("c", 1, "subscription { thing { id } }")
        for n in range(10):
            executor.publish_event("t", "c", {"id": n})
        assert [number(m) for m in executor.next_events(id)] == left
        assert executor.get_metrics()["dropped"][overflow] == 7


def test_a_subscription_may_have_a_queue_of_its_own(
    executor: SubscriptionExecutor, subscribe: Subscribe
) -> None:
    small, large = subscribe(queue=QueuePolicy(max_responses=1)), subscribe()
    for n in range(3):
        executor.publish_event("t", "c", {"id": n})
    assert [number(m) for m in executor.next_events(small)] == [2]
    assert len(executor.next_events(large)) == 3


def test_the_queues_bytes_are_bounded_too() -> None:
    with SubscriptionExecutor(queue=QueuePolicy(max_bytes=10_000)) as executor:
        id = executor.register_subscription("c", 1, "subscription { thing { id text } }")
        for n in range(20):
            executor.publish_event("t", "c", {"id": n, "text": "x" * 1000})
        got = [number(m) for m in executor.next_events(id)]
        assert got == list(range(20 - len(got), 20))
        assert 5 <= len(got) <= 9
