"""`latest`: of every value at the key, the newest response."""

# ruff: noqa: A001, A002  (`id` is a name of the public API)

from __future__ import annotations

import asyncio
import json
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fraiseql_subscriptions import QueuePolicy, SubscriptionExecutor

PATIENCE = 30.0
QUERY = "subscription { price { amount } }"  # the key is not among what is selected


def amounts(executor: SubscriptionExecutor, id: str, maximum: int = 256) -> list[Any]:
    return [
        json.loads(message)["payload"]["data"]["price"]["amount"]
        for message in executor.next_events(id, maximum)
    ]


def identity(value: Any) -> str:
    """What two values have in common when filters call them equal."""
    if isinstance(value, (bool, str)) or value is None:
        return f"{type(value).__name__} {value}"
    if isinstance(value, (int, float)):
        return f"number {float(value) + 0.0}"  # -0.0 equals 0
    if isinstance(value, list):
        return f"list {[identity(one) for one in value]}"
    if isinstance(value, dict):
        return f"object {sorted((name, identity(one)) for name, one in value.items())}"
    return "absent"


ABSENT = object()
scalars = st.sampled_from([5, 5.0, "5", "5.0", True, None, "", 0, -0.0, False, "é", 2.5])
values = (
    scalars
    | st.just(ABSENT)
    | st.lists(scalars, max_size=2)
    | st.dictionaries(st.sampled_from("ab"), scalars, max_size=2)
)
steps = st.lists(
    st.one_of(
        st.tuples(st.just("publish"), values),
        st.tuples(st.just("read"), st.integers(1, 4)),
    ),
    max_size=40,
)


@pytest.mark.parametrize("path", ["sku", "item.sku", "items.1.sku", None])
@settings(max_examples=60, deadline=None)
@given(steps, st.integers(1, 6))
def test_it_is_a_dict_with_an_end(path: str | None, steps: list[Any], room: int) -> None:
    policy = QueuePolicy(max_responses=room, overflow="latest", key=path)
    with SubscriptionExecutor() as executor:
        id = executor.register_subscription("c", 1, QUERY, queue=policy)
        model: dict[str, int] = {}  # keeps the place of a replaced value, as the queue does
        dropped = 0
        for number, (step, argument) in enumerate(steps):
            if step == "read":
                expected = list(model.values())[:argument]
                assert amounts(executor, id, argument) == expected
                model = dict(list(model.items())[argument:])
                continue
            inner = {} if argument is ABSENT else {"sku": argument}
            data = {"amount": number, "item": inner, "items": [{}, inner], **inner}
            executor.publish_event("t", "c", data)
            key = "" if path is None else identity(argument)
            dropped += key in model
            if key not in model and len(model) == room:
                del model[next(iter(model))]
                dropped += 1
            model[key] = number
        assert amounts(executor, id) == list(model.values())
        assert executor.get_metrics()["dropped"]["latest"] == dropped


def test_each_policy_has_a_key_of_its_own(executor: SubscriptionExecutor) -> None:
    ids = {
        key: executor.register_subscription(
            "c", f"{key}", QUERY, queue=QueuePolicy(overflow="latest", key=key)
        )
        for key in ("a", "b", None)
    }
    everything = executor.register_subscription("c", "all", QUERY)
    for amount, (a, b) in enumerate([(1, 1), (1, 2), (2, 1), (2, 2)]):
        executor.publish_event("t", "c", {"amount": amount, "a": a, "b": b})
    assert amounts(executor, ids["a"]) == [1, 3]
    assert amounts(executor, ids["b"]) == [2, 3]
    assert amounts(executor, ids[None]) == [3]
    assert amounts(executor, everything) == [0, 1, 2, 3]


def test_a_resolvers_answer_has_the_key_of_its_event(executor: SubscriptionExecutor) -> None:
    id = executor.register_subscription(
        "c",
        1,
        QUERY,
        resolver=lambda data: {"price": {"amount": data["amount"]}},
        queue=QueuePolicy(overflow="latest", key="sku"),
    )
    for amount, sku in enumerate("abab"):
        executor.publish_event("t", "c", {"amount": amount, "sku": sku})
    assert amounts(executor, id) == [2, 3]


def test_an_answer_that_comes_late_does_not_come_back(executor: SubscriptionExecutor) -> None:
    async def main() -> None:
        first, entered = asyncio.Event(), asyncio.Event()

        async def resolver(data: dict[str, Any]) -> dict[str, Any]:
            if data["amount"] == 0:
                entered.set()
                await first.wait()
            return {"price": {"amount": data["amount"]}}

        id = executor.register_subscription(
            "c", 1, QUERY, resolver=resolver, queue=QueuePolicy(overflow="latest", key="sku")
        )
        await executor.publish("t", "c", {"amount": 0, "sku": "a"})
        await executor.publish("t", "c", {"amount": 1, "sku": "b"})
        await entered.wait()
        await executor.publish("t", "c", {"amount": 2, "sku": "a"})  # takes the place of 0
        stream = executor.stream(id)
        got = [json.loads(await stream.__anext__())["payload"]["data"] for _ in range(2)]
        assert [one["price"]["amount"] for one in got] == [2, 1]
        first.set()
        for _ in range(3):
            await asyncio.sleep(0)
        assert executor.next_event(id) is None

    asyncio.run(asyncio.wait_for(main(), PATIENCE))


def test_a_resume_gets_the_newest_of_each_value(executor: SubscriptionExecutor) -> None:
    since = executor.publish_event("t", "c", {})
    for amount in range(100):
        executor.publish_event("t", "c", {"amount": amount, "sku": amount % 3})
    id = executor.register_subscription(
        "c", 1, QUERY, since=since, queue=QueuePolicy(max_responses=3, overflow="latest", key="sku")
    )
    assert amounts(executor, id) == [99, 97, 98]


def test_the_memory_of_what_was_replaced_is_free(executor: SubscriptionExecutor) -> None:
    id = executor.register_subscription(
        "c", 1, "subscription { a { text } }", queue=QueuePolicy(overflow="latest", key="k")
    )
    for n in range(300):
        executor.publish_event("t", "c", {"k": n % 2, "text": "x" * 100_000})
    metrics = executor.get_metrics()
    assert metrics["queued"] == 2
    assert metrics["queued_bytes"] < 250_000
    assert metrics["dropped"]["latest"] == 298
    executor.complete_subscription(id)
    assert executor.get_metrics()["queued_bytes"] == 0
