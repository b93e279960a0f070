"""Python values become JSON bytes with nothing lost in silence."""

from __future__ import annotations

import dataclasses
import enum
import json
import math
import uuid
from datetime import date, datetime, time, timezone
from decimal import Decimal
from typing import Any

import numpy as np
import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from fraiseql_subscriptions.encode import (
    MAX_DEPTH,
    _encode_exactly,
    decode,
    decode_exact,
    encode,
    encode_object,
)


class Colour(enum.Enum):
    RED = "red"


class Level(enum.IntEnum):
    HIGH = 3


class Text(str):
    __slots__ = ()


@dataclasses.dataclass
class Point:
    x: int
    y: Any
    _hidden: int = 0


texts = st.text(st.characters(codec="utf-8"))  # no lone surrogates
scalars = (
    st.none()
    | st.booleans()
    | st.integers(min_value=-(10**400), max_value=10**400)
    | st.floats(allow_nan=False, allow_infinity=False)
    | texts
)
json_values = st.recursive(
    scalars,
    lambda inner: st.lists(inner) | st.dictionaries(st.text(st.characters(codec="utf-8")), inner),
    max_leaves=20,
)


@given(json_values)
def test_any_json_value_survives_encoding_and_exact_decoding(value: Any) -> None:
    decoded = decode_exact(encode(value))
    assert decoded == value
    assert json.dumps(decoded) == json.dumps(value)  # types too: 1 is not True, 1.0 is not 1


@given(json_values)
def test_the_exact_encoder_writes_what_orjson_writes(value: Any) -> None:
    try:
        expected = orjson.dumps(value)
    except TypeError:
        return
    assert _encode_exactly(value) == expected


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (True, b"true"),
        (1, b"1"),
        (2**63, b"9223372036854775808"),
        (2**64, b"18446744073709551616"),
        (-(2**200), str(-(2**200)).encode()),
        ((1, 2), b"[1,2]"),
        (Decimal("1.20"), b'"1.20"'),
        ({"n": Decimal("0.1"), "big": 2**70}, b'{"n":"0.1","big":1180591620717411303424}'),
        (datetime(2024, 1, 2, 3, 4, 5, tzinfo=timezone.utc), b'"2024-01-02T03:04:05+00:00"'),
        ([date(2024, 1, 2), time(3, 4), None], b'["2024-01-02","03:04:00",null]'),
        (uuid.UUID(int=1), b'"00000000-0000-0000-0000-000000000001"'),
        (Colour.RED, b'"red"'),
        ([Level.HIGH, 2**64], b"[3,18446744073709551616]"),
        (Point(1, None, 2), b'{"x":1,"y":null}'),
        (Point(2**65, [Colour.RED]), b'{"x":36893488147419103232,"y":["red"]}'),
        (Text("a"), b'"a"'),
        ({Text("k"): 2**64}, b'{"k":18446744073709551616}'),
        ({Text("k"): 1}, b'{"k":1}'),
        ("nul \0 and \u2028 and \U0001f600", '"nul \\u0000 and \u2028 and \U0001f600"'.encode()),
        ({"nullable": "null"}, b'{"nullable":"null"}'),
    ],
)
def test_a_value_becomes_this_text(value: Any, text: bytes) -> None:
    assert encode(value) == text


@pytest.mark.parametrize("digits", [5_000, 100_000])
def test_an_integer_beyond_pythons_digit_limit_survives(digits: int) -> None:
    value = 10**digits + 7
    assert decode_exact(encode({"n": value}))["n"] == value


@pytest.mark.parametrize(
    "number", [math.nan, math.inf, -math.inf, Decimal("NaN"), Decimal("-Infinity")]
)
@pytest.mark.parametrize(
    ("wrap", "path"),
    [
        (lambda n: n, r"\$ is"),
        (lambda n: {"a": n}, r"\$\.a is"),
        (lambda n: {"items": [1, 2, 3, {"price": n}]}, r"\$\.items\[3\]\.price is"),
        (lambda n: {"a b": (None, n)}, r"\$\['a b'\]\[1\] is"),
        (lambda n: {"p": Point(1, n)}, r"\$\.p\.y is"),
    ],
)
def test_a_number_that_json_lacks_is_refused_with_its_path(
    number: Any, wrap: Any, path: str
) -> None:
    with pytest.raises(ValueError, match=path):
        encode(wrap(number))


def test_numpy_values_are_encoded_and_their_nan_is_refused() -> None:
    assert encode({"a": np.array([1.5, 2.0]), "b": np.int64(3)}) == b'{"a":[1.5,2.0],"b":3}'
    assert encode({"a": np.float64(1.5), "none": None}) == b'{"a":1.5,"none":null}'
    assert encode({"a": np.array([1]), "big": 2**64}) == b'{"a":[1],"big":18446744073709551616}'
    for bad in (np.float64("nan"), np.array([1.0, np.inf])):
        with pytest.raises(ValueError, match=r"\$\.a has NaN or an infinity"):
            encode({"a": bad})


@pytest.mark.parametrize(
    ("value", "path"),
    [
        (object(), r"\$ is of type object"),
        ({"a": {1, 2}}, r"\$\.a is of type set"),
        ({"items": [b"bytes"]}, r"\$\.items\[0\] is of type bytes"),
        ({"f": print}, r"\$\.f is of type builtin_function_or_method"),
        ({"t": Point}, r"\$\.t is of type type"),
        ({"c": 1j}, r"\$\.c is of type complex"),
    ],
)
def test_an_unsupported_type_is_refused_with_its_path(value: Any, path: str) -> None:
    with pytest.raises(TypeError, match=path):
        encode(value)


@pytest.mark.parametrize("key", [1, None, True, 1.5, (1, 2), Level.HIGH])
def test_a_key_that_is_no_string_is_refused(key: Any) -> None:
    with pytest.raises(ValueError, match=r"^\$\.a has the key"):
        encode({"a": {key: 1}})


def test_a_lone_surrogate_is_refused_in_values_and_keys() -> None:
    with pytest.raises(ValueError, match=r"\$\.a\[0\] has a lone surrogate \(\\ud800\)"):
        encode({"a": ["x\ud800"]})
    with pytest.raises(ValueError, match="lone surrogate"):
        encode({"\udfff": 1})


def test_a_cycle_is_refused() -> None:
    loop: dict[str, Any] = {"a": [1]}
    loop["a"].append(loop)
    with pytest.raises(ValueError, match=r"\$\.a\[1\] contains itself"):
        encode(loop)


def test_the_same_object_twice_is_no_cycle() -> None:
    shared = [2**64]
    assert encode([shared, shared]) == b"[[18446744073709551616],[18446744073709551616]]"


def nested(depth: int) -> Any:
    value: Any = {}
    for _ in range(depth - 1):
        value = {"a": value}
    return value


@pytest.mark.parametrize("depth", [1, 254, 255, MAX_DEPTH])
def test_nesting_up_to_the_limit_is_accepted(depth: int) -> None:
    assert decode(encode(nested(depth))) == nested(depth)


def test_nesting_beyond_the_limit_is_refused_even_when_very_deep() -> None:
    for depth in (MAX_DEPTH + 1, 100_000):
        with pytest.raises(ValueError, match="nested deeper than 500 levels"):
            encode(nested(depth))


@pytest.mark.parametrize("value", [None, [], "text", 1, (1,), True, Decimal(1)])
def test_data_that_is_not_an_object_is_refused(value: Any) -> None:
    with pytest.raises(TypeError, match=r"data must be a JSON object \(a dict\), not"):
        encode_object(value)


def test_a_fragment_of_json_is_taken_as_it_is() -> None:
    text = b'{"a":null, "a":1e0}'
    assert encode(orjson.Fragment(text)) == text
    assert (
        encode({"inner": orjson.Fragment(text), "none": None}) == b'{"inner":%b,"none":null}' % text
    )


def test_a_dataclass_is_an_object() -> None:
    assert encode_object(Point(1, "a")) == b'{"x":1,"y":"a"}'
