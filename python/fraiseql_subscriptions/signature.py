"""What a resolver takes and whether it is async, read once when it is registered."""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable
from types import FunctionType
from typing import Any, Final, NamedTuple
from weakref import WeakKeyDictionary

__all__ = [
    "ASYNC",
    "EVENTS",
    "PROJECTS",
    "STREAMED",
    "TAKES_INFO",
    "TAKES_VARIABLES",
    "Projected",
    "Shape",
    "Streamed",
    "shape_of",
]

#: Flags as the engine knows them.
TAKES_VARIABLES: Final = 1
TAKES_INFO: Final = 2
ASYNC: Final = 4
PROJECTS: Final = 8
EVENTS: Final = 16
#: A flag of the registration: a stream, or a client's transport, is about to read it.
STREAMED: Final = 2

_POSITIONAL: Final = (inspect.Parameter.POSITIONAL_ONLY, inspect.Parameter.POSITIONAL_OR_KEYWORD)
#: Optional parameters count only under these names; `def r(data, cache={})` takes the data alone.
_OPTIONAL_NAMES: Final = (None, "variables", "info")


#: Reading a signature takes 10 µs; an application registers few functions, many times.
_of_functions: WeakKeyDictionary[FunctionType, Shape] = WeakKeyDictionary()


class Streamed:
    """How what a stream is about to read is answered: by its resolver, if it has one.

    The plain side gets nothing of it meanwhile.
    """

    __slots__ = ("call",)

    def __init__(self, call: Callable[..., Any] | None) -> None:
        self.call = call


class Projected(Streamed):
    """How a field is answered: by its resolver, if it has one, which gives the root field's value
    and not the whole data. `policy` is the engine's number of the one that guards it.
    """

    __slots__ = ("policy",)

    def __init__(self, call: Callable[..., Any] | None, policy: int) -> None:
        super().__init__(call)
        self.policy = policy


class Shape(NamedTuple):
    """How a resolver is called: with how many arguments (1 to 3), and as a coroutine or not."""

    arity: int
    is_async: bool

    @property
    def flags(self) -> int:
        """The same as the engine's flags."""
        return (
            (TAKES_VARIABLES if self.arity >= 2 else 0)
            | (TAKES_INFO if self.arity >= 3 else 0)
            | (ASYNC if self.is_async else 0)
        )


def shape_of(resolver: Callable[..., Any]) -> Shape:
    """The shape of `resolver`.

    Raises TypeError when it is not callable or cannot be called with one to three positional
    arguments. A callable without a readable signature is called with the data alone.
    """
    if type(resolver) is not FunctionType:
        return _read(resolver)
    shape = _of_functions.get(resolver)
    if shape is None:
        shape = _of_functions[resolver] = _read(resolver)
    return shape


def _read(resolver: Callable[..., Any]) -> Shape:
    if not callable(resolver):
        raise TypeError(f"resolver must be callable, not {type(resolver).__name__}")
    return Shape(_arity(resolver), _is_async(resolver))


def _arity(resolver: Callable[..., Any]) -> int:
    try:
        parameters = inspect.signature(resolver).parameters.values()
    except (ValueError, TypeError):
        return 1
    positional = [p for p in parameters if p.kind in _POSITIONAL]
    arity = 0
    for parameter, optional_name in zip(positional, _OPTIONAL_NAMES, strict=False):
        required = parameter.default is inspect.Parameter.empty
        if not required and arity > 0 and parameter.name != optional_name:
            break
        arity += 1
    if arity == 0 and any(p.kind is inspect.Parameter.VAR_POSITIONAL for p in parameters):
        arity = 1
    unfilled = [p for p in positional[arity:] if p.default is inspect.Parameter.empty] + [
        p
        for p in parameters
        if p.kind is inspect.Parameter.KEYWORD_ONLY and p.default is inspect.Parameter.empty
    ]
    if arity == 0 or unfilled:
        raise TypeError(
            f"resolver must take (data), (data, variables) or (data, variables, info); "
            f"{_name(resolver)} takes {inspect.signature(resolver)}"
        )
    return arity


def _is_async(resolver: Callable[..., Any]) -> bool:
    while isinstance(resolver, functools.partial):
        resolver = resolver.func
    # The methods of an object's class decide how the object is called.
    return inspect.iscoroutinefunction(resolver) or inspect.iscoroutinefunction(
        type(resolver).__call__
    )


def _name(resolver: object) -> str:
    return getattr(resolver, "__qualname__", None) or repr(resolver)
