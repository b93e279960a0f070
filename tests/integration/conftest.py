"""What the integration tests share: an executor that is closed, and waits with an end."""

# ruff: noqa: A002  (`id` is a name of the public API)

from __future__ import annotations

import json
import subprocess
import sys
import textwrap
import threading
import time
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from fraiseql_subscriptions import SubscriptionExecutor

#: Seconds after which a wait is a failure.
PATIENCE = 30.0


@pytest.fixture
def executor() -> Iterator[SubscriptionExecutor]:
    with SubscriptionExecutor() as made:
        yield made


@pytest.fixture
def subscribe(executor: SubscriptionExecutor) -> Callable[..., str]:
    """Register a subscription of `executor` with ids of its own, a hundred a connection."""
    count = iter(range(1_000_000))

    def register(query: str = "subscription { thing { id } }", **options: Any) -> str:
        number = next(count)
        connection = f"connection-{number // 100}" if number >= 100 else "connection"
        return executor.register_subscription(connection, number, query, **options)

    return register


@pytest.fixture
def payloads(executor: SubscriptionExecutor) -> Callable[[str], list[Any]]:
    """The payloads of everything queued for a subscription, decoded exactly."""

    def read(id: str) -> list[Any]:
        return [json.loads(message)["payload"] for message in executor.next_events(id)]

    return read


@pytest.fixture
def until() -> Callable[..., None]:
    """Wait for a condition, and fail with a message when it does not come."""

    def wait(condition: Callable[[], object], what: str = "the condition") -> None:
        deadline = time.monotonic() + PATIENCE
        tick = threading.Event()
        while not condition():
            assert time.monotonic() < deadline, f"{what} did not come in {PATIENCE} s"
            tick.wait(0.005)

    return wait


@pytest.fixture
def in_thread() -> Iterator[Callable[..., threading.Thread]]:
    """Run a function in a thread, joined at the end of the test; its error fails the test."""
    threads: list[threading.Thread] = []
    errors: list[BaseException] = []

    def start(function: Callable[..., object], *arguments: Any) -> threading.Thread:
        def run() -> None:
            try:
                function(*arguments)
            except BaseException as error:
                errors.append(error)

        thread = threading.Thread(target=run, daemon=True)
        threads.append(thread)
        thread.start()
        return thread

    yield start
    for thread in threads:
        thread.join(PATIENCE)
        assert not thread.is_alive(), "a thread of the test hangs"
    if errors:
        raise errors[0]


@pytest.fixture
def run_python() -> Callable[..., subprocess.CompletedProcess[str]]:
    """Run code in a fresh interpreter; it must end in time and, unless told, with 0."""

    def run(
        code: str, *arguments: str, expected: int | None = 0, timeout: float = PATIENCE
    ) -> subprocess.CompletedProcess[str]:
        done = subprocess.run(
            [sys.executable, "-W", "error", "-c", textwrap.dedent(code), *arguments],
            capture_output=True,
            text=True,
            timeout=timeout,
            check=False,
        )
        if expected is not None:
            assert done.returncode == expected, f"{done.returncode}\n{done.stdout}\n{done.stderr}"
        return done

    return run
