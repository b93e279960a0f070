"""The example programs that publish in their own transactions, on a real PostgreSQL."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from postgres_server import run_server
from prose import DOCS, Page

EXAMPLES = Path(__file__).parents[2] / "examples"
PRINTED = {
    "postgres_asyncpg": """\
order 2 is too large
{"id":"1","type":"next","payload":{"data":{"orderPlaced":{"id":1,"total":10}}}}
{"id":"1","type":"next","payload":{"data":{"orderPlaced":{"id":3,"total":20}}}}
""",
    "postgres_psycopg": """\
{"id":"1","type":"next","payload":{"data":{"parcel":{"id":1,"place":"Lyon"}}}}
{"id":"1","type":"next","payload":{"data":{"parcel":{"id":2,"place":"Nice"}}}}
{"id":"1","type":"next","payload":{"data":{"parcel":{"id":1,"place":"Paris"}}}}
{"id":"1","type":"next","payload":{"data":{"parcel":{"id":2,"place":null}}}}
""",
}


def test_every_example_on_postgresql_is_among_them() -> None:
    assert {path.stem for path in EXAMPLES.glob("postgres_*.py")} == PRINTED.keys()


@pytest.mark.parametrize("name", PRINTED)
def test_it_prints_what_was_committed(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    with run_server() as server:
        monkeypatch.setenv("DATABASE_URL", server.installed())
        for _ in range(2):  # it may be run again
            done = subprocess.run(
                [sys.executable, "-W", "error", EXAMPLES / f"{name}.py"],
                capture_output=True,
                text=True,
                timeout=60,
                check=False,
            )
            assert (done.stdout, done.stderr, done.returncode) == (PRINTED[name], "", 0)


def test_the_guides_program_prints_what_stands_below_it(
    run_python: Callable[..., subprocess.CompletedProcess[str]], monkeypatch: pytest.MonkeyPatch
) -> None:
    [(_, program, output)] = Page(DOCS / "guide.md", only="PostgreSQL").programs
    with run_server() as server:
        monkeypatch.setenv("DATABASE_URL", server.installed())
        assert run_python(program).stdout == output
