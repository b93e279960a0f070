"""A pump's coroutine and its errands run as its task, whoever begins them."""

from __future__ import annotations

import asyncio
import contextlib
import contextvars
import gc
import sys
import weakref
from collections import deque
from collections.abc import Awaitable, Callable
from functools import partial
from typing import Any

import pytest

from fraiseql_subscriptions.process import load, state
from fraiseql_subscriptions.pump import Pump, hand_over

WHO: contextvars.ContextVar[str] = contextvars.ContextVar("WHO", default="nobody")
#: Before, nothing is handed to a pump: a task could not be given its context.
HANDS = sys.version_info >= (3, 11)
PATIENCE = 10

load()


class Worker:
    """Works off a list, or what it is handed, and notes as whom."""

    def __init__(self) -> None:
        self.todo: deque[Callable[[], Any]] = deque()
        self.done: list[Any] = []
        self.seen: list[tuple[asyncio.Task[Any] | None, str]] = []
        self.failures: list[BaseException] = []
        self.pump = Pump(self._run(), self._work)

    async def _run(self) -> None:
        while True:
            while self.todo:
                await self._work(self.todo.popleft())
            try:
                await Pump.idle()
            except BaseException as error:
                self.failures.append(error)
                raise

    async def _work(self, work: Callable[[], Any]) -> None:
        result = work()
        if isinstance(result, Awaitable):
            result = await result
        self.done.append(result)
        self.seen.append((asyncio.current_task(), WHO.get()))

    def begin(self, *work: Callable[[], Any]) -> tuple[list[bool], list[Any]]:
        """What it took, and had done then, when a callback of the loop's, in its own context,
        handed it all this."""
        taken: list[bool] = []
        found: list[Any] = []

        def callback() -> None:
            WHO.set("a callback")
            for one in work:
                taken.append(self.pump.hand(one))
                if not taken[-1]:
                    self.todo.append(one)
                    self.pump.wake()
            found.extend(self.done)

        asyncio.get_running_loop().call_soon(callback, context=contextvars.copy_context())
        return taken, found


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
async def test_an_errand_runs_at_once_as_the_task_and_in_its_context() -> None:
    worker = await started()
    taken, found = worker.begin(lambda: "one", lambda: "two")
    await turns()
    assert taken == [HANDS, HANDS]
    assert found == (["one", "two"] if HANDS else [])
    assert worker.done == ["one", "two"]
    assert worker.seen == [(worker.pump.task, "the client")] * 2
    worker.pump.task.cancel()


@pytest.mark.asyncio
async def test_errands_of_several_pumps_know_whose_they_are() -> None:
    workers = [await started() for _ in range(3)]
    for worker in workers:
        worker.begin(lambda: "one")
    await turns()
    assert [worker.seen for worker in workers] == [
        [(worker.pump.task, "the client")] for worker in workers
    ]
    for worker in workers:
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
async def test_the_task_waits_for_what_an_errand_found_unready() -> None:
    worker = await started()
    gate: asyncio.Future[str] = asyncio.get_running_loop().create_future()
    taken, _ = worker.begin(lambda: "one", lambda: gate, lambda: "three")
    await turns()
    assert taken == ([True, True, False] if HANDS else [False] * 3)
    assert worker.done == ["one"]
    other = await started()  # nobody else is held up
    other.begin(lambda: "theirs")
    await turns()
    assert other.done == ["theirs"]
    worker.pump.wake()  # it is not idle: nothing is lost
    await turns()
    assert worker.done == ["one"]
    gate.set_result("two")
    await turns()
    assert worker.done == ["one", "two", "three"]
    assert set(worker.seen) == {(worker.pump.task, "the client")}
    worker.begin(lambda: "four")  # it is idle again
    await turns()
    assert worker.done[3:] == ["four"]
    for one in (worker, other):
        one.pump.task.cancel()


@pytest.mark.asyncio
async def test_letting_others_run_is_not_being_idle() -> None:
    worker = await started()
    worker.begin(lambda: asyncio.sleep(0, "one"), lambda: "two")
    await turns()
    assert worker.done == ["one", "two"]
    worker.pump.task.cancel()


@pytest.mark.asyncio
async def test_what_a_pump_that_is_woken_meanwhile_is_handed_is_not_lost(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    # As a finalizer may, or what handles a signal.
    worker = await started()

    def begin(*given: Any) -> Any:
        worker.pump.wake()
        return round_(*given)

    round_ = state.round
    monkeypatch.setattr(state, "round", begin)
    taken, _ = worker.begin(lambda: "work")
    await turns()
    assert taken == [False]
    assert worker.done == ["work"]
    worker.pump.task.cancel()


@pytest.mark.asyncio
async def test_a_timeout_reaches_what_an_errand_began() -> None:
    worker = await started()
    never: asyncio.Future[None] = asyncio.get_running_loop().create_future()

    async def attempt() -> str:
        try:
            await asyncio.wait_for(never, 0.01)
        except asyncio.TimeoutError:
            return "timed out"
        return "came"

    worker.begin(attempt)
    deadline = asyncio.get_running_loop().time() + PATIENCE
    while not worker.done:
        assert asyncio.get_running_loop().time() < deadline
        await asyncio.sleep(0)
    assert worker.done == ["timed out"]
    worker.pump.task.cancel()


@pytest.mark.asyncio
@pytest.mark.parametrize("begun", [False, True], ids=["idle", "in an errand"])
async def test_cancelling_the_task_unwinds_what_it_is_at(begun: bool) -> None:
    worker = await started()
    unwound = []

    async def attempt() -> None:
        try:
            await asyncio.get_running_loop().create_future()
        finally:
            unwound.append(asyncio.current_task())

    if begun:
        worker.begin(attempt)
        await turns()
    worker.pump.task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await worker.pump.task
    assert unwound == ([worker.pump.task] if begun else [])
    if HANDS or not begun:
        assert [type(error) for error in worker.failures] == [asyncio.CancelledError]


@pytest.mark.asyncio
async def test_cancelling_in_the_turn_of_an_errand_reaches_it() -> None:
    worker = await started()
    caught = []

    async def attempt() -> str:
        try:
            await asyncio.get_running_loop().create_future()
        except asyncio.CancelledError:
            caught.append(True)
            raise
        return "came"

    worker.begin(attempt)
    asyncio.get_running_loop().call_soon(worker.pump.task.cancel)
    with pytest.raises(asyncio.CancelledError):
        await worker.pump.task
    assert caught == ([True] if HANDS else [])


@pytest.mark.asyncio
async def test_nobody_hands_anything_to_what_has_been_cancelled() -> None:
    worker = await started()
    worker.pump.task.cancel()
    worker.pump.wake()
    assert not worker.pump.hand("work")
    with pytest.raises(asyncio.CancelledError):
        await worker.pump.task
    assert worker.done == []


@pytest.mark.asyncio
async def test_what_an_errand_raises_is_raised_where_the_coroutine_waits() -> None:
    worker = await started()

    def fail() -> None:
        raise ConnectionResetError("gone")

    worker.begin(fail)
    with pytest.raises(ConnectionResetError, match="gone"):
        await asyncio.wait_for(worker.pump.task, PATIENCE)
    if HANDS:
        assert [type(error) for error in worker.failures] == [ConnectionResetError]
    worker.pump.wake()
    assert not worker.pump.hand("work")


@pytest.mark.asyncio
async def test_what_an_errand_that_waited_raises_is_raised_there_too() -> None:
    worker = await started()

    async def fail() -> None:
        await asyncio.sleep(0)
        raise ConnectionResetError("gone")

    worker.begin(fail)
    with pytest.raises(ConnectionResetError, match="gone"):
        await asyncio.wait_for(worker.pump.task, PATIENCE)
    other = await started()
    other.begin(lambda: "theirs")
    await turns()
    assert other.done == ["theirs"]
    other.pump.task.cancel()


@pytest.mark.asyncio
async def test_a_coroutine_that_returns_ends_the_task() -> None:
    async def once() -> None:
        await Pump.idle()

    async def never(_: object) -> None:
        """Not called."""

    pump = Pump(once(), never)
    await turns()
    pump.wake()
    await asyncio.wait_for(pump.task, PATIENCE)
    assert pump.task.result() is None


def test_an_interrupt_in_an_errand_leaves_the_loop() -> None:
    loop = asyncio.new_event_loop()
    made: list[Worker] = []

    def interrupt() -> None:
        raise KeyboardInterrupt

    async def begin() -> None:
        made.append(await started())

    try:
        loop.run_until_complete(begin())
        loop.call_soon(lambda: made[0].begin(interrupt))
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


def test_an_exit_in_an_errand_leaves_the_loop_once_so_that_others_clean_up() -> None:
    cleaned = []

    async def other() -> None:
        try:
            await asyncio.Event().wait()
        finally:
            await turns()
            cleaned.append(True)

    def leave() -> None:
        raise SystemExit(3)

    async def main() -> None:
        task = asyncio.create_task(other())
        worker = await started()
        worker.begin(leave)
        await task

    with pytest.raises(SystemExit):
        asyncio.run(main())
    assert cleaned == [True]


@pytest.mark.asyncio
async def test_cancelling_before_the_task_has_taken_over_cancels_what_an_errand_awaits() -> None:
    worker = await started()
    awaited: list[asyncio.Task[None]] = []

    async def attempt() -> None:
        awaited.append(asyncio.create_task(asyncio.sleep(PATIENCE)))
        await awaited[0]

    def callback() -> None:
        if worker.pump.hand(attempt):
            worker.pump.task.cancel()
        else:
            worker.todo.append(attempt)
            worker.pump.wake()
            asyncio.get_running_loop().call_later(0.01, worker.pump.task.cancel)

    asyncio.get_running_loop().call_soon(callback)
    with pytest.raises(asyncio.CancelledError):
        await worker.pump.task
    assert awaited[0].cancelled()


def callback(call: Callable[[], Any]) -> asyncio.Future[Any]:
    """What `call` returns or raises in a callback of the running loop."""
    loop = asyncio.get_running_loop()
    done: asyncio.Future[Any] = loop.create_future()

    def run() -> None:
        try:
            done.set_result(call())
        except Exception as error:
            done.set_exception(error)

    loop.call_soon(run, context=contextvars.copy_context())
    return done


async def crew(*names: str) -> dict[str, Worker]:
    return {name: await started() for name in names}


def dismiss(workers: dict[str, Worker]) -> None:
    for worker in workers.values():
        worker.pump.task.cancel()


@pytest.mark.asyncio
async def test_a_round_goes_on_past_one_that_waits_and_one_that_fails() -> None:
    workers = await crew("a", "b", "c", "d")
    pumps = {name: worker.pump for name, worker in workers.items()}
    gate: asyncio.Future[str] = asyncio.get_running_loop().create_future()

    def fail() -> None:
        raise ConnectionResetError("gone")

    ids = ["a", "a", "b", "c", "d", "d"]
    work: list[Callable[[], Any]] = [
        lambda: 1, lambda: 2, lambda: gate, fail, lambda: 3, lambda: 4
    ]  # fmt: skip
    given = work[::-1]
    reached = await callback(lambda: hand_over(pumps, ids, given, 0))
    if not HANDS:
        assert (reached, given) == (0, work[::-1])
        dismiss(workers)
        return
    assert (reached, given) == (6, [])
    assert [worker.done for worker in workers.values()] == [[1, 2], [], [], [3, 4]]
    assert workers["a"].seen == [(workers["a"].pump.task, "the client")] * 2
    with pytest.raises(ConnectionResetError):
        await asyncio.wait_for(workers["c"].pump.task, PATIENCE)
    gate.set_result("came")
    await turns()
    assert workers["b"].done == ["came"]
    assert workers["b"].seen == [(workers["b"].pump.task, "the client")]
    dismiss(workers)


@pytest.mark.asyncio
async def test_a_round_stops_at_a_pump_that_is_not_idle_and_at_one_that_is_not_there() -> None:
    workers = await crew("a", "b")
    pumps = {name: worker.pump for name, worker in workers.items()}
    work: list[Callable[[], Any]] = [lambda: 3, lambda: 2, lambda: 1]

    def hand() -> int:
        pumps["b"].wake()
        return hand_over(pumps, ["a", "b", "a"], work, 0)

    assert await callback(hand) == int(HANDS)
    assert await callback(lambda: hand_over(pumps, ["nobody"], work, 0)) == 0
    assert len(work) == 3 - int(HANDS)
    assert workers["a"].done == [1] * HANDS
    dismiss(workers)


@pytest.mark.asyncio
async def test_a_pump_that_its_own_errand_wakes_is_handed_no_more() -> None:
    workers = await crew("a")
    pump = workers["a"].pump
    given: list[Callable[[], Any]] = [lambda: "second", pump.wake]
    assert await callback(lambda: hand_over({"a": pump}, ["a", "a"], given, 0)) == int(HANDS)
    assert len(given) == 2 - int(HANDS)
    dismiss(workers)


@pytest.mark.asyncio
async def test_texts_become_messages() -> None:
    sent: list[Any] = []

    async def send(message: Any) -> None:
        sent.append(message)

    async def run() -> None:
        await Pump.idle()

    pump = Pump(run(), send)
    await turns()
    texts = ["zwei \N{SNOWMAN}", "one"]
    reached = await callback(lambda: hand_over({1: pump}, [1, 1, 1], texts, 0))
    expected = [{"type": "websocket.send", "text": text} for text in ("one", "zwei \N{SNOWMAN}")]
    assert (reached, sent) == ((2, expected) if HANDS else (0, []))  # another thread has the third
    pump.task.cancel()


@pytest.mark.asyncio
async def test_a_round_within_a_task_is_refused_and_leaves_nothing_behind() -> None:
    workers = await crew("a")
    WHO.set("somebody else")
    given: list[Callable[[], Any]] = [lambda: "work"]
    if HANDS:
        with pytest.raises(RuntimeError, match="another task"):
            hand_over({"a": workers["a"].pump}, ["a"], given, 0)
    assert asyncio.current_task() is not workers["a"].pump.task
    assert WHO.get() == "somebody else"
    assert len(given) == 1
    worker = workers["a"]
    worker.begin(lambda: "work")
    await turns()
    assert worker.done == ["work"]
    dismiss(workers)


@pytest.mark.asyncio
async def test_what_an_errand_raises_keeps_nothing_for_good() -> None:
    class Client:
        async def send(self, _: Any) -> None:
            raise ConnectionResetError

    async def run() -> None:
        await Pump.idle()

    client = Client()
    kept = weakref.ref(client)
    pumps = {"a": Pump(run(), client.send)}
    task = pumps["a"].task
    await turns()
    assert await callback(partial(hand_over, pumps, ["a"], [1], 0)) == int(HANDS)
    task.cancel()
    await asyncio.wait([task])
    if not task.cancelled():
        assert isinstance(task.exception(), ConnectionResetError)
    del client, pumps, task
    await turns()
    gc.collect()
    assert kept() is None


@pytest.mark.asyncio
async def test_a_round_that_there_is_no_memory_to_end_leaves_nothing_behind_either(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    class Round:
        def __init__(self, *given: Any) -> None:
            self.round = round_(*given)
            self.end = self.round.end

        def __iter__(self) -> Any:
            return self.round

        @property
        def at(self) -> int:
            raise MemoryError

    def hand() -> tuple[asyncio.Task[Any] | None, str]:
        with pytest.raises(MemoryError):
            hand_over({"a": worker.pump}, ["a"], [lambda: gate], 0)
        return asyncio.current_task(), WHO.get()

    round_ = state.round
    worker = await started()
    gate: asyncio.Future[str] = asyncio.get_running_loop().create_future()
    with monkeypatch.context() as patch:
        patch.setattr(state, "round", Round)
        assert await callback(hand) == (None, "somebody else")
    gate.set_result("came")
    await turns()
    assert worker.done == ["came"] * HANDS
    worker.pump.task.cancel()


@pytest.mark.parametrize(
    "given", [((), [], [], 0), ({}, (), [], 0), ({}, [], (), 0), ({}, [], [], -1), ({}, [], [])]
)
def test_what_is_no_round_is_refused(given: Any) -> None:
    with pytest.raises((TypeError, ValueError)):
        state.round(*given)


@pytest.mark.asyncio
async def test_rounds_keep_nothing() -> None:
    workers = await crew("a", "b")
    pumps = {name: worker.pump for name, worker in workers.items()}
    text, ids = "some text of its own", ["a", "b", "nobody"]

    async def send(_: Any) -> None:
        """It is sent."""

    async def run() -> None:
        await Pump.idle()

    pumps["c"] = Pump(run(), send)
    await turns()
    context = [*ids, "c", "c"]
    counted = [pumps, context, text, *pumps.values(), pumps["c"].task]
    if HANDS:
        counted.append(pumps["c"].handing)
    before = [sys.getrefcount(one) for one in counted]

    def many() -> None:
        for _ in range(1000):
            assert hand_over(pumps, context, [text, text], 3) == (5 if HANDS else 3)
            assert hand_over(pumps, context, [text, text], 2) == 2
            round_ = state.round(pumps, context, [text], 3)
            if HANDS:
                next(iter(round_))
                assert round_.end() is pumps["c"]
            assert list(round_) == []
            assert round_.end() is None

    await callback(many)
    assert [sys.getrefcount(one) for one in counted] == before
    for pump in pumps.values():
        pump.task.cancel()
