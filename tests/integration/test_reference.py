"""The reference is what the docstrings say, and `make docs` writes it."""

from __future__ import annotations

import importlib
import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
REFERENCE = (ROOT / "docs" / "reference.md").read_text(encoding="utf-8")


def test_it_is_up_to_date() -> None:
    done = subprocess.run(
        [sys.executable, ROOT / "scripts" / "reference.py", "--check"],
        capture_output=True, text=True, timeout=60, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize("path", re.findall(r"^## (\S+)$", REFERENCE, re.MULTILINE))
def test_every_public_name_has_its_entry(path: str) -> None:
    names = [one for one in importlib.import_module(path).__all__ if not one.startswith("_")]
    told = set(re.findall(r"^### (\w+)$", REFERENCE, re.MULTILINE))
    assert [one for one in names if one not in told] == []
