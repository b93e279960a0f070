"""How much there may be: every limit, by the exception that says so, also under a race."""

from __future__ import annotations

import pickle
import threading
from collections.abc import Callable, Iterator
from functools import partial
from typing import Any
from uuid import UUID

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fraiseql_subscriptions import (
    LimitExceeded,
    Limits,
    QueuePolicy,
    SecurityContext,
    SubscriptionExecutor,
)

QUERY = "subscription { thing { id } }"
InThread = Callable[..., threading.Thread]


@pytest.fixture
def limited() -> Iterator[Callable[..., SubscriptionExecutor]]:
    made: list[SubscriptionExecutor] = []

    def make(**limits: Any) -> SubscriptionExecutor:
        made.append(SubscriptionExecutor(limits=Limits(**limits)))
        return made[-1]

    yield make
    for executor in made:
        executor.close()


def refused(call: Callable[[], Any]) -> tuple[str, float, float]:
    with pytest.raises(LimitExceeded) as caught:
        call()
    error = caught.value
    assert error.code == "LIMIT_EXCEEDED"
    assert error.limit in str(error)
    assert str(error.value) in str(error)
    copy = pickle.loads(pickle.dumps(error))
    assert (copy.limit, copy.value, copy.asked) == (error.limit, error.value, error.asked)
    return error.limit, error.value, error.asked


@pytest.mark.parametrize(
    ("limits", "places"),
    [
        ({"max_subscriptions": 2}, [("a", None), ("b", None), ("c", None)]),
        ({"max_subscriptions_per_connection": 2}, [("a", None), ("a", None), ("a", 1)]),
        ({"max_subscriptions_per_user": 2}, [("a", 1), ("b", 1), ("c", 1)]),
        ({"max_connections": 2}, [("a", None), ("b", 1), ("c", None)]),
        ({"max_connections_per_user": 2}, [("a", 1), ("b", 1), ("c", 1)]),
    ],
)
def test_one_more_than_a_limit_is_refused_until_one_has_ended(
    limited: Callable[..., SubscriptionExecutor], limits: dict[str, int], places: list[Any]
) -> None:
    executor = limited(**limits)
    (name,) = limits

    def register(number: int) -> str:
        connection, user = places[number]
        return executor.register_subscription(connection, number, QUERY, user_id=user)

    first = register(0)
    register(1)
    assert refused(lambda: register(2)) == (name, 2, 3)
    assert executor.get_metrics()["active"] == 2
    executor.complete_subscription(first)
    register(2)
    metrics = executor.get_metrics()
    assert metrics["rejected"][name] == 1
    assert f'rejected_total{{limit="{name}"}} 1' in executor.metrics_text()


@pytest.mark.parametrize(
    ("limits", "call", "asked"),
    [
        ({"max_query_bytes": 20}, {"query": QUERY}, 29),
        ({"max_query_fields": 2}, {"query": "subscription { thing { a b } }"}, 3),
        ({"max_query_depth": 1}, {"query": QUERY}, 2),
        ({"max_query_aliases": 1}, {"query": "subscription { t: thing { a: id } }"}, 2),
        ({"max_query_directives": 1}, {"query": "subscription { thing @a @b { id } }"}, 2),
        ({"max_variables_bytes": 5}, {"query": QUERY, "variables": {"a": 1}}, 7),
        (
            {"max_filter_depth": 1},
            {"query": QUERY, "filter": {"any": [{"not": {"a": 1}}]}},
            None,
        ),
    ],
)
def test_what_a_registration_may_ask_for(
    limited: Callable[..., SubscriptionExecutor],
    limits: dict[str, int],
    call: dict[str, Any],
    asked: int | None,
) -> None:
    executor = limited(**limits)
    (name,) = limits
    limit, value, got = refused(lambda: executor.register_subscription("c", 1, **call))
    assert (limit, value) == (name, limits[name])
    assert got == asked if asked is not None else got > value
    assert executor.get_metrics()["total"] == 0


def test_an_event_may_be_so_large(limited: Callable[..., SubscriptionExecutor]) -> None:
    executor = limited(max_event_bytes=10)
    executor.publish_event("t", "c", {"id": 123})
    publish = executor.publish_event
    assert refused(lambda: publish("t", "c", {"id": 1234})) == ("max_event_bytes", 10, 11)
    batch = [("t", "c", {"id": 1}), ("t", "c", {"id": 12345})]
    assert refused(lambda: executor.publish_events(batch))[0] == "max_event_bytes"
    assert executor.get_metrics()["published"] == 1


def test_users_are_told_apart_by_type(limited: Callable[..., SubscriptionExecutor]) -> None:
    executor = limited(max_subscriptions_per_user=1)
    user = UUID("6ba7b810-9dad-11d1-80b4-00c04fd430c8")
    users: list[Any] = [5, "5", -5, user]
    for number, one in enumerate(users):
        executor.register_subscription(number, 1, QUERY, user_id=one)
    for number, one in enumerate([*users, str(user)]):
        context = SecurityContext(user_id=one, tenant_id="another")
        register = partial(executor.register_subscription, number, 2, QUERY, context=context)
        limit, *_ = refused(register)
        assert limit == "max_subscriptions_per_user"
    for number in range(3):  # nobody's
        executor.register_subscription("nobody", number, QUERY, tenant_id="t")


def test_what_the_server_ended_takes_no_place(
    limited: Callable[..., SubscriptionExecutor],
) -> None:
    executor = limited(max_subscriptions=1)
    queue = QueuePolicy(max_responses=1, overflow="disconnect")
    for number in range(5):
        executor.register_subscription("c", number, QUERY, queue=queue)
        with pytest.raises(LimitExceeded):
            executor.register_subscription("c", "more", QUERY)
        executor.publish_events([("t", "c", {"id": n}) for n in range(3)])
    assert executor.get_metrics()["ended"]["slow_consumer"] == 5
    assert executor.close_connection("c") == 5
    executor.register_subscription("c", 0, QUERY)
    assert executor.close_connection("c") == 1
    executor.register_subscription("d", 0, QUERY)


@pytest.mark.parametrize(
    "limit",
    [
        "max_subscriptions",
        "max_subscriptions_per_connection",
        "max_subscriptions_per_user",
        "max_connections",
        "max_connections_per_user",
    ],
)
def test_a_race_of_fifty_threads_never_exceeds_a_limit(
    limited: Callable[..., SubscriptionExecutor], in_thread: InThread, limit: str
) -> None:
    executor = limited(**{limit: 20})
    one_connection = "connection" not in limit or limit.endswith("per_connection")
    user = 1 if limit.endswith("user") else None
    start = threading.Barrier(50)
    admitted: list[str] = []

    def register(worker: int) -> None:
        start.wait()
        for turn in range(3):
            connection = "c" if one_connection else f"c{worker}-{turn}"
            try:
                admitted.append(
                    executor.register_subscription(
                        connection, f"{worker}-{turn}", QUERY, user_id=user
                    )
                )
            except LimitExceeded as error:
                assert (error.limit, error.value, error.asked) == (limit, 20, 21)  # noqa: PT017

    for _ in range(2):
        threads = [in_thread(register, worker) for worker in range(50)]
        for thread in threads:
            thread.join(30)
        assert len(admitted) == 20
        assert executor.get_metrics()["active"] == 20
        for one in admitted:
            assert executor.complete_subscription(one)
        admitted.clear()
        start.reset()


PLACES = st.tuples(st.sampled_from("abc"), st.sampled_from([None, 1, "1", 2]))


@settings(max_examples=100, deadline=None)
@given(
    limits=st.fixed_dictionaries(
        {},
        optional={
            "max_subscriptions": st.integers(1, 6),
            "max_subscriptions_per_connection": st.integers(1, 4),
            "max_subscriptions_per_user": st.integers(1, 4),
            "max_connections": st.integers(1, 3),
            "max_connections_per_user": st.integers(1, 3),
        },
    ),
    steps=st.lists(st.one_of(PLACES, st.integers(0, 9)), max_size=30),
)
def test_the_engine_counts_as_a_model_does(limits: dict[str, Any], steps: list[Any]) -> None:
    held: dict[str, tuple[str, Any]] = {}
    with SubscriptionExecutor(limits=Limits(**limits)) as executor:
        for number, step in enumerate(steps):
            if isinstance(step, int):
                if held:
                    one = list(held)[step % len(held)]
                    executor.complete_subscription(one)
                    del held[one]
                continue
            connection, user = step
            after = [*held.values(), step]
            mine = [one for one in after if one[1] == user and type(one[1]) is type(user)]
            asked = {
                "max_subscriptions": len(after),
                "max_subscriptions_per_connection": sum(c == connection for c, _ in after),
                "max_subscriptions_per_user": len(mine) if user is not None else 0,
                "max_connections": len({c for c, _ in after}),
                "max_connections_per_user": len({c for c, _ in mine}) if user is not None else 0,
            }
            exceeded = {name for name, most in limits.items() if asked[name] > most}
            try:
                one = executor.register_subscription(connection, number, QUERY, user_id=user)
            except LimitExceeded as error:
                assert error.limit in exceeded  # noqa: PT017
                assert error.asked == asked[error.limit]  # noqa: PT017
            else:
                assert not exceeded
                held[one] = step
