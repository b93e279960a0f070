"""Batches of events, checked and put into the form the engine takes."""

from __future__ import annotations

import contextlib
from collections.abc import Iterable
from typing import Any, Final

from .arguments import optional_identifier, text_argument
from .encode import encode_all, encode_object, marked_array
from .process import state
from .types import Event

__all__ = ["event_batch"]

_KEYS: Final = frozenset({"event_type", "channel", "data", "correlation_id", "event_id"})


def event_batch(events: Iterable[object]) -> tuple[list[tuple[Any, ...]], bytes]:
    """The items of `publish_events` as the engine takes them; errors name an item's index.

    They are tuples (event_type, channel, anything) or (event_type, channel, anything,
    correlation_id, event_id), "" for no id, and the marked array of the data of each.
    """
    batch: list[Any] = list(events)
    plain = state.plain_data(batch)
    if plain is not None:  # the usual form
        with contextlib.suppress(TypeError, ValueError):  # one by one, it is found out which
            return batch, encode_all(plain)
    tuples = [_event_tuple(index, event) for index, event in enumerate(batch)]
    return tuples, marked_array(one[2] for one in tuples)


def _event_tuple(index: int, event: object) -> tuple[str, str, bytes, str, str]:
    """One item of `publish_events` as the engine takes it; errors name its index."""
    if isinstance(event, Event):
        parts = (event.event_type, event.channel, event.data, event.correlation_id, event.event_id)
    elif isinstance(event, dict):
        unknown = event.keys() - _KEYS
        missing = {"event_type", "channel", "data"} - event.keys()
        if unknown or missing:
            wrong = (
                f"has unknown keys {sorted(map(str, unknown))}"
                if unknown
                else f"lacks {sorted(missing)}"
            )
            raise ValueError(f"event {index} {wrong}; an event's keys are {sorted(_KEYS)}")
        parts = (
            event["event_type"],
            event["channel"],
            event["data"],
            event.get("correlation_id"),
            event.get("event_id"),
        )
    elif isinstance(event, tuple):
        if not 3 <= len(event) <= 5:
            raise TypeError(
                f"event {index} has {len(event)} items; an event's are event_type, channel, data, "
                "and if wanted correlation_id, event_id"
            )
        parts = (*event, None, None)[:5]
    else:
        raise TypeError(
            f"event {index} must be an Event, a dict or a tuple "
            f"(event_type, channel, data, correlation_id, event_id), not {type(event).__name__}"
        )
    event_type, channel, data, correlation_id, event_id = parts
    try:
        return (
            text_argument("event_type", event_type),
            text_argument("channel", channel),
            encode_object(data),
            optional_identifier("correlation_id", correlation_id),
            optional_identifier("event_id", event_id),
        )
    except (TypeError, ValueError) as error:
        raise type(error)(f"event {index}: {error}") from None
