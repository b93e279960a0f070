"""Rates, and what happens to connections that exceed them too often.

The rates are so slow that no test lives to see a token come back; that tokens do come back in
time is tested in Go, where the clock can be set.
"""

from __future__ import annotations

import asyncio
import json
import threading
from collections.abc import Callable
from typing import Any

import pytest

from fraiseql_subscriptions import (
    LimitExceeded,
    Limits,
    Rate,
    RateLimited,
    SecurityPolicy,
    SubscriptionExecutor,
    TooManyViolations,
)

QUERY = "subscription { thing { id } }"
NEVER = 0.0001


def ids(executor: SubscriptionExecutor, subscription: str) -> list[int]:
    return [
        json.loads(message)["payload"]["data"]["thing"]["id"]
        for message in executor.next_events(subscription)
    ]


def publish(executor: SubscriptionExecutor, count: int, **data: Any) -> None:
    executor.publish_events([("t", "c", {"id": n, **data}) for n in range(count)])


def test_a_subscription_gets_its_burst_and_the_others_of_its_kind_theirs() -> None:
    with SubscriptionExecutor(limits=Limits(subscription_rate=Rate(NEVER, burst=5))) as executor:
        first = executor.register_subscription("a", 1, QUERY)
        publish(executor, 3)
        second = executor.register_subscription("b", 1, QUERY)
        publish(executor, 10)
        assert ids(executor, first) == [0, 1, 2, 0, 1]
        assert ids(executor, second) == [0, 1, 2, 3, 4]
        metrics = executor.get_metrics()
        assert metrics["delivered"] == 10
        assert metrics["dropped"]["rate"] == 8 + 5
        assert metrics["rejected"]["subscription_rate"] == 13
        assert metrics["violations"]["rate"] == 13
        assert 'responses_dropped_total{policy="rate"} 13' in executor.metrics_text()


def test_a_users_rate_is_shared_by_all_that_the_user_has() -> None:
    with SubscriptionExecutor(limits=Limits(user_rate=Rate(NEVER, burst=6))) as executor:
        mine = [executor.register_subscription(f"c{n}", 1, QUERY, user_id=5) for n in range(2)]
        other = executor.register_subscription("d", 1, QUERY, user_id="5")
        trusted = executor.register_subscription("e", 1, QUERY)
        publish(executor, 10, user_id=5)
        publish(executor, 5, user_id="5")
        assert sum(len(ids(executor, one)) for one in mine) == 6
        assert len(ids(executor, other)) == 5
        assert len(ids(executor, trusted)) == 15
        executor.close_connection("c0")
        executor.close_connection("c1")
        back = executor.register_subscription("c2", 1, QUERY, user_id=5)
        publish(executor, 1, user_id=5)
        assert ids(executor, back) == []


def test_resolvers_are_paced_too() -> None:
    def data_only(data: Any) -> Any:
        return {"thing": {"id": data["id"]}}

    def with_variables(data: Any, variables: Any) -> Any:
        return data_only(data)

    def with_info(data: Any, variables: Any, info: Any) -> Any:
        return data_only(data)

    with SubscriptionExecutor(limits=Limits(subscription_rate=Rate(NEVER, burst=2))) as executor:
        resolvers: list[Callable[..., Any]] = [data_only, with_variables, with_info]
        all_of_them = [
            executor.register_subscription("a", number, QUERY, resolver=resolver)
            for number, resolver in enumerate(resolvers)
        ]
        publish(executor, 4)
        for one in all_of_them:
            assert ids(executor, one) == [0, 1]


def test_what_a_resume_brings_back_is_not_rated() -> None:
    with SubscriptionExecutor(limits=Limits(subscription_rate=Rate(NEVER, burst=2))) as executor:
        since = executor.publish_event("t", "c", {"id": 0})
        publish(executor, 10)
        one = executor.register_subscription("a", 1, QUERY, since=since)
        assert ids(executor, one) == list(range(10))


def test_a_channels_rate_refuses_the_publish() -> None:
    with SubscriptionExecutor(limits=Limits(channel_rate=Rate(NEVER, burst=3))) as executor:
        one = executor.register_subscription("a", 1, QUERY)
        publish(executor, 2)
        with pytest.raises(RateLimited) as caught:
            publish(executor, 2)
        error = caught.value
        assert isinstance(error, LimitExceeded)
        assert (error.code, error.limit, error.value, error.asked) == (
            "RATE_LIMITED",
            "channel_rate",
            NEVER,
            2,
        )
        assert '"c"' in str(error)
        publish(executor, 1)
        executor.publish_event("t", "other", {"id": 7})
        with pytest.raises(RateLimited):
            executor.publish_event("t", "c", {"id": 8})
        with pytest.raises(RateLimited):
            asyncio.run(executor.publish("t", "c", {"id": 8}))
        assert ids(executor, one) == [0, 1, 0, 7]
        assert executor.get_metrics()["rejected"]["channel_rate"] == 3
        assert executor.get_metrics()["published"] == 4


def test_a_race_of_publishers_never_exceeds_a_channels_burst(
    in_thread: Callable[..., threading.Thread],
) -> None:
    limits = Limits(channel_rate=Rate(NEVER, burst=100))
    with SubscriptionExecutor(limits=limits) as executor:
        one = executor.register_subscription("a", 1, QUERY)
        passed: list[int] = []

        def work() -> None:
            for n in range(10):
                try:
                    executor.publish_event("t", "c", {"id": n})
                except RateLimited:
                    continue
                passed.append(n)

        for thread in [in_thread(work) for _ in range(50)]:
            thread.join(30)
        assert len(passed) == len(ids(executor, one)) == 100


def test_more_than_a_hundred_violations_end_what_the_connection_has() -> None:
    with SubscriptionExecutor(limits=Limits(subscription_rate=Rate(NEVER, burst=2))) as executor:
        bad = executor.register_subscription("bad", 1, QUERY, user_id=1)
        idle = executor.register_subscription("bad", 2, QUERY, channels="elsewhere")
        good = executor.register_subscription("good", 1, QUERY, channels="elsewhere")
        publish(executor, 500, user_id=2)  # somebody else's
        assert executor.get_metrics()["violations"]["rate"] == 0
        publish(executor, 2 + 100, user_id=1)
        assert executor.get_metrics()["active"] == 3
        publish(executor, 1, user_id=1)

        *queued, final = map(json.loads, executor.next_events(bad))
        assert [one["payload"]["data"]["thing"]["id"] for one in queued] == [0, 1]
        assert (final["id"], final["type"]) == ("1", "error")
        assert final["payload"][0]["extensions"]["code"] == "TOO_MANY_VIOLATIONS"
        (only,) = map(json.loads, executor.next_events(idle))
        assert only["payload"][0]["extensions"]["code"] == "TOO_MANY_VIOLATIONS"

        executor.publish_event("t", "elsewhere", {"id": 9})
        assert ids(executor, good) == [9]
        metrics = executor.get_metrics()
        assert metrics["breaker_trips"] == 1
        assert metrics["ended"]["violations"] == 2
        assert metrics["active"] == 1
        assert "breaker_trips_total 1" in executor.metrics_text()

        with pytest.raises(TooManyViolations) as caught:
            executor.register_subscription("bad", 3, QUERY)
        error = caught.value
        assert (error.code, error.limit, error.value, error.asked) == (
            "TOO_MANY_VIOLATIONS",
            "max_violations",
            100,
            101,
        )
        executor.register_subscription("another", 1, QUERY)


@pytest.mark.parametrize("most", [0, 1, 7])
def test_the_policy_says_how_many_violations_are_too_many(most: int) -> None:
    policy = SecurityPolicy(max_violations=most, violation_window=1000)
    limits = Limits(subscription_rate=Rate(NEVER, burst=1))
    with SubscriptionExecutor(limits=limits, security=policy) as executor:
        executor.register_subscription("bad", 1, QUERY)
        publish(executor, 1 + most)
        assert executor.get_metrics()["active"] == 1
        publish(executor, 1)
        assert executor.get_metrics()["active"] == 0


def test_a_stream_ends_with_the_reason() -> None:
    async def run() -> list[dict[str, Any]]:
        limits = Limits(subscription_rate=Rate(NEVER, burst=2))
        async with SubscriptionExecutor(limits=limits) as executor:
            stream = executor.stream(executor.register_subscription("bad", 1, QUERY))
            publish(executor, 200)
            return [json.loads(message) async for message in stream]

    messages = asyncio.run(run())
    assert [one["type"] for one in messages] == ["next", "next", "error"]
