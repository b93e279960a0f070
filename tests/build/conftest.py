"""The one fixture that the packaging tests share."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

HERE = Path(__file__).resolve().parent
sys.path[:0] = [str(HERE), str(HERE.parents[1])]  # for copies.py and build_native

from copies import PROBES, ProbeBuild, copy_project  # noqa: E402


@pytest.fixture(scope="session")
def probes(tmp_path_factory: pytest.TempPathFactory) -> ProbeBuild:
    folder = copy_project(tmp_path_factory.mktemp("probes"))
    for file in (folder / "go" / "api").iterdir():
        file.unlink()
    made = ProbeBuild(folder)
    made.facade.write_text(PROBES, encoding="utf-8")
    answer = made.build()
    assert answer.returncode == 0, answer.stderr
    return made
