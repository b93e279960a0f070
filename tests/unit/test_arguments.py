"""Arguments are checked before the engine sees them, with errors that name them."""

from __future__ import annotations

import json
import uuid
from typing import Any

import pytest

from fraiseql_subscriptions import QueuePolicy, SecurityContext
from fraiseql_subscriptions.arguments import (
    context_of,
    identifier,
    milliseconds,
    registration_options,
    schema_text,
    wait_flag,
)

DEFAULTS: dict[str, Any] = {
    "channels": ("*",),
    "event_types": None,
    "filter": None,
    "context": None,
    "queue": None,
    "positions": False,
    "share": True,
    "resolver": 0,
    "flags": 0,
}


def options(**changed: Any) -> str:
    return registration_options(**{**DEFAULTS, **changed})


@pytest.mark.parametrize(
    ("value", "text"),
    [
        ("a", "a"),
        (5, "5"),
        (-(2**70), str(-(2**70))),
        (uuid.UUID(int=1), "00000000-0000-0000-0000-000000000001"),
        ("\u00e9\U0001f600", "\u00e9\U0001f600"),
        (type("Text", (str,), {})("sub"), "sub"),
    ],
)
def test_an_identifier_is_text(value: Any, text: str) -> None:
    assert identifier("connection_id", value) == text


@pytest.mark.parametrize(
    ("value", "error"),
    [
        ("", ValueError),
        ("a\0b", ValueError),
        ("\ud800", ValueError),
        ("x" * 1025, ValueError),
        (None, TypeError),
        (True, TypeError),
        (1.5, TypeError),
        (b"a", TypeError),
    ],
)
def test_what_is_no_identifier_is_refused_by_name(value: Any, error: type[Exception]) -> None:
    with pytest.raises(error, match="connection_id"):
        identifier("connection_id", value)


def test_default_options_are_no_text() -> None:
    assert options() == ""
    assert options(channels=["*"]) == options(channels="*") == '{"channels":["*"]}'


def test_options_are_canonical_json() -> None:
    text = options(
        share=False,
        resolver=7,
        flags=3,
        queue=QueuePolicy(max_responses=5),
        positions=True,
        filter={"amount": {"gt": 2**70}},
        event_types=["a", "b"],
        context=SecurityContext(5, "5"),
        channels="orders.*",
    )
    exact = json.loads(text)
    assert text == json.dumps(exact, sort_keys=True, separators=(",", ":"))
    assert exact["channels"] == ["orders.*"]
    assert exact["context"] == {"user_id": 5, "tenant_id": "5"}
    assert exact["resolver"] == 7
    assert exact["filter"] == {"amount": {"gt": 2**70}}


@pytest.mark.parametrize(
    ("changed", "error"),
    [
        ({"channels": []}, ValueError),
        ({"channels": ""}, ValueError),
        ({"channels": ["a", ""]}, ValueError),
        ({"channels": None}, TypeError),
        ({"channels": 5}, TypeError),
        ({"channels": [5]}, TypeError),
        ({"channels": "a\0"}, ValueError),
        ({"event_types": []}, ValueError),
        ({"event_types": [None]}, TypeError),
        ({"filter": []}, TypeError),
        ({"filter": {"a": float("nan")}}, ValueError),
        ({"queue": {}}, TypeError),
        ({"positions": 1}, TypeError),
        ({"share": 0}, TypeError),
    ],
)
def test_a_wrong_option_is_refused(changed: dict[str, Any], error: type[Exception]) -> None:
    with pytest.raises(error):
        options(**changed)


def test_a_context_is_given_in_one_form() -> None:
    context = SecurityContext(5)
    assert context_of(None, None, None) is None
    assert context_of(None, None, context) is context
    assert context_of(5, None, None) == context
    assert context_of(None, 0, None) == SecurityContext(None, 0)
    with pytest.raises(ValueError, match="not both"):
        context_of(5, None, context)
    with pytest.raises(TypeError, match="context"):
        context_of(None, None, {"user_id": 5})  # type: ignore[arg-type]


@pytest.mark.parametrize(("seconds", "expected"), [(0, 0), (5, 5000), (0.0001, 1), (1.5, 1500)])
def test_seconds_are_whole_milliseconds_rounded_up(seconds: float, expected: int) -> None:
    assert milliseconds("timeout", seconds) == expected


@pytest.mark.parametrize("seconds", [-1, float("nan"), float("inf"), 10**9])
def test_a_length_of_time_has_bounds(seconds: float) -> None:
    with pytest.raises(ValueError, match="timeout"):
        milliseconds("timeout", seconds)


@pytest.mark.parametrize("wait", ["", "dispatch", None, 1])
def test_an_unknown_wait_is_refused(wait: Any) -> None:
    with pytest.raises(ValueError, match="wait must be"):
        wait_flag(wait)


def test_a_schema_is_text_or_graphql_cores() -> None:
    from graphql import build_schema

    sdl = "type Query {\n  a: Int\n}\n\ntype Subscription {\n  b: Int\n}"
    assert schema_text(None) is None
    assert schema_text(sdl) == sdl
    assert schema_text(build_schema(sdl)) == sdl
