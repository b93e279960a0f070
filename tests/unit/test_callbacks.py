"""The table of resolvers: what it holds, and what its calls give the engine."""

from __future__ import annotations

import asyncio
import contextvars
import functools
import gc
import json
import logging
import sys
import weakref
from collections.abc import Callable
from typing import Any

import pytest

from fraiseql_subscriptions import SecurityContext
from fraiseql_subscriptions.callbacks import Callbacks
from fraiseql_subscriptions.result import ERROR, RESULT
from fraiseql_subscriptions.types import ResolverInfo

variable: contextvars.ContextVar[str] = contextvars.ContextVar("variable", default="unset")

INFO = {
    "event_id": "e",
    "event_type": "t",
    "channel": "c",
    "timestamp": 1.5,
    "correlation_id": "k",
    "position": "p:1",
    "subscription_id": "s",
    "connection_id": "n",
    "id": "sub-1-1",
}

Call = tuple[int, bytes | None, bytes | None, int]


def resolve(
    table: Callbacks,
    number: int,
    data: bytes = b'{"id":1}',
    variables: bytes | None = None,
    info: bytes | None = None,
    *,
    exact: bool = False,
    engine_thread: bool = False,
) -> Any:
    (result,) = table.resolve(data, [(number, variables, info, 0)], exact, engine_thread)
    return result


def answer(call: Callable[..., Any], **options: Any) -> Any:
    table = Callbacks()
    number, _ = table.acquire(call)
    return resolve(table, number, **options)


class Result:
    """Looks like graphql-core's ExecutionResult."""

    data = None
    errors: Any = ()
    formatted = {"data": {"a": 1}, "errors": [{"message": "no"}]}  # noqa: RUF012


@pytest.mark.parametrize(
    ("value", "result"),
    [
        ({"id": 1}, b'{"id":1}'),
        ([1, True], b"[1,true]"),
        (None, b"null"),
        ("text", b'"text"'),
        ({}, b"{}"),
        (2**70, str(2**70).encode()),
        ({"data": {"a": 1}}, (RESULT, b'{"data":{"a":1}}')),
        ({"data": None}, (RESULT, b'{"data":null}')),
        ({"data": 1, "errors": None}, (RESULT, b'{"data":1}')),
        ({"data": 1, "errors": []}, (RESULT, b'{"data":1}')),
        ({"data": 1, "extensions": None}, (RESULT, b'{"data":1}')),
        ({"errors": [{"message": "m"}]}, (RESULT, b'{"errors":[{"message":"m"}]}')),
        ({"errors": []}, (RESULT, b'{"data":null}')),
        ({"data": 1, "extensions": {"x": 1}}, (RESULT, b'{"data":1,"extensions":{"x":1}}')),
        ({"data": 1, "other": 2}, b'{"data":1,"other":2}'),
        ({"extensions": {}}, b'{"extensions":{}}'),
        (Result(), (RESULT, b'{"data":{"a":1},"errors":[{"message":"no"}]}')),
    ],
)
def test_what_a_resolver_returns_is_the_data_or_an_execution_result(
    value: Any, result: Any
) -> None:
    assert answer(lambda data: value) == result


def test_an_execution_result_of_graphql_core_is_one() -> None:
    from graphql import ExecutionResult, GraphQLError

    failed = ExecutionResult(data={"a": None}, errors=[GraphQLError("no")])
    kind, text = answer(lambda data: failed)
    assert kind == RESULT
    assert json.loads(text)["data"] == {"a": None}
    assert json.loads(text)["errors"][0]["message"] == "no"
    assert answer(lambda data: ExecutionResult(data={"a": 1})) == (RESULT, b'{"data":{"a":1}}')


@pytest.mark.parametrize(
    ("error", "message"),
    [
        (ValueError("wrong"), b"wrong"),
        (ValueError(), b"ValueError"),
        (KeyError("k"), b"'k'"),
        (ValueError("\ud800"), b"\\ud800"),
        (GeneratorExit(), b"GeneratorExit"),
        (type("Odd", (BaseException,), {})("odd"), b"odd"),
        (type("Broken", (Exception,), {"__str__": lambda self: 1 / 0})(), b"Broken"),
    ],
)
def test_whatever_a_resolver_raises_is_its_error_response(
    error: BaseException, message: bytes
) -> None:
    def call(data: Any) -> Any:
        raise error

    assert answer(call) == (ERROR, message)


@pytest.mark.parametrize("value", [object(), {"a": {1}}, {1: 2}, float("nan"), {"a": "\ud800"}])
def test_an_unserialisable_result_is_an_error_response(value: Any) -> None:
    kind, message = answer(lambda data: value)
    assert kind == ERROR
    assert message.startswith(b"$")


def test_an_awaitable_from_a_plain_function_is_an_error_that_says_so() -> None:
    async def coroutine() -> None: ...

    kind, message = answer(lambda data: coroutine())
    assert kind == ERROR
    assert b"awaitable" in message
    assert b"async def" in message


def test_one_failure_leaves_the_other_calls_of_the_event_alone() -> None:
    table = Callbacks()
    good, _ = table.acquire(lambda data: data)
    bad, _ = table.acquire(lambda data: 1 / 0)
    calls: list[Call] = [(n, None, None, 0) for n in (good, bad, 99, good)]
    assert table.resolve(b'{"a":1}', calls, False, False) == [
        b'{"a":1}',
        (ERROR, b"division by zero"),
        (ERROR, b"the resolver is not registered any more"),
        b'{"a":1}',
    ]


def test_each_call_gets_its_own_copy_of_the_data() -> None:
    table = Callbacks()

    def spoil(data: dict[str, Any]) -> Any:
        data["items"].append(1)
        return data["items"]

    number, _ = table.acquire(spoil)
    assert table.resolve(b'{"items":[]}', [number] * 2, False, False) == [b"[1]", b"[1]"]


def test_big_integers_reach_a_resolver_unchanged() -> None:
    text = b'{"n":%d}' % 2**70
    assert answer(lambda data: data["n"], data=text, exact=True) == str(2**70).encode()
    assert answer(lambda d, v: v["n"], data=text, variables=text) == str(2**70).encode()


def test_resolver_parameters() -> None:
    seen: list[Any] = []
    table = Callbacks()
    context = SecurityContext(5, "t")
    number, flags = table.acquire(
        lambda data, variables, info: seen.append((data, variables, info)), security=context
    )
    assert flags == 3
    resolve(table, number, variables=b'{"v":2}', info=json.dumps(INFO).encode())
    ((data, variables, info),) = seen
    assert data == {"id": 1}
    assert variables == {"v": 2}
    assert info == ResolverInfo("e", "t", "c", 1.5, "k", "p:1", "s", "n", context)
    assert info.context is context


def test_the_context_comes_with_the_info_where_registration_did_not_give_it() -> None:
    given = {"user_id": 2**70, "tenant_id": "t"}
    info = json.dumps({**INFO, "context": given}).encode()
    seen: list[Any] = []
    answer(lambda data, variables, info: seen.append(info.context), info=info)
    assert seen == [SecurityContext(2**70, "t")]


def test_absent_variables_are_an_empty_dict() -> None:
    assert answer(lambda data, variables: variables) == b"{}"


def test_sync_resolvers_run_in_a_fresh_copy_of_the_context_they_were_registered_in() -> None:
    table = Callbacks()

    def call(data: Any) -> Any:
        before = variable.get()
        variable.set("changed by the resolver")
        return before

    token = variable.set("at registration")
    number, _ = table.acquire(call)
    variable.reset(token)
    assert resolve(table, number) == b'"at registration"'
    assert resolve(table, number) == b'"at registration"'
    assert variable.get() == "unset"


def test_the_same_callable_in_the_same_context_is_one_entry() -> None:
    class Owner:
        def method(self, data: Any) -> Any: ...

    def function(data: Any) -> Any: ...

    table = Callbacks()
    owner = Owner()
    assert table.acquire(function) == table.acquire(function)
    assert table.acquire(owner.method) == table.acquire(owner.method)
    assert table.acquire(owner.method) != table.acquire(Owner().method)
    assert table.acquire(function, share=False) != table.acquire(function)
    first = table.acquire(function)
    token = variable.set("another")
    assert table.acquire(function) != first
    variable.reset(token)
    assert table.acquire(function) == first


def test_a_resolver_that_takes_info_is_an_entry_for_each_subscription() -> None:
    def call(data: Any, variables: Any, info: Any) -> Any: ...

    table = Callbacks()
    assert table.acquire(call) != table.acquire(call)


def test_numbers_are_never_reused() -> None:
    table = Callbacks()
    numbers = set()
    for _ in range(5):
        number, _ = table.acquire(lambda data: data)
        numbers.add(number)
        table.release([number], [1])
    assert len(numbers) == 5
    assert not table


def test_an_entry_leaves_with_its_last_use_and_nothing_keeps_the_callable() -> None:
    class Call:
        def __call__(self, data: Any) -> Any: ...

    table = Callbacks()
    call = Call()
    alive = weakref.ref(call)
    number, _ = table.acquire(call)
    for _ in range(3):
        table.acquire(call)
    del call
    table.release([number], [3])
    assert alive() is not None
    table.release([number, 99], [1, 1])
    assert not table
    gc.collect()
    assert alive() is None


def test_a_resolver_may_change_the_table_while_it_is_called() -> None:
    table = Callbacks()

    def call(data: Any) -> Any:
        table.release([number], [1])
        table.acquire(lambda data: data)
        return 1

    number, _ = table.acquire(call)
    assert resolve(table, number) == b"1"
    assert number not in table


@pytest.mark.parametrize("kind", [KeyboardInterrupt, SystemExit])
def test_an_interrupt_on_a_publishing_thread_is_kept_until_the_publish_ends(
    kind: type[BaseException], caplog: pytest.LogCaptureFixture
) -> None:
    table = Callbacks()
    inside: list[BaseException | None] = []

    def interrupted(data: Any) -> Any:
        raise kind("stop")

    def after(data: Any) -> Any:
        inside.append(table.interrupt())
        return 1

    calls: list[Call] = [(table.acquire(call)[0], None, None, 0) for call in (interrupted, after)]
    assert table.resolve(b"{}", calls, False, False) == [(ERROR, b"stop"), b"1"]
    assert inside == [None]  # not inside a resolver: the event is dispatched to everyone first
    kept = table.interrupt()
    assert type(kept) is kind
    assert table.interrupt() is None
    assert not caplog.records


def test_an_interrupt_between_two_calls_costs_one_of_them_at_most() -> None:
    struck: list[int] = []

    class Struck(Callbacks):
        def get(self, number: int, default: Any = None) -> Any:
            struck.append(number)
            if len(struck) in (2, 4):
                raise KeyboardInterrupt
            return super().get(number, default)

    table = Struck()
    number, _ = table.acquire(lambda data: 1)
    results = table.resolve(b"{}", [number] * 5, False, False)
    struck_one = (ERROR, b"KeyboardInterrupt")
    assert results == [b"1", struck_one, b"1", struck_one, b"1"]
    assert type(table.interrupt()) is KeyboardInterrupt


def test_an_interrupt_on_an_engine_thread_goes_to_the_unraisable_hook(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    caught: list[Any] = []
    monkeypatch.setattr(sys, "unraisablehook", lambda args: caught.append(args.exc_value))

    def call(data: Any) -> Any:
        raise KeyboardInterrupt("stop")

    table = Callbacks()
    number, _ = table.acquire(call)
    assert resolve(table, number, engine_thread=True) == (ERROR, b"stop")
    assert table.interrupt() is None
    assert [str(error) for error in caught] == ["stop"]


def test_a_failing_resolver_is_logged_once_until_it_succeeds_again(
    caplog: pytest.LogCaptureFixture,
) -> None:
    table = Callbacks()
    failing = True

    def call(data: Any) -> Any:
        return 1 / 0 if failing else 1

    number, _ = table.acquire(call)
    for failing in (True, True, False, True):  # noqa: B007  (read by call)
        resolve(table, number)
    assert [record.levelno for record in caplog.records] == [logging.ERROR] * 2
    assert all("division by zero" in record.message for record in caplog.records)
    assert not any(record.exc_info for record in caplog.records)


def test_debug_adds_the_traceback_to_the_log_and_the_response(
    caplog: pytest.LogCaptureFixture,
) -> None:
    table = Callbacks(debug=True)
    number, _ = table.acquire(lambda data: 1 / 0)
    kind, message = resolve(table, number)
    assert kind == ERROR
    assert message.startswith(b"division by zero\nTraceback")
    assert caplog.records[0].exc_info


def test_records_of_the_engine_reach_logging(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG, "fraiseql_subscriptions")
    table = Callbacks()
    for level in (-4, 0, 4, 8):
        table.log(level, "100 % of it")
    assert [record.levelname for record in caplog.records] == ["DEBUG", "INFO", "WARNING", "ERROR"]
    assert caplog.records[0].message == "100 % of it"


def test_an_async_resolver_needs_a_running_event_loop() -> None:
    async def call(data: Any) -> Any: ...

    with pytest.raises(TypeError, match="event loop that registers it, and none is running"):
        Callbacks().acquire(call)


def test_an_async_resolver_whose_loop_is_closed_is_an_error_response() -> None:
    async def call(data: Any) -> Any: ...

    table = Callbacks()

    async def register() -> int:
        return table.acquire(call)[0]

    number = asyncio.run(register())
    result = table.resolve(b"{}", [(number, None, None, 7)], False, False)
    assert result == [(ERROR, b"the event loop that registered this resolver is closed")]


def test_a_dropped_table_is_collected_though_its_resolvers_refer_to_it() -> None:
    table = Callbacks()
    table.acquire(functools.partial(print, table))
    alive = weakref.ref(table)
    del table
    gc.collect()
    assert alive() is None
