"""The scripts behind make say what is missing, and never pass by finding nothing to do."""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from copies import ROOT, clean_environment, copy_project, path_of

SHELL = ("bash", "dirname", "awk", "sort", "head", "tail", "cut", "env")


def script(
    name: str, *arguments: str, folder: Path = ROOT, **environment: str
) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [str(folder / "scripts" / name), *arguments],
        env=clean_environment(**environment),
        capture_output=True,
        text=True,
        check=False,
    )


@pytest.fixture
def project(tmp_path: Path) -> Path:
    """A copy of the project with one Go package in it, which has neither tests nor Python."""
    folder = copy_project(tmp_path / "project")
    for name in ("go", "benchmarks"):
        shutil.rmtree(folder / name)
    (folder / "benchmarks").mkdir()
    package = folder / "go" / "internal" / "alone"
    package.mkdir(parents=True)
    (package / "alone.go").write_text("package alone\n", encoding="utf-8")
    return folder


def test_the_running_interpreter_is_found() -> None:
    answer = script("interpreters.sh")
    assert answer.returncode == 0, answer.stderr
    versions = [line.split()[0] for line in answer.stdout.splitlines()]
    assert ".".join(map(str, sys.version_info[:2])) in versions
    assert len(versions) == len(set(versions))


def test_no_interpreter_is_an_error(tmp_path: Path) -> None:
    path = path_of(*SHELL, folder=tmp_path / "bin")
    answer = script("interpreters.sh", PATH=path, PYENV_ROOT=str(tmp_path))
    assert answer.returncode == 1
    assert "No CPython 3.10 or newer" in answer.stderr


def test_interpreters_that_were_asked_for_and_are_not_there_are_an_error() -> None:
    answer = script("interpreters.sh", PYTHONS="3.99")
    assert answer.returncode == 1
    assert "among 3.99" in answer.stderr


def test_what_a_bare_machine_misses_is_named(tmp_path: Path) -> None:
    path = path_of(*SHELL, folder=tmp_path / "bin")
    answer = script("prerequisites.sh", PATH=path, PYENV_ROOT=str(tmp_path))
    assert answer.returncode == 1
    for missing in ("Go 1.26 or newer", "C compiler (gcc)", "CPython 3.10 or newer"):
        assert missing in answer.stderr
    assert "apt-get install gcc libc6-dev python3 python3-dev python3-venv" in answer.stderr


def test_what_tests_with_clients_and_a_browser_miss_is_named(tmp_path: Path) -> None:
    path = path_of(*SHELL, folder=tmp_path / "bin")
    answer = script("prerequisites.sh", "servers", PATH=path, PYENV_ROOT=str(tmp_path))
    assert answer.returncode == 1
    for missing in ("Node 18 or newer", "npm", "chromium"):
        assert f"  - {missing}\n" in answer.stderr
    assert answer.stderr.endswith(" nodejs npm chromium\n")


def test_packages_with_python_in_them_are_left_out_by_name(project: Path) -> None:
    for name, text in (
        ("gate", 'package gate\n\n// #include <Python.h>\nimport "C"\n'),
        ("user", 'package user\n\nimport _ "example/go/gate"\n'),
    ):
        (project / "go" / name).mkdir()
        (project / "go" / name / f"{name}.go").write_text(text, encoding="utf-8")
    text = (project / "go.mod").read_text(encoding="utf-8")
    module = text.split("\n", 1)[0].removeprefix("module ")
    user = project / "go" / "user" / "user.go"
    user.write_text(user.read_text(encoding="utf-8").replace("example", module), encoding="utf-8")

    answer = script("go_packages.sh", folder=project)
    assert answer.returncode == 0, answer.stderr
    assert answer.stdout == f"{module}/go/internal/alone\n"
    assert f"{module}/go/gate: it includes Python.h" in answer.stderr
    assert f"{module}/go/user: it imports gate, which includes Python.h" in answer.stderr

    (project / "go" / "user" / "user_test.go").write_text("package user\n", encoding="utf-8")
    answer = script("go_packages.sh", folder=project)
    assert answer.returncode == 1
    assert f"the Go tests of {module}/go/user can never run" in answer.stderr


def test_no_fuzz_target_is_an_error(project: Path) -> None:
    answer = script("fuzz.sh", "1s", folder=project)
    assert answer.returncode == 1
    assert "no fuzz target was found" in answer.stderr


def test_a_fuzz_target_that_fails_is_an_error(project: Path) -> None:
    (project / "go" / "internal" / "alone" / "alone_test.go").write_text(
        "package alone\n\n"
        'import "testing"\n\n'
        "func FuzzAlone(f *testing.F) {\n"
        "\tf.Add(1)\n"
        "\tf.Fuzz(func(t *testing.T, n int) { t.Fatal(n) })\n"
        "}\n",
        encoding="utf-8",
    )
    answer = script("fuzz.sh", "1s", folder=project)
    assert answer.returncode != 0
    assert "alone.FuzzAlone" in answer.stdout
