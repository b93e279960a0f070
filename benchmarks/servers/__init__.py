"""Servers of the same subscription over WebSocket: the engine's, two libraries', and a bare one.

Each sends an event to every subscriber as graphql-transport-ws, under the same uvicorn.
"""

from __future__ import annotations

from .served import Served

__all__ = ["NAMES", "make"]

#: Every server by name.
NAMES = ("engine", "bare", "strawberry", "ariadne")


def make(name: str) -> Served:
    """The server called `name`. Libraries are loaded only where they are served."""
    if name == "engine":
        from .engine import Engine

        return Engine()
    if name == "bare":
        from .bare import Bare

        return Bare()
    if name == "strawberry":
        from .strawberry_server import Strawberry

        return Strawberry()
    if name == "ariadne":
        from .ariadne_server import Ariadne

        return Ariadne()
    raise ValueError(f"there is no server {name!r}: use one of {', '.join(NAMES)}")
