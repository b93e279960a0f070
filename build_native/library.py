"""Compiles the generated sources into the shared object that Python imports."""

from __future__ import annotations

import filecmp
import os
import re
import shutil
import subprocess
from pathlib import Path

from build_native import GO_PACKAGE
from build_native.bindings import generate
from build_native.toolchain import ROOT, BuildRefused, check

#: What the engine spends its time on, for the compiler; `make profile` renews it.
PROFILE = "go/engine.pgo"


def build(target: Path) -> None:
    """Build the native module for the running interpreter as the file `target`.

    Raises BuildRefused. Go's build cache makes a second build a matter of seconds. A process
    that has loaded an earlier build keeps it: the file is replaced, never written into.
    """
    toolchain = check()
    folder = generate(toolchain)
    # A folder of its own: Go takes a header beside the sources, which c-shared writes, for one.
    built = folder / "out" / "native.so"
    command = [
        toolchain.go,
        "build",
        "-buildmode=c-shared",
        "-trimpath",
        f"-pgo={ROOT / PROFILE}",
        # -s -w: no symbol table and no debugging data, a third of the size.
        f"-ldflags=-s -w -X {GO_PACKAGE}.version={version()}",
        "-o",
        str(built),
        f"./{folder.relative_to(ROOT)}",
    ]
    if subprocess.run(command, cwd=ROOT, env=toolchain.environment, check=False).returncode != 0:
        raise BuildRefused("compiling the engine failed; the lines above are Go's own.")
    if target.is_file() and filecmp.cmp(built, target, shallow=False):
        return
    target.parent.mkdir(parents=True, exist_ok=True)
    fresh = target.with_suffix(".new")
    shutil.copy(built, fresh)
    os.replace(fresh, target)


def version() -> str:
    """The distribution's version, from pyproject.toml."""
    text = (ROOT / "pyproject.toml").read_text(encoding="utf-8")
    found = re.search(r'^version = "([^"]+)"$', text, re.MULTILINE)
    if found is None:
        raise BuildRefused("pyproject.toml has no version.")
    return found[1]
