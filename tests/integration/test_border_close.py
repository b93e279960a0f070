"""Closing an executor while its own code runs: nothing waits for itself, and it ends."""

from __future__ import annotations

import asyncio
import contextlib
import threading
import time
from collections.abc import Callable
from typing import Any

import pytest

from fraiseql_subscriptions import EngineClosed, SubscriptionExecutor

QUERY = "subscription { a { id } }"
#: Seconds in which nothing here may end up: close() would wait for 5.
SOON = 4.0


@pytest.fixture(autouse=True)
def soon() -> Any:
    began = time.monotonic()
    yield
    assert time.monotonic() - began < SOON


def identity(data: Any) -> Any:
    return data


def assert_ends(executor: SubscriptionExecutor) -> None:
    executor.close()
    assert executor._handle == 0


def test_close_inside_a_resolver_and_again_outside() -> None:
    executor = SubscriptionExecutor()

    def resolver(data: Any) -> Any:
        executor.close()
        with pytest.raises(EngineClosed):
            executor.publish_event("t", "c", {"id": 2})
        with pytest.raises(EngineClosed):
            executor.register_subscription("c", 3, QUERY, resolver=identity)
        return data

    executor.register_subscription("c", 1, QUERY, resolver=resolver)
    executor.register_subscription("c", 2, QUERY, resolver=identity)
    executor.publish_event("t", "c", {"id": 1})
    assert_ends(executor)


def test_close_of_two_executors_inside_the_nested_resolver_of_one() -> None:
    outer, inner = SubscriptionExecutor(), SubscriptionExecutor()

    def close_both(data: Any) -> Any:
        outer.close()
        inner.close()
        return data

    inner.register_subscription("c", 1, QUERY, resolver=close_both)
    outer.register_subscription(
        "c", 1, QUERY, resolver=lambda data: inner.publish_event("t", "c", data) and data
    )
    outer.publish_event("t", "c", {"id": 1})
    assert_ends(outer)
    assert_ends(inner)


def test_close_inside_a_resolver_on_a_thread_of_the_engine(in_thread: Callable[..., Any]) -> None:
    executor = SubscriptionExecutor()
    entered, go, closed = threading.Event(), threading.Event(), threading.Event()

    def resolver(data: Any) -> Any:
        if data["id"] == 1:
            entered.set()
            go.wait(SOON)
        else:
            executor.close()
            closed.set()
        return data

    executor.register_subscription("c", 1, QUERY, resolver=resolver)
    first = in_thread(executor.publish_event, "t", "c", {"id": 1})
    assert entered.wait(SOON)
    executor.publish_event("t", "c", {"id": 2}, wait="accepted")
    go.set()
    assert closed.wait(SOON)
    first.join(SOON)
    assert_ends(executor)


def test_close_inside_the_resolver_of_a_replay() -> None:
    executor = SubscriptionExecutor()
    since = executor.publish_event("t", "c", {"id": 0})
    for number in range(1, 20):
        executor.publish_event("t", "c", {"id": number})

    def resolver(data: Any) -> Any:
        if data["id"] == 3:
            executor.close()
        return data

    executor.register_subscription("c", 1, QUERY, since=since, resolver=resolver)
    assert_ends(executor)


def test_close_inside_an_async_resolver_ends_the_stream() -> None:
    async def main() -> None:
        executor = SubscriptionExecutor()

        async def resolver(data: Any) -> Any:
            executor.close()
            return data

        id_ = executor.register_subscription("c", 1, QUERY, resolver=resolver)
        stream = executor.stream(id_)
        await executor.publish("t", "c", {"id": 1})

        async def read() -> None:
            async for _ in stream:
                pass

        await asyncio.wait_for(read(), SOON)
        assert_ends(executor)

    asyncio.run(main())


@pytest.mark.parametrize("end", ["complete", "replace"])
def test_close_inside_the_destructor_of_a_resolver(
    end: str, until: Callable[[Callable[[], object], str], None]
) -> None:
    """A replaced resolver is given back, and dies, on a thread of the engine."""
    executor = SubscriptionExecutor()
    closed = threading.Event()

    class Resolver:
        def __call__(self, data: Any) -> Any:
            if end == "replace":
                executor.register_resolver(id_, identity)
            return data

        def __del__(self) -> None:
            executor.publish_event("t", "other", {"id": 2})
            executor.close(60)
            closed.set()

    id_ = executor.register_subscription("c", 1, QUERY, resolver=Resolver(), channels="c")
    executor.publish_event("t", "c", {"id": 1})
    if end == "complete":
        executor.complete_subscription(id_)
    until(closed.is_set, "the destructor's close")
    assert_ends(executor)


def test_close_on_many_threads_while_others_publish(in_thread: Callable[..., Any]) -> None:
    executor = SubscriptionExecutor()
    executor.register_subscription("c", 1, QUERY, resolver=identity)
    executor.register_subscription("c", 2, QUERY)
    published = threading.Semaphore(0)

    def publish() -> None:
        with contextlib.suppress(EngineClosed):
            while True:
                executor.publish_event("t", "c", {"id": 1})
                published.release()

    threads = [in_thread(publish) for _ in range(4)]
    for _ in range(20):
        assert published.acquire(timeout=SOON)
    threads += [in_thread(executor.close) for _ in range(4)]
    for thread in threads:
        thread.join(SOON)
    assert_ends(executor)
