"""``async for event in executor.listen(…)``: the events themselves."""

from __future__ import annotations

import asyncio
import gc
import json
import time
from contextlib import aclosing
from typing import Any

import orjson
import pytest

from fraiseql_subscriptions import (
    AuthorizationError,
    ContextExpired,
    EngineClosed,
    Event,
    Listener,
    QueuePolicy,
    SecurityContext,
    SecurityPolicy,
    SubscriptionExecutor,
    SubscriptionsError,
    Unauthenticated,
    current_context,
)

pytestmark = pytest.mark.asyncio

PATIENCE = 20


async def soon(listener: Listener) -> Event:
    return await asyncio.wait_for(anext(listener), PATIENCE)


async def rest(listener: Listener) -> list[Any]:
    async def read() -> list[Any]:
        return [event.data async for event in listener]

    return await asyncio.wait_for(read(), PATIENCE)


async def until(condition: Any) -> None:
    deadline = time.monotonic() + PATIENCE
    while not condition():
        assert time.monotonic() < deadline, "the condition did not come"
        await asyncio.sleep(0.005)


@pytest.mark.parametrize(
    "data",
    [
        {},
        {"i": 2**53 + 1, "big": -(10**400), "e": 1e300, "f": 0.1, "t": True, "n": None},
        {"digits": "12345678901234567890", "é\u2028": ["\0", {"a": [[[]]]}]},
        {"x": 9223372036854775807, "y": 9223372036854775808, "z": 18446744073709551616},
    ],
)
async def test_an_event_comes_as_it_was_published(data: dict[str, Any]) -> None:
    async with SubscriptionExecutor() as executor:
        listener = executor.listen("orders.*")
        before = time.time()
        position = await executor.publish(
            "made", "orders.é", data, correlation_id="c", event_id="7"
        )
        event = await soon(listener)
        assert event.timestamp is not None
        assert before - 0.002 <= event.timestamp <= time.time() + 0.002
        assert event == Event("made", "orders.é", data, "c", "7", event.timestamp, position)
        assert [type(one) for one in event.data.values()] == [type(one) for one in data.values()]
        await executor.publish("made", "orders.é", data)
        event = await soon(listener)
        assert event.event_id == event.correlation_id != "7"


async def test_a_number_that_python_has_not_got_does_not_end_it() -> None:
    async with SubscriptionExecutor() as executor:
        listener = executor.listen("a")
        await executor.publish("e", "a", {"x": orjson.Fragment(b"1e400")})
        assert (await soon(listener)).data == {"x": float("inf")}


async def test_filters_types_and_channels_choose() -> None:
    async with SubscriptionExecutor() as executor:
        listener = executor.listen(
            ["a.*", "b"], event_types="made", filter={"n": {"gt": 1}}, queue=QueuePolicy()
        )
        for kind, channel, number in (
            ("made", "a.x", 1),
            ("sold", "a.x", 2),
            ("made", "c", 3),
            ("made", "a.x", 4),
            ("made", "b", 5),
        ):
            await executor.publish(kind, channel, {"n": number})
        assert [(await soon(listener)).data for _ in range(2)] == [{"n": 4}, {"n": 5}]


async def test_events_come_in_order_and_none_is_missed_from_the_call_on() -> None:
    async with SubscriptionExecutor() as executor:
        listener = executor.listen("a")
        for number in range(1000):
            await executor.publish("e", "a", {"n": number})
        assert [(await soon(listener)).data["n"] for _ in range(1000)] == list(range(1000))


async def test_a_context_sees_what_the_policy_lets_it_see() -> None:
    async with SubscriptionExecutor() as executor:
        everything = executor.listen("a")
        mine = executor.listen("a", context=SecurityContext(tenant_id=1, permissions=()))
        anonymous = executor.listen("a", context=SecurityContext())
        for data in ({"tenant_id": 1}, {"tenant_id": 2}, {"tenant_id": 1, "user_id": 3}, {}):
            await executor.publish("e", "a", data)
        assert len([await soon(everything) for _ in range(4)]) == 4
        assert (await soon(mine)).data == {"tenant_id": 1}
        assert (await soon(anonymous)).data == {}
        verdicts = [one.verdict for one in executor.explain("e", "a", {"tenant_id": 2})]
        assert verdicts == ["delivered", "denied", "denied"]


async def test_a_policy_that_requires_a_context_holds_here_too() -> None:
    async with SubscriptionExecutor(security=SecurityPolicy(require_context=True)) as executor:
        with pytest.raises(AuthorizationError):
            executor.listen("a")
        executor.listen("a", context=SecurityContext()).close()


async def test_it_resumes_from_a_position_or_says_that_it_cannot() -> None:
    async with SubscriptionExecutor() as executor:
        listener = executor.listen("a")
        await executor.publish("e", "a", {"n": 1})
        position = (await soon(listener)).position
        for number in (2, 3):
            await executor.publish("e", "a", {"n": number})
        again = executor.listen("a", since=position)
        assert again.recovered
        assert [(await soon(again)).data["n"] for _ in range(2)] == [2, 3]
        await executor.publish("e", "a", {"n": 4})
        fourth = [await soon(listener) for _ in (2, 3, 4)][2]
        assert await soon(again) == fourth
        assert not executor.listen("a", since="FOREIGN:1").recovered
        with pytest.raises(ValueError, match="position"):
            executor.listen("a", since="nonsense")


async def test_a_slow_listener_loses_what_its_policy_says() -> None:
    async with SubscriptionExecutor() as executor:
        oldest = executor.listen("a", queue=QueuePolicy(max_responses=2))
        gone = executor.listen("a", queue=QueuePolicy(max_responses=2, overflow="disconnect"))
        for number in range(5):
            await executor.publish("e", "a", {"n": number})
        assert [(await soon(oldest)).data["n"] for _ in range(2)] == [3, 4]
        assert [(await soon(gone)).data["n"] for _ in range(2)] == [0, 1]
        with pytest.raises(SubscriptionsError):
            await soon(gone)


@pytest.mark.parametrize("how", ["close", "aclose", "drop", "aclosing", "break"])
async def test_a_listener_that_ends_leaves_nothing(how: str) -> None:
    async with SubscriptionExecutor() as executor:
        listener: Listener | None = executor.listen("a")
        assert executor.get_metrics()["active"] == 1
        if how == "close":
            listener.close()  # type: ignore[union-attr]
            listener.close()  # type: ignore[union-attr]
        elif how == "aclose":
            await listener.aclose()  # type: ignore[union-attr]
        elif how == "drop":
            listener = None
            gc.collect()
        elif how == "aclosing":
            async with aclosing(executor.listen("b")):
                assert executor.get_metrics()["active"] == 2
            listener = None
        else:
            listener = None
            await until(lambda: not executor.get_metrics()["active"])
            publishing = asyncio.ensure_future(publish_soon(executor))
            async for _ in executor.listen("a"):
                break
            await publishing
        await until(lambda: not executor.get_metrics()["active"])
        if listener is not None:
            with pytest.raises(StopAsyncIteration):
                await anext(listener)
            assert "closed" in repr(listener)


async def publish_soon(executor: SubscriptionExecutor) -> None:
    await until(lambda: executor.get_metrics()["active"])
    await executor.publish("e", "a", {})


async def test_it_ends_when_the_executor_closes_after_what_was_queued() -> None:
    executor = SubscriptionExecutor()
    listener = executor.listen("a")
    for number in range(3):
        await executor.publish("e", "a", {"n": number})
    waiting = asyncio.ensure_future(rest(executor.listen("b")))
    await asyncio.sleep(0)
    executor.close()
    assert await rest(listener) == [{"n": 0}, {"n": 1}, {"n": 2}]
    assert await waiting == []
    with pytest.raises(EngineClosed):
        executor.listen("a")


@pytest.mark.parametrize("how", ["revoke", "expire", "invalidate"])
async def test_what_ends_it_by_the_server_is_raised_or_ends_it(how: str) -> None:
    async with SubscriptionExecutor() as executor:
        expires = time.time() + 0.2 if how == "expire" else None
        listener = executor.listen("a", context=SecurityContext("u", expires_at=expires))
        reading = asyncio.ensure_future(rest(listener))
        await asyncio.sleep(0)
        if how == "revoke":
            assert executor.revoke(user_id="u") == 1
        elif how == "invalidate":
            assert executor.invalidate({"user_id": "u"}) == 1
        if how == "invalidate":
            assert await reading == []
        else:
            with pytest.raises(Unauthenticated if how == "revoke" else ContextExpired):
                await reading
        assert executor.get_metrics()["active"] == 0


async def test_wrong_arguments_are_refused_and_leave_nothing() -> None:
    async with SubscriptionExecutor() as executor:
        wrong: list[dict[str, Any]] = [
            {"channels": "a b"},
            {"channels": []},
            {"channels": 1},
            {"channels": None},
            {"channels": "a", "filter": {"x": {"no": 1}}},
            {"channels": "a", "context": 1},
            {"channels": "a", "queue": 1},
            {"channels": "a", "since": ""},
        ]
        for arguments in wrong:
            with pytest.raises((ValueError, TypeError)):
                executor.listen(**arguments)
        assert executor.get_metrics()["active"] == 0


async def test_nobody_registers_the_query_that_listeners_have() -> None:
    async with SubscriptionExecutor() as executor:
        executor.listen("a").close()
        listener = executor.listen("a")
        for query in ("", " "):
            with pytest.raises(ValueError, match="no operation"):
                executor.register_subscription("c", "1", query)
        (id_,) = executor.subscriptions_by_channel("a")
        with pytest.raises(ValueError, match="whole events"):
            executor.register_resolver(id_, lambda data: data)
        await executor.publish("e", "a", {"n": 1})
        assert (await soon(listener)).data == {"n": 1}


async def test_a_query_of_the_same_text_is_not_shared_with_a_listener() -> None:
    async with SubscriptionExecutor() as executor:
        listener = executor.listen("a")
        async with executor.subscribe("subscription { event }", channels="a") as stream:
            await executor.publish("e", "a", {"secret": 1, "event": 2})
            payload = json.loads(await anext(stream))["payload"]
            assert payload["data"] == {"event": {"secret": 1, "event": 2}}
            assert (await soon(listener)).data == {"secret": 1, "event": 2}


async def test_there_must_be_a_loop() -> None:
    def outside() -> None:
        with pytest.raises(RuntimeError, match="no running event loop"):
            executor.listen("a")

    async with SubscriptionExecutor() as executor:
        await asyncio.to_thread(outside)
        assert executor.get_metrics()["active"] == 0


async def test_two_tasks_do_not_read_one_listener() -> None:
    async with SubscriptionExecutor() as executor:
        listener = executor.listen("a")
        reading = asyncio.ensure_future(listener.__anext__())
        await asyncio.sleep(0)
        with pytest.raises(RuntimeError, match="another task"):
            await soon(listener)
        await executor.publish("e", "a", {"n": 1})
        assert (await asyncio.wait_for(reading, PATIENCE)).data == {"n": 1}


async def test_nobodys_code_has_no_client() -> None:
    assert current_context() is None
