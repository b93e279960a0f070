"""Arguments of the executor's methods, checked and put into the form the engine takes."""

# ruff: noqa: A002  (`filter` is a name of the public API)

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any, Final, TypeVar
from uuid import UUID

import orjson

from .config import QueuePolicy
from .encode import encode, encode_object
from .security import SecurityContext
from .signature import EVENTS
from .types import Identifier

__all__ = [
    "context_of",
    "identifier",
    "instance",
    "milliseconds",
    "optional_identifier",
    "positive",
    "refuse_unsafe",
    "registration_options",
    "schema_text",
    "text_argument",
    "wait_flag",
]

_T = TypeVar("_T")

_MAX_IDENTIFIER: Final = 1024
_DEFAULT_CHANNELS: Final = ("*",)
#: The flag of a publish that waits for acceptance only; `publisher` has the others.
_ACCEPTED: Final = 2


def identifier(name: str, value: Identifier) -> str:
    """`value` as text. TypeError unless str, int or UUID; ValueError when empty or with NUL."""
    if type(value) is not str:
        if isinstance(value, UUID) or (isinstance(value, int) and not isinstance(value, bool)):
            return str(value)
        if not isinstance(value, str):
            raise TypeError(f"{name} must be str, int or UUID, not {type(value).__name__}")
        value = str.__str__(value)
    if not value:
        raise ValueError(f"{name} must not be empty")
    if len(value) > _MAX_IDENTIFIER:
        raise ValueError(
            f"{name} has {len(value)} characters; at most {_MAX_IDENTIFIER} are allowed"
        )
    if "\0" in value or not value.isascii():
        refuse_unsafe(name, value)
    return value


def optional_identifier(name: str, value: Identifier | None) -> str:
    """As `identifier`; None is the empty text."""
    return "" if value is None else identifier(name, value)


def text_argument(name: str, value: str) -> str:
    """A str that crosses as it is. TypeError; ValueError when empty, with NUL or a surrogate."""
    if not isinstance(value, str):
        raise TypeError(f"{name} must be a str, not {type(value).__name__}")
    if not value:
        raise ValueError(f"{name} must not be empty")
    refuse_unsafe(name, value)
    return value


def refuse_unsafe(name: str, value: str) -> None:
    """ValueError when `value` cannot cross to the engine: a NUL, or no UTF-8."""
    if "\0" in value:
        raise ValueError(f"{name} contains a NUL character (at index {value.index(chr(0))})")
    try:
        value.encode()
    except UnicodeEncodeError as error:
        raise ValueError(f"{name} contains a lone surrogate (at index {error.start})") from None


def _names(name: str, value: str | Iterable[str] | None) -> list[str]:
    """One str or an iterable of them as a list of at least one."""
    if isinstance(value, str):
        return [text_argument(name, value)]
    if not isinstance(value, Iterable):
        raise TypeError(f"{name} must be a str or an iterable of them, not {type(value).__name__}")
    found = [text_argument(name, one) for one in value]
    if not found:
        raise ValueError(f"{name} must name at least one")
    return found


def context_of(
    user_id: Identifier | None, tenant_id: Identifier | None, context: SecurityContext | None
) -> SecurityContext | None:
    """The subscription's context, None for a trusted one. Both forms at once: ValueError."""
    if user_id is None and tenant_id is None:
        if context is not None and not isinstance(context, SecurityContext):
            raise TypeError(f"context must be a SecurityContext, not {type(context).__name__}")
        return context
    if context is not None:
        raise ValueError("give either context= or user_id= and tenant_id=, not both")
    return SecurityContext(user_id, tenant_id)


def registration_options(
    channels: str | Iterable[str] | None,
    event_types: str | Iterable[str] | None,
    filter: Mapping[str, Any] | None,
    context: SecurityContext | None,
    queue: QueuePolicy | None,
    positions: bool,
    share: bool,
    resolver: int,
    flags: int,
    part: bool = False,
    policy: int = 0,
) -> str:
    """The options of a registration as canonical JSON, "" when all are the defaults.

    `part` and `policy` are the engine's. Under the flag EVENTS, None stands for no channels at
    all. Equal options give equal text, which is what the engine recognises them by.
    """
    # Keys are added in alphabetical order.
    options: dict[str, Any] = {}
    if channels != _DEFAULT_CHANNELS:
        none = channels is None and flags & EVENTS
        options["channels"] = [] if none else _names("channels", channels)
    if context is not None:
        options["context"] = orjson.Fragment(encode(context._as_json()))
    if event_types is not None:
        options["event_types"] = _names("event_types", event_types)
    if filter is not None:
        options["filter"] = orjson.Fragment(encode_object(filter, "filter"))
    if part:
        options["part"] = True
    if policy:
        options["policy"] = policy
    if positions is not False:
        options["positions"] = _boolean("positions", positions)
    if queue is not None:
        if not isinstance(queue, QueuePolicy):
            raise TypeError(f"queue must be a QueuePolicy, not {type(queue).__name__}")
        options["queue"] = queue._as_json()
    if resolver:
        options["resolver"] = resolver
    if flags:
        options["resolver_flags"] = flags
    if share is not True:
        options["share"] = _boolean("share", share)
    return orjson.dumps(options).decode() if options else ""


def _boolean(name: str, value: object) -> bool:
    if type(value) is not bool:
        raise TypeError(f"{name} must be a bool, not {type(value).__name__}")
    return value


def positive(name: str, value: object) -> None:
    """TypeError or ValueError unless `value` is an int of at least 1."""
    if type(value) is not int:
        raise TypeError(f"{name} must be an int, not {type(value).__name__}")
    if value < 1:
        raise ValueError(f"{name} must be at least 1, not {value}")


def instance(name: str, value: _T | None, kind: type[_T]) -> _T:
    """`value`, which must be of `kind`; the defaults when it is None. TypeError."""
    if value is None:
        return kind()
    if not isinstance(value, kind):
        raise TypeError(f"{name} must be a {kind.__name__}, not {type(value).__name__}")
    return value


def wait_flag(wait: str) -> int:
    """The engine's flag for how long a publish waits."""
    if wait == "dispatched":
        return 0
    if wait == "accepted":
        return _ACCEPTED
    raise ValueError(f'wait must be "dispatched" or "accepted", not {wait!r}')


def milliseconds(name: str, seconds: float) -> int:
    """A length of time in whole milliseconds, rounded up. TypeError, ValueError."""
    if isinstance(seconds, bool) or not isinstance(seconds, (int, float)):
        raise TypeError(f"{name} must be a number of seconds, not {type(seconds).__name__}")
    if not 0 <= seconds <= 1_000_000:
        raise ValueError(f"{name} must be from 0 to 1,000,000 seconds, not {seconds}")
    return -int(-seconds * 1000 // 1)


def schema_text(schema: object) -> str | None:
    """SDL text, from text or a graphql-core schema."""
    if schema is None:
        return None
    if isinstance(schema, str):
        refuse_unsafe("schema", schema)
        if not schema.strip():
            raise ValueError("schema is empty; leave it out to run without one")
        return schema
    if any(kind.__module__.split(".")[0] == "graphql" for kind in type(schema).__mro__):
        from graphql import GraphQLSchema, print_schema

        if isinstance(schema, GraphQLSchema):
            return print_schema(schema)
    raise TypeError(
        f"schema must be SDL text or a graphql-core GraphQLSchema, not {type(schema).__name__}"
    )
