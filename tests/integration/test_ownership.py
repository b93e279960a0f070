"""Who keeps what alive: nothing outlives its subscription, its executor or its call."""

# ruff: noqa: A001  (`id` is a name of the public API)

from __future__ import annotations

import asyncio
import contextlib
import gc
import json
import sys
import threading
import weakref
from collections.abc import Callable
from typing import Any

import pytest

from fraiseql_subscriptions import SecurityContext, SubscriptionExecutor

QUERY = "subscription { a { id } }"


class Witness:
    """A callable that can be watched, and may hold on to anything."""

    def __init__(self, *held: object) -> None:
        self.held = held

    def __call__(self, data: Any) -> Any:
        return data


def test_a_dropped_executor_whose_resolver_refers_back_to_it_is_collected() -> None:
    executor = SubscriptionExecutor()
    resolver = Witness(executor)
    id = executor.register_subscription("c", 1, QUERY, resolver=resolver)
    executor.publish_event("t", "c", {"id": 1})
    assert executor.next_event(id)
    gone: list[weakref.ref[Any]] = [
        weakref.ref(executor),
        weakref.ref(executor._callbacks),
        weakref.ref(resolver),
    ]
    del executor, resolver
    gc.collect()
    assert [reference() for reference in gone] == [None, None, None]


def test_a_dropped_executor_that_streams_is_collected(until: Callable[..., None]) -> None:
    async def main() -> list[weakref.ref[Any]]:
        executor = SubscriptionExecutor()
        async with executor.subscribe(QUERY, resolver=Witness(executor)) as stream:
            await executor.publish("t", "c", {"id": 1})
            assert await asyncio.wait_for(anext(stream), 30)
        return [weakref.ref(executor), weakref.ref(executor._callbacks)]

    references = asyncio.run(main())
    gc.collect()
    assert [reference() for reference in references] == [None, None]


def test_a_stream_keeps_its_executor_open() -> None:
    async def main() -> None:
        executor = SubscriptionExecutor()
        id = executor.register_subscription("c", 1, QUERY)
        publish = executor.publish_event
        stream = executor.stream(id)
        del executor
        gc.collect()
        publish("t", "c", {"id": 1})
        assert await asyncio.wait_for(anext(stream), 30)

    asyncio.run(main())


@pytest.mark.parametrize("end", ["complete", "connection", "replace", "close"])
def test_a_resolver_is_freed_with_its_subscription(end: str) -> None:
    with SubscriptionExecutor() as executor:
        resolver = Witness()
        id = executor.register_subscription("c", 1, QUERY, resolver=resolver)
        executor.publish_event("t", "c", {"id": 1})
        gone = weakref.ref(resolver)
        del resolver
        gc.collect()
        assert gone() is not None
        if end == "complete":
            executor.complete_subscription(id)
        elif end == "connection":
            executor.close_connection("c")
        elif end == "replace":
            executor.register_resolver(id, lambda data: data)
        else:
            executor.close()
        gc.collect()
        assert gone() is None


def test_a_late_call_into_a_dropped_table_is_refused() -> None:
    executor = SubscriptionExecutor()
    entered, go_on = threading.Event(), threading.Event()

    def resolver(data: Any) -> Any:
        entered.set()
        assert go_on.wait(30)
        return data

    executor.register_subscription("c", 1, QUERY, resolver=resolver)
    thread = threading.Thread(target=executor.publish_event, args=("t", "c", {"id": 1}))
    thread.start()
    assert entered.wait(30)
    gone = weakref.ref(executor._callbacks)
    del executor  # the publishing thread still has it
    go_on.set()
    thread.join(30)
    assert not thread.is_alive()
    del thread
    gc.collect()
    assert gone() is None


def test_no_object_is_leaked_by_any_call(executor: SubscriptionExecutor) -> None:
    data = {"id": 1, "text": "x" * 50, "list": [1, 2, 3]}
    plain = executor.register_subscription("plain", 1, QUERY)
    resolved = executor.register_subscription("resolved", 1, QUERY, resolver=lambda d, v, i: d)

    def round_trip() -> None:
        id = executor.register_subscription("c", 1, QUERY, resolver=Witness(), channels=["a", "b"])
        executor.publish_event("t", "a", data)
        executor.publish_events(
            [("t", "a", data), {"event_type": "t", "channel": "c", "data": data}]
        )
        executor.next_event(id)
        executor.next_events(plain)
        executor.next_events(resolved)
        executor.drain()
        executor.subscriptions_by_channel("a")
        executor.update_context("c", SecurityContext(tenant_id=1, claims={"n": [1]}))
        executor.explain("t", "a", data)
        executor.revoke(user_id="nobody")
        executor.invalidate({"connection_id": "nobody"})
        executor.get_metrics(), executor.metrics_text(), executor.health()
        for wrong in ("sub-0-0", "{"):
            with contextlib.suppress(ValueError):
                executor.next_event(wrong)
            with contextlib.suppress(ValueError):
                executor.register_subscription("c", 2, wrong, resolver=Witness())
        executor.complete_subscription(id)

    def after(rounds: int) -> tuple[int, int]:
        for _ in range(rounds):
            round_trip()
        gc.collect()
        return sys.getallocatedblocks(), len(gc.get_objects())

    first, last = after(200), after(1000)
    assert last[0] - first[0] < 500  # one object every other round would be a leak
    assert last[1] - first[1] < 100


def test_reference_counts_of_arguments_are_unchanged(executor: SubscriptionExecutor) -> None:
    body = json.dumps({"id": 1})
    connection, channel, event_type = (f"{name} {body}".replace(" ", ".") for name in "abc")
    channel = "orders.1"
    query = QUERY + " "
    data = {"id": 1}
    held = (connection, query, data, event_type)

    def counts() -> list[int]:
        return [sys.getrefcount(one) for one in held]

    before = counts()
    for n in range(100):
        id = executor.register_subscription(connection, n, query)
        executor.publish_event(event_type, channel, data)
        out = executor.next_events(id)
        references = sys.getrefcount(out[0])
        assert references == 2
        executor.complete_subscription(id)
    del out
    assert counts() == before


@pytest.mark.parametrize("end", ["executor.close()", "del executor"])
def test_a_thousand_executors_leave_no_threads_descriptors_or_memory(
    run_python: Callable[..., Any], end: str
) -> None:
    run_python(
        f"""
        import asyncio, gc, threading, time
        import psutil
        from fraiseql_subscriptions import SubscriptionExecutor
        QUERY = {QUERY!r}
        process = psutil.Process()

        def once(n):
            executor = SubscriptionExecutor()
            held = [executor]
            id = executor.register_subscription("c", 1, QUERY,
                                                resolver=lambda data: held and data)
            plain = executor.register_subscription("c", 2, QUERY)
            for k in range(20):
                executor.publish_event("t", "c", dict(id=k, text="x" * 1000))
            assert len(executor.next_events(id)) == 20 and executor.drain()
            if n % 10 == 0:
                asyncio.run(streaming(executor))
            {end}

        async def streaming(executor):
            async def answer(data):
                return data
            async with executor.subscribe(QUERY, resolver=answer) as stream:
                await executor.publish("t", "c", dict(id=1))
                await anext(stream)

        def state():
            gc.collect()
            seen = []
            while len(seen) < 100 and (len(seen) < 5 or len(set(seen[-5:])) > 1):
                time.sleep(0.1)  # dropped executors are closed in the background
                seen.append((process.num_threads(), process.num_fds()))
            return *seen[-1], process.memory_info().rss

        for n in range(300):  # until Go's heap has the size that it keeps
            once(n)
        first = state()
        for n in range(300, 1200):
            once(n)
        last = state()
        print(first, last)
        assert last[0] <= first[0] + 4, (first, last)
        assert last[1] <= first[1] + 4, (first, last)
        assert last[2] <= first[2] + 12_000_000, (first, last)
        """,
        timeout=120,
    )
