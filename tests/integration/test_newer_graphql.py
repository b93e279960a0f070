"""Schemas of graphql-core 3.3 and of a Strawberry that needs it, in place of the suite's own."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from importlib.metadata import requires
from pathlib import Path

import pytest

HERE = Path(__file__).parent
FILES = ("test_schema_operations.py", "test_strawberry.py", "test_examples.py")


@pytest.fixture
def newer(tmp_path: Path) -> Path:
    """A folder with what the extra graphql-3.3 names."""
    wanted = [
        one.split(";")[0].strip()
        for one in requires("fraiseql-subscriptions") or ()
        if re.search(r"""extra == ["']graphql-3[-.]3["']""", one)
    ]
    assert len(wanted) == 2, wanted
    done = subprocess.run(
        [sys.executable, "-m", "pip", "install", "-q", "--disable-pip-version-check",
         "--target", tmp_path, *wanted],
        capture_output=True, text=True, check=False, timeout=300,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    return tmp_path


def test_what_a_schema_runs_with_graphql_core_3_3(newer: Path) -> None:
    environment = {**os.environ, "PYTHONPATH": str(newer)}
    code = "import graphql; print(graphql.version)"
    version = subprocess.run(
        [sys.executable, "-c", code], env=environment, capture_output=True, text=True, check=True
    )
    assert version.stdout.startswith("3.3.")
    done = subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider",
         *(str(HERE / one) for one in FILES)],
        env=environment, capture_output=True, text=True, check=False, timeout=280,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout[-5000:]
    assert re.search(r"\d\d passed", done.stdout)
