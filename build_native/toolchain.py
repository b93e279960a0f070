"""What the build needs from the machine, checked before anything is compiled.

Every refusal is a `BuildRefused` of one sentence that names what was found and what to do.
"""

from __future__ import annotations

import os
import platform
import re
import shlex
import shutil
import subprocess
import sys
import sysconfig
import tempfile
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
MINIMUM_PYTHON = (3, 10)


class BuildRefused(SystemExit):
    """The build cannot work on this machine. As SystemExit: a sentence, no traceback."""


@dataclass(frozen=True)
class Toolchain:
    """The programs and headers of one build, all of them known to exist.

    `include` is the folder of Python.h, `environment` what every Go command runs with,
    `tag` names the interpreter in file names (cpython-312-x86_64-linux-gnu).
    """

    go: str
    go_version: str
    include: str
    tag: str
    environment: dict[str, str]


def check() -> Toolchain:
    """The toolchain for the running interpreter; raises BuildRefused."""
    _check_interpreter()
    _check_platform()
    go, version = _find_go()
    include = _find_headers()
    environment = _environment(include)
    _check_compiler(go, environment)
    tag = str(sysconfig.get_config_var("SOABI"))
    return Toolchain(go, version, include, tag, environment)


def minimum_go() -> tuple[int, int]:
    """The oldest Go the module accepts, from go.mod's own go line."""
    text = (ROOT / "go.mod").read_text(encoding="utf-8")
    found = re.search(r"^go (\d+)\.(\d+)", text, re.MULTILINE)
    if found is None:
        raise BuildRefused("go.mod has no go line, so the needed Go version is unknown.")
    return int(found[1]), int(found[2])


def _check_interpreter() -> None:
    version = ".".join(map(str, sys.version_info[:2]))
    if sys.implementation.name != "cpython":
        raise BuildRefused(
            f"fraiseql-subscriptions needs CPython; this interpreter is {sys.implementation.name}."
        )
    if sys.version_info < MINIMUM_PYTHON:
        oldest = ".".join(map(str, MINIMUM_PYTHON))
        raise BuildRefused(
            f"fraiseql-subscriptions needs CPython {oldest} or newer; this is {version}."
        )
    if sysconfig.get_config_var("Py_GIL_DISABLED"):
        raise BuildRefused(
            "fraiseql-subscriptions does not support free-threaded CPython: "
            f"use the ordinary build of {version}."
        )


def _check_platform() -> None:
    if sys.platform not in ("linux", "darwin"):
        raise BuildRefused(
            f"fraiseql-subscriptions builds on Linux and macOS; this is {sys.platform}."
        )
    if sys.maxsize < 2**63 - 1:
        raise BuildRefused("fraiseql-subscriptions needs a 64-bit interpreter; this one is 32-bit.")
    if _is_musl():
        raise BuildRefused(
            "fraiseql-subscriptions cannot be loaded on musl (Alpine): a Go shared library "
            "needs static thread-local storage there; use an image with glibc, such as Debian's."
        )


def _is_musl() -> bool:
    names = (sysconfig.get_config_var("SOABI"), sysconfig.get_config_var("HOST_GNU_TYPE"))
    return any("musl" in str(name) for name in names) or platform.libc_ver()[0] == "musl"


def _find_go() -> tuple[str, str]:
    oldest = minimum_go()
    wanted = f"Go {oldest[0]}.{oldest[1]} or newer"
    go = shutil.which("go")
    if go is None:
        raise BuildRefused(
            "fraiseql-subscriptions is compiled with Go and found no `go` on PATH: "
            f"install {wanted}."
        )
    environment = {"GOTOOLCHAIN": "local", **os.environ}
    # Asked outside the module: inside it, an old Go answers with an error about go.mod.
    with tempfile.TemporaryDirectory() as elsewhere:
        answer = subprocess.run(
            [go, "env", "GOVERSION"],
            cwd=elsewhere,
            env=environment,
            capture_output=True,
            text=True,
            check=False,
        )
    version = answer.stdout.strip()
    found = re.match(r"(?:devel )?go(\d+)\.(\d+)", version)
    if answer.returncode != 0 or found is None:
        said = (answer.stderr or answer.stdout).strip() or "nothing"
        raise BuildRefused(f"{go} does not tell its version (it said: {said}): install {wanted}.")
    if (int(found[1]), int(found[2])) < oldest:
        raise BuildRefused(f"fraiseql-subscriptions needs {wanted}; {go} is {version}.")
    return go, version


def _find_headers() -> str:
    include = sysconfig.get_path("include")
    if not (Path(include) / "Python.h").is_file():
        version = ".".join(map(str, sys.version_info[:2]))
        raise BuildRefused(
            f"Python.h of CPython {version} is not in {include}: install the interpreter's "
            f"development headers (python{version}-dev on Debian and Ubuntu)."
        )
    return include


def _check_compiler(go: str, environment: dict[str, str]) -> None:
    answer = subprocess.run(
        [go, "env", "CC"], cwd=ROOT, env=environment, capture_output=True, text=True, check=False
    )
    compiler = shlex.split(answer.stdout.strip() or "gcc")[0]
    if shutil.which(compiler, path=environment.get("PATH")) is None:
        raise BuildRefused(
            f"fraiseql-subscriptions needs a C compiler and found no `{compiler}` on PATH: "
            "install gcc or clang, or name yours in CC."
        )


def _environment(include: str) -> dict[str, str]:
    """What Go commands run with: cgo for this interpreter, no download of another Go."""
    environment = dict(os.environ)
    environment.setdefault("GOTOOLCHAIN", "local")
    environment["CGO_ENABLED"] = "1"
    environment["GOWORK"] = "off"
    # A checkout owned by another user makes git refuse, and with it `go build`.
    environment["GOFLAGS"] = f"{os.environ.get('GOFLAGS', '')} -buildvcs=false".strip()
    # -O2 and never -Ofast, which would change floating point in the whole process.
    flags = shlex.join(["-O2", f"-I{include}"])
    environment["CGO_CFLAGS"] = f"{flags} {os.environ.get('CGO_CFLAGS', '')}".strip()
    # Python's symbols come from the interpreter that loads the module, so they stay undefined.
    # ELF allows that in a shared object by itself; Mach-O has to be told.
    if sys.platform == "darwin":
        given = os.environ.get("CGO_LDFLAGS", "")
        environment["CGO_LDFLAGS"] = f"{given} -Wl,-undefined,dynamic_lookup".strip()
    return environment
