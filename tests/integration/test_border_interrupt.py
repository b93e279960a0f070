"""Ctrl-C that strikes on the way into Python: nothing is lost, neither answer nor interrupt."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable
from typing import Any

import pytest

from fraiseql_subscriptions import SubscriptionExecutor, lifecycle
from fraiseql_subscriptions.callbacks import Callbacks

QUERY = "subscription { a { id } }"


@pytest.fixture
def unraisable(monkeypatch: pytest.MonkeyPatch) -> list[Any]:
    caught: list[Any] = []
    monkeypatch.setattr(sys, "unraisablehook", lambda args: caught.append(args.exc_value))
    return caught


def struck(
    monkeypatch: pytest.MonkeyPatch, method: str, error: BaseException
) -> SubscriptionExecutor:
    """An executor whose table raises `error` before the first step of its first `method`."""
    errors = [error]

    class Struck(Callbacks):
        __slots__ = ()

    def strike(self: Any, *arguments: Any) -> Any:
        if errors:
            raise errors.pop()
        return getattr(super(Struck, self), method)(*arguments)

    setattr(Struck, method, strike)
    monkeypatch.setattr(lifecycle, "Callbacks", Struck)
    return SubscriptionExecutor()


@pytest.mark.parametrize("kind", [KeyboardInterrupt, SystemExit])
def test_an_interrupt_before_the_resolvers_leaves_publish_and_costs_no_answer(
    monkeypatch: pytest.MonkeyPatch, unraisable: list[Any], kind: type[BaseException]
) -> None:
    with struck(monkeypatch, "resolve", kind("now")) as executor:
        id_ = executor.register_subscription("c", 1, QUERY, resolver=lambda data: {"a": data})
        with pytest.raises(kind, match="now"):
            executor.publish_event("t", "c", {"id": 1})
        message = executor.next_event(id_)
        assert message is not None
        assert b'"data":{"a":{"id":1}}' in message
        executor.publish_event("t", "c", {"id": 2})
    assert not unraisable


def test_an_interrupt_while_a_resolver_is_given_back_is_raised_later(
    monkeypatch: pytest.MonkeyPatch, unraisable: list[Any]
) -> None:
    with struck(monkeypatch, "release", KeyboardInterrupt("now")) as executor:
        id_ = executor.register_subscription("c", 1, QUERY, resolver=lambda data: {"a": data})

        def complete_and_publish() -> None:
            executor.complete_subscription(id_)
            executor.publish_event("t", "c", {"id": 1})

        with pytest.raises(KeyboardInterrupt, match="now"):
            complete_and_publish()
    assert not unraisable


def test_another_exception_is_told_to_the_hook_and_to_the_subscriber(
    monkeypatch: pytest.MonkeyPatch, unraisable: list[Any]
) -> None:
    error = RecursionError("too deep")
    with struck(monkeypatch, "resolve", error) as executor:
        id_ = executor.register_subscription("c", 1, QUERY, resolver=lambda data: {"a": data})
        executor.publish_event("t", "c", {"id": 1})
        message = executor.next_event(id_)
        assert message is not None
        assert b"unraisablehook" in message
        assert b'"data":null' in message
    assert unraisable == [error]


def test_a_storm_of_interrupts_leaves_no_trace(
    run_python: Callable[..., subprocess.CompletedProcess[str]],
) -> None:
    run_python(
        """
import signal, sys, time
from fraiseql_subscriptions import SubscriptionExecutor
from fraiseql_subscriptions.callbacks import Callbacks

class Tick(KeyboardInterrupt):
    pass

lost = []
armed = False
ticks = 0

def tick(*arguments):
    global armed, ticks
    if armed:
        armed = False  # here, so that no second one strikes while the first is caught
        ticks += 1
        raise Tick

def unraisable(args):
    if isinstance(args.object, Callbacks):
        lost.append(args.exc_value)

sys.unraisablehook = unraisable
signal.signal(signal.SIGALRM, tick)
executor = SubscriptionExecutor()
answers = executor.register_subscription(
    "c", 1, "subscription { a { id } }", resolver=lambda data: {"a": data}
)
signal.setitimer(signal.ITIMER_REAL, 0.0003, 0.00037)
deadline = time.monotonic() + 20
while ticks < 1000 and time.monotonic() < deadline:
    try:
        armed = True
        executor.publish_event("t", "c", {"id": 1})
        executor.drain()
        armed = False
    except Tick:
        pass
signal.setitimer(signal.ITIMER_REAL, 0)
assert ticks >= 1000 and not lost, (ticks, lost)
assert not executor._callbacks._interrupts and not executor._callbacks._resolving
executor.next_events(answers, 1024)
executor.publish_event("t", "c", {"id": 7})
assert b'"data":{"a":{"id":7}}' in executor.next_event(answers)
executor.close()
assert executor._handle == 0
"""
    )
