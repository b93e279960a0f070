"""What the README says can be typed, and its links lead somewhere."""

from __future__ import annotations

import re
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

Run = Callable[..., subprocess.CompletedProcess[str]]

ROOT = Path(__file__).parents[2]
README = (ROOT / "README.md").read_text(encoding="utf-8")
PAGES = sorted([*ROOT.glob("*.md"), *(ROOT / "docs").glob("*.md")])


def blocks(language: str) -> list[str]:
    """The README's fenced blocks of one language, in order."""
    return re.findall(rf"^```{language}\n(.*?)^```$", README, re.MULTILINE | re.DOTALL)


def test_the_example_runs_as_printed_and_prints_what_stands_below_it(run_python: Run) -> None:
    (example,) = blocks("python")
    (printed,) = blocks("json")
    assert README.index(example) < README.index(printed)
    done = run_python(example)
    assert done.stdout == printed
    assert done.stderr == ""


def test_the_two_commands_are_targets_of_the_makefile() -> None:
    (commands,) = blocks("sh")
    targets = [line.split()[:2] for line in commands.splitlines()]
    assert targets == [["make", "demo"], ["make", "test"]]
    make = shutil.which("make")
    assert make is not None
    done = subprocess.run(
        [make, "-n", "demo", "test"], cwd=ROOT, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_every_relative_link_leads_to_a_file(page: Path) -> None:
    targets = re.findall(r"\]\(([^)\s]+)\)", page.read_text(encoding="utf-8"))
    relative = [target.split("#")[0] for target in targets if "://" not in target]
    missing = [target for target in relative if target and not (page.parent / target).exists()]
    assert not missing
