"""What is inside the engine when the interpreter ends stays there until the process does."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable

import pytest


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="counts threads in /proc")
def test_no_thread_is_ended_inside_a_resolver(
    run_python: Callable[..., subprocess.CompletedProcess[str]],
) -> None:
    """CPython before 3.14 ends threads that ask a finalizing interpreter for its GIL, with
    whatever lies on their stacks: Go does not survive that everywhere."""
    done = run_python(
        """
import os, sys, threading, time, types
from fraiseql_subscriptions import SubscriptionExecutor

executor = SubscriptionExecutor()
entered = threading.Semaphore(0)
reader, writer = os.pipe()

def resolver(data):
    entered.release()
    os.read(reader, 1)
    return data

for number in range(6):
    executor.register_subscription(
        "c", number, "subscription { a { id } }", resolver=resolver, channels=f"c{number}"
    )
    threading.Thread(
        target=executor.publish_event, args=("t", f"c{number}", {"id": 1}), daemon=True
    ).start()
    entered.acquire()

class Late:
    def __del__(self, os=os, time=time, writer=writer):
        before = len(os.listdir("/proc/self/task"))
        os.write(writer, b"123456")
        fewest, deadline = before, time.monotonic() + 1
        while fewest > before - 6 and time.monotonic() < deadline:
            fewest = min(fewest, len(os.listdir("/proc/self/task")))
        os.write(1, b"late %d" % (before - fewest))

sys.modules["late"] = types.ModuleType("late")
sys.modules["late"].late = Late()
"""
    )
    assert done.stdout == "late 0", done
