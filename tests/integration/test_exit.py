"""Ctrl-C is answered, and the interpreter leaves cleanly whatever is still going on."""

from __future__ import annotations

import signal
import subprocess
import sys
import textwrap
import time
from collections.abc import Callable
from typing import Any

import pytest

Run = Callable[..., Any]

BUSY = """
import asyncio, logging, threading, time
logging.disable()  # queues overflow here
from fraiseql_subscriptions import SubscriptionExecutor
executor = SubscriptionExecutor()
ids = [
    executor.register_subscription("c", n, "subscription { a { id } }", channels=f"c{n % 3}",
                                   resolver=(lambda data: data) if n % 2 else None)
    for n in range(20)
]
"""


@pytest.mark.parametrize(
    "code",
    [
        "pass",
        "executor.publish_event('t', 'c0', {'id': 1})",
        "executor.close()",
        "del executor",
        "executor.fileno(); executor.publish_event('t', 'c1', {'id': 1})",
        # publishers that never stop
        """
        def publish(n):
            while True:
                executor.publish_event('t', f'c{n}', {'id': 1})
        for n in range(3):
            threading.Thread(target=publish, args=(n,), daemon=True).start()
        time.sleep(0.2)
        """,
        # a resolver that never returns
        """
        gate = threading.Event()
        executor.register_resolver(ids[0], lambda data: gate.wait())
        threading.Thread(target=executor.publish_event, args=('t', 'c0', {}), daemon=True).start()
        time.sleep(0.2)
        """,
        # a publisher that waits for its turn behind it
        """
        gate = threading.Event()
        executor.register_resolver(ids[0], lambda data: gate.wait())
        publish = executor.publish_event
        for _ in range(3):
            threading.Thread(target=publish, args=('t', 'c0', {}), daemon=True).start()
        time.sleep(0.2)
        """,
        # an async resolver that never answers, on a loop that is gone
        """
        async def never(data):
            await asyncio.Event().wait()
        async def main():
            executor.register_resolver(ids[0], never)
            await executor.publish('t', 'c0', {'id': 1})
            stream = executor.stream(ids[1])
        asyncio.run(main())
        """,
        # a loop that runs on in a daemon thread
        """
        async def main():
            async for message in executor.stream(ids[0]):
                pass
        threading.Thread(target=asyncio.run, args=(main(),), daemon=True).start()
        time.sleep(0.2)
        executor.publish_event('t', 'c0', {'id': 1})
        """,
        # publishing from an exit hook
        """
        import atexit
        atexit.register(executor.publish_event, 't', 'c0', {'id': 1})
        """,
        # an unhandled error on the way out
        "import sys; sys.exit(0)",
    ],
)
def test_the_interpreter_exits_cleanly_and_soon(run_python: Run, code: str) -> None:
    began = time.monotonic()
    done = run_python(BUSY + textwrap.dedent(code), timeout=20)
    assert done.stderr == ""
    assert time.monotonic() - began < 10


def interrupted(code: str, delay: float = 0.3) -> tuple[subprocess.CompletedProcess[str], float]:
    """Run code, send it SIGINT once it has printed a line; how long it then took to end."""
    child = subprocess.Popen(
        [sys.executable, "-c", textwrap.dedent(BUSY) + textwrap.dedent(code)],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    try:
        assert child.stdout is not None
        assert child.stdout.readline() == "ready\n"
        time.sleep(delay)
        sent = time.monotonic()
        child.send_signal(signal.SIGINT)
        output, errors = child.communicate(timeout=20)
    finally:
        child.kill()
        child.communicate()
    took = time.monotonic() - sent
    return subprocess.CompletedProcess([], child.returncode, output, errors), took


@pytest.mark.parametrize(
    "code",
    [
        # a tight loop of publishing, with a resolver and without
        "while True: executor.publish_event('t', 'c0', {'id': 1})",
        "while True: executor.publish_event('t', 'c1', {'id': 1})",
        # waiting for a turn that another thread holds
        """
        gate = threading.Event()
        entered = threading.Event()
        executor.register_resolver(ids[0], lambda data: (entered.set(), gate.wait()) and None)
        threading.Thread(target=executor.publish_event, args=('t', 'c0', {}), daemon=True).start()
        entered.wait(10)
        executor.publish_event('t', 'c0', {})
        """,
        # waiting in close() for a resolver
        """
        gate = threading.Event()
        entered = threading.Event()
        executor.register_resolver(ids[0], lambda data: (entered.set(), gate.wait()) and None)
        threading.Thread(target=executor.publish_event, args=('t', 'c0', {}), daemon=True).start()
        entered.wait(10)
        executor.close(timeout=30)
        """,
    ],
)
def test_ctrl_c_is_answered_at_once(code: str) -> None:
    wrapped = "print('ready', flush=True)\ntry:\n" + textwrap.indent(textwrap.dedent(code), "    ")
    wrapped += textwrap.dedent(
        """
        except KeyboardInterrupt:
            import os
            print("interrupted", flush=True)
            os._exit(0)
        """
    )
    done, took = interrupted(wrapped)
    assert done.returncode == 0, done.stderr
    assert "interrupted" in done.stdout
    assert took < 2.0  # 0.1 s is what is promised; this machine may be busy


def test_ctrl_c_in_a_resolver_leaves_publish_and_ends_the_program() -> None:
    done, _ = interrupted(
        """
        def slow(data):
            print("ready", flush=True)
            time.sleep(20)
        executor.register_resolver(ids[0], slow)
        executor.publish_event("t", "c0", {})
        """
    )
    assert done.returncode == -signal.SIGINT
    assert done.stderr.rstrip().endswith("KeyboardInterrupt")


def test_asyncios_signal_handlers_and_wakeup_descriptor_work_after_loading(run_python: Run) -> None:
    run_python(
        BUSY
        + textwrap.dedent(
            """
            import os, signal, socket
            async def main():
                stop = asyncio.Event()
                loop = asyncio.get_running_loop()
                for name in (signal.SIGTERM, signal.SIGINT, signal.SIGUSR1):
                    stop.clear()
                    loop.add_signal_handler(name, stop.set)
                    stream = executor.stream(ids[2])
                    executor.publish_event("t", "c2", {"id": 1})
                    await asyncio.wait_for(anext(stream), 10)
                    os.kill(os.getpid(), name)
                    await asyncio.wait_for(stop.wait(), 10)
                    await stream.aclose()
            asyncio.run(main())
            reader, writer = socket.socketpair()
            writer.setblocking(False)
            reader.settimeout(10)
            signal.signal(signal.SIGUSR2, lambda *_: None)
            signal.set_wakeup_fd(writer.fileno())
            os.kill(os.getpid(), signal.SIGUSR2)
            assert reader.recv(1) == bytes([signal.SIGUSR2])
            signal.set_wakeup_fd(-1)
            reader.close(), writer.close()
            """
        )
    )


def test_a_broken_pipe_is_still_an_exception(run_python: Run) -> None:
    run_python(
        BUSY
        + textwrap.dedent(
            """
            import os
            reader, writer = os.pipe()
            os.close(reader)
            try:
                os.write(writer, b"x")
            except BrokenPipeError:
                pass
            else:
                raise SystemExit("no error")
            os.close(writer)
            """
        )
    )


def test_sigterm_ends_the_process_as_before(run_python: Run) -> None:
    run_python(
        BUSY + "import os, signal\nos.kill(os.getpid(), signal.SIGTERM)\ntime.sleep(20)",
        expected=-signal.SIGTERM,
    )
