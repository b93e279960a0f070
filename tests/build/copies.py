"""A copy of the project, and a native module of probe functions built from one.

The copy has the project's build with a facade of a few probe functions in place of the
engine's, so that the tests say what the build does to any facade, not what the engine is.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import textwrap
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]

PROBES = """
// Package api is a facade of probes.
package api

import (
	"errors"
	"strings"
	"time"
)

var version = "unknown"

// Version tells the version, "quoted" and with a \\\\ in it.
func Version() string { return version }

// EchoText returns its text, or an error when there is none.
func EchoText(someText string) (string, error) {
	if someText == "" {
		return "", errors.New("EMPTY_TEXT: the text is empty — ☃")
	}
	return someText, nil
}

func CountText(text string, HTTPPort int) (int, error) {
	if text == "" {
		return 7, errors.New("EMPTY_TEXT: the text is empty")
	}
	return strings.Count(text, "x") + HTTPPort, nil
}

func Nap(milliseconds int) int {
	time.Sleep(time.Duration(milliseconds) * time.Millisecond)
	return milliseconds
}
"""


def copy_project(target: Path) -> Path:
    """The files of the project as git would have them, changes included."""
    listing = subprocess.run(
        ["git", "ls-files", "--cached", "--others", "--exclude-standard", "-z"],
        cwd=ROOT,
        check=True,
        capture_output=True,
        text=True,
    ).stdout
    for name in filter(None, listing.split("\0")):
        if (ROOT / name).is_file():
            (target / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(ROOT / name, target / name)
    return target


class ProbeBuild:
    """A built copy of the project whose facade is PROBES."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.facade = folder / "go" / "api" / "api.go"

    def build(self) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [sys.executable, "-m", "build_native"],
            cwd=self.folder,
            capture_output=True,
            text=True,
            check=False,
        )

    def run(self, code: str) -> str:
        """The output of Python code that runs with `native` imported from the build."""
        prologue = (
            "import importlib.util, pathlib, sys\n"
            f"path, = pathlib.Path({str(self.folder)!r}).glob('python/*/_native.*.so')\n"
            "spec = importlib.util.spec_from_file_location('_native', path)\n"
            "native = importlib.util.module_from_spec(spec)\n"
            "spec.loader.exec_module(native)\n"
        )
        answer = subprocess.run(
            [sys.executable, "-c", prologue + textwrap.dedent(code)],
            capture_output=True,
            text=True,
            check=False,
            timeout=120,
        )
        assert answer.returncode == 0, answer.stderr
        return answer.stdout


def path_of(*programs: str, folder: Path) -> str:
    """A PATH on which these programs are and nothing else."""
    folder.mkdir(exist_ok=True)
    for program in programs:
        found = shutil.which(program)
        assert found is not None, f"{program} is not on PATH"
        (folder / program).symlink_to(found)
    return str(folder)


def clean_environment(**changes: str) -> dict[str, str]:
    """The environment without what would lead Python to the source tree."""
    return {**{k: v for k, v in os.environ.items() if not k.startswith("PYTHON")}, **changes}
