"""A memory:// executor under several worker processes of a real server is warned of, once each."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from server_process import SERVERS, ServerProcess, run_server

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
WARNING = "an event reaches only the clients of the worker that published it"


def begun(server: ServerProcess, workers: int) -> bool:
    """Whether so many workers have begun, and one of them answers."""
    return server.written().count("begun") == workers and server.answers()


@pytest.mark.parametrize("server", SERVERS)
def test_two_workers_are_noticed_by_each_of_them(server: str, tmp_path: Path, until: Until) -> None:
    with run_server(tmp_path, APP, [*SERVERS[server], "--workers", "2"]) as running:
        until(lambda: begun(running, 2), "the start of two workers")
        told = running.written()
    assert told.count(WARNING) == 2, told
    assert f"({server} runs 2)" in told


@pytest.mark.parametrize("server", SERVERS)
def test_one_worker_is_none_of_several(server: str, tmp_path: Path, until: Until) -> None:
    with run_server(tmp_path, APP, [*SERVERS[server], "--workers", "1"]) as running:
        until(lambda: begun(running, 1), "the start of the worker")
        assert WARNING not in running.written()


def test_uvicorn_takes_the_number_from_the_environment(tmp_path: Path, until: Until) -> None:
    with run_server(tmp_path, APP, SERVERS["uvicorn"], WEB_CONCURRENCY="2") as running:
        until(lambda: begun(running, 2), "the start of two workers")
        assert running.written().count("(uvicorn runs 2)") == 2


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
