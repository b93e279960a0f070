"""Contexts, rights and invitations that change while subscriptions live."""

from __future__ import annotations

import asyncio
import json
import threading
import time
from collections.abc import Callable, Coroutine
from datetime import datetime, timezone
from typing import Any

import pytest
from emptying import empty_while_read

from fraiseql_subscriptions import (
    AuthorizationError,
    ContextExpired,
    SecurityContext,
    SecurityPolicy,
    SubscriptionExecutor,
)

QUERY = "subscription { thing { id } }"


def in_loop(test: Callable[[], Coroutine[Any, Any, None]]) -> Callable[[], None]:
    """A test that is a coroutine."""
    return lambda: asyncio.run(test())


def ids(messages: list[bytes]) -> list[Any]:
    return [json.loads(one)["payload"]["data"]["thing"]["id"] for one in messages]


def code(message: bytes) -> str:
    told = json.loads(message)
    assert told["type"] == "error", told
    return str(told["payload"][0]["extensions"]["code"])


def publish(executor: SubscriptionExecutor, id: Any, tenant: Any) -> None:  # noqa: A002
    executor.publish_event("changed", "things", {"id": id, "tenant_id": tenant})


def test_a_new_context_decides_from_the_next_event_on(executor: SubscriptionExecutor) -> None:
    id = executor.register_subscription(7, 1, QUERY, tenant_id=1)  # noqa: A001
    publish(executor, 1, 1)
    assert executor.update_context(7, SecurityContext(tenant_id=2)) == 1
    publish(executor, 2, 1)
    publish(executor, 3, 2)
    assert ids(executor.next_events(id)) == [3]
    assert executor.get_metrics()["dropped"]["revoked"] == 1
    assert 'responses_dropped_total{policy="revoked"} 1' in executor.metrics_text()
    assert executor.update_context("nobody", SecurityContext()) == 0


def test_a_renewed_context_drops_nothing(executor: SubscriptionExecutor) -> None:
    before = SecurityContext(tenant_id=1, expires_at=time.time() + 60)
    id = executor.register_subscription(7, 1, QUERY, context=before)  # noqa: A001
    publish(executor, 1, 1)
    after = SecurityContext(tenant_id=1, expires_at=time.time() + 600, claims={"n": 1})
    assert executor.update_context(7, after) == 1
    publish(executor, 2, 1)
    assert ids(executor.next_events(id)) == [1, 2]


@in_loop
async def test_a_stream_gives_nothing_that_its_new_context_may_not_see() -> None:
    async with SubscriptionExecutor() as executor:
        id = executor.register_subscription("c", 1, QUERY, tenant_id=1)  # noqa: A001
        stream = executor.stream(id)
        for number in range(20):
            await executor.publish("changed", "things", {"id": number, "tenant_id": 1})
        assert ids([await anext(stream)]) == [0]  # the others are in its buffer now
        assert executor.update_context("c", SecurityContext(tenant_id=2)) == 1
        await executor.publish("changed", "things", {"id": 100, "tenant_id": 2})
        assert ids([await asyncio.wait_for(anext(stream), 10)]) == [100]


def test_no_stream_gives_what_another_thread_has_taken_back(
    in_thread: Callable[..., threading.Thread],
) -> None:
    """Contexts change in one thread while a loop in another reads."""
    wrong: list[Any] = []
    checked = [0]
    tenant = 1
    updates = 0  # odd while one is under way
    stop, ready = threading.Event(), threading.Event()

    with SubscriptionExecutor() as executor:
        id = executor.register_subscription("c", 1, QUERY, tenant_id=1)  # noqa: A001

        async def read() -> None:
            stream = executor.stream(id)
            ready.set()
            while True:
                before = updates
                try:
                    message = await anext(stream)
                except StopAsyncIteration:
                    return
                allowed = tenant
                if before == updates and before % 2 == 0:  # read between two updates
                    checked[0] += 1
                    if ids([message]) != [allowed]:
                        wrong.append((message, allowed))

        def keep_publishing() -> None:
            while not stop.is_set():
                publish(executor, 1, 1)
                publish(executor, 2, 2)

        reader = in_thread(asyncio.run, read())
        assert ready.wait(10)
        publisher = in_thread(keep_publishing)
        for _ in range(200):
            updates += 1
            tenant = 3 - tenant
            executor.update_context("c", SecurityContext(tenant_id=tenant))
            updates += 1
            seen, deadline = checked[0], time.monotonic() + 10
            while checked[0] == seen:
                assert time.monotonic() < deadline, "the stream gives nothing any more"
                threading.Event().wait(0.0005)
        stop.set()
        publisher.join(10)  # before the executor closes
        executor.complete_subscription(id)
        reader.join(10)
    assert not wrong


def test_rights_come_and_go_under_the_streams_of_two_loops(
    in_thread: Callable[..., threading.Thread],
) -> None:
    """Two loops read, two threads publish, one changes, revokes and renews: nothing foreign is
    read, what ends says why, and nobody waits for ever."""
    wrong: list[Any] = []
    ends: list[str] = []
    seen = [0, 0]
    tenants = [1, 1]
    turns = [0, 0]  # of each connection; odd while its context changes
    changing = [threading.Lock(), threading.Lock()]
    stop = threading.Event()

    with SubscriptionExecutor() as executor:

        async def read_one(number: int, id: str) -> None:  # noqa: A002
            stream = executor.stream(id)
            while True:
                before, tenant = turns[number], tenants[number]
                try:
                    message = await anext(stream)
                except StopAsyncIteration:
                    return
                told = json.loads(message)
                if told["type"] != "next":
                    ends.append(told["payload"][0]["extensions"]["code"])
                elif before == turns[number] and before % 2 == 0:
                    seen[number] += 1
                    if ids([message]) != [tenant]:
                        wrong.append((message, tenant))

        async def read(number: int) -> None:
            while not stop.is_set():
                with changing[number]:
                    context = now(number)
                    registered = [
                        executor.register_subscription(f"c{number}", one, QUERY, context=context)
                        for one in range(3)
                    ]
                await asyncio.gather(*(read_one(number, one) for one in registered))

        def now(number: int) -> SecurityContext:
            return SecurityContext(user_id=f"u{number}", tenant_id=tenants[number])

        def keep_publishing() -> None:
            while not stop.is_set():
                for user in ("u0", "u1"):
                    for tenant in (1, 2):
                        executor.publish_event(
                            "changed",
                            "things",
                            {"id": tenant, "tenant_id": tenant, "user_id": user},
                        )

        def wait_for(number: int) -> None:
            before, deadline = seen[number], time.monotonic() + 20
            while seen[number] == before:
                assert time.monotonic() < deadline, "a stream gives nothing any more"
                threading.Event().wait(0.0005)

        readers = [in_thread(asyncio.run, read(number)) for number in (0, 1)]
        publishers = [in_thread(keep_publishing) for _ in range(2)]
        for turn in range(60):
            number = turn % 2
            wait_for(number)
            if turn % 5 == 4:
                executor.revoke(user_id=f"u{number}")
                continue
            with changing[number]:
                turns[number] += 1
                tenants[number] = 3 - tenants[number]
                executor.update_context(f"c{number}", now(number))
                turns[number] += 1
        stop.set()
        for publisher in publishers:
            publisher.join(20)
        for number in (0, 1):
            executor.revoke(user_id=f"u{number}")
        for reader in readers:
            reader.join(20)
        assert executor.get_metrics()["active"] == 0
    assert not wrong
    assert set(ends) == {"UNAUTHENTICATED"}


def test_revoking(executor: SubscriptionExecutor) -> None:
    def register(number: int, **who: Any) -> str:
        return executor.register_subscription("c", number, QUERY, **who)

    first = register(1, user_id="ann", tenant_id=1)
    second = register(2, user_id="bob", tenant_id=1)
    trusted = register(3)
    executor.publish_event("changed", "things", {"id": 1, "tenant_id": 1, "user_id": "ann"})
    assert executor.revoke(user_id="ann") == 1
    assert [code(one) for one in executor.next_events(first)] == ["UNAUTHENTICATED"]
    assert executor.revoke(user_id="ann") == 0
    assert executor.revoke(user_id="ann", tenant_id=1) == 0
    assert executor.revoke(tenant_id=1) == 1
    assert [code(one) for one in executor.next_events(second)] == ["FORBIDDEN"]
    assert ids(executor.next_events(trusted)) == [1]
    assert executor.get_metrics()["ended"]["revoked"] == 2
    with pytest.raises(ValueError, match="nothing to revoke"):
        executor.revoke()
    with pytest.raises(TypeError, match="permission"):
        executor.revoke(permission=5)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    "moment",
    [
        2**63 / 1e9,  # the last that fits into nanoseconds
        9_300_000_000,
        datetime(2300, 1, 1, tzinfo=timezone.utc),
        253_402_300_799,
        datetime.max.replace(tzinfo=timezone.utc),
    ],
)
def test_a_context_may_be_good_for_centuries(
    executor: SubscriptionExecutor, moment: float | datetime
) -> None:
    context = SecurityContext(tenant_id=1, expires_at=moment)
    id = executor.register_subscription("c", 1, QUERY, context=context)  # noqa: A001
    publish(executor, 1, 1)
    assert executor.update_context("c", SecurityContext(tenant_id=1, expires_at=2e10)) == 1
    publish(executor, 2, 1)
    assert ids(executor.next_events(id)) == [1, 2]


@pytest.mark.parametrize("moment", [0, -0.0, 1, datetime(1970, 1, 1, tzinfo=timezone.utc)])
def test_the_first_seconds_are_a_time_like_any_and_not_never(
    executor: SubscriptionExecutor, moment: float | datetime
) -> None:
    context = SecurityContext(tenant_id=1, expires_at=moment)
    with pytest.raises(ContextExpired, match="expired at 1970") as caught:
        executor.register_subscription("c", 1, QUERY, context=context)
    assert caught.value.code == "EXPIRED"
    assert isinstance(caught.value, AuthorizationError)
    id = executor.register_subscription("c", 1, QUERY, tenant_id=1)  # noqa: A001
    publish(executor, 1, 1)
    assert executor.update_context("c", context) == 0
    assert [code(one) for one in executor.next_events(id)] == ["EXPIRED"]
    assert executor.get_metrics()["refused"] == {"EXPIRED": 1}


def test_a_permission_gained_drops_nothing_and_one_lost_does() -> None:
    policy = SecurityPolicy(rbac="null", permissions={"*.id": "id:read", "*.n": "n:read"})

    def told(message: bytes) -> dict[str, Any]:
        found: dict[str, Any] = json.loads(message)["payload"]["data"]["thing"]
        return found

    with SubscriptionExecutor(security=policy) as executor:
        context = SecurityContext(permissions={"thing:read", "id:read"})
        id = executor.register_subscription(  # noqa: A001
            "c", 1, "subscription { thing { id n } }", context=context
        )
        executor.publish_event("changed", "things", {"id": 1, "n": 1})
        everything = SecurityContext(permissions={"thing:read", "id:read", "n:read"})
        assert executor.update_context("c", everything) == 1
        executor.publish_event("changed", "things", {"id": 2, "n": 2})
        assert executor.update_context("c", SecurityContext()) == 1  # not asked for any
        executor.publish_event("changed", "things", {"id": 3, "n": 3})
        assert [told(one) for one in executor.next_events(id)] == [
            {"id": 1, "n": None},
            {"id": 2, "n": 2},
            {"id": 3, "n": 3},
        ]
        assert executor.get_metrics()["dropped"]["revoked"] == 0
        for other in (everything, context, SecurityContext(permissions={"thing:read", "n:read"})):
            executor.publish_event("changed", "things", {"id": 4, "n": 4})
            executor.update_context("c", other)
            assert executor.next_events(id) == []
        assert executor.get_metrics()["dropped"]["revoked"] == 3


def test_a_context_expires_without_any_event(
    executor: SubscriptionExecutor, until: Callable[..., None]
) -> None:
    context = SecurityContext(tenant_id=1, expires_at=time.time() + 1)
    id = executor.register_subscription("c", 1, QUERY, context=context)  # noqa: A001
    publish(executor, 1, 1)
    until(lambda: executor.get_metrics()["ended"]["expired"] == 1, "the end")
    assert [code(one) for one in executor.next_events(id)] == ["EXPIRED"]


@in_loop
async def test_a_stream_ends_with_its_context() -> None:
    async with SubscriptionExecutor() as executor:
        context = SecurityContext(tenant_id=1, expires_at=time.time() + 1)
        async with executor.subscribe(QUERY, context=context) as stream:
            assert [code(one) async for one in stream] == ["EXPIRED"]


@in_loop
async def test_a_stream_ends_with_a_revocation() -> None:
    async with (
        SubscriptionExecutor() as executor,
        executor.subscribe(QUERY, tenant_id=1) as stream,
    ):
        await executor.publish("changed", "things", {"id": 1, "tenant_id": 1})
        await executor.publish("changed", "things", {"id": 2, "tenant_id": 1})
        assert ids([await anext(stream)]) == [1]
        assert executor.revoke(tenant_id=1) == 1
        assert [code(one) async for one in stream] == ["FORBIDDEN"]


def test_invalidating(executor: SubscriptionExecutor) -> None:
    context = SecurityContext(tenant_id=1, claims={"plan": {"name": "free"}})
    id = executor.register_subscription("c", 1, QUERY, context=context)  # noqa: A001
    other = executor.register_subscription("d", 1, QUERY, tenant_id=1)
    publish(executor, 1, 1)
    assert executor.invalidate({"claims.plan.name": {"in": ["free", "trial"]}}) == 1
    message, last = executor.next_events(id)
    assert ids([message]) == [1]
    assert json.loads(last) == {"id": "1", "type": "complete"}
    assert len(executor.next_events(other)) == 1
    for wrong, named in (
        ({"conection_id": "c"}, "conection_id"),
        ({"field": {"like": "x"}}, "like"),
        ({"claims": {}}, "claims"),
        ({1: 2}, "key"),
    ):
        with pytest.raises((ValueError, TypeError), match=named):
            executor.invalidate(wrong)  # type: ignore[arg-type]


def test_a_context_is_changed_inside_a_resolver(executor: SubscriptionExecutor) -> None:
    def resolve(data: dict[str, Any]) -> dict[str, Any]:
        executor.update_context("c", SecurityContext(tenant_id=2))
        return {"thing": data}

    id = executor.register_subscription("c", 1, QUERY, tenant_id=1, resolver=resolve)  # noqa: A001
    publish(executor, 1, 1)
    assert executor.next_events(id) == []
    publish(executor, 2, 2)
    assert ids(executor.next_events(id)) == [2]


def test_info_tells_the_context_of_now(executor: SubscriptionExecutor) -> None:
    told: list[Any] = []

    def resolve(data: Any, variables: Any, info: Any) -> dict[str, Any]:
        told.append(info.context)
        return {"thing": data}

    before = SecurityContext(tenant_id=1, claims={"n": 2**70})
    after = SecurityContext(tenant_id=1, roles=["admin"])
    executor.register_subscription("c", 1, QUERY, context=before, resolver=resolve)
    publish(executor, 1, 1)
    executor.update_context("c", after)
    publish(executor, 2, 1)
    assert told == [before, after]


def test_wrong_contexts_are_refused(executor: SubscriptionExecutor) -> None:
    id = executor.register_subscription("c", 1, QUERY, tenant_id=1)  # noqa: A001
    with pytest.raises(TypeError, match="context must be a SecurityContext"):
        executor.update_context("c", None)  # type: ignore[arg-type]
    publish(executor, 1, 1)
    assert ids(executor.next_events(id)) == [1]


@in_loop
async def test_what_a_stream_has_taken_goes_with_an_expired_context() -> None:
    async with SubscriptionExecutor() as executor:
        context = SecurityContext(tenant_id=1, expires_at=time.time() + 1)
        async with executor.subscribe(QUERY, context=context) as stream:
            for number in range(20):
                await executor.publish("changed", "things", {"id": number, "tenant_id": 1})
            assert ids([await anext(stream)]) == [0]  # the others are in its buffer now
            deadline = time.monotonic() + 10
            while not executor.get_metrics()["ended"]["expired"] or len(stream._feed.buffer) > 1:
                assert time.monotonic() < deadline
                await asyncio.to_thread(threading.Event().wait, 0.01)
            assert [code(one) async for one in stream] == ["EXPIRED"]


@in_loop
async def test_a_final_message_that_a_stream_has_taken_is_kept() -> None:
    async with SubscriptionExecutor() as executor:
        id = executor.register_subscription("c", 1, QUERY, tenant_id=1)  # noqa: A001
        stream = executor.stream(id)
        for number in range(3):
            await executor.publish("changed", "things", {"id": number, "tenant_id": 1})
        assert executor.invalidate({}) == 1
        assert ids([await anext(stream)]) == [0]
        executor.update_context("c", SecurityContext(tenant_id=2))
        assert [json.loads(one)["type"] async for one in stream] == ["complete"]


def test_a_reader_that_looks_while_its_stream_is_emptied_gets_the_final_message(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    async def main() -> None:
        async with (
            SubscriptionExecutor() as executor,
            executor.subscribe(QUERY, tenant_id=1) as stream,
        ):
            reader = asyncio.ensure_future(anext(stream))
            await asyncio.sleep(0)  # it waits
            met = empty_while_read(monkeypatch, executor, stream.id)
            assert executor.invalidate({}) == 1
            message = await asyncio.wait_for(reader, 20)
            assert json.loads(message)["type"] == "complete"
            met()

    asyncio.run(main())
