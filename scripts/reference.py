"""Writes docs/reference.md from the package's docstrings.

usage: reference.py [--check]

With --check nothing is written, and the exit status says whether the page is up to date.
"""

from __future__ import annotations

import dataclasses
import importlib
import inspect
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

PAGE: Final = Path(__file__).parents[1] / "docs" / "reference.md"
#: What is public, module by module; each one's ``__all__`` says which names.
MODULES: Final = (
    "fraiseql_subscriptions",
    "fraiseql_subscriptions.asgi",
    "fraiseql_subscriptions.fastapi",
    "fraiseql_subscriptions.starlette",
    "fraiseql_subscriptions.fraiseql",
    "fraiseql_subscriptions.manager",
    "fraiseql_subscriptions.adapter",
    "fraiseql_subscriptions.compat",
)
INTRODUCTION: Final = """# Reference

Every public name, from its docstring; `make docs` writes this page. The [guide](guide.md) shows how
they are used together.
"""


def page() -> str:
    """The whole page."""
    seen: set[int] = set()
    parts = [INTRODUCTION]
    for path in MODULES:
        module = importlib.import_module(path)
        parts.append(f"\n## {path}\n\n{inspect.getdoc(module)}\n")
        for name in sorted(module.__all__, key=lambda one: (one.islower(), one)):
            value = getattr(module, name)
            if id(value) in seen or not callable(value):
                continue  # told under the module before, or no class or function
            seen.add(id(value))
            parts += entry(name, value)
    return "".join(parts)


def entry(name: str, value: Any) -> Iterator[str]:
    """A class or function with what belongs to it."""
    yield f"\n### {name}\n\n"
    if not isinstance(value, type):
        yield f"```text\n{signature(name, value)}\n```\n\n{text(value)}\n"
        return
    if issubclass(value, Exception):
        base = next(one for one in value.__bases__ if one is not object)
        yield f"A `{base.__name__}` with the code `{getattr(value, 'code', '')}`. "
        yield f"{text(value)}\n"
        return
    yield f"```text\n{signature(name, value)}\n```\n\n{text(value)}\n"
    for member, found in members(value):
        yield f"\n#### {name}.{member}\n\n"
        if isinstance(found, property):
            yield f"A property. {text(found)}\n"
        else:
            function = getattr(value, member)
            yield f"```text\n{signature(member, function)}\n```\n\n{text(function)}\n"


def members(value: type) -> Iterator[tuple[str, Any]]:
    """The public methods and properties that this package gives a class, its own first."""
    seen: set[str] = set()
    for base in value.__mro__:
        if not base.__module__.startswith("fraiseql_subscriptions"):
            continue
        for name, found in vars(base).items():
            is_member = callable(found) or isinstance(found, (property, classmethod, staticmethod))
            if name.startswith("_") or name in seen or not is_member:
                continue
            seen.add(name)
            if inspect.getdoc(getattr(value, name)):
                yield name, found


def signature(name: str, value: Any) -> str:
    """How it is called, over several lines where one is too long."""
    told = inspect.signature(value)
    parts: list[str] = []
    keywords_only = False
    for parameter in told.parameters.values():
        if parameter.name == "self":
            continue
        if parameter.kind is parameter.VAR_POSITIONAL:
            keywords_only = True
        elif parameter.kind is parameter.KEYWORD_ONLY and not keywords_only:
            keywords_only = True
            parts.append("*")
        parts.append(_parameter(parameter))
    head = f"{'async ' if inspect.iscoroutinefunction(value) else ''}{name}"
    returned = "" if isinstance(value, type) else f" -> {told.return_annotation}"
    line = f"{head}({', '.join(parts)}){returned}"
    if len(line) <= 96:
        return line
    listed = "".join(f"    {part},\n" for part in parts)
    return f"{head}(\n{listed}){returned}"


def _parameter(parameter: inspect.Parameter) -> str:
    kind = parameter.kind
    stars = (
        "*" if kind is parameter.VAR_POSITIONAL else "**" if kind is parameter.VAR_KEYWORD else ""
    )
    told = f"{stars}{parameter.name}: {parameter.annotation}"
    if parameter.default is inspect.Parameter.empty:
        return told
    default = parameter.default
    # A dataclass's field that is made anew for each object has no value to show.
    shown = repr(default) if type(default).__module__ == "builtins" else "…"
    return f"{told} = {shown}"


def text(value: Any) -> str:
    """A docstring."""
    found = inspect.getdoc(value)
    if not found or (dataclasses.is_dataclass(value) and found.startswith(f"{value}(")):
        raise SystemExit(f"error: {value!r} is public and has no docstring")
    return found


def main() -> int:
    """Write or check the page."""
    made = page()
    if "--check" not in sys.argv[1:]:
        PAGE.write_text(made, encoding="utf-8")
        return 0
    if PAGE.read_text(encoding="utf-8") == made:
        return 0
    sys.stderr.write(f"{PAGE.name} is not what the docstrings say; make docs writes it\n")
    return 1


if __name__ == "__main__":
    sys.exit(main())
