"""Executors that end without close(), or while their own callables run."""

from __future__ import annotations

import subprocess
from collections.abc import Callable

Run = Callable[..., subprocess.CompletedProcess[str]]

#: Waits for a condition in a fresh interpreter, which the test's timeout bounds.
UNTIL = """
import threading, time
def until(condition):
    deadline, tick = time.monotonic() + 20, threading.Event()
    while not condition():
        assert time.monotonic() < deadline, "it did not come in 20 s"
        tick.wait(0.005)
"""


def test_a_dropped_executor_gives_its_resolvers_back(run_python: Run) -> None:
    """Closing it calls Python, from a thread that Python has never seen."""
    run_python(
        UNTIL
        + """
import gc
from fraiseql_subscriptions import SubscriptionExecutor, process

executor = SubscriptionExecutor()
executor.register_subscription("c", "s", "subscription { a { id } }", resolver=lambda data: data)
executor.publish_event("t", "c", {"id": 1})
handle, native = executor._handle, executor._native
del executor
gc.collect()

def closed():
    try:
        native.health(handle)
    except RuntimeError as error:
        return "ENGINE_CLOSED" in str(error)

until(closed)
"""
    )


def test_many_dropped_executors_are_ended_by_one_thread(run_python: Run) -> None:
    run_python(
        UNTIL
        + """
import gc, os
from fraiseql_subscriptions import SubscriptionExecutor

def make():
    executor = SubscriptionExecutor()
    executor.register_subscription("c", 1, "subscription { a { id } }", resolver=lambda data: data)
    executor.fileno()
    return executor

first = make()
first.close()
threads, descriptors = (len(os.listdir(f"/proc/self/{kind}")) for kind in ("task", "fd"))
kept = [make() for _ in range(300)]
del kept
gc.collect()
until(lambda: len(os.listdir("/proc/self/fd")) <= descriptors)
assert len(os.listdir("/proc/self/task")) <= threads + 6
"""
    )


def test_close_inside_a_log_handler_does_not_wait_for_the_thread_that_logs(run_python: Run) -> None:
    """The engine's thread that writes the log would wait for itself."""
    run_python(
        UNTIL
        + """
import logging
from fraiseql_subscriptions import QueuePolicy, SubscriptionExecutor

took = []

class Closes(logging.Handler):
    def emit(self, record):
        began = time.monotonic()
        executor.close(10)
        took.append(time.monotonic() - began)

logging.getLogger("fraiseql_subscriptions").addHandler(Closes())
executor = SubscriptionExecutor(queue=QueuePolicy(max_responses=1))
executor.register_subscription("c", 1, "subscription { a { id } }")
for _ in range(2):
    executor.publish_event("t", "c", {"id": 1})
until(lambda: took)
assert took[0] < 5, took
executor.close(10)
assert executor._handle == 0
"""
    )


def test_a_publish_inside_a_log_handler_arrives(run_python: Run) -> None:
    run_python(
        UNTIL
        + """
import logging
from fraiseql_subscriptions import QueuePolicy, SubscriptionExecutor

class Publishes(logging.Handler):
    def emit(self, record):
        executor.publish_event("log", "logs", {"a": {"id": 7}})

logging.getLogger("fraiseql_subscriptions").addHandler(Publishes())
executor = SubscriptionExecutor(queue=QueuePolicy(max_responses=1))
executor.register_subscription("c", 1, "subscription { a { id } }", channels="c")
logs = executor.register_subscription(
    "c", 2, "subscription { a { id } }", channels="logs", resolver=lambda data: data
)
for _ in range(2):
    executor.publish_event("t", "c", {"id": 1})
found = []
until(lambda: found.append(executor.next_event(logs)) or found[-1])
assert b'"id":7' in found[-1]
executor.close(10)
assert executor._handle == 0
"""
    )
