"""The interpreter leaves cleanly and soon, whatever is still going on."""

from __future__ import annotations

import textwrap
import time
from collections.abc import Callable
from typing import Any

import pytest

Run = Callable[..., Any]

BUSY = """
import asyncio, logging, sys, threading, time
logging.disable()  # queues overflow here
from fraiseql_subscriptions import SubscriptionExecutor
executor = SubscriptionExecutor()
ids = [
    executor.register_subscription("c", n, "subscription { a { id } }", channels=f"c{n % 3}",
                                   resolver=(lambda data: data) if n % 2 else None)
    for n in range(20)
]
def until(condition):
    deadline, tick = time.monotonic() + 10, threading.Event()
    while not condition():
        assert time.monotonic() < deadline, "it did not come in 10 s"
        tick.wait(0.001)
def waiting():  # how many threads wait for their event to be dispatched
    frames = sys._current_frames().values()
    return sum(frame.f_code.co_name == "_await_dispatch" for frame in frames)
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
        published = [0] * 3
        def publish(n):
            while True:
                executor.publish_event('t', f'c{n}', {'id': 1})
                published[n] += 1
        for n in range(3):
            threading.Thread(target=publish, args=(n,), daemon=True).start()
        until(lambda: min(published) > 100)
        """,
        # a resolver that never returns
        """
        gate, entered = threading.Event(), threading.Event()
        executor.register_resolver(ids[0], lambda data: (entered.set(), gate.wait()))
        threading.Thread(target=executor.publish_event, args=('t', 'c0', {}), daemon=True).start()
        assert entered.wait(10)
        """,
        # a publisher that waits for its turn behind it
        """
        gate = threading.Event()
        executor.register_resolver(ids[0], lambda data: gate.wait())
        publish = executor.publish_event
        for _ in range(3):
            threading.Thread(target=publish, args=('t', 'c0', {}), daemon=True).start()
        until(lambda: waiting() == 2)
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
                received.append(message)
        received = []
        threading.Thread(target=asyncio.run, args=(main(),), daemon=True).start()
        executor.publish_event('t', 'c0', {'id': 1})
        until(lambda: received)
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
