"""Async resolvers: on the loop that registered them, answers in the order of the events."""

# ruff: noqa: A001  (`id` is a name of the public API)

from __future__ import annotations

import asyncio
import contextvars
import functools
import gc
import json
import threading
from collections.abc import Callable
from typing import Any

import pytest

from fraiseql_subscriptions import SubscriptionExecutor

pytestmark = pytest.mark.asyncio

QUERY = "subscription { a { id } }"
PATIENCE = 30.0

variable: contextvars.ContextVar[str] = contextvars.ContextVar("variable", default="unset")


async def take(stream: Any, count: int) -> list[Any]:
    found = []
    for _ in range(count):
        message = await asyncio.wait_for(anext(stream), PATIENCE)
        found.append(json.loads(message)["payload"])
    return found


async def test_answers_come_in_the_order_of_the_events(executor: SubscriptionExecutor) -> None:
    async def resolver(data: Any) -> Any:
        await asyncio.sleep(0.02 if data["id"] % 3 == 0 else 0)
        return data["id"]

    async with executor.subscribe(QUERY, resolver=resolver) as stream:
        for n in range(10):
            await executor.publish("t", "c", {"id": n})
        assert await take(stream, 10) == [{"data": n} for n in range(10)]


async def test_a_late_answer_keeps_its_place_before_answers_of_the_engine(
    executor: SubscriptionExecutor,
) -> None:
    gate = asyncio.Event()

    async def resolver(data: Any) -> Any:
        await gate.wait()
        return "late"

    async with executor.subscribe(QUERY, resolver=resolver) as stream:
        await executor.publish("t", "c", {})
        executor.register_resolver(stream.id, lambda data: "soon")
        await executor.publish("t", "c", {})
        with pytest.raises(asyncio.TimeoutError):
            await asyncio.wait_for(anext(stream), 0.05)
        gate.set()
        assert await take(stream, 2) == [{"data": "late"}, {"data": "soon"}]


async def test_async_resolvers_of_one_two_and_three_parameters(
    executor: SubscriptionExecutor,
) -> None:
    async def one(data: Any) -> Any:
        return data

    async def two(data: Any, variables: Any) -> Any:
        return variables

    class Three:
        async def __call__(self, data: Any, variables: Any, info: Any) -> Any:
            return [info.subscription_id, asyncio.get_running_loop() is loop]

    loop = asyncio.get_running_loop()
    resolvers: tuple[Callable[..., Any], ...] = (
        one,
        two,
        Three(),
        functools.partial(two, variables="p"),
    )
    ids = [
        executor.register_subscription(
            "c", n, "subscription($v: Int = 3) { a(v: $v) { id } }", resolver=resolver
        )
        for n, resolver in enumerate(resolvers)
    ]
    streams = [executor.stream(id) for id in ids]
    await executor.publish("t", "c", {"big": 2**70})
    got = [(await take(stream, 1))[0]["data"] for stream in streams]
    assert got == [{"big": 2**70}, {"v": 3}, ["2", True], "p"]


@pytest.mark.parametrize(
    ("error", "message"), [(ValueError("wrong"), "wrong"), (KeyError(), "KeyError")]
)
async def test_a_coroutine_that_raises_is_an_error_response(
    executor: SubscriptionExecutor, error: Exception, message: str
) -> None:
    async def resolver(data: Any) -> Any:
        raise error

    async with executor.subscribe(QUERY, resolver=resolver) as stream:
        await executor.publish("t", "c", {})
        (payload,) = await take(stream, 1)
    assert payload["data"] is None
    assert payload["errors"][0]["message"] == message


async def test_an_unserialisable_answer_is_an_error_response(
    executor: SubscriptionExecutor,
) -> None:
    async def resolver(data: Any) -> Any:
        return {"a": object()}

    async with executor.subscribe(QUERY, resolver=resolver) as stream:
        await executor.publish("t", "c", {})
        (payload,) = await take(stream, 1)
    assert "$.a is of type object" in payload["errors"][0]["message"]


async def test_an_answer_that_does_not_come_is_an_error_in_its_place() -> None:
    async def resolver(data: Any) -> Any:
        if data["id"] == 0:
            await asyncio.Event().wait()
        return data["id"]

    async with (
        SubscriptionExecutor(resolver_timeout=0.1) as executor,
        executor.subscribe(QUERY, resolver=resolver) as stream,
    ):
        for n in range(2):
            await executor.publish("t", "c", {"id": n})
        late, good = await take(stream, 2)
    assert late["errors"][0]["extensions"]["code"] == "RESOLVER_TIMEOUT"
    assert good == {"data": 1}


async def test_completing_a_subscription_cancels_its_tasks(executor: SubscriptionExecutor) -> None:
    began, cancelled = asyncio.Event(), asyncio.Event()

    async def resolver(data: Any) -> Any:
        began.set()
        try:
            await asyncio.Event().wait()
        except asyncio.CancelledError:
            cancelled.set()
            raise

    async with executor.subscribe(QUERY, resolver=resolver):
        await executor.publish("t", "c", {})
        await asyncio.wait_for(began.wait(), PATIENCE)
    await asyncio.wait_for(cancelled.wait(), PATIENCE)
    assert not executor._callbacks
    assert not executor._callbacks.tasks._waiting


async def test_a_shared_answer_is_cancelled_with_its_last_subscription(
    executor: SubscriptionExecutor,
) -> None:
    gate = asyncio.Event()
    calls: list[Any] = []

    async def resolver(data: Any) -> Any:
        calls.append(data)
        await gate.wait()
        return len(calls)

    async with executor.subscribe(QUERY, resolver=resolver) as kept:
        async with executor.subscribe(QUERY, resolver=resolver):
            await executor.publish("t", "c", {})
            await asyncio.sleep(0)
        gate.set()
        assert await take(kept, 1) == [{"data": 1}]
    assert len(calls) == 1


async def test_a_task_that_the_application_cancels_is_an_error_response(
    executor: SubscriptionExecutor,
) -> None:
    async def resolver(data: Any) -> Any:
        task = asyncio.current_task()
        assert task is not None
        task.cancel()
        await asyncio.sleep(0)

    async with executor.subscribe(QUERY, resolver=resolver) as stream:
        await executor.publish("t", "c", {})
        (payload,) = await take(stream, 1)
    assert "cancelled" in payload["errors"][0]["message"]


async def test_contextvars_of_the_registration_apply_to_the_task(
    executor: SubscriptionExecutor,
) -> None:
    async def resolver(data: Any) -> Any:
        found = variable.get()
        variable.set("leaked")
        return found

    token = variable.set("registered")
    id = executor.register_subscription("c", 1, QUERY, resolver=resolver)
    variable.reset(token)
    stream = executor.stream(id)
    for _ in range(2):
        await executor.publish("t", "c", {})
    assert await take(stream, 2) == [{"data": "registered"}] * 2
    assert variable.get() == "unset"


async def test_another_threads_publish_runs_the_resolver_on_its_own_loop(
    executor: SubscriptionExecutor, in_thread: Callable[..., threading.Thread]
) -> None:
    here = threading.get_ident()

    async def resolver(data: Any) -> Any:
        await asyncio.sleep(0)
        return threading.get_ident() == here

    async with executor.subscribe(QUERY, resolver=resolver) as stream:
        in_thread(executor.publish_event, "t", "c", {})
        assert await take(stream, 1) == [{"data": True}]


async def test_an_async_resolver_may_await_publish(executor: SubscriptionExecutor) -> None:
    async def resolver(data: Any) -> Any:
        if data["n"] < 3:
            await executor.publish("t", "c", {"n": data["n"] + 1})
        return data["n"]

    async with executor.subscribe(QUERY, resolver=resolver) as stream:
        await executor.publish("t", "c", {"n": 0})
        assert await take(stream, 4) == [{"data": n} for n in range(4)]


async def test_closing_waits_for_answers_on_the_way_and_cancels_the_rest() -> None:
    cancelled = asyncio.Event()

    async def resolver(data: Any) -> Any:
        try:
            await asyncio.Event().wait()
        finally:
            cancelled.set()

    executor = SubscriptionExecutor()
    executor.register_subscription("c", 1, QUERY, resolver=resolver)
    await executor.publish("t", "c", {})
    await asyncio.sleep(0.01)
    executor.close()
    await asyncio.wait_for(cancelled.wait(), PATIENCE)


async def test_the_resolver_of_a_closed_loop_is_an_error_response(
    executor: SubscriptionExecutor,
) -> None:
    async def resolver(data: Any) -> Any:
        return 1

    def elsewhere() -> str:
        async def register() -> str:
            return executor.register_subscription("c", 1, QUERY, resolver=resolver)

        return asyncio.run(register())

    id = await asyncio.to_thread(elsewhere)
    stream = executor.stream(id)
    await executor.publish("t", "c", {})
    (payload,) = await take(stream, 1)
    assert "closed" in payload["errors"][0]["message"]


async def test_a_dropped_executor_cancels_its_resolvers_that_run() -> None:
    complaints: list[Any] = []
    loop = asyncio.get_running_loop()
    loop.set_exception_handler(lambda loop, context: complaints.append(context["message"]))
    started, ended = asyncio.Event(), asyncio.Event()

    async def resolver(data: Any) -> Any:
        started.set()
        try:
            await asyncio.Event().wait()  # nothing else refers to what it waits for
        finally:
            loop.call_soon(ended.set)

    executor = SubscriptionExecutor()
    executor.register_subscription("c", "s", QUERY, resolver=resolver)
    executor.publish_event("t", "c", {})
    await asyncio.wait_for(started.wait(), PATIENCE)
    del executor
    gc.collect()
    assert not complaints
    await asyncio.wait_for(ended.wait(), PATIENCE)
    gc.collect()
    assert not complaints


async def test_a_task_cancelled_before_its_first_step_is_an_error_response(
    executor: SubscriptionExecutor,
) -> None:
    async def resolver(data: Any) -> Any:
        return data

    before = asyncio.all_tasks()
    async with executor.subscribe(QUERY, resolver=resolver) as stream:
        publishing = asyncio.ensure_future(executor.publish("t", "c", {}))
        for _ in range(100):
            await asyncio.sleep(0)
            if begun := asyncio.all_tasks() - before - {publishing}:
                break
        for task in begun:
            task.cancel()
        await publishing
        (payload,) = await take(stream, 1)
    assert "cancelled" in payload["errors"][0]["message"]
