"""A child forked after loading gets an error and never hangs; one forked before works."""

from __future__ import annotations

import contextlib
import http.client
import os
import signal
import socket
import subprocess
import sys
import textwrap
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

Run = Callable[..., Any]

#: The parent's wait for a child that must not hang.
WAIT = """
import os, signal, sys, time, warnings
warnings.filterwarnings("ignore", category=DeprecationWarning)  # fork beside threads
def wait(pid):
    deadline = time.monotonic() + 20
    while time.monotonic() < deadline:
        done, status = os.waitpid(pid, os.WNOHANG)
        if done:
            return os.waitstatus_to_exitcode(status)
        time.sleep(0.01)
    os.kill(pid, signal.SIGKILL)
    raise SystemExit("the child hangs")
"""


def test_every_call_in_a_child_forked_after_loading_is_a_forked_process_error(
    run_python: Run,
) -> None:
    run_python(
        WAIT
        + textwrap.dedent(
            """
            import asyncio, gc
            from fraiseql_subscriptions import ForkedProcessError, SubscriptionExecutor
            from fraiseql_subscriptions import SecurityContext
            executor = SubscriptionExecutor()
            query = "subscription { a { id } }"
            id = executor.register_subscription("c", "s", query, resolver=print)
            executor.publish_event("t", "c", {"id": 1})
            async def streaming():
                stream = executor.stream(id)
                pid = os.fork()
                if pid == 0:
                    try:
                        await anext(stream)
                    except ForkedProcessError:
                        os._exit(7)
                    os._exit(1)
                assert wait(pid) == 7
            calls = [
                lambda: executor.register_subscription("c", "t", "subscription { a }"),
                lambda: executor.register_resolver(id, print),
                lambda: executor.publish_event("t", "c", {}),
                lambda: executor.publish_events([("t", "c", {})]),
                lambda: asyncio.run(executor.publish("t", "c", {})),
                lambda: executor.next_event(id),
                lambda: executor.next_events(id),
                lambda: executor.drain(),
                lambda: executor.fileno(),
                lambda: executor.complete_subscription(id),
                lambda: executor.close_connection("c"),
                lambda: executor.subscriptions_by_channel("c"),
                lambda: executor.update_context("c", SecurityContext()),
                lambda: executor.revoke(user_id="u"),
                lambda: executor.invalidate({}),
                lambda: executor.explain("t", "c", {}),
                lambda: executor.get_metrics(),
                lambda: executor.metrics_text(),
                lambda: executor.health(),
                lambda: SubscriptionExecutor().publish_event("t", "c", {}),
            ]
            pid = os.fork()
            if pid == 0:
                for number, call in enumerate(calls):
                    try:
                        call()
                    except ForkedProcessError as error:
                        assert "spawn" in str(error) and error.code == "FORKED_PROCESS"
                    else:
                        os._exit(100 + number)
                executor.close()  # nothing to close here, and nothing to complain about
                del executor
                gc.collect()
                sys.exit(5)  # atexit hooks and finalizers run
            assert wait(pid) == 5, "calls"
            asyncio.run(streaming())
            assert executor.publish_event("t", "c", {"id": 2})  # the parent goes on
            executor.close()
            """
        )
    )


def test_a_fork_made_in_c_counts_too(run_python: Run) -> None:
    run_python(
        WAIT
        + textwrap.dedent(
            """
            import ctypes
            from fraiseql_subscriptions import ForkedProcessError, SubscriptionExecutor
            executor = SubscriptionExecutor()
            executor.fileno()
            pid = ctypes.PyDLL(None).fork()
            if pid == 0:
                try:
                    executor.publish_event("t", "c", {})
                except ForkedProcessError:
                    os._exit(3)
                os._exit(1)
            assert wait(pid) == 3
            executor.close()
            """
        )
    )


def test_a_fork_in_the_middle_of_loading_counts_too(run_python: Run) -> None:
    run_python(
        WAIT
        + textwrap.dedent(
            """
            import threading
            from fraiseql_subscriptions import ForkedProcessError, SubscriptionExecutor, process
            executor = SubscriptionExecutor()
            real = process.import_module
            loaded, forked = threading.Event(), threading.Event()
            def slow(name):
                module = real(name)
                if name.endswith("._native"):
                    loaded.set()
                    assert forked.wait(20)
                return module
            process.import_module = slow
            thread = threading.Thread(target=executor.fileno)
            thread.start()
            assert loaded.wait(20)
            pid = os.fork()
            if pid == 0:
                for one in (executor, SubscriptionExecutor()):
                    try:
                        one.publish_event("t", "c", {})
                    except ForkedProcessError:
                        one.close()
                    else:
                        os._exit(1)
                sys.exit(9)
            forked.set()
            thread.join(20)
            assert wait(pid) == 9
            executor.publish_event("t", "c", {})
            """
        )
    )


def test_an_executor_made_before_the_fork_works_in_every_child(run_python: Run) -> None:
    run_python(
        WAIT
        + textwrap.dedent(
            """
            from fraiseql_subscriptions import SubscriptionExecutor
            executor = SubscriptionExecutor()
            def work():
                id = executor.register_subscription("c", "s", "subscription { a { id } }")
                executor.publish_event("t", "c", {"id": 1})
                assert executor.next_event(id)
            children = []
            for _ in range(3):
                pid = os.fork()
                if pid == 0:
                    work()
                    sys.exit(4)
                children.append(pid)
            assert [wait(pid) for pid in children] == [4, 4, 4]
            work()
            """
        )
    )


def test_a_child_that_does_not_use_the_engine_is_fine_and_so_is_exec(run_python: Run) -> None:
    run_python(
        WAIT
        + textwrap.dedent(
            """
            import subprocess
            from fraiseql_subscriptions import SubscriptionExecutor
            executor = SubscriptionExecutor()
            executor.publish_event("t", "c", {})
            pid = os.fork()
            if pid == 0:
                print("hello")
                sys.exit(0)
            assert wait(pid) == 0
            code = "from fraiseql_subscriptions import SubscriptionExecutor as S; S().fileno()"
            assert subprocess.run([sys.executable, "-c", code], timeout=20).returncode == 0
            """
        )
    )


@pytest.mark.parametrize(
    ("method", "printed"), [("fork", "ForkedProcessError"), ("spawn", "1 response")]
)
def test_multiprocessing(tmp_path: Path, method: str, printed: str) -> None:
    script = tmp_path / "main.py"
    script.write_text(
        textwrap.dedent(
            """
            import multiprocessing, sys, warnings
            warnings.filterwarnings("ignore", category=DeprecationWarning)
            from fraiseql_subscriptions import ForkedProcessError, SubscriptionExecutor

            def use(executor=None):
                executor = executor or SubscriptionExecutor()
                try:
                    id = executor.register_subscription("c", "s", "subscription { a { id } }")
                    executor.publish_event("t", "c", {"id": 1})
                    print(len(executor.next_events(id)), "response", flush=True)
                except ForkedProcessError:
                    print("ForkedProcessError", flush=True)

            if __name__ == "__main__":
                executor = SubscriptionExecutor()
                executor.fileno()
                child = multiprocessing.get_context(sys.argv[1]).Process(target=use)
                child.start()
                child.join(20)
                assert child.exitcode == 0, child.exitcode
                executor.close()
            """
        )
    )
    done = subprocess.run(
        [sys.executable, str(script), method],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.strip() == printed


def test_gunicorn_with_preload_serves_from_every_worker(tmp_path: Path) -> None:
    (tmp_path / "app.py").write_text(
        textwrap.dedent(
            """
            import os
            from fraiseql_subscriptions import SubscriptionExecutor
            executor = SubscriptionExecutor()

            def application(environ, start_response):
                connection = os.urandom(8).hex()
                id = executor.register_subscription(connection, "s", "subscription { a { id } }")
                executor.publish_event("t", "c", {"id": os.getpid()})
                message = executor.next_event(id)
                executor.complete_subscription(id)
                start_response("200 OK", [("Content-Type", "application/json")])
                return [message]
            """
        )
    )
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    server = subprocess.Popen(
        [
            *(sys.executable, "-m", "gunicorn", "app:application", "--preload", "--workers", "2"),
            *("--bind", f"127.0.0.1:{port}", "--graceful-timeout", "5"),
        ],
        cwd=tmp_path,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        env={**os.environ, "PYTHONPATH": os.pathsep.join(p for p in sys.path if p)},
    )
    try:
        deadline = time.monotonic() + 30
        answers: set[bytes] = set()
        while time.monotonic() < deadline and len(answers) < 2:
            with contextlib.suppress(ConnectionRefusedError):
                connection = http.client.HTTPConnection("127.0.0.1", port, timeout=10)
                connection.request("GET", "/")
                response = connection.getresponse()
                assert response.status == 200
                answers.add(response.read())
                connection.close()
        server.send_signal(signal.SIGTERM)
        output, _ = server.communicate(timeout=20)
    finally:
        server.kill()
        server.communicate()
    assert len(answers) == 2, output  # one process id a worker
    assert server.returncode == 0, output
    assert "Traceback" not in output
