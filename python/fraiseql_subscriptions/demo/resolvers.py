"""The Python resolvers of the demo: both join an airline's name to a flight.

A resolver given at registration returns the response's whole data, so each builds what its
dashboard's query selects.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine, Mapping
from typing import Any

from .data import read_airlines

__all__ = ["AirlineDirectory", "board_resolver", "delay_resolver"]


def board_resolver(names: Mapping[str, str]) -> Callable[[dict[str, Any]], dict[str, Any]]:
    """A resolver that looks the name up in a table at hand."""

    def board(flight: dict[str, Any]) -> dict[str, Any]:
        line = {key: flight[key] for key in ("sequence", "time", "status")}
        line["airline"] = names[flight["carrier"]]
        line["flight"] = flight["flight"]
        line["destination"] = flight["destination"]
        return {"flightUpdated": line}

    return board


class AirlineDirectory:
    """Airline names, read from their file when the first one is asked for. For one event loop."""

    def __init__(self) -> None:
        self._names: dict[str, str] = {}
        self._loading = asyncio.Lock()

    async def name(self, carrier: str) -> str:
        """The airline's name. The first call reads the file, in a thread."""
        if not self._names:
            async with self._loading:
                if not self._names:
                    self._names = await asyncio.to_thread(read_airlines)
        return self._names[carrier]


def delay_resolver(
    directory: AirlineDirectory,
) -> Callable[[dict[str, Any]], Coroutine[Any, Any, dict[str, Any]]]:
    """An async resolver that asks the directory for the name."""

    async def delay(flight: dict[str, Any]) -> dict[str, Any]:
        line = {key: flight[key] for key in ("sequence", "time")}
        line["airline"] = await directory.name(flight["carrier"])
        line["flight"] = flight["flight"]
        line["delay"] = flight["delay"]
        return {"flightUpdated": line}

    return delay
