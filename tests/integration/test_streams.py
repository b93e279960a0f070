"""Streams: responses for `async for`, on asyncio and on uvloop."""

# ruff: noqa: A001  (`id` is a name of the public API)

from __future__ import annotations

import asyncio
import contextlib
import gc
import json
import threading
import time
from collections.abc import AsyncIterator, Callable
from typing import Any

import pytest

from fraiseql_subscriptions import (
    DispatchTimeout,
    EngineClosed,
    InvalidQuery,
    SubscriptionExecutor,
    SubscriptionNotFound,
)

QUERY = "subscription { a { id } }"
PATIENCE = 30.0


def new_loop(kind: str) -> asyncio.AbstractEventLoop:
    if kind == "uvloop":
        import uvloop

        return uvloop.new_event_loop()
    return asyncio.new_event_loop()


@pytest.fixture(params=["asyncio", "uvloop"])
def run(request: pytest.FixtureRequest) -> Callable[..., Any]:
    """Run a coroutine to its end on a fresh loop of each kind."""

    def runner(coroutine: Any) -> Any:
        loop = new_loop(request.param)
        try:
            return loop.run_until_complete(asyncio.wait_for(coroutine, PATIENCE))
        finally:
            loop.run_until_complete(loop.shutdown_asyncgens())
            loop.run_until_complete(loop.shutdown_default_executor())
            loop.close()

    return runner


def number(message: bytes) -> Any:
    return json.loads(message)["payload"]["data"]["a"]["id"]


async def take(stream: Any, count: int) -> list[Any]:
    return [number(await asyncio.wait_for(anext(stream), PATIENCE)) for _ in range(count)]


def publish(executor: SubscriptionExecutor, numbers: range) -> None:
    for n in numbers:
        executor.publish_event("t", "c", {"id": n})


def test_a_stream_gives_every_response_in_order(
    executor: SubscriptionExecutor, run: Callable[..., Any]
) -> None:
    async def main() -> None:
        async with executor.subscribe(QUERY) as stream:
            publish(executor, range(3))
            assert await take(stream, 3) == [0, 1, 2]
            task = asyncio.ensure_future(take(stream, 2))
            await asyncio.sleep(0)
            await executor.publish("t", "c", {"id": 3})
            await executor.publish("t", "c", {"id": 4})
            assert await task == [3, 4]
            assert stream.recovered

    run(main())


def test_another_threads_events_wake_the_stream(
    executor: SubscriptionExecutor,
    run: Callable[..., Any],
    in_thread: Callable[..., threading.Thread],
) -> None:
    async def main() -> None:
        async with executor.subscribe(QUERY) as stream:
            in_thread(publish, executor, range(500))
            assert await take(stream, 500) == list(range(500))

    run(main())


def test_many_streams_on_many_loops_in_many_threads(
    executor: SubscriptionExecutor, in_thread: Callable[..., threading.Thread]
) -> None:
    ready = threading.Barrier(5)

    def consume(kind: str) -> None:
        async def main() -> None:
            async with contextlib.AsyncExitStack() as stack:
                streams = [
                    await stack.enter_async_context(executor.subscribe(QUERY)) for _ in range(5)
                ]
                await asyncio.to_thread(ready.wait, PATIENCE)
                results = await asyncio.gather(*(take(stream, 300) for stream in streams))
                assert results == [list(range(300))] * 5

        loop = new_loop(kind)
        loop.run_until_complete(main())
        loop.run_until_complete(loop.shutdown_default_executor())
        loop.close()

    threads = [in_thread(consume, kind) for kind in ("asyncio", "uvloop", "asyncio", "uvloop")]
    ready.wait(PATIENCE)
    publish(executor, range(300))
    for thread in threads:
        thread.join(PATIENCE)


def test_cancelling_the_reader_loses_no_message(
    executor: SubscriptionExecutor, run: Callable[..., Any]
) -> None:
    async def main() -> None:
        async with executor.subscribe(QUERY) as stream:
            got: list[Any] = []

            async def read() -> None:
                async for message in stream:
                    got.append(number(message))
                    await asyncio.sleep(0)

            for n in range(0, 60, 2):
                task = asyncio.ensure_future(read())
                await asyncio.sleep(0)
                publish(executor, range(n, n + 2))
                for _ in range(n % 5):
                    await asyncio.sleep(0)
                task.cancel()
                with pytest.raises(asyncio.CancelledError):
                    await task
            while len(got) < 60:
                got += await take(stream, 1)
            assert got == list(range(60))

    run(main())


def test_two_tasks_may_not_read_one_stream(
    executor: SubscriptionExecutor, run: Callable[..., Any]
) -> None:
    async def main() -> None:
        async with executor.subscribe(QUERY) as stream:
            first = asyncio.ensure_future(take(stream, 1))
            await asyncio.sleep(0.01)
            with pytest.raises(RuntimeError, match="another task"):
                await anext(stream)
            with pytest.raises(RuntimeError, match="another stream"):
                executor.stream(stream.id)
            publish(executor, range(1))
            assert await first == [0]

    run(main())


def test_a_stream_is_read_on_its_own_loop(executor: SubscriptionExecutor) -> None:
    async def make() -> Any:
        id = executor.register_subscription("c", 1, QUERY)
        return executor.stream(id)

    async def read(stream: Any) -> None:
        with pytest.raises(RuntimeError, match="loop that made it"):
            await anext(stream)

    loop = asyncio.new_event_loop()
    stream = loop.run_until_complete(make())
    asyncio.run(read(stream))
    loop.close()


def test_a_stream_needs_a_running_loop_and_a_live_subscription(
    executor: SubscriptionExecutor, run: Callable[..., Any]
) -> None:
    id = executor.register_subscription("c", 1, QUERY)
    with pytest.raises(RuntimeError, match="no running event loop"):
        executor.stream(id)

    async def main() -> None:
        with pytest.raises(SubscriptionNotFound):
            executor.stream("sub-0-0")
        with pytest.raises(InvalidQuery):
            async with executor.subscribe("{"):
                pass

    run(main())


@pytest.mark.parametrize("how", ["complete_subscription", "close_connection"])
@pytest.mark.parametrize("where", ["same loop", "another thread"])
def test_a_stream_ends_at_once_when_the_application_ends_it(
    executor: SubscriptionExecutor, run: Callable[..., Any], how: str, where: str
) -> None:
    async def main() -> None:
        id = executor.register_subscription("c", 1, QUERY)
        stream = executor.stream(id)
        publish(executor, range(3))
        assert await take(stream, 1) == [0]
        call: Any = getattr(executor, how)
        argument = id if how == "complete_subscription" else "c"
        if where == "same loop":
            call(argument)
        else:
            await asyncio.to_thread(call, argument)
            await asyncio.sleep(0.05)
        assert [message async for message in stream] == []
        with pytest.raises(StopAsyncIteration):
            await anext(stream)

    run(main())


@pytest.mark.parametrize("how", ["complete_subscription", "close_connection", "close"])
@pytest.mark.parametrize("where", ["same loop", "another thread"])
def test_a_waiting_reader_is_woken_by_the_end(
    run: Callable[..., Any], how: str, where: str
) -> None:
    executor = SubscriptionExecutor()

    async def main() -> None:
        id = executor.register_subscription("c", 1, QUERY)
        stream = executor.stream(id)

        async def read() -> list[bytes]:
            return [message async for message in stream]

        task = asyncio.ensure_future(read())
        await asyncio.sleep(0.01)
        arguments = {"complete_subscription": (id,), "close_connection": ("c",), "close": ()}[how]
        if where == "same loop":
            getattr(executor, how)(*arguments)
        else:
            await asyncio.to_thread(getattr(executor, how), *arguments)
        assert await asyncio.wait_for(task, PATIENCE) == []

    run(main())
    executor.close()


@pytest.mark.parametrize("count", [1, 3000])
def test_a_stream_ends_after_what_was_queued_when_the_executor_closes(
    run: Callable[..., Any], count: int
) -> None:
    from fraiseql_subscriptions import QueuePolicy

    executor = SubscriptionExecutor(queue=QueuePolicy(max_responses=5000))

    async def main() -> None:
        async with executor.subscribe(QUERY) as stream:
            publish(executor, range(count))
            await asyncio.to_thread(executor.close)
            got = [number(message) async for message in stream]
            assert got == list(range(count))
            with pytest.raises(EngineClosed):
                await executor.publish("t", "c", {})

    run(main())


def test_a_closed_or_dropped_stream_leaves_its_messages_to_others(
    executor: SubscriptionExecutor, run: Callable[..., Any]
) -> None:
    async def main() -> None:
        id = executor.register_subscription("c", 1, QUERY)
        stream = executor.stream(id)
        publish(executor, range(6))
        assert await take(stream, 1) == [0]
        await stream.aclose()
        await stream.aclose()
        with pytest.raises(StopAsyncIteration):
            await anext(stream)
        message = executor.next_event(id)
        assert message is not None
        assert number(message) == 1
        stream = executor.stream(id)
        assert await take(stream, 1) == [2]
        del stream
        gc.collect()
        stream = executor.stream(id)  # at once: before the loop has put anything back
        assert await take(stream, 1) == [3]
        del stream
        gc.collect()
        await asyncio.sleep(0.01)
        assert [(name, number(message)) for name, message in executor.drain()] == [(id, 4), (id, 5)]
        publish(executor, range(6, 7))
        assert [(name, number(message)) for name, message in executor.drain()] == [(id, 6)]

    run(main())


def test_breaking_out_of_the_loop_and_going_on_loses_nothing(
    executor: SubscriptionExecutor, run: Callable[..., Any]
) -> None:
    async def main() -> None:
        async with executor.subscribe(QUERY) as stream:
            publish(executor, range(10))
            got = []
            for _ in range(5):
                async for message in stream:
                    got.append(number(message))
                    if len(got) % 2 == 0:
                        break
            assert got == list(range(10))

    run(main())


def test_a_loop_closed_under_its_streams_breaks_nobody_else(
    executor: SubscriptionExecutor, run: Callable[..., Any]
) -> None:
    loop = asyncio.new_event_loop()

    async def begin() -> Any:
        id = executor.register_subscription("gone", 1, QUERY)
        stream = executor.stream(id)
        publish(executor, range(1))
        return stream, await take(stream, 1)

    abandoned, _ = loop.run_until_complete(begin())
    loop.close()
    publish(executor, range(1, 3))

    async def main() -> None:
        async with executor.subscribe(QUERY) as stream:
            publish(executor, range(3, 6))
            assert await take(stream, 3) == [3, 4, 5]

    run(main())
    assert [number(m) for _, m in executor.drain()][:2] == [1, 2]
    del abandoned
    gc.collect()


@pytest.mark.parametrize("where", ["same loop", "another thread"])
def test_one_loop_serves_many_executors_one_after_another(
    run: Callable[..., Any], where: str
) -> None:
    async def main() -> None:
        for n in range(20):  # each one's descriptor has the number of the one before
            executor = SubscriptionExecutor()
            async with executor.subscribe(QUERY) as stream:
                task = asyncio.ensure_future(take(stream, 1))
                await asyncio.sleep(0)
                await asyncio.to_thread(executor.publish_event, "t", "c", {"id": n})
                assert await task == [n]
            if where == "same loop":
                executor.close()
            else:
                await asyncio.to_thread(executor.close)

    run(main())


def test_descriptors_are_given_back(run: Callable[..., Any]) -> None:
    import os

    def descriptors() -> int:
        return len(os.listdir("/proc/self/fd"))

    async def once(executor: SubscriptionExecutor) -> None:
        async with executor.subscribe(QUERY) as stream:
            publish(executor, range(1))
            assert await take(stream, 1) == [0]

    with SubscriptionExecutor() as executor:
        run(once(executor))
        before = descriptors()
        for _ in range(20):
            run(once(executor))
        assert descriptors() <= before + 1

    async def whole() -> None:
        async with SubscriptionExecutor() as executor:
            await once(executor)

    run(whole())
    gc.collect()
    before = descriptors()
    for _ in range(20):
        run(whole())
    gc.collect()
    assert descriptors() <= before + 1


def test_awaiting_publish_waits_for_the_dispatch(
    executor: SubscriptionExecutor,
    run: Callable[..., Any],
    in_thread: Callable[..., threading.Thread],
) -> None:
    entered, go_on = threading.Event(), threading.Event()

    def resolver(data: Any) -> Any:
        if data["id"] == 0:
            entered.set()
            assert go_on.wait(PATIENCE)
        return {"a": data}

    async def main() -> None:
        id = executor.register_subscription("c", 1, QUERY, resolver=resolver)
        in_thread(executor.publish_event, "t", "c", {"id": 0})
        await asyncio.to_thread(entered.wait, PATIENCE)
        # The turn is taken by the other thread, so this one must wait, without the loop.
        task = asyncio.ensure_future(executor.publish("t", "c", {"id": 1}))
        await asyncio.sleep(0)
        accepted = await asyncio.wait_for(
            executor.publish("t", "c", {"id": 2}, wait="accepted"), PATIENCE
        )
        assert accepted
        await asyncio.sleep(0.02)
        assert not task.done()
        go_on.set()
        position = await task
        assert " " not in position
        got = [number(m) for m in executor.next_events(id)]
        assert got[:2] == [0, 1]

    run(main())


def test_a_dispatch_that_takes_too_long_is_a_dispatch_timeout(
    run: Callable[..., Any], in_thread: Callable[..., threading.Thread]
) -> None:
    entered, go_on = threading.Event(), threading.Event()

    def resolver(data: Any) -> Any:
        if not entered.is_set():
            entered.set()
            assert go_on.wait(PATIENCE)
        return {"a": data}

    with SubscriptionExecutor(dispatch_timeout=0.1) as executor:
        id = executor.register_subscription("c", 1, QUERY, resolver=resolver)
        in_thread(executor.publish_event, "t", "c", {"id": 0})
        assert entered.wait(PATIENCE)
        with pytest.raises(DispatchTimeout) as caught:
            executor.publish_event("t", "c", {"id": 1})
        assert caught.value.position.endswith(":2")
        assert caught.value.position in str(caught.value)

        async def main() -> None:
            with pytest.raises(DispatchTimeout) as caught:
                await executor.publish("t", "c", {"id": 2})
            assert caught.value.position.endswith(":3")

        run(main())
        go_on.set()

        async def rest() -> list[Any]:
            return await take(executor.stream(id), 3)

        assert run(rest()) == [0, 1, 2]  # accepted, so dispatched in the end


def test_a_cancelled_publish_is_still_dispatched(
    executor: SubscriptionExecutor,
    run: Callable[..., Any],
    in_thread: Callable[..., threading.Thread],
) -> None:
    entered, go_on = threading.Event(), threading.Event()

    def resolver(data: Any) -> Any:
        if not entered.is_set():
            entered.set()
            assert go_on.wait(PATIENCE)
        return {"a": data}

    async def main() -> None:
        id = executor.register_subscription("c", 1, QUERY, resolver=resolver)
        in_thread(executor.publish_event, "t", "c", {"id": 0})
        await asyncio.to_thread(entered.wait, PATIENCE)
        task = asyncio.ensure_future(executor.publish("t", "c", {"id": 1}))
        await asyncio.sleep(0.01)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        go_on.set()
        assert await take(executor.stream(id), 2) == [0, 1]

    run(main())


def test_more_responses_than_one_turn_takes_all_arrive(
    executor: SubscriptionExecutor, run: Callable[..., Any]
) -> None:
    async def main() -> None:
        async with contextlib.AsyncExitStack() as stack:
            streams = [
                await stack.enter_async_context(executor.subscribe(QUERY)) for _ in range(50)
            ]
            await asyncio.to_thread(publish, executor, range(100))
            assert [await take(stream, 100) for stream in streams] == [list(range(100))] * 50

    run(main())


def test_a_busy_stream_leaves_the_loop_to_others(
    executor: SubscriptionExecutor, run: Callable[..., Any]
) -> None:
    async def main() -> None:
        ticks = 0

        async def tick() -> None:
            nonlocal ticks
            while True:
                ticks += 1
                await asyncio.sleep(0)

        ticker = asyncio.ensure_future(tick())
        async with executor.subscribe(QUERY) as stream:
            for _ in range(20):
                publish(executor, range(1000))
                await take(stream, 1000)
        ticker.cancel()
        assert ticks > 20

    run(main())


@pytest.mark.asyncio
async def test_the_async_context_manager_closes_without_blocking_the_loop() -> None:
    finished = asyncio.Event()

    async def resolver(data: Any) -> Any:
        return 1

    async with SubscriptionExecutor() as executor:
        executor.register_subscription("c", 1, QUERY, resolver=resolver)
        await executor.publish("t", "c", {})
        finished.set()
    with pytest.raises(EngineClosed):
        executor.publish_event("t", "c", {})
    assert finished.is_set()


@pytest.mark.asyncio
async def test_a_stream_feeds_an_async_generator(executor: SubscriptionExecutor) -> None:
    async def numbers() -> AsyncIterator[int]:
        async with executor.subscribe(QUERY) as stream:
            async for message in stream:
                yield number(message)

    generator = numbers()
    task = asyncio.ensure_future(anext(generator))
    await asyncio.sleep(0.01)
    publish(executor, range(1))
    assert await asyncio.wait_for(task, PATIENCE) == 0
    await generator.aclose()  # type: ignore[attr-defined]
    assert executor.get_metrics()["active"] == 0


def test_a_task_that_publishes_without_pause_lets_its_readers_run(
    executor: SubscriptionExecutor, run: Callable[..., Any]
) -> None:
    async def main() -> None:
        async with executor.subscribe("subscription { a { id } }") as stream:
            read = 0

            async def reader() -> None:
                nonlocal read
                async for _ in stream:
                    read += 1

            task = asyncio.ensure_future(reader())
            deadline = time.monotonic() + 20
            while read < 5000:  # far more than the queue holds
                await executor.publish("t", "c", {"id": 1})
                assert time.monotonic() < deadline
            task.cancel()

    run(main())
