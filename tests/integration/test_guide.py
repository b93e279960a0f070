"""Every program of the guide runs as printed and prints what stands below it."""

from __future__ import annotations

import re
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

Run = Callable[..., subprocess.CompletedProcess[str]]

GUIDE = (Path(__file__).parents[2] / "docs" / "guide.md").read_text(encoding="utf-8")
#: Title of the section, program, output; the output is None where none stands below it.
PROGRAMS = [
    (title, program, output)
    for title, section in re.findall(
        r"^## (.*?)\n(.*?)(?=^## |\Z)", GUIDE, re.MULTILINE | re.DOTALL
    )
    for program, output in re.findall(
        r"^```python\n(.*?)^```$(?:\n\n^```text\n(.*?)^```$)?", section, re.MULTILINE | re.DOTALL
    )
]


def test_every_block_of_python_is_among_them() -> None:
    assert len(PROGRAMS) == GUIDE.count("```python\n") > 0


@pytest.mark.parametrize(
    ("program", "output"),
    [(program, output) for _, program, output in PROGRAMS],
    ids=[title for title, _, _ in PROGRAMS],
)
def test_it_prints_what_stands_below_it(run_python: Run, program: str, output: str) -> None:
    done = run_python(program)
    assert done.stdout == output
    assert "Traceback" not in done.stderr  # a failing resolver is logged there
