"""Python values to JSON bytes and back, with nothing lost in silence.

Whatever orjson serialises is accepted, and Decimal as a string. Where orjson is not exact
(it writes null for NaN, refuses integers beyond 64 bits and nesting beyond 254) a second
encoder, written for exactness and not for speed, takes over; it also finds the path that an
error names. Both give the same text for the same value.
"""

from __future__ import annotations

import contextlib
import dataclasses
import enum
import json
import math
from collections.abc import Iterable, Iterator
from datetime import date, datetime, time
from decimal import Decimal
from json.encoder import encode_basestring as _quote
from secrets import randbits
from typing import Any, Final
from uuid import UUID

import orjson

__all__ = [
    "MAX_DEPTH",
    "decode",
    "decode_exact",
    "encode",
    "encode_all",
    "encode_object",
    "marked_array",
]

#: How deep objects and lists may nest; the engine's parser has the same limit.
MAX_DEPTH: Final = 500

_OPTIONS: Final = orjson.OPT_SERIALIZE_NUMPY
#: Text shorter than this, in bytes, is copied out of orjson's memory.
_COMPACT_BELOW: Final = 1024
_OPEN_BRACE: Final = ord("{")
#: Types whose JSON is never a null that should not be there.
_SCALARS: Final = frozenset(
    {str, int, bool, type(None), Decimal, datetime, date, time, UUID, orjson.Fragment}
)

_dumps = orjson.dumps
#: JSON text to Python values, fast; integers beyond 64 bits become floats (see decode_exact).
decode = orjson.loads


def encode(value: Any) -> bytes:
    """`value` as compact UTF-8 JSON.

    Raises TypeError for a type that JSON cannot hold; ValueError for NaN, infinities, cycles,
    nesting beyond `MAX_DEPTH`, keys that are not strings and lone surrogates. Both name the
    path, as in ``$.items[3].price``.
    """
    try:
        text = _dumps(value, _default, _OPTIONS)
    except TypeError:  # orjson.JSONEncodeError is one
        return _encode_exactly(value)
    # orjson writes null for what is not a number. Only text that has a null can hide one.
    # (Searched backwards, it takes less than half as long.)
    if text.rfind(b"null") >= 0 and not _is_plain(value):
        return _encode_exactly(value)
    # orjson leaves about 4 kB of heap behind each small result for as long as that lives, and
    # results of a batch live together. A copy has its own size.
    return b"%b" % text if len(text) < _COMPACT_BELOW else text


def encode_all(values: list[Any]) -> bytes:
    """The marked array of `values`, each as `encode` has it; raises as it does.

    That is a JSON array with one and the same number before each value. What is given as JSON
    already (`orjson.Fragment`) is not looked at here: text that were to end its own value, and to
    begin others, would have to know the number, which is a new one each time.
    """
    marked = [_mark()] * (2 * len(values))
    marked[1::2] = values
    with contextlib.suppress(TypeError):
        text = _dumps(marked, _default, _OPTIONS)
        if text.rfind(b"null") < 0 or _is_plain(values):
            return text
    return marked_array(encode(value) for value in values)


def marked_array(texts: Iterable[bytes]) -> bytes:
    """The marked array, as of `encode_all`, of values that are JSON already."""
    mark = b"%d," % _mark()
    return b"[%b%b]" % (mark, (b"," + mark).join(texts))


def _mark() -> int:
    return randbits(62)


def encode_object(value: Any, name: str = "data") -> bytes:
    """`value` as `encode` does; TypeError naming `name` when that is not a JSON object."""
    text = encode(value)
    if text[0] != _OPEN_BRACE:
        raise TypeError(f"{name} must be a JSON object (a dict), not {type(value).__name__}")
    return text


def decode_exact(text: bytes | str) -> Any:
    """JSON text to Python values; integers of any size survive, unlike with `decode`."""
    return json.loads(text, parse_int=_parse_int)


def _default(value: Any) -> str:
    """orjson's hook for types it does not know."""
    if isinstance(value, Decimal) and value.is_finite():
        return str(value)
    raise TypeError


def _is_plain(value: Any) -> bool:
    """Whether `value`, which orjson encoded, surely has no float that JSON cannot hold."""
    pending = [value]
    while pending:
        value = pending.pop()
        kind = type(value)
        if kind in _SCALARS:
            continue
        if kind is dict:
            pending.extend(value.values())
        elif kind is list or kind is tuple:
            pending.extend(value)
        elif kind is not float or not math.isfinite(value):
            return False
    return True


# --- The exact encoder -----------------------------------------------------------------


class _Level:
    """An object or list that is being written: its items still to come, and where it is."""

    __slots__ = ("close", "identity", "items", "keyed", "owner", "separator", "step")

    def __init__(self, owner: object, items: Iterator[Any], keyed: bool) -> None:
        self.owner = owner  # kept alive: identity is its address
        self.identity = id(owner)
        self.items = items
        self.keyed = keyed
        self.close = "}" if keyed else "]"
        self.separator = ""
        self.step = ""


def _encode_exactly(value: Any) -> bytes:
    """`value` as JSON by an iterative walk that knows its path; raises as `encode` does."""
    out: list[str] = []
    levels: list[_Level] = []
    open_now: set[int] = set()
    _write(value, out, levels, open_now)
    while levels:
        level = levels[-1]
        try:
            item = next(level.items)
        except StopIteration:
            out.append(level.close)
            open_now.discard(level.identity)
            levels.pop()
            continue
        except RuntimeError as error:  # changed during iteration, by another thread
            raise ValueError(f"{_path(levels[:-1])} changed while it was read: {error}") from None
        out.append(level.separator)
        level.separator = ","
        if level.keyed:
            key, item = item
            if not isinstance(key, str):
                raise ValueError(
                    f"{_path(levels[:-1])} has the key {key!r}: "
                    f"JSON keys are strings, not {type(key).__name__}"
                )
            level.step = _step(key)
            out.append(_text(str.__str__(key), levels))
            out.append(":")
        else:
            index, item = item
            level.step = f"[{index}]"
        _write(item, out, levels, open_now)
    return "".join(out).encode()


def _write(value: Any, out: list[str], levels: list[_Level], open_now: set[int]) -> None:
    """Append the text of a scalar to `out`, or open a level for an object or a list."""
    if isinstance(value, enum.Enum):
        value = value.value
    kind = type(value)
    if value is None:
        out.append("null")
    elif kind is bool:
        out.append("true" if value else "false")
    elif isinstance(value, str):
        out.append(_text(str.__str__(value), levels))
    elif isinstance(value, int):
        out.append(_integer(value))
    elif kind is float:
        out.append(_float(value, levels))
    elif isinstance(value, dict):
        _open(value, iter(value.items()), True, out, levels, open_now)
    elif isinstance(value, list) or kind is tuple:
        _open(value, iter(enumerate(value)), False, out, levels, open_now)
    elif isinstance(value, Decimal):
        if not value.is_finite():
            raise ValueError(f"{_path(levels)} is {value}: JSON has no such number")
        out.append(f'"{value}"')
    elif dataclasses.is_dataclass(value) and not isinstance(value, type):
        _open(value, _fields(value), True, out, levels, open_now)
    else:
        _write_foreign(value, out, levels)


def _open(
    value: object,
    items: Iterator[Any],
    keyed: bool,
    out: list[str],
    levels: list[_Level],
    open_now: set[int],
) -> None:
    if id(value) in open_now:
        raise ValueError(f"{_path(levels)} contains itself")
    if len(levels) >= MAX_DEPTH:
        raise ValueError(f"{_path(levels)} is nested deeper than {MAX_DEPTH} levels")
    out.append("{" if keyed else "[")
    open_now.add(id(value))
    levels.append(_Level(value, items, keyed))


def _fields(value: Any) -> Iterator[tuple[str, Any]]:
    """A dataclass as orjson sees it: its fields in order, without the private ones."""
    for field in dataclasses.fields(value):
        if not field.name.startswith("_"):
            yield field.name, getattr(value, field.name)


def _write_foreign(value: Any, out: list[str], levels: list[_Level]) -> None:
    """A value of a type that only orjson knows: datetime, UUID, numpy."""
    try:
        text = _dumps(value, _refuse, _OPTIONS)
    except TypeError:
        raise TypeError(
            f"{_path(levels)} is of type {type(value).__name__}, which JSON cannot hold"
        ) from None
    if b"null" in text:  # none of these types has a null of its own
        raise ValueError(f"{_path(levels)} has NaN or an infinity: JSON has no such number")
    out.append(text.decode())


def _refuse(value: Any) -> Any:
    raise TypeError


def _text(value: str, levels: list[_Level]) -> str:
    try:
        value.encode()
    except UnicodeEncodeError as error:
        raise ValueError(
            f"{_path(levels)} has a lone surrogate (\\u{ord(value[error.start]):04x}), "
            "which UTF-8 cannot hold"
        ) from None
    return _quote(value)


def _integer(value: int) -> str:
    # Decimal has no limit on digits, str(int) has one (sys.set_int_max_str_digits).
    value = int(value)
    return int.__repr__(value) if value.bit_length() < 2048 else format(Decimal(value), "f")


def _parse_int(digits: str) -> int:
    return int(digits) if len(digits) < 600 else int(Decimal(digits))


def _float(value: float, levels: list[_Level]) -> str:
    if not math.isfinite(value):
        raise ValueError(f"{_path(levels)} is {value}: JSON has no such number")
    return _dumps(value).decode()


def _step(key: str) -> str:
    """One object key as a piece of a path: ``.name``, or ``["a b"]`` where that is unclear."""
    return f".{key}" if key.isidentifier() else f"[{key!a}]"


def _path(levels: list[_Level]) -> str:
    steps = [level.step for level in levels]
    if len(steps) > 24:
        steps[12:-8] = ["…"]
    return "$" + "".join(steps)
