"""How often, and on which threads, the engine crosses into Python."""

from __future__ import annotations

import asyncio
import statistics
import sys
import threading
import time
from collections import defaultdict
from collections.abc import Callable
from typing import Any

import pytest

from fraiseql_subscriptions import SubscriptionExecutor
from fraiseql_subscriptions.callbacks import Callbacks

Subscribe = Callable[..., str]
Payloads = Callable[[str], list[Any]]
InThread = Callable[..., threading.Thread]


@pytest.fixture
def on_the_engines_thread(
    executor: SubscriptionExecutor, subscribe: Subscribe, in_thread: InThread
) -> Callable[..., None]:
    """Publish many events on channel "c" whose resolvers run on a thread of the engine."""

    def publish(events: list[dict[str, Any]]) -> None:
        entered, go_on = threading.Event(), threading.Event()

        def hold(data: Any) -> None:
            if data.get("hold"):
                entered.set()
                assert go_on.wait(30)

        holder = subscribe(resolver=hold, channels="c")
        thread = in_thread(executor.publish_event, "t", "c", {"hold": True})
        assert entered.wait(30)

        async def all_of_them() -> None:  # a loop's thread does not wait for its turn
            for event in events:
                executor.publish_event("t", "c", event)

        asyncio.run(all_of_them())
        executor.complete_subscription(holder)
        go_on.set()
        thread.join(30)

    return publish


@pytest.fixture
def crossings(monkeypatch: pytest.MonkeyPatch) -> list[tuple[bytes, int, bool]]:
    """Each call from the engine for resolvers: the data, how many, on its own thread or not."""
    seen: list[tuple[bytes, int, bool]] = []
    resolve = Callbacks.resolve

    def spy(self: Callbacks, data: bytes, calls: list[Any], exact: bool, engine: bool) -> Any:
        seen.append((data, len(calls), bool(engine)))
        return resolve(self, data, calls, exact, engine)

    monkeypatch.setattr(Callbacks, "resolve", spy)
    return seen


def test_an_event_crosses_once_for_all_its_resolvers(
    executor: SubscriptionExecutor,
    subscribe: Subscribe,
    payloads: Payloads,
    crossings: list[tuple[bytes, int, bool]],
) -> None:
    ids = [subscribe(resolver=lambda data, n=n: {"x": n}) for n in range(7)]
    ids += [subscribe(resolver=lambda data, variables, info: {"x": 7}) for _ in range(3)]
    subscribe()
    for n in range(5):
        executor.publish_event("t", "c", {"id": n})
    assert crossings == [(b'{"id":%d}' % n, 10, False) for n in range(5)]
    for number, id in enumerate(ids):  # noqa: A001
        assert payloads(id) == [{"data": {"x": min(number, 7)}}] * 5


def test_an_event_crosses_once_on_the_engines_thread_too(
    subscribe: Subscribe,
    until: Callable[..., None],
    crossings: list[tuple[bytes, int, bool]],
    on_the_engines_thread: Callable[..., None],
) -> None:
    for n in range(7):
        subscribe(resolver=lambda data, n=n: {"x": n}, filter={"id": {"exists": True}})
    on_the_engines_thread([{"id": n} for n in range(5)])

    def of_the_engine() -> list[Any]:
        return [(data, calls) for data, calls, engine in crossings if engine and b"id" in data]

    until(lambda: len(of_the_engine()) == 5)
    assert [data for data, _ in of_the_engine()] == [b'{"id":%d}' % n for n in range(5)]
    assert {calls for _, calls in of_the_engine()} <= {7, 8}  # the holder's may be over


def test_a_thread_of_the_engine_keeps_its_thread_state_from_call_to_call(
    subscribe: Subscribe,
    until: Callable[..., None],
    on_the_engines_thread: Callable[..., None],
) -> None:
    here = threading.local()
    counts: defaultdict[int, list[int]] = defaultdict(list)

    def resolver(data: Any) -> None:
        if not data.get("hold"):
            here.calls = getattr(here, "calls", 0) + 1
            counts[threading.get_ident()].append(here.calls)

    subscribe(resolver=resolver)
    for total in (20, 40, 60):
        on_the_engines_thread([{"id": n} for n in range(20)])
        until(lambda total=total: sum(map(len, counts.values())) == total)
    assert threading.get_ident() not in counts
    for calls in counts.values():
        assert calls == list(range(1, len(calls) + 1))
    assert max(map(len, counts.values())) >= 60 / 16  # there are at most 16 such threads


def test_publishing_keeps_the_gil_beside_a_busy_python_thread(
    executor: SubscriptionExecutor,
    subscribe: Subscribe,
    payloads: Payloads,
    in_thread: InThread,
) -> None:
    """Giving it up costs a switch interval, 5 ms, to get it back: a second in 200 publishes."""
    assert sys.getswitchinterval() == 0.005
    ids = [subscribe() for _ in range(100)]
    stop, spinning = threading.Event(), threading.Event()

    def spin() -> None:
        while not stop.is_set():
            spinning.set()
            sum(range(1000))

    in_thread(spin)
    try:
        assert spinning.wait(30)
        took = []
        for n in range(200):
            began = time.perf_counter()
            executor.publish_event("t", "c", {"id": n})
            took.append(time.perf_counter() - began)
    finally:
        stop.set()
    assert statistics.median(took) < 0.002
    assert sum(took) < 0.5
    for id in ids:  # noqa: A001
        assert [answer["data"] for answer in payloads(id)] == [
            {"thing": {"id": n}} for n in range(200)
        ]
