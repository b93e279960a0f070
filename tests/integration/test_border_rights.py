"""Rights that change while everything else happens: nothing crashes, hangs or is left behind."""

from __future__ import annotations

import asyncio
import contextlib
import gc
import json
import random
import subprocess
import threading
import time
from collections.abc import Callable
from typing import Any

import pytest

from fraiseql_subscriptions import (
    SecurityContext,
    SubscriptionExecutor,
    SubscriptionsError,
    process,
)

QUERY = "subscription { thing { id tenant_id } }"


def test_all_of_it_at_once_from_many_threads(
    in_thread: Callable[..., threading.Thread],
) -> None:
    told: list[Any] = []
    until = time.monotonic() + 1.5

    def contexts(chance: random.Random) -> SecurityContext:
        soon = time.time() + chance.choice([0.001, 0.01, 60])
        return SecurityContext(
            chance.choice([None, "ann", "bob"]),
            chance.choice([1, 2]),
            permissions=chance.choice([None, ["thing:read", "x"], ["thing:read"]]),
            expires_at=chance.choice([None, soon]),
            claims=chance.choice([None, {"plan": "free"}]),
        )

    with SubscriptionExecutor(audit=told.append, audit_denials=1000) as executor:

        def change(seed: int) -> None:
            chance = random.Random(seed)
            while time.monotonic() < until:
                connection = chance.randrange(4)
                action = chance.randrange(9)
                try:
                    if action < 3:
                        id = executor.register_subscription(  # noqa: A001
                            connection,
                            chance.randrange(10**9),
                            QUERY,
                            context=contexts(chance),
                            resolver=chance.choice([None, lambda data: {"thing": data}]),
                        )
                        executor.next_events(id)
                    elif action < 5:
                        executor.update_context(connection, contexts(chance))
                    elif action == 5:
                        executor.revoke(tenant_id=chance.choice([1, 2]), user_id="ann")
                    elif action == 6:
                        executor.revoke(permission="x")
                    elif action == 7:
                        executor.invalidate({"claims.plan": "free", "tenant_id": 1})
                        executor.explain("changed", "things", {"tenant_id": 1})
                    else:
                        executor.close_connection(connection)
                        gc.collect(0)
                except SubscriptionsError:
                    pass  # refused as expired, or ended by another thread

        def publish() -> None:
            while time.monotonic() < until:
                for tenant in (1, 2):
                    executor.publish_event("changed", "things", {"id": 1, "tenant_id": tenant})
                executor.drain()

        async def stream(number: int) -> None:
            while time.monotonic() < until:
                context = SecurityContext(tenant_id=1, expires_at=time.time() + 0.02)
                # It may expire before it is registered, or another thread's drain read its end.
                with contextlib.suppress(SubscriptionsError):
                    async with executor.subscribe(QUERY, context=context) as messages:
                        async for message in messages:
                            found = json.loads(message)
                            assert found["type"] in ("next", "error", "complete"), found

        threads = [in_thread(change, seed) for seed in range(3)]
        threads += [in_thread(publish), in_thread(lambda: asyncio.run(stream(0)))]
        for thread in threads:
            thread.join(30)
        for connection in range(4):
            executor.close_connection(connection)
        metrics = executor.get_metrics()
        assert metrics["active"] == 0
        assert sum(metrics["ended"].values()) == metrics["total"]
        assert metrics["ended"]["expired"] > 0
    assert told


def test_a_process_ends_with_timers_armed_and_records_on_their_way(
    run_python: Callable[..., subprocess.CompletedProcess[str]],
) -> None:
    done = run_python(
        """
        import threading, time
        from fraiseql_subscriptions import SecurityContext, SubscriptionExecutor

        executor = SubscriptionExecutor(audit=lambda record: time.sleep(0.01), audit_denials=1000)
        for number in range(50):
            soon = SecurityContext(tenant_id=1, expires_at=time.time() + 0.002 * number + 0.1)
            executor.register_subscription("c", number, "subscription { a }", context=soon)
        executor.publish_event("t", "c", {"tenant_id": 2})
        for _ in range(100):
            executor.invalidate({"field": "none"})
        print("done")
        """
    )
    assert (done.stdout, done.stderr) == ("done\n", "")


def test_a_dropped_executor_ends_with_timers_armed() -> None:
    before = threading.active_count()
    for _ in range(20):
        executor = SubscriptionExecutor()
        context = SecurityContext(expires_at=time.time() + 0.001)
        try:
            executor.register_subscription("c", 1, QUERY, context=context)
        except SubscriptionsError:  # it was slower than that
            continue
        finally:
            del executor
        gc.collect()
    assert threading.active_count() == before


def test_the_raw_facade_refuses_what_it_cannot_read(executor: SubscriptionExecutor) -> None:
    native = process.load()
    executor.register_subscription("c", 1, QUERY, tenant_id=1)
    handle = executor._handle
    wrong = ["", "{", "[]", "5", "null", '{"user_id":{}}', '{"a":1}', '"', "\x01", "{" * 2000]
    for text in wrong:
        for call in (native.revoke, lambda handle, text, out: native.invalidate(handle, text)):
            with pytest.raises(RuntimeError, match=r"^INVALID_VALUE|^LIMIT_EXCEEDED"):
                call(handle, text, id([]))
        with pytest.raises(RuntimeError, match=r"^INVALID_VALUE"):
            native.update_context(handle, "c", text, id([]))
    with pytest.raises(RuntimeError, match=r"^INVALID_TYPE"):
        native.explain(handle, "t", "c", id("text"), 0)
    with pytest.raises(RuntimeError, match=r"^ENGINE_CLOSED"):
        native.revoke(10**9, "{}", id([]))
    assert executor.get_metrics()["active"] == 1
