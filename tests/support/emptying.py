"""Takes away what a drain brought while its reader looks for it: a race, else a seldom one."""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable
from typing import Any

import pytest

from fraiseql_subscriptions import SubscriptionExecutor, aio
from fraiseql_subscriptions.loop import Feed, LoopConsumer

PATIENCE = 20


def empty_while_read(
    monkeypatch: pytest.MonkeyPatch,
    executor: SubscriptionExecutor,
    id: str,  # noqa: A002
) -> Callable[[], None]:
    """Another thread empties the subscription after the next drain and before its reader looks.

    It goes on once the reader has found nothing and asks the engine. What is returned is to be
    called at the end: it waits for the thread, and fails if the two have not met.
    """
    hand_on, final, refill = LoopConsumer._hand_on, aio._final, LoopConsumer.refill
    taken, looked = threading.Event(), threading.Event()
    assert executor._hub is not None
    thread = threading.Thread(target=executor._hub.empty, args=([id],))

    def handing_on(consumer: LoopConsumer, filled: list[Feed]) -> dict[str, None]:
        if filled and not taken.is_set():
            thread.start()
            assert taken.wait(PATIENCE)
        return hand_on(consumer, filled)

    def choosing(messages: deque[bytes] | None) -> Any:
        if messages:
            taken.set()
            assert looked.wait(PATIENCE)
        return final(messages)

    def asking(consumer: LoopConsumer, feed: Feed) -> int:
        if taken.is_set():
            looked.set()
        return refill(consumer, feed)

    def met() -> None:
        thread.join(PATIENCE)
        assert looked.is_set()
        assert not thread.is_alive()

    monkeypatch.setattr(LoopConsumer, "_hand_on", handing_on)
    monkeypatch.setattr(aio, "_final", choosing)
    monkeypatch.setattr(LoopConsumer, "refill", asking)
    return met
