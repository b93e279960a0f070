"""What the build cannot work with is refused with one sentence, through pip as users see it."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace

import pytest
from copies import ROOT, clean_environment, path_of

from build_native import toolchain


def pip_output(tmp_path: Path, **environment: str) -> str:
    options = ["--no-build-isolation", "--no-deps", "-w", str(tmp_path / "wheels")]
    answer = subprocess.run(
        [sys.executable, "-m", "pip", "wheel", *options, str(ROOT)],
        cwd=tmp_path,
        env=clean_environment(**environment),
        capture_output=True,
        text=True,
        check=False,
    )
    assert answer.returncode != 0, answer.stdout
    return answer.stdout + answer.stderr


def assert_one_sentence(output: str, *words: str) -> None:
    """pip frames what a build says with its length; it must be one line with these words."""
    assert "Traceback" not in output
    found = re.search(r"\[1 lines? of output\]\n(.*)\n", output)
    assert found is not None, output
    for word in words:
        assert word in found[1]


def fake_go(tmp_path: Path, body: str) -> str:
    folder = tmp_path / "bin"
    path = path_of("sh", folder=folder)
    (folder / "go").write_text(f"#!{folder}/sh\n{body}\n", encoding="utf-8")
    (folder / "go").chmod(0o755)
    return path


def sitecustomize(tmp_path: Path, variable: str, value: object) -> str:
    """A folder for PYTHONPATH under which the interpreter was configured otherwise."""
    folder = tmp_path / "site"
    folder.mkdir()
    (folder / "sitecustomize.py").write_text(
        f"import sysconfig\nsysconfig.get_config_vars()[{variable!r}] = {value!r}\n",
        encoding="utf-8",
    )
    return str(folder)


def test_no_go(tmp_path: Path) -> None:
    output = pip_output(tmp_path, PATH=path_of("sh", folder=tmp_path / "bin"))
    assert_one_sentence(output, "Go 1.26 or newer", "PATH")


def test_a_go_that_is_too_old(tmp_path: Path) -> None:
    output = pip_output(tmp_path, PATH=fake_go(tmp_path, "echo go1.22.4"))
    assert_one_sentence(output, "Go 1.26 or newer", "go1.22.4", str(tmp_path / "bin" / "go"))


def test_a_go_that_does_not_run(tmp_path: Path) -> None:
    output = pip_output(tmp_path, PATH=fake_go(tmp_path, "echo no such luck >&2; exit 3"))
    assert_one_sentence(output, "Go 1.26 or newer", "no such luck")


def test_no_c_compiler(tmp_path: Path) -> None:
    output = pip_output(tmp_path, PATH=path_of("go", folder=tmp_path / "bin"))
    assert_one_sentence(output, "C compiler", "gcc")


def test_a_c_compiler_that_is_named_and_not_there(tmp_path: Path) -> None:
    assert_one_sentence(pip_output(tmp_path, CC="tcc-of-old -w"), "C compiler", "`tcc-of-old`")


def test_a_free_threaded_interpreter(tmp_path: Path) -> None:
    site = sitecustomize(tmp_path, "Py_GIL_DISABLED", 1)
    assert_one_sentence(pip_output(tmp_path, PYTHONPATH=site), "free-threaded")


def test_musl(tmp_path: Path) -> None:
    site = sitecustomize(tmp_path, "HOST_GNU_TYPE", "x86_64-alpine-linux-musl")
    assert_one_sentence(pip_output(tmp_path, PYTHONPATH=site), "musl", "glibc")


def test_headers_that_are_not_installed(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(toolchain.sysconfig, "get_path", lambda name: str(tmp_path))
    with pytest.raises(toolchain.BuildRefused, match=r"Python\.h .* development headers"):
        toolchain.check()


def test_an_interpreter_that_is_too_old(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(toolchain.sys, "version_info", (3, 9, 18, "final", 0))
    with pytest.raises(toolchain.BuildRefused, match=r"CPython 3\.10 or newer; this is 3\.9"):
        toolchain.check()


def test_another_implementation_of_python(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(toolchain.sys, "implementation", SimpleNamespace(name="pypy"))
    with pytest.raises(toolchain.BuildRefused, match="this interpreter is pypy"):
        toolchain.check()


def test_another_system(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(toolchain.sys, "platform", "win32")
    with pytest.raises(toolchain.BuildRefused, match="this is win32"):
        toolchain.check()


def test_this_machine_is_accepted() -> None:
    found = toolchain.check()
    assert found.environment["CGO_ENABLED"] == "1"
    assert "-Ofast" not in found.environment["CGO_CFLAGS"]
