"""What a resolver gave, in the form the engine takes.

Plain bytes are the JSON of the response's data; a pair is a kind and its bytes.
"""

from __future__ import annotations

import inspect
from typing import Any, Final, TypeAlias

from .encode import encode

__all__ = ["ERROR", "PENDING", "RESULT", "Result", "message_of", "response_of"]

Result: TypeAlias = bytes | tuple[int, bytes]

#: The bytes are the JSON of a whole execution result.
RESULT: Final = 1
#: The bytes are the message of an error, in UTF-8.
ERROR: Final = 2
#: The answer of an async resolver comes later.
PENDING: Final = 3

_RESULT_KEYS: Final = frozenset({"data", "errors", "extensions"})
#: Types whose values are data as they are: not awaitable, not an execution result object.
_PLAIN: Final = frozenset({list, tuple, str, int, float, bool, type(None)})


def response_of(value: Any) -> Result:
    """What a resolver returned, as the engine takes it. Raises what `encode` raises."""
    kind = type(value)
    if kind in _PLAIN:
        return encode(value)
    if isinstance(value, dict):
        if ("data" in value or "errors" in value) and value.keys() <= _RESULT_KEYS:
            return _execution_result(value)
        return encode(value)
    if inspect.isawaitable(value):
        close = getattr(value, "close", None) or getattr(value, "cancel", None)
        if close is not None:
            close()
        raise TypeError(
            f"the resolver returned an awaitable ({kind.__name__}) but is not a coroutine "
            "function: define it with async def"
        )
    formatted = getattr(value, "formatted", None)
    if isinstance(formatted, dict) and hasattr(value, "data") and hasattr(value, "errors"):
        return _execution_result(formatted)  # graphql-core's ExecutionResult
    return encode(value)


def _execution_result(value: dict[str, Any]) -> Result:
    # GraphQL: no "errors" entry without errors, "data" is there when execution began.
    if not value.get("errors", True) or value.get("extensions", True) is None:
        value = {key: part for key, part in value.items() if key == "data" or part}
    if "data" not in value and "errors" not in value:
        value = {"data": None, **value}
    return RESULT, encode(value)


def message_of(error: BaseException) -> bytes:
    try:
        message = str(error)
    except Exception:
        message = ""
    return (message or type(error).__name__).encode(errors="backslashreplace")
