"""The bindings that gopy generated, called without the layer above them."""

from __future__ import annotations

import json
import weakref
from collections.abc import Iterator
from typing import Any

import pytest

from fraiseql_subscriptions import process
from fraiseql_subscriptions.callbacks import Callbacks
from fraiseql_subscriptions.executor import SubscriptionExecutor


@pytest.fixture
def handle() -> Iterator[int]:
    native = process.load()
    table = Callbacks()
    reference = weakref.ref(table)
    made = native.new_executor(SubscriptionExecutor()._options, id(reference))
    yield made
    assert native.close_executor(made, 5000) == 1


def test_register_publish_and_next_reach_go_through_the_generated_bindings(handle: int) -> None:
    from fraiseql_subscriptions import _native

    subscription = _native.register_subscription(
        handle, "connection", "client", "subscription { order { id } }", "", "", "", "", 0
    )
    data = json.dumps({"id": 1}).encode()
    position = _native.publish_event(handle, "created", "orders", id(data), "", "", 0)
    assert position.endswith(":1")
    out: list[bytes] = []
    assert _native.next_event(handle, subscription, id(out)) == 1
    assert out == [b'{"id":"client","type":"next","payload":{"data":{"order":{"id":1}}}}']
    assert _native.next_event(handle, subscription, id(out)) == 0


def test_failures_are_coded_text(handle: int) -> None:
    from fraiseql_subscriptions import _native

    with pytest.raises(RuntimeError, match=r"^SUBSCRIPTION_NOT_FOUND: "):
        _native.next_event(handle, "sub-0-0", id([]))
    with pytest.raises(RuntimeError, match=r"^INVALID_QUERY: "):
        _native.register_subscription(handle, "c", "s", "{", "", "", "", "", 0)
    with pytest.raises(RuntimeError, match=r"^ENGINE_CLOSED: "):
        _native.metrics(10**9)


def test_the_address_of_something_else_is_refused(handle: int) -> None:
    from fraiseql_subscriptions import _native

    text = "no bytes"
    with pytest.raises(RuntimeError, match=r"^INVALID_TYPE: "):
        _native.publish_event(handle, "t", "c", id(text), "", "", 0)


def test_a_batch_is_published_with_as_many_data(handle: int) -> None:
    from fraiseql_subscriptions import _native

    events = [("made", "things", None), ("made", "others", None, "7", "")]
    data: Any = b'[70,{} ,70, {"a": 1}\n]'
    assert _native.publish_events(handle, id(events), id(data), 0).count("\n") == 1
    for text in (
        "",
        "[",
        "[7,{}]",
        "[7,{},7,{},7,{}]",
        "[7,{},7,{}",
        "[7,{},7,{}]]",
        "[7,{} 7,{}]",
        "[7,{},7,1]",
        "[7,{},{}]",
        "[7,{},8,{}]",
        "[{},{}]",
    ):
        data = text.encode()
        with pytest.raises(RuntimeError, match=r"^INVALID_VALUE: "):
            _native.publish_events(handle, id(events), id(data), 0)
    data = [b"{}", b"{}"]
    with pytest.raises(RuntimeError, match=r"^INVALID_TYPE: expected the address of a bytes"):
        _native.publish_events(handle, id(events), id(data), 0)
    wrong: list[Any]
    for wrong in ([("t", "c")], [["t", "c", None]], [("t", 5, None)], [("t", "\ud800", None)]):
        data = b"[7,{}]"
        with pytest.raises(RuntimeError, match=r"^INVALID_TYPE: event 0 "):
            _native.publish_events(handle, id(wrong), id(data), 0)


def test_the_fork_flag_is_a_read_only_zero_here() -> None:
    process.load()
    assert process.state.forked.readonly
    assert bytes(process.state.forked) == b"\0"
