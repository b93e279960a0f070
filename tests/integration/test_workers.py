"""A memory:// executor under several worker processes of a real server is warned of, once each."""

from __future__ import annotations

import contextlib
import http.client
import os
import signal
import subprocess
import sys
import textwrap
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from postgres_server import free_port

Until = Callable[..., None]

APP = """
    from fraiseql_subscriptions import SubscriptionExecutor
    from fraiseql_subscriptions.asgi import GraphQLSubscriptions

    served = [GraphQLSubscriptions(SubscriptionExecutor()) for _ in range(2)]

    async def app(scope, receive, send):
        async def telling(message):
            if message["type"] == "lifespan.startup.complete":
                async with served[1].lifespan():  # a second one: is told of no more
                    print("begun", flush=True)
            await send(message)
        await served[0](scope, receive, telling)
"""
#: What follows `python -m`, without the number of workers.
SERVERS = {
    "uvicorn": ["uvicorn", "served:app", "--port", "{port}"],
    "gunicorn": ["gunicorn", "served:app", "-k", "asgi", "-b", "127.0.0.1:{port}"],
    "hypercorn": ["hypercorn", "served:app", "-b", "127.0.0.1:{port}"],
    "granian": ["granian", "served:app", "--interface", "asgi", "--port", "{port}"],
}
WARNING = "an event reaches only the clients of the worker that published it"


@contextlib.contextmanager
def run(folder: Path, arguments: list[str], **environment: str) -> Iterator[Callable[[], str]]:
    """A server in `folder`; what it has written so far, once it answers."""
    (folder / "served.py").write_text(textwrap.dedent(APP))
    log = folder / "log"
    port = free_port()
    with log.open("w") as file:
        process = subprocess.Popen(
            [sys.executable, "-m", *(one.format(port=port) for one in arguments)],
            cwd=folder, stdout=file, stderr=file, start_new_session=True,
            env={**os.environ, **environment},
        )  # fmt: skip

    def written() -> str:
        with contextlib.suppress(OSError):
            client = http.client.HTTPConnection("127.0.0.1", port, timeout=20)
            client.request("GET", "/")
            client.getresponse().read()
            client.close()
            return log.read_text()
        return ""

    try:
        yield written
    finally:
        process.terminate()
        try:
            process.wait(20)
        finally:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)


@pytest.mark.parametrize("server", SERVERS)
def test_two_workers_are_noticed_by_each_of_them(server: str, tmp_path: Path, until: Until) -> None:
    with run(tmp_path, [*SERVERS[server], "--workers", "2"]) as written:
        until(lambda: written().count("begun") == 2, "the start of two workers")
        told = written()
    assert told.count(WARNING) == 2, told
    assert f"({server} runs 2)" in told


@pytest.mark.parametrize("server", SERVERS)
def test_one_worker_is_none_of_several(server: str, tmp_path: Path, until: Until) -> None:
    with run(tmp_path, [*SERVERS[server], "--workers", "1"]) as written:
        until(lambda: "begun" in written(), "the start of the worker")
        assert WARNING not in written()


def test_uvicorn_takes_the_number_from_the_environment(tmp_path: Path, until: Until) -> None:
    with run(tmp_path, SERVERS["uvicorn"], WEB_CONCURRENCY="2") as written:
        until(lambda: written().count("begun") == 2, "the start of two workers")
        assert written().count("(uvicorn runs 2)") == 2


@pytest.mark.parametrize(("value", "found"), [("3", "WEB_CONCURRENCY is 3"), ("1", None)])
def test_the_environment_speaks_where_nothing_else_does(
    value: str, found: str | None, run_python: Callable[..., Any]
) -> None:
    done = run_python(
        """
        import os, sys
        os.environ["WEB_CONCURRENCY"] = sys.argv[1]
        from fraiseql_subscriptions.workers import several
        print(several())
        """,
        value,
    )
    assert done.stdout == f"{found}\n"


@pytest.mark.parametrize(
    ("url", "warned"),
    [("memory://", 1), ("redis://127.0.0.1:1", 0), ("postgresql://127.0.0.1:1/x", 0)],
)
def test_only_a_bus_inside_the_process_is_warned_of(
    url: str, warned: int, run_python: Callable[..., Any]
) -> None:
    done = run_python(
        """
        import os, sys
        os.environ["WEB_CONCURRENCY"] = "3"
        from fraiseql_subscriptions import SubscriptionExecutor
        from fraiseql_subscriptions.workers import warn_of_memory_bus
        warn_of_memory_bus(SubscriptionExecutor(sys.argv[1]))
        """,
        url,
    )
    assert done.stderr.count(WARNING) == warned
