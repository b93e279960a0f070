"""Engine failures become typed exceptions with stable codes."""

from __future__ import annotations

import inspect

import pytest

from fraiseql_subscriptions import errors
from fraiseql_subscriptions.errors import SubscriptionsError, from_native

CLASSES = [
    kind
    for _, kind in inspect.getmembers(errors, inspect.isclass)
    if issubclass(kind, SubscriptionsError) and kind is not SubscriptionsError
]


@pytest.mark.parametrize("kind", CLASSES)
def test_each_class_is_what_its_code_becomes(kind: type[SubscriptionsError]) -> None:
    error = from_native(RuntimeError(f"{kind.code}: something: is wrong"))
    assert type(error) is kind
    assert str(error) == "something: is wrong"
    assert error.code == kind.code


def test_codes_are_unique_and_shouted() -> None:
    codes = [kind.code for kind in CLASSES]
    assert len(set(codes)) == len(codes)
    assert all(code == code.upper() for code in codes)


@pytest.mark.parametrize("name", ["InvalidQuery", "SubscriptionNotFound", "DuplicateSubscription"])
def test_wrong_arguments_are_value_errors_too(name: str) -> None:
    assert issubclass(getattr(errors, name), ValueError)


def test_plain_argument_errors_are_built_in_ones() -> None:
    assert type(from_native(RuntimeError("INVALID_VALUE: no"))) is ValueError
    assert type(from_native(RuntimeError("INVALID_TYPE: no"))) is TypeError


@pytest.mark.parametrize("text", ["no code at all", "UNHEARD_OF: text", "", "INVALID_QUERY"])
def test_text_without_a_known_code_is_an_engine_error_with_all_of_it(text: str) -> None:
    error = from_native(RuntimeError(text))
    assert type(error) is errors.EngineError
    assert str(error) == text


def test_every_class_is_public() -> None:
    import fraiseql_subscriptions

    for kind in CLASSES:
        assert getattr(fraiseql_subscriptions, kind.__name__) is kind
