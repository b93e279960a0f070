"""A batch whose wait ends early leaves nothing behind that holds up its channel."""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Any

import pytest

from fraiseql_subscriptions import DispatchTimeout, SubscriptionExecutor


def test_the_rest_of_a_batch_that_timed_out_is_dispatched_at_once(
    in_thread: Callable[..., threading.Thread],
) -> None:
    with SubscriptionExecutor(dispatch_timeout=0.1) as executor:
        entered, go, done = threading.Event(), threading.Event(), threading.Event()

        def resolver(data: Any) -> Any:
            if data["id"] == 1:
                entered.set()
                go.wait(30)
            if data["id"] == 4:
                done.set()
            return data

        executor.register_subscription("c", 1, "subscription { a { id } }", resolver=resolver)

        def first() -> None:
            executor.publish_event("t", "c", {"id": 1})

        thread = in_thread(first)
        assert entered.wait(30)
        with pytest.raises(DispatchTimeout):
            executor.publish_events([("t", "c", {"id": number}) for number in (2, 3, 4)])
        go.set()
        assert done.wait(5), "the channel waits for a publisher that has gone"
        thread.join(30)
