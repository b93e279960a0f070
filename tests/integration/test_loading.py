"""The engine is loaded late, once, and only where it can run."""

# ruff: noqa: A001  (`id` is a name of the public API)

from __future__ import annotations

import sys
import sysconfig
from collections.abc import Callable
from typing import Any

import pytest

from fraiseql_subscriptions import EngineError, process

Run = Callable[..., Any]


def test_importing_and_constructing_load_no_shared_library(run_python: Run) -> None:
    run_python(
        """
        import sys, threading
        from fraiseql_subscriptions import SubscriptionExecutor, install
        def loaded():
            with open("/proc/self/maps") as maps:
                return "fraiseql_subscriptions/_native" in maps.read()
        threads = threading.active_count()
        executor = SubscriptionExecutor("memory://", schema="type Query { a: Int }")
        repr(executor), executor.close(), SubscriptionExecutor().__enter__()
        assert "fraiseql_subscriptions._native" not in sys.modules
        assert "asyncio" in sys.modules and "graphql" not in sys.modules
        assert not loaded() and threading.active_count() == threads
        second = SubscriptionExecutor()
        second.fileno()
        assert loaded()
        second.close()
        """
    )


@pytest.mark.parametrize(
    "call",
    [
        "executor.register_subscription('c', 's', 'subscription { a }')",
        "executor.publish_event('t', 'c', {})",
        "executor.fileno()",
        "executor.drain()",
    ],
)
def test_twenty_threads_may_make_the_first_call_at_once(run_python: Run, call: str) -> None:
    run_python(
        f"""
        import threading
        from fraiseql_subscriptions import SubscriptionExecutor, DuplicateSubscription
        executor = SubscriptionExecutor()
        barrier = threading.Barrier(20)
        results = []
        def work():
            barrier.wait(30)
            try:
                results.append({call})
            except DuplicateSubscription:
                results.append(None)
        threads = [threading.Thread(target=work) for _ in range(20)]
        for thread in threads: thread.start()
        for thread in threads: thread.join(30)
        assert len(results) == 20
        executor.close()
        """
    )


def test_a_subinterpreter_is_refused_with_a_clear_error(run_python: Run) -> None:
    done = run_python(
        """
        import sys
        code = '''
        import sys
        sys.path[:] = %r
        try:
            import fraiseql_subscriptions
        except Exception as error:
            print("REFUSED", type(error).__name__, error)
        sys.stdout.flush()
        ''' % (sys.path,)
        import textwrap
        code = textwrap.dedent(code)
        if sys.version_info >= (3, 13):
            import _interpreters
            made = _interpreters.create("legacy")
            failure = _interpreters.run_string(made, code)
            assert failure is None, failure
        else:
            import _xxsubinterpreters
            made = _xxsubinterpreters.create(isolated=False)
            _xxsubinterpreters.run_string(made, code)
        """
    )
    assert "REFUSED EngineError" in done.stdout
    assert "runs in the main interpreter only; this is a subinterpreter" in done.stdout


def test_a_free_threaded_build_is_refused_with_a_clear_error(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    real = sysconfig.get_config_var
    monkeypatch.setattr(
        sysconfig, "get_config_var", lambda name: 1 if name == "Py_GIL_DISABLED" else real(name)
    )
    with pytest.raises(EngineError, match="free-threaded build"):
        process.refuse_interpreter()


def test_a_missing_native_module_is_told_with_what_to_do(run_python: Run) -> None:
    done = run_python(
        """
        import sys
        sys.modules["fraiseql_subscriptions._native"] = None
        from fraiseql_subscriptions import EngineError, SubscriptionExecutor
        for _ in range(2):
            try:
                SubscriptionExecutor().fileno()
            except EngineError as error:
                print(error)
        """
    )
    assert done.stdout.count("install the package with pip") == 2


def test_two_executors_share_nothing() -> None:
    from fraiseql_subscriptions import SubscriptionExecutor, SubscriptionNotFound

    with SubscriptionExecutor() as first, SubscriptionExecutor() as second:
        id = first.register_subscription("c", "s", "subscription { a }")
        second.register_subscription("c", "s", "subscription { a }")
        first.publish_event("t", "c", {})
        assert second.drain() == []
        with pytest.raises(SubscriptionNotFound):
            second.next_event(id)
        second.close()
        assert first.next_event(id) is not None


def test_this_interpreter_is_the_main_one() -> None:
    assert process._in_main_interpreter()
    assert sys.implementation.name == "cpython"


@pytest.mark.parametrize(("chosen", "processors"), [(None, 2), ("4", 4)])
def test_go_has_a_processor_to_spare_unless_the_application_has_chosen(
    run_python: Run, monkeypatch: pytest.MonkeyPatch, chosen: str | None, processors: int
) -> None:
    """What Go's scheduler says of itself. On one core it is 2, whatever the machine has."""
    monkeypatch.delenv("GOMAXPROCS", raising=False)
    if chosen:
        monkeypatch.setenv("GOMAXPROCS", chosen)
    monkeypatch.setenv("GODEBUG", "schedtrace=10")
    done = run_python(
        """
        import os, time
        from fraiseql_subscriptions import SubscriptionExecutor
        os.sched_setaffinity(0, [min(os.sched_getaffinity(0))])
        reader, writer = os.pipe()
        os.dup2(writer, 2)
        os.set_blocking(reader, False)
        traces = []
        deadline = time.monotonic() + 30
        with SubscriptionExecutor() as executor:
            executor.fileno()
            while len(traces) < 3 and time.monotonic() < deadline:
                executor.publish_event("t", "c", {})
                try:
                    traces += os.read(reader, 65536).splitlines()
                except BlockingIOError:
                    pass
        print(traces[-1].decode())
        """
    )
    assert f"gomaxprocs={processors} " in done.stdout
