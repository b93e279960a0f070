"""Likely mistakes get an error that says what to do instead."""

from __future__ import annotations

import copy
import pickle
from collections.abc import Callable
from importlib.metadata import version
from typing import Any

import pytest

import fraiseql_subscriptions
from fraiseql_subscriptions import SubscriptionExecutor

QUERY = "subscription { thing { id } }"


def test_the_package_tells_its_version() -> None:
    assert fraiseql_subscriptions.__version__ == version("fraiseql-subscriptions")
    with pytest.raises(AttributeError, match="'fraiseql_subscriptions' has no attribute 'nothing'"):
        fraiseql_subscriptions.nothing  # noqa: B018


@pytest.mark.parametrize("duplicate", [copy.copy, copy.deepcopy, pickle.dumps])
def test_an_executor_is_not_copied(duplicate: Callable[[Any], Any]) -> None:
    with pytest.raises(TypeError, match="a SubscriptionExecutor cannot be copied or pickled"):
        duplicate(SubscriptionExecutor())


def test_an_unknown_option_names_the_class_that_was_called() -> None:
    with pytest.raises(TypeError, match=r"^SubscriptionExecutor\.__init__\(\).*'limit'"):
        SubscriptionExecutor(limit=5)  # type: ignore[call-arg]


def test_a_closed_executor_says_that_it_is() -> None:
    executor = SubscriptionExecutor()
    executor.close()
    assert executor.health() == {"status": "closed"}


@pytest.mark.asyncio
async def test_subscribe_says_how_it_is_used() -> None:
    executor = SubscriptionExecutor()
    how = r"async with executor\.subscribe\(query\) as stream"
    with pytest.raises(TypeError, match=how):
        async for _ in executor.subscribe(QUERY):
            pass
    with pytest.raises(TypeError, match=how):
        await executor.subscribe(QUERY)
    with pytest.raises(TypeError, match=how):
        for _ in executor.subscribe(QUERY):
            pass
    with pytest.raises(TypeError, match=how), executor.subscribe(QUERY):
        pass
