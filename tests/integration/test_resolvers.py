"""Sync resolvers, called for real by the engine."""

# ruff: noqa: A001  (`id` is a name of the public API)

from __future__ import annotations

import asyncio
import contextvars
import json
import logging
import sys
import threading
import uuid
from collections.abc import Callable
from typing import Any

import pytest

from fraiseql_subscriptions import (
    ResolverInfo,
    SecurityContext,
    SubscriptionExecutor,
    SubscriptionNotFound,
)

Subscribe = Callable[..., str]
Payloads = Callable[[str], list[Any]]

variable: contextvars.ContextVar[str] = contextvars.ContextVar("variable", default="unset")


def test_resolver_parameters(executor: SubscriptionExecutor, payloads: Payloads) -> None:
    seen: list[Any] = []

    def resolver(data: Any, variables: Any, info: Any) -> Any:
        seen.append((data, variables, info))
        return {"ok": True}

    context = SecurityContext(user_id=5, tenant_id="t")
    id = executor.register_subscription(
        "connection",
        "client",
        "subscription S($n: Int = 7, $s: String) { a(n: $n, s: $s) }",
        variables={"s": "x"},
        context=context,
        resolver=resolver,
    )
    data = {"user_id": 5, "tenant_id": "t", "big": 2**70, "text": "\u00e9\0"}
    position = executor.publish_event("created", "orders.1", data, correlation_id="k", event_id="e")
    assert payloads(id) == [{"data": {"ok": True}}]
    ((got, variables, info),) = seen
    assert got == data
    assert variables == {"n": 7, "s": "x"}
    assert isinstance(info, ResolverInfo)
    assert info._replace(timestamp=0) == ResolverInfo(
        event_id="e",
        event_type="created",
        channel="orders.1",
        timestamp=0,
        correlation_id="k",
        position=position,
        subscription_id="client",
        connection_id="connection",
        context=context,
    )
    assert 1.7e9 < info.timestamp < 4e9


def test_a_resolver_registered_later_is_told_the_context_too(
    executor: SubscriptionExecutor, subscribe: Subscribe
) -> None:
    contexts = [SecurityContext(5, "t"), SecurityContext(2**70), SecurityContext(uuid.UUID(int=1))]
    seen: list[Any] = []
    for context in contexts:
        id = subscribe(context=context)
        executor.register_resolver(id, lambda d, v, info: seen.append(info.context))
        data = {"user_id": context.user_id, "tenant_id": context.tenant_id}
        executor.publish_event("t", "c", data)
        executor.complete_subscription(id)
    assert seen == contexts


def test_a_trusted_subscription_has_no_context(
    executor: SubscriptionExecutor, subscribe: Subscribe
) -> None:
    seen: list[Any] = []
    subscribe(resolver=lambda data, variables, info: seen.append(info.context))
    executor.publish_event("t", "c", {})
    assert seen == [None]


@pytest.mark.parametrize(
    ("resolver", "payload"),
    [
        (lambda data: {"thing": data["id"]}, {"data": {"thing": 1}}),
        (lambda data: {"data": {"thing": 2}}, {"data": {"thing": 2}}),
        (
            lambda data: {"data": None, "errors": [{"message": "m"}]},
            {"data": None, "errors": [{"message": "m"}]},
        ),
        (lambda data: [data["id"], 2**70], {"data": [1, 2**70]}),
        (lambda data: None, {"data": None}),
        (lambda data: (True, 1.0), {"data": [True, 1.0]}),
    ],
)
def test_a_resolver_answers_with_data_or_an_execution_result(
    executor: SubscriptionExecutor,
    subscribe: Subscribe,
    payloads: Payloads,
    resolver: Any,
    payload: Any,
) -> None:
    id = subscribe(resolver=resolver)
    executor.publish_event("t", "c", {"id": 1})
    assert payloads(id) == [payload]


def failing(error: BaseException) -> Callable[[Any], Any]:
    def resolver(data: Any) -> Any:
        raise error

    return resolver


class Odd(BaseException):
    """Neither an Exception nor an interrupt."""


async def coroutine() -> None: ...


@pytest.mark.parametrize(
    ("resolver", "message"),
    [
        (failing(ValueError("wrong")), "wrong"),
        (failing(Odd("odd")), "odd"),
        (failing(RuntimeError()), "RuntimeError"),
        (lambda data: object(), "$ is of type object, which JSON cannot hold"),
        (lambda data: {"a": float("nan")}, "$.a is nan: JSON has no such number"),
        (lambda data: coroutine(), "awaitable"),
    ],
)
def test_a_resolver_that_fails_is_an_error_response_and_lives_on(
    executor: SubscriptionExecutor,
    subscribe: Subscribe,
    payloads: Payloads,
    resolver: Any,
    message: str,
) -> None:
    bad, good = subscribe(resolver=resolver), subscribe()
    for n in range(2):
        executor.publish_event("t", "c", {"id": n})
    for payload in payloads(bad):
        assert payload["data"] is None
        (error,) = payload["errors"]
        assert message in error["message"]
        assert error["path"] == ["thing"]
        assert error["extensions"]["code"]
    assert payloads(good) == [{"data": {"thing": {"id": n}}} for n in range(2)]
    assert executor.get_metrics()["resolver_errors"] == 2
    executor.register_resolver(bad, lambda data: "better")
    executor.publish_event("t", "c", {"id": 3})
    assert payloads(bad)[-1] == {"data": "better"}


@pytest.mark.parametrize("kind", [KeyboardInterrupt, SystemExit])
def test_an_interrupt_leaves_publish_after_everyone_got_the_event(
    executor: SubscriptionExecutor,
    subscribe: Subscribe,
    payloads: Payloads,
    kind: type[BaseException],
) -> None:
    first = subscribe(resolver=failing(kind("stop")))
    second = subscribe(resolver=lambda data: data)
    with pytest.raises(kind, match="stop"):
        executor.publish_event("t", "c", {"id": 1})
    assert payloads(first)[0]["errors"][0]["message"] == "stop"
    assert payloads(second) == [{"data": {"id": 1}}]
    executor.complete_subscription(first)
    executor.publish_event("t", "c", {"id": 2})


def test_an_interrupt_leaves_publish_events_and_register_too(
    executor: SubscriptionExecutor, subscribe: Subscribe
) -> None:
    start = executor.publish_event("t", "c", {"id": 0})
    executor.publish_event("t", "c", {"id": 1})
    with pytest.raises(SystemExit):
        subscribe(resolver=failing(SystemExit(3)), since=start)
    with pytest.raises(SystemExit):
        executor.publish_events([("t", "c", {})])


def test_an_interrupt_on_the_engines_thread_goes_to_the_unraisable_hook(
    executor: SubscriptionExecutor,
    subscribe: Subscribe,
    monkeypatch: pytest.MonkeyPatch,
    until: Callable[..., None],
    in_thread: Callable[..., threading.Thread],
) -> None:
    caught: list[Any] = []
    monkeypatch.setattr(sys, "unraisablehook", lambda args: caught.append(args.exc_value))
    entered, go_on = threading.Event(), threading.Event()

    def resolver(data: Any) -> Any:
        if data["first"]:
            entered.set()
            assert go_on.wait(30)
            return None
        raise KeyboardInterrupt("stop")

    subscribe(resolver=resolver)
    in_thread(executor.publish_event, "t", "c", {"first": True})
    assert entered.wait(30)

    async def publish() -> None:  # a loop's thread does not wait for its turn: a worker takes it
        executor.publish_event("t", "c", {"first": False})

    asyncio.run(publish())
    go_on.set()
    until(lambda: caught, "the interrupt")
    assert [str(error) for error in caught] == ["stop"]


def test_each_subscription_gets_its_own_copy_of_the_data(
    executor: SubscriptionExecutor, subscribe: Subscribe, payloads: Payloads
) -> None:
    def resolver(data: Any) -> Any:
        data["list"].append(1)
        return data["list"]

    ids = [subscribe(resolver=resolver, share=share) for share in (True, True, False, False)]
    executor.publish_event("t", "c", {"list": []})
    assert [payloads(id) for id in ids] == [[{"data": [1]}]] * 4


def test_each_resolver_gets_its_own_copy_however_deep(
    executor: SubscriptionExecutor, subscribe: Subscribe, payloads: Payloads
) -> None:
    def spoil(data: Any) -> Any:
        data["deep"]["list"][0]["x"].append(1)
        data["deep"]["list"].append({})
        data["deep"]["more"] = data["new"] = None
        return data

    given = {"deep": {"list": [{"x": []}, [[]], 2**70, "é", True, None, 1.5]}, "empty": {}}
    ids = [subscribe(resolver=lambda data, n=n: spoil(data)) for n in range(3)]
    executor.publish_event("t", "c", given)
    spoiled = json.loads(json.dumps(given))
    spoil(spoiled)
    assert [payloads(id) for id in ids] == [[{"data": spoiled}]] * 3


def test_one_resolver_is_called_once_for_all_who_share_it(
    executor: SubscriptionExecutor, subscribe: Subscribe, payloads: Payloads
) -> None:
    calls: list[Any] = []

    def resolver(data: Any) -> Any:
        calls.append(data)
        return len(calls)

    ids = [subscribe(resolver=resolver) for _ in range(50)]
    executor.publish_event("t", "c", {})
    assert len(calls) == 1
    assert [payloads(id) for id in ids] == [[{"data": 1}]] * 50
    alone = subscribe(resolver=resolver, share=False)
    executor.publish_event("t", "c", {})
    assert len(calls) == 3
    assert payloads(alone)[0]["data"] in (2, 3)


def test_resolvers_that_take_info_are_called_for_each_subscription(
    executor: SubscriptionExecutor, subscribe: Subscribe, payloads: Payloads
) -> None:
    def resolver(data: Any, variables: Any, info: ResolverInfo) -> Any:
        return info.subscription_id

    ids = [subscribe(resolver=resolver) for _ in range(3)]
    executor.publish_event("t", "c", {})
    assert [payloads(id)[0]["data"] for id in ids] == ["0", "1", "2"]


def test_contextvars_of_the_registration_apply_and_do_not_leak(
    executor: SubscriptionExecutor, subscribe: Subscribe, payloads: Payloads
) -> None:
    def resolver(data: Any) -> Any:
        found = variable.get()
        variable.set("leaked")
        return found

    ids = []
    for tenant in ("a", "b"):
        token = variable.set(tenant)
        ids.append(subscribe(resolver=resolver))
        variable.reset(token)
    token = variable.set("publisher")
    for _ in range(2):
        executor.publish_event("t", "c", {})
    assert variable.get() == "publisher"
    variable.reset(token)
    assert [payloads(id) for id in ids] == [[{"data": "a"}] * 2, [{"data": "b"}] * 2]


def test_a_resolver_may_publish_register_and_complete(
    executor: SubscriptionExecutor, subscribe: Subscribe, payloads: Payloads
) -> None:
    made: list[str] = []

    def resolver(data: Any) -> Any:
        if data.get("n", 0) < 3:
            executor.publish_event("t", "c", {"n": data.get("n", 0) + 1})
        made.append(subscribe(channels="elsewhere"))
        executor.complete_subscription(made[0])
        return data

    id = subscribe(resolver=resolver)
    executor.publish_event("t", "c", {})
    assert payloads(id) == [{"data": d} for d in ({}, {"n": 1}, {"n": 2}, {"n": 3})]
    assert set(executor.subscriptions_by_channel("elsewhere")) == {id, *made[1:]}


def test_publishing_nests_100_deep(
    executor: SubscriptionExecutor, subscribe: Subscribe, payloads: Payloads
) -> None:
    def resolver(data: Any) -> Any:
        if data["depth"] < 100:
            executor.publish_event("t", f"level.{data['depth'] + 1}", {"depth": data["depth"] + 1})
        return data["depth"]

    id = subscribe(resolver=resolver, share=False)
    executor.publish_event("t", "level.0", {"depth": 0})
    assert sorted(payload["data"] for payload in payloads(id)) == list(range(101))


def test_a_resolver_may_complete_its_own_subscription(
    executor: SubscriptionExecutor, subscribe: Subscribe, payloads: Payloads
) -> None:
    def resolver(data: Any) -> Any:
        assert executor.complete_subscription(own)
        return data

    own = subscribe(resolver=resolver)
    other = subscribe()
    executor.publish_event("t", "c", {"id": 1})
    executor.publish_event("t", "c", {"id": 2})
    with pytest.raises(SubscriptionNotFound):
        executor.next_event(own)
    assert len(payloads(other)) == 2
    assert not executor._callbacks


def test_a_resolver_may_close_the_executor() -> None:
    executor = SubscriptionExecutor()
    executor.register_subscription(
        "c", "1", "subscription { a }", resolver=lambda d: executor.close()
    )
    executor.publish_event("t", "c", {})
    executor.close()
    assert not executor._callbacks


def test_replacing_a_resolver_frees_the_old_one(
    executor: SubscriptionExecutor, subscribe: Subscribe, payloads: Payloads
) -> None:
    id = subscribe(resolver=lambda data: 1)
    for n in range(2, 5):
        executor.register_resolver(id, lambda data, n=n: n)
        executor.publish_event("t", "c", {})
    assert [payload["data"] for payload in payloads(id)] == [2, 3, 4]
    assert len(executor._callbacks) == 1


def test_resolvers_answer_a_resumed_subscription(
    executor: SubscriptionExecutor, subscribe: Subscribe, payloads: Payloads
) -> None:
    start = executor.publish_event("t", "c", {"id": 0})
    executor.publish_event("t", "c", {"id": 1})
    id = subscribe(resolver=lambda data: data["id"], since=start)
    executor.publish_event("t", "c", {"id": 2})
    assert [payload["data"] for payload in payloads(id)] == [1, 2]


def test_a_failure_is_logged_through_logging(
    executor: SubscriptionExecutor, subscribe: Subscribe, caplog: pytest.LogCaptureFixture
) -> None:
    subscribe(resolver=failing(ValueError("wrong")))
    for _ in range(3):
        executor.publish_event("t", "c", {})
    records = [r for r in caplog.records if r.name == "fraiseql_subscriptions"]
    assert [(r.levelno, "wrong" in r.message) for r in records] == [(logging.ERROR, True)]


def test_debug_puts_the_traceback_into_the_response() -> None:
    with SubscriptionExecutor(debug=True) as executor:
        id = executor.register_subscription(
            "c", "1", "subscription { a }", resolver=failing(ValueError("wrong"))
        )
        executor.publish_event("t", "c", {})
        message = executor.next_event(id)
    assert message is not None
    text = json.loads(message)["payload"]["errors"][0]["message"]
    assert text.startswith("wrong\nTraceback")


# --- Threads ---------------------------------------------------------------------------


def test_a_resolver_runs_on_the_publishing_thread_and_under_its_locks(
    executor: SubscriptionExecutor, subscribe: Subscribe, in_thread: Callable[..., threading.Thread]
) -> None:
    lock = threading.RLock()
    threads: list[bool] = []

    def resolver(data: Any) -> Any:
        with lock:
            threads.append(threading.get_ident() == data["thread"])

    subscribe(resolver=resolver)

    def publish() -> None:
        for _ in range(50):
            with lock:
                executor.publish_event("t", "c", {"thread": threading.get_ident()})

    for thread in [in_thread(publish) for _ in range(4)]:
        thread.join(30)
    assert threads == [True] * 200


def test_twenty_threads_at_once_lose_nothing(
    executor: SubscriptionExecutor,
    subscribe: Subscribe,
    payloads: Payloads,
    in_thread: Callable[..., threading.Thread],
) -> None:
    watched = [subscribe(), subscribe(resolver=lambda data: data)]

    def work(thread: int) -> None:
        for n in range(40):
            own = executor.register_subscription(thread, n, "subscription { a { id } }")
            executor.publish_event("t", f"c{thread % 3}", {"id": [thread, n]})
            assert any(
                json.loads(m)["payload"]["data"]["a"]["id"] == [thread, n]
                for m in executor.next_events(own)
            )
            assert executor.complete_subscription(own)
            executor.get_metrics()

    for thread in [in_thread(work, n) for n in range(20)]:
        thread.join(60)
    expected = sorted([t, n] for t in range(20) for n in range(40))
    first: list[Any] = []
    second: list[Any] = []
    for id, into in zip(watched, (first, second), strict=True):
        while batch := payloads(id):
            into.extend(batch)
    assert sorted(p["data"]["thing"]["id"] for p in first) == expected
    assert sorted(p["data"]["id"] for p in second) == expected
    for t in range(20):  # one channel's events keep each thread's order
        own = [p["data"]["thing"]["id"][1] for p in first if p["data"]["thing"]["id"][0] == t]
        assert own == sorted(own)


def test_queue_operations_lock_free(
    executor: SubscriptionExecutor, subscribe: Subscribe, in_thread: Callable[..., threading.Thread]
) -> None:
    """Many consumers of one queue beside its publishers: every response goes to exactly one."""
    id = subscribe()
    done = threading.Event()
    taken: list[list[bytes]] = [[] for _ in range(4)]

    def consume(into: list[bytes]) -> None:
        while True:
            last = done.is_set()
            one = executor.next_event(id)
            batch = executor.next_events(id, 7)
            into.extend(([one] if one else []) + batch)
            if last and not batch:
                return

    consumers = [in_thread(consume, into) for into in taken]

    def publish(publisher: int) -> None:
        for n in range(500):
            executor.publish_event("t", f"c{publisher}", {"id": publisher * 1000 + n})

    for thread in [in_thread(publish, n) for n in range(2)]:
        thread.join(60)
    done.set()
    for thread in consumers:
        thread.join(60)
    got = [json.loads(m)["payload"]["data"]["thing"]["id"] for part in taken for m in part]
    assert sorted(got) == sorted([*range(500), *range(1000, 1500)])


def test_a_resolver_may_wait_for_a_coroutine_on_another_threads_loop(
    executor: SubscriptionExecutor,
    subscribe: Subscribe,
    payloads: Payloads,
    in_thread: Callable[..., threading.Thread],
) -> None:
    loop = asyncio.new_event_loop()
    thread = in_thread(loop.run_forever)

    async def fetch(n: int) -> int:
        await asyncio.sleep(0)
        executor.publish_event("t", "inner", {"id": n})
        return n

    def resolver(data: Any) -> Any:
        return asyncio.run_coroutine_threadsafe(fetch(data["id"]), loop).result(20)

    id, inner = subscribe(resolver=resolver, channels="outer"), subscribe(channels="inner")
    try:
        for n in range(3):
            executor.publish_event("t", "outer", {"id": n})
    finally:
        loop.call_soon_threadsafe(loop.stop)
        thread.join(30)
        loop.close()
    assert [p["data"] for p in payloads(id)] == [0, 1, 2]
    assert len(payloads(inner)) == 3
