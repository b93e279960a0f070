"""A field definition: from a client's arguments to channels and filters the server decides.

`{argument}` in a channel and ``"$argument"`` in a filter take the coerced value of the root
field's argument. A value is one segment of a channel and never a wildcard.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from .errors import InvalidQuery

if TYPE_CHECKING:
    from .types import Resolver

__all__ = ["FieldDefinition"]

_PLACE: Final = re.compile(r"\{([_A-Za-z][_0-9A-Za-z]*)\}")
_ARGUMENT: Final = re.compile(r"\$([_A-Za-z][_0-9A-Za-z]*)(\?)?")
#: What would end a segment, match others, or may not be in a channel.
_UNSAFE: Final = re.compile(r"[.:*>\s\x00-\x1f\x7f]")
_DROPPED: Final = object()


@dataclass(frozen=True, slots=True)
class FieldDefinition:
    """What subscribing to the root field `name` means."""

    name: str
    channels: tuple[str, ...]
    event_types: tuple[str, ...] | None
    filter: Mapping[str, Any] | None
    resolver: Resolver | None
    #: The policy that guards it (JSON), "" for the executor's.
    policy: str = ""

    def __post_init__(self) -> None:
        for channel in self.channels:
            left = _PLACE.sub("", channel)
            if "{" in left or "}" in left:
                raise ValueError(
                    f"channel {channel!r} of field {self.name!r} has a brace that is no "
                    "{argument}"
                )

    def channels_for(self, arguments: Mapping[str, Any]) -> list[str]:
        """The channels with the arguments' values in place. InvalidQuery."""

        def value_of(match: re.Match[str]) -> str:
            return _segment(self.name, match[1], arguments.get(match[1]))

        return [_PLACE.sub(value_of, channel) for channel in self.channels]

    def filter_for(self, arguments: Mapping[str, Any]) -> dict[str, Any] | None:
        """The filter with the arguments' values in place. InvalidQuery."""
        if self.filter is None:
            return None
        made = self._substitute(self.filter, arguments)
        return None if made is _DROPPED else made

    def _substitute(self, part: Any, arguments: Mapping[str, Any]) -> Any:
        if isinstance(part, str):
            return self._value(part, arguments)
        if isinstance(part, Mapping):
            members = {key: self._substitute(one, arguments) for key, one in part.items()}
            kept = {key: one for key, one in members.items() if one is not _DROPPED}
            # A condition that was left without its operator is gone, an empty one stays.
            return _DROPPED if members and not kept else kept
        if isinstance(part, (list, tuple)):
            items = [self._substitute(one, arguments) for one in part]
            left = [one for one in items if one is not _DROPPED]
            return _DROPPED if items and not left else left
        return part

    def _value(self, text: str, arguments: Mapping[str, Any]) -> Any:
        if text.startswith("$$"):
            return text[1:]
        if not text.startswith("$"):
            return text
        match = _ARGUMENT.fullmatch(text)
        if match is None:
            raise ValueError(
                f"filter value {text!r} of field {self.name!r} is no $argument; "
                "write a literal dollar sign twice"
            )
        value = arguments.get(match[1])
        # An object would be read as operators: a client must not write conditions.
        if isinstance(value, dict) or (isinstance(value, list) and _holds_container(value)):
            raise InvalidQuery(
                f"argument {match[1]!r} of field {self.name!r} is compared with events and must "
                "be a scalar or a list of scalars"
            )
        if value is not None:
            return value
        if match[2]:
            return _DROPPED
        raise InvalidQuery(f"field {self.name!r} needs the argument {match[1]!r}")


def _holds_container(values: list[Any]) -> bool:
    return any(isinstance(one, (dict, list)) for one in values)


def _segment(field: str, argument: str, value: Any) -> str:
    if value is None:
        raise InvalidQuery(f"field {field!r} needs the argument {argument!r}")
    if isinstance(value, bool):
        return "true" if value else "false"
    if not isinstance(value, (str, int)):
        raise InvalidQuery(
            f"argument {argument!r} of field {field!r} names a channel and must be a string or "
            "an integer"
        )
    text = str(value)
    if not text or _UNSAFE.search(text):
        raise InvalidQuery(
            f"argument {argument!r} of field {field!r} is {text!r}, which cannot be one segment "
            "of a channel"
        )
    return text
