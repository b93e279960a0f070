"""What a resolver takes is read once, from its signature."""

from __future__ import annotations

import functools
from typing import Any

import pytest

from fraiseql_subscriptions.signature import ASYNC, TAKES_INFO, TAKES_VARIABLES, Shape, shape_of


class Methods:
    def one(self, data: Any) -> Any: ...
    def two(self, data: Any, variables: Any) -> Any: ...
    async def three(self, data: Any, variables: Any, info: Any) -> Any: ...
    @staticmethod
    def static(data: Any) -> Any: ...
    @classmethod
    def of_class(cls, data: Any, variables: Any) -> Any: ...


class Called:
    def __call__(self, data: Any, variables: Any) -> Any: ...


class CalledAsync:
    async def __call__(self, data: Any) -> Any: ...


class Made:
    def __init__(self, data: Any, variables: Any) -> None: ...


async def async_function(data: Any, variables: Any) -> Any: ...


def with_cache(data: Any, cache: Any = None) -> Any: ...


def with_options(data: Any, variables: Any = None, info: Any = None, *, limit: int = 3) -> Any: ...


def everything(*args: Any, **kwargs: Any) -> Any: ...


def first_then_rest(data: Any, *rest: Any) -> Any: ...


def all_optional(data: Any = None) -> Any: ...


def three(data: Any, variables: Any, info: Any) -> Any: ...


@pytest.mark.parametrize(
    ("resolver", "shape"),
    [
        (lambda data: data, Shape(1, False)),
        (lambda d, v: d, Shape(2, False)),
        (three, Shape(3, False)),
        (Methods().one, Shape(1, False)),
        (Methods().two, Shape(2, False)),
        (Methods().three, Shape(3, True)),
        (Methods.static, Shape(1, False)),
        (Methods.of_class, Shape(2, False)),
        (Called(), Shape(2, False)),
        (CalledAsync(), Shape(1, True)),
        (Made, Shape(2, False)),
        (async_function, Shape(2, True)),
        (functools.partial(three, "x"), Shape(2, False)),
        (functools.partial(functools.partial(async_function), variables=1), Shape(1, True)),
        (with_cache, Shape(1, False)),
        (with_options, Shape(3, False)),
        (everything, Shape(1, False)),
        (first_then_rest, Shape(1, False)),
        (all_optional, Shape(1, False)),
        (functools.lru_cache(three), Shape(3, False)),
        (dict, Shape(1, False)),  # its signature cannot be read
        (len, Shape(1, False)),
    ],
)
def test_the_shape_of_a_callable(resolver: Any, shape: Shape) -> None:
    assert shape_of(resolver) == shape


@pytest.mark.parametrize(
    "resolver",
    [
        lambda: 1,
        lambda a, b, c, d: 1,
        lambda a, *, b: 1,
        lambda **kwargs: 1,
    ],
)
def test_a_callable_that_cannot_take_the_arguments_is_refused(resolver: Any) -> None:
    with pytest.raises(TypeError, match="resolver must take"):
        shape_of(resolver)


@pytest.mark.parametrize("resolver", ["name", 5, None, object()])
def test_what_cannot_be_called_is_refused(resolver: Any) -> None:
    with pytest.raises(TypeError, match="resolver must be callable"):
        shape_of(resolver)


def test_flags_are_the_engines() -> None:
    assert Shape(1, False).flags == 0
    assert Shape(2, False).flags == TAKES_VARIABLES
    assert Shape(3, True).flags == TAKES_VARIABLES | TAKES_INFO | ASYNC
