"""A server that is told to stop lets its clients go in order, and then stops."""

from __future__ import annotations

import asyncio
import os
import signal
import subprocess
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from http_client import asking
from server_process import SERVERS, run_server
from websocket_server import closed, dial, greet, hear, subscribed, until

from fraiseql_subscriptions.shutdown import before_shutdown

Run = Callable[..., subprocess.CompletedProcess[str]]

APP = """
    from fraiseql_subscriptions import SubscriptionExecutor
    from fraiseql_subscriptions.asgi import GraphQLSubscriptions

    executor = SubscriptionExecutor()
    executor.field("thing", channels="things")
    served = GraphQLSubscriptions(executor, OPTIONS)

    async def app(scope, receive, send):
        if scope["type"] == "http":  # many events at once
            await executor.publish("made", "things", {"text": "x" * 1000})
            executor.publish_events([("made", "things", {"id": n}) for n in range(500)])
        await served(scope, receive, send)
        if scope["type"] == "lifespan":
            print("the lifespan ended", flush=True)
"""
QUERY = "subscription { thing { id } }"
STARTS = {
    **SERVERS,
    "uvicorn, two workers": [*SERVERS["uvicorn"], "--workers", "2"],
    "uvicorn, websockets-sansio": [*SERVERS["uvicorn"], "--ws", "websockets-sansio"],
    "uvicorn, no uvloop": [*SERVERS["uvicorn"], "--loop", "asyncio"],
    "hypercorn, no other process": [*SERVERS["hypercorn"], "--workers", "0"],
}


@pytest.mark.asyncio
@pytest.mark.parametrize(
    ("start", "number"),
    [
        (start, number)
        for start in STARTS
        for number in (signal.SIGTERM, signal.SIGINT)
        # To gunicorn SIGINT means at once: it kills its workers.
        if (start, number) != ("gunicorn", signal.SIGINT)
    ],
)
async def test_clients_get_what_is_queued_their_end_and_1001(
    start: str, number: signal.Signals, tmp_path: Path
) -> None:
    with run_server(tmp_path, APP.replace("OPTIONS", ""), STARTS[start]) as running:
        await until(running.answers)
        async with dial(running.socket) as socket:
            await greet(socket)
            await subscribed(socket, QUERY)
            if "two workers" not in start:  # the request may be another worker's
                await asyncio.to_thread(running.answers)
            running.process.send_signal(number)
            heard: list[Any] = []
            while not heard or heard[-1]["type"] == "next":
                heard.append(await hear(socket))
            assert heard[-1] == {"id": "1", "type": "complete"}
            assert len(heard) == (1 if "two workers" in start else 502)
            assert (await closed(socket))[0] == 1001
        running.process.wait(20)
        assert "the lifespan ended" in running.written()
        assert "Traceback" not in running.written()


@pytest.mark.asyncio
@pytest.mark.parametrize("start", [one for one in STARTS if "two workers" not in one])
@pytest.mark.parametrize("accept", ["text/event-stream", "multipart/mixed;subscriptionSpec=1.0"])
async def test_responses_end_as_well_after_what_is_queued(
    start: str, accept: str, tmp_path: Path
) -> None:
    with run_server(tmp_path, APP.replace("OPTIONS", ""), STARTS[start]) as running:
        await until(running.answers)
        async with asking(running.port, body={"query": QUERY}, accept=accept) as stream:
            await asyncio.to_thread(running.answers)
            running.process.send_signal(signal.SIGTERM)
            if accept == "text/event-stream":
                heard = [(await stream.event())[0] for _ in range(502)]
                assert heard == ["next"] * 501 + ["complete"]
            else:
                parts = [await stream.part() for _ in range(502)]
                assert all(parts[:-1])
                assert parts[-1] is None
        running.process.wait(20)
        assert "the lifespan ended" in running.written()
        assert "Traceback" not in running.written()


@pytest.mark.asyncio
async def test_without_it_the_server_does_as_it_will(tmp_path: Path) -> None:
    module = APP.replace("OPTIONS", "drain_on_signal=False")
    with run_server(tmp_path, module, SERVERS["uvicorn"]) as running:
        await until(running.answers)
        async with dial(running.socket) as socket:
            await greet(socket)
            running.process.send_signal(signal.SIGTERM)
            assert (await closed(socket))[0] == 1012


def hearing(drain: Callable[[], Any], body: Callable[[], Any]) -> None:
    """Run `body` within `before_shutdown`, on an event loop of this, the main thread."""

    async def run() -> None:
        with before_shutdown(drain):
            await asyncio.wait_for(body(), 20)

    asyncio.run(run())


def test_a_second_signal_does_not_wait() -> None:
    told: list[str] = []
    before = signal.signal(signal.SIGTERM, lambda *_: told.append("handled"))

    async def drain() -> None:
        told.append("draining")
        await asyncio.Event().wait()

    async def body() -> None:
        os.kill(os.getpid(), signal.SIGTERM)
        await until(lambda: told)
        os.kill(os.getpid(), signal.SIGTERM)
        await until(lambda: "handled" in told)

    try:
        hearing(drain, body)
        assert told == ["draining", "handled", "handled"]  # and when the drain was cancelled
    finally:
        signal.signal(signal.SIGTERM, before)


def test_the_loops_own_handlers_wait_too_and_other_signals_do_not() -> None:
    told: list[str] = []

    async def drain() -> None:
        await until(lambda: "SIGUSR1" in told)
        told.append("drained")

    async def run() -> None:
        loop = asyncio.get_running_loop()
        for number in (signal.SIGTERM, signal.SIGUSR1):
            loop.add_signal_handler(number, told.append, number.name)
        with before_shutdown(drain):
            os.kill(os.getpid(), signal.SIGTERM)
            os.kill(os.getpid(), signal.SIGUSR1)
            await until(lambda: "SIGTERM" in told)
        os.kill(os.getpid(), signal.SIGTERM)
        await until(lambda: told.count("SIGTERM") == 2)

    asyncio.run(run())
    assert told == ["SIGUSR1", "drained", "SIGTERM", "SIGTERM"]


def test_everything_is_as_it_was_afterwards() -> None:
    async def run() -> None:
        asyncio.get_running_loop().add_signal_handler(signal.SIGUSR1, print)
        before = [signal.getsignal(one) for one in (signal.SIGTERM, signal.SIGINT)]
        descriptor = signal.set_wakeup_fd(-1)
        signal.set_wakeup_fd(descriptor)

        async def drain() -> None:
            raise AssertionError("nobody asked")

        with before_shutdown(drain):
            assert signal.getsignal(signal.SIGTERM) is not before[0]
            own = signal.signal(signal.SIGINT, signal.default_int_handler)
        assert signal.getsignal(signal.SIGTERM) is before[0]
        assert signal.getsignal(signal.SIGINT) is signal.default_int_handler, "not ours to undo"
        assert signal.set_wakeup_fd(descriptor) == descriptor
        signal.signal(signal.SIGINT, before[1])
        assert own is not before[1]

    asyncio.run(run())


def test_a_process_without_handlers_ends_by_the_signal_after_the_drain(run_python: Run) -> None:
    done = run_python(
        """
        import asyncio, os, signal
        from fraiseql_subscriptions.shutdown import before_shutdown

        async def drain():
            print("drained", flush=True)

        async def main():
            with before_shutdown(drain):
                os.kill(os.getpid(), signal.SIGTERM)
                await asyncio.Event().wait()

        asyncio.run(main())
        """,
        expected=-signal.SIGTERM,
    )
    assert done.stdout == "drained\n"


def test_ctrl_c_ends_a_program_of_ones_own(run_python: Run) -> None:
    done = run_python(
        """
        import asyncio, os, signal
        from fraiseql_subscriptions import SubscriptionExecutor
        from fraiseql_subscriptions.asgi import GraphQLSubscriptions

        async def main():
            async with SubscriptionExecutor() as executor:
                async with GraphQLSubscriptions(executor).lifespan():
                    os.kill(os.getpid(), signal.SIGINT)
                    await asyncio.Event().wait()

        try:
            asyncio.run(main())
        except KeyboardInterrupt:
            print("interrupted")
        """
    )
    assert done.stdout == "interrupted\n"


def test_another_threads_loop_changes_nothing(in_thread: Callable[..., Any]) -> None:
    before = signal.getsignal(signal.SIGTERM)
    seen: list[Any] = []

    async def body() -> None:
        seen.append(signal.getsignal(signal.SIGTERM))

    async def drain() -> None:
        raise AssertionError("nobody asked")

    started = time.monotonic()
    in_thread(hearing, drain, body).join(20)
    assert seen == [before]
    assert time.monotonic() - started < 20
