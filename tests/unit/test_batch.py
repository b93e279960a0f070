"""Batches of events in the form that the engine takes."""

from __future__ import annotations

import enum
import sys
from collections.abc import Callable
from decimal import Decimal
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fraiseql_subscriptions import Event
from fraiseql_subscriptions.batch import event_batch
from fraiseql_subscriptions.encode import encode
from fraiseql_subscriptions.process import load, state

PLAIN = ("t", "c", {"a": 1})


@pytest.fixture(autouse=True)
def engine() -> None:
    load()


def test_an_event_is_an_object_a_tuple_or_a_dict() -> None:
    expected = ("t", "c", b'{"a":1}', "7", "")
    events = [
        Event("t", "c", {"a": 1}, 7),
        ("t", "c", {"a": 1}, 7),
        {"event_type": "t", "channel": "c", "data": {"a": 1}, "correlation_id": 7},
    ]
    tuples, data = event_batch(iter(events))
    assert (tuples, unmarked(data)) == ([expected] * 3, [b'{"a":1}'] * 3)
    [last], data = event_batch([("t", "c", {"a": 1}, None, "e")])
    assert (last, unmarked(data)) == (("t", "c", b'{"a":1}', "", "e"), [b'{"a":1}'])


def unmarked(array: bytes) -> list[bytes]:
    """The values of a marked array."""
    mark = array[1 : array.index(b",") + 1]
    assert mark[:-1].isdigit()
    assert array[:1] + array[-1:] == b"[]"
    return (b"," + array[1:-1]).split(b"," + mark)[1:]


def test_each_batch_has_another_mark() -> None:
    marks = {event_batch([event])[1].split(b",")[0] for event in [PLAIN, Event(*PLAIN)] * 50}
    assert len(marks) == 100


def test_plain_tuples_are_taken_as_they_are() -> None:
    events = [PLAIN, ("t", "other", {"b": "x", "c": {"d": [None, 1.5]}})]
    tuples, data = event_batch(events)
    assert unmarked(data) == [b'{"a":1}', b'{"b":"x","c":{"d":[null,1.5]}}']
    assert [one is given for one, given in zip(tuples, events, strict=True)] == [True, True]
    assert event_batch([])[0] == []


class Text(str):
    __slots__ = ()


class Dict(dict[str, Any]):
    pass


class Pair(tuple[Any, ...]):
    __slots__ = ()


@pytest.mark.parametrize(
    "event",
    [
        ("t", "c", {}, None),
        Pair(PLAIN),
        (Text("t"), "c", {}),
        ("t", Text("c"), {}),
        ("t", "c", Dict()),
        ("t", "ç", {}),
        ["t", "c", {}],
        {"event_type": "t", "channel": "c", "data": {}},
        ("t", "", {}),
        ("t\0", "c", {}),
        ("t", "c\ud800", {}),
        ("t", b"c", {}),
        ("t", "c", None),
        (),
        None,
    ],
)
def test_what_is_not_plain_is_looked_at(event: Any) -> None:
    assert state.plain_data([PLAIN, PLAIN]) == [{"a": 1}, {"a": 1}]
    assert state.plain_data([PLAIN, event]) is None
    assert state.plain_data([event, PLAIN]) is None


def test_plain_data_of_a_batch_keeps_nothing() -> None:
    data = {"a": 1}
    events = [("t", "c", data)] * 3
    before = sys.getrefcount(data)
    found = state.plain_data(events)
    assert found is not None
    assert sys.getrefcount(data) == before + 3
    del found
    assert sys.getrefcount(data) == before
    assert state.plain_data([*events, None]) is None
    assert sys.getrefcount(data) == before
    with pytest.raises(TypeError, match="list"):
        state.plain_data(tuple(events))  # type: ignore[arg-type]


def test_only_what_orjson_cannot_hold_is_encoded_exactly(monkeypatch: pytest.MonkeyPatch) -> None:
    encoded: list[Any] = []

    def exactly(value: Any) -> bytes:
        encoded.append(value)
        return b"{}"

    monkeypatch.setattr("fraiseql_subscriptions.encode._encode_exactly", exactly)
    huge = {"x": 2**70}
    event_batch([PLAIN, ("t", "c", huge), ("t", "c", {"a": None, "b": "null"}), PLAIN])
    assert encoded == [huge]


class Colour(enum.Enum):
    RED = "red"


VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text() | st.decimals()
    | st.just(Colour.RED) | st.just(object()),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=8,
)  # fmt: skip
EVENTS = st.lists(
    st.tuples(st.text(max_size=3), st.just("c"), st.dictionaries(st.text(), VALUES, max_size=3)),
    max_size=4,
)


def outcome(events: list[Any]) -> tuple[Any, ...]:
    try:
        tuples, data = event_batch(events)
    except (TypeError, ValueError) as error:
        return type(error), str(error)
    return [(kind, channel) for kind, channel, *_ in tuples], unmarked(data) if tuples else []


@pytest.fixture(scope="module")
def one_by_one() -> Callable[[list[Any]], tuple[Any, ...]]:
    """What a batch is without the way for plain events."""

    def batch(events: list[Any]) -> tuple[Any, ...]:
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(state, "plain_data", lambda _: None)
            return outcome(events)

    return batch


@given(EVENTS)
def test_in_the_quick_way_a_batch_is_what_it_is_one_by_one(one_by_one: Any, events: Any) -> None:
    assert outcome(events) == one_by_one(events)


@pytest.mark.parametrize("depth", [253, 254, 255, 499, 500])
def test_data_of_a_batch_nests_as_deep_as_elsewhere(depth: int) -> None:
    data: Any = 1
    for _ in range(depth):
        data = {"a": data}
    huge = {"n": 2**70, "d": Decimal("1.10")}
    tuples, texts = event_batch([("t", "c", data), ("t", "c", huge)])
    assert unmarked(texts) == [encode(data), encode(huge)]
    assert len(tuples) == 2


@pytest.mark.parametrize(
    ("event", "error"),
    [
        (("t", "c"), TypeError),
        (("t", "c", {}, None, None, None), TypeError),
        ("text", TypeError),
        (None, TypeError),
        ({"event_type": "t", "channel": "c"}, ValueError),
        ({"event_type": "t", "channel": "c", "data": {}, "other": 1}, ValueError),
        (("", "c", {}), ValueError),
        (("t", "c\0", {}), ValueError),
        (("t", "c", []), TypeError),
        (("t", "c", {"a": float("inf")}), ValueError),
        ((5, "c", {}), TypeError),
    ],
)
def test_a_wrong_event_is_refused_with_its_index(event: Any, error: type[Exception]) -> None:
    with pytest.raises(error, match="event 3"):
        event_batch([PLAIN, PLAIN, PLAIN, event])


@pytest.mark.parametrize(
    ("event", "message"),
    [
        (("t", "c"), "event 3 has 2 items; an event's are event_type, channel, data"),
        ({"event_type": "t", "channel": "c"}, r"event 3 lacks \['data'\]"),
        (
            {"event_type": "t", "channel": "c", "data": {}, "type": 1},
            r"event 3 has unknown keys \['type'\]",
        ),
    ],
)
def test_a_wrong_event_is_told_what_is_wrong_with_it(event: Any, message: str) -> None:
    with pytest.raises((TypeError, ValueError), match=message):
        event_batch([PLAIN, PLAIN, PLAIN, event])
