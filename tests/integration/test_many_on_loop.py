"""Publishing on an event loop to more subscribers than it should queue for itself."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable
from typing import Any

import pytest

from fraiseql_subscriptions import SubscriptionExecutor

pytestmark = pytest.mark.asyncio

#: The engine does the queueing from 1,024 on.
MANY = 2_000
EVENTS = 5


@pytest.fixture
def many(subscribe: Callable[..., str]) -> list[str]:
    return [subscribe(channels=["orders"]) for _ in range(MANY)]


async def test_await_publish_returns_when_all_subscribers_have_the_event(
    executor: SubscriptionExecutor, many: list[str], payloads: Callable[[str], list[Any]]
) -> None:
    for number in range(EVENTS):
        position = await executor.publish("t", "orders", {"id": number})
        assert position
        assert executor.get_metrics()["delivered"] == MANY * (number + 1)
    for one_id in many:
        assert [one["data"]["thing"]["id"] for one in payloads(one_id)] == list(range(EVENTS))


async def test_events_keep_their_order_whoever_queues_them(
    executor: SubscriptionExecutor, many: list[str], payloads: Callable[[str], list[Any]]
) -> None:
    """Few subscribers get the events between: the loop would be done with those at once."""
    del many
    few = executor.register_subscription(
        "c", "few", "subscription { thing { id } }", channels=["*"]
    )
    published = [
        executor.publish("t", ("orders", "stock")[number % 2], {"id": number})
        for number in range(20)
    ]
    await asyncio.gather(*published)
    ids = [one["data"]["thing"]["id"] for one in payloads(few)]
    assert [n for n in ids if n % 2 == 0] == list(range(0, 20, 2))
    assert [n for n in ids if n % 2 == 1] == list(range(1, 20, 2))


async def test_a_shared_resolver_runs_on_the_publishers_thread(
    executor: SubscriptionExecutor, subscribe: Callable[..., str]
) -> None:
    ran: list[int] = []

    def resolve(event: dict[str, Any]) -> dict[str, Any]:
        ran.append(threading.get_ident())
        return {"thing": event}

    ids = [subscribe(channels=["orders"], resolver=resolve) for _ in range(MANY)]
    await executor.publish("t", "orders", {"id": 1})
    assert ran == [threading.get_ident()]
    assert all(executor.next_event(one) is not None for one in ids)


async def test_what_is_left_to_the_engine_is_there_after_closing(
    many: list[str], executor: SubscriptionExecutor
) -> None:
    stream = executor.stream(many[-1])
    executor.publish_event("t", "orders", {"id": 1})  # does not wait: a loop runs here
    executor.close()
    assert [message async for message in stream]
