"""A pump's coroutine runs as its task, whoever steps it."""

from __future__ import annotations

import asyncio
import contextlib
import contextvars
import sys
from collections import deque
from collections.abc import Awaitable, Callable
from typing import Any

import pytest

from fraiseql_subscriptions.pump import Pump

WHO: contextvars.ContextVar[str] = contextvars.ContextVar("WHO", default="nobody")
#: Before, a step is a wake-up: a task could not be given its context.
STEPS = sys.version_info >= (3, 11)
PATIENCE = 10


class Worker:
    """Works off a list, and notes as whom."""

    def __init__(self) -> None:
        self.todo: deque[Callable[[], Any]] = deque()
        self.done: list[Any] = []
        self.seen: list[tuple[asyncio.Task[Any] | None, str]] = []
        self.pump = Pump(self._run())

    async def _run(self) -> None:
        while True:
            while self.todo:
                result = self.todo.popleft()()
                if isinstance(result, Awaitable):
                    result = await result
                if result == "stop":
                    return
                self.done.append(result)
                self.seen.append((asyncio.current_task(), WHO.get()))
            await Pump.idle()

    def step(self) -> list[Any]:
        """What is done when a callback of the loop's, in its own context, has stepped it."""
        loop = asyncio.get_running_loop()
        found: list[Any] = []

        def callback() -> None:
            WHO.set("a callback")
            self.pump.step()
            found.extend(self.done)

        loop.call_soon(callback, context=contextvars.copy_context())
        return found


async def turns(count: int = 5) -> None:
    for _ in range(count):
        await asyncio.sleep(0)


async def started() -> Worker:
    WHO.set("the client")
    worker = Worker()
    WHO.set("somebody else")
    await turns()
    return worker


@pytest.mark.asyncio
async def test_a_step_works_at_once_as_the_task_and_in_its_context() -> None:
    worker = await started()
    worker.todo.append(lambda: "work")
    found = worker.step()
    await turns()
    assert found == (["work"] if STEPS else [])
    assert worker.done == ["work"]
    assert worker.seen == [(worker.pump.task, "the client")]
    worker.pump.task.cancel()


@pytest.mark.asyncio
async def test_waking_works_from_within_other_tasks() -> None:
    worker = await started()
    worker.todo.append(lambda: "work")
    worker.pump.wake()
    worker.pump.wake()
    assert worker.done == []
    await turns()
    assert worker.seen == [(worker.pump.task, "the client")]
    worker.pump.task.cancel()


@pytest.mark.asyncio
async def test_the_task_waits_for_what_a_step_found_unready() -> None:
    worker = await started()
    gate: asyncio.Future[str] = asyncio.get_running_loop().create_future()
    worker.todo.extend([lambda: "one", lambda: gate, lambda: "three"])
    worker.step()
    await turns()
    assert worker.done == ["one"]
    found = worker.step()  # it is not idle: nothing is stepped, and nothing lost
    worker.pump.wake()
    await turns()
    assert (found, worker.done) == (["one"], ["one"])
    gate.set_result("two")
    await turns()
    assert worker.done == ["one", "two", "three"]
    assert set(worker.seen) == {(worker.pump.task, "the client")}
    worker.pump.task.cancel()


@pytest.mark.asyncio
async def test_letting_others_run_is_not_being_idle() -> None:
    worker = await started()
    worker.todo.extend([lambda: asyncio.sleep(0, "one"), lambda: "two"])
    worker.step()
    await turns()
    assert worker.done == ["one", "two"]
    worker.pump.task.cancel()


@pytest.mark.asyncio
async def test_a_timeout_reaches_what_a_step_began() -> None:
    worker = await started()
    never: asyncio.Future[None] = asyncio.get_running_loop().create_future()

    async def attempt() -> str:
        try:
            await asyncio.wait_for(never, 0.01)
        except asyncio.TimeoutError:
            return "timed out"
        return "came"

    worker.todo.append(attempt)
    worker.step()
    deadline = asyncio.get_running_loop().time() + PATIENCE
    while not worker.done:
        assert asyncio.get_running_loop().time() < deadline
        await asyncio.sleep(0)
    assert worker.done == ["timed out"]
    worker.pump.task.cancel()


@pytest.mark.asyncio
@pytest.mark.parametrize("begun", [False, True], ids=["idle", "in what a step began"])
async def test_cancelling_the_task_unwinds_the_coroutine(begun: bool) -> None:
    worker = await started()
    unwound = []

    async def attempt() -> None:
        try:
            await asyncio.get_running_loop().create_future()
        finally:
            unwound.append(asyncio.current_task())

    if begun:
        worker.todo.append(attempt)
        worker.step()
        await turns()
    worker.pump.task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await worker.pump.task
    assert unwound == ([worker.pump.task] if begun else [])


@pytest.mark.asyncio
async def test_cancelling_in_the_turn_of_a_step_reaches_the_coroutine() -> None:
    worker = await started()
    caught = []

    async def attempt() -> str:
        try:
            await asyncio.get_running_loop().create_future()
        except asyncio.CancelledError:
            caught.append(True)
            raise
        return "came"

    worker.todo.append(attempt)
    worker.step()
    asyncio.get_running_loop().call_soon(worker.pump.task.cancel)
    with pytest.raises(asyncio.CancelledError):
        await worker.pump.task
    assert caught == ([True] if STEPS else [])


@pytest.mark.asyncio
async def test_nobody_steps_or_wakes_what_has_been_cancelled() -> None:
    worker = await started()
    worker.todo.append(lambda: "work")
    worker.pump.task.cancel()
    worker.pump.wake()
    worker.pump.step()
    with pytest.raises(asyncio.CancelledError):
        await worker.pump.task
    assert worker.done == []


@pytest.mark.asyncio
async def test_what_a_step_raises_is_the_tasks_error() -> None:
    worker = await started()

    def fail() -> None:
        raise ConnectionResetError("gone")

    worker.todo.append(fail)
    worker.step()
    with pytest.raises(ConnectionResetError, match="gone"):
        await asyncio.wait_for(worker.pump.task, PATIENCE)
    worker.pump.step()
    worker.pump.wake()


@pytest.mark.asyncio
async def test_a_coroutine_that_returns_in_a_step_ends_the_task() -> None:
    worker = await started()
    worker.todo.append(lambda: "stop")
    worker.step()
    await asyncio.wait_for(worker.pump.task, PATIENCE)
    assert worker.pump.task.result() is None


def test_an_interrupt_in_a_step_leaves_the_loop() -> None:
    loop = asyncio.new_event_loop()
    made: list[Worker] = []

    def interrupt() -> None:
        raise KeyboardInterrupt

    async def begin() -> None:
        made.append(await started())

    try:
        loop.run_until_complete(begin())
        made[0].todo.append(interrupt)
        loop.call_soon(made[0].pump.step)
        with pytest.raises(KeyboardInterrupt):
            loop.run_until_complete(asyncio.sleep(0.1))
        task = made[0].pump.task
        for _ in range(5):  # a task that ends so interrupts the loop, too
            with contextlib.suppress(KeyboardInterrupt):
                loop.run_until_complete(asyncio.sleep(0))
        assert task.done()
        assert isinstance(task.exception(), KeyboardInterrupt)
    finally:
        loop.close()
