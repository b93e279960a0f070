"""JSON that Python's dict cannot be: members of one name, numbers as they are written."""

from __future__ import annotations

from typing import Any

import orjson

__all__ = ["raw"]


def raw(text: str | bytes) -> Any:
    """`text` as event data; the engine gets it byte for byte."""
    return orjson.Fragment(text)
