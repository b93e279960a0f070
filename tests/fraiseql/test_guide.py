"""The guide's section on FraiseQL runs as printed, on every FraiseQL."""

from __future__ import annotations

from pathlib import Path
from typing import Final

import pytest
from postgres_server import PostgresServer
from prose import DOCS, Page, run_console

PAGE: Final = Page(DOCS / "guide.md", only="FraiseQL")


def test_there_is_something_to_type() -> None:
    assert PAGE.consoles
    assert not PAGE.programs


@pytest.mark.parametrize("console", [console for _, console in PAGE.consoles])
def test_what_is_typed_gives_what_stands_below_it(
    console: str, tmp_path: Path, python: str, postgres: PostgresServer
) -> None:
    environment = {"DATABASE_URL": postgres.url(postgres.new_database())}
    assert run_console(PAGE, console, tmp_path, python, environment) == console
