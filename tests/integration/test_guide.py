"""Every program of the guide runs as printed and prints what stands below it."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Final

import pytest
from prose import DOCS, Page, run_console

Run = Callable[..., subprocess.CompletedProcess[str]]

#: Sections that need an environment of their own: tests/fraiseql/test_guide.py and
#: test_postgres_examples.py run them.
ELSEWHERE: Final = {"FraiseQL", "PostgreSQL"}
PAGES: Final = [
    Page(DOCS / f"{name}.md", elsewhere=ELSEWHERE) for name in ("guide", "troubleshooting")
]


@pytest.mark.parametrize(
    ("program", "output"),
    [(program, output) for page in PAGES for _, program, output in page.programs],
    ids=[f"{page.name}: {title}" for page in PAGES for title, _, _ in page.programs],
)
def test_it_prints_what_stands_below_it(run_python: Run, program: str, output: str) -> None:
    done = run_python(program)
    assert done.stdout == output
    assert "Traceback" not in done.stderr  # a failing resolver is logged there


@pytest.mark.parametrize(
    ("page", "console"),
    [(page, console) for page in PAGES for _, console in page.consoles],
    ids=[f"{page.name}: {title}" for page in PAGES for title, _ in page.consoles],
)
def test_what_is_typed_gives_what_stands_below_it(page: Page, console: str, tmp_path: Path) -> None:
    assert run_console(page, console, tmp_path, sys.executable) == console
