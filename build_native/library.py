"""Compiles the generated sources into the shared object that Python imports."""

from __future__ import annotations

import re
import subprocess
from pathlib import Path

from build_native import GO_PACKAGE
from build_native.bindings import generate
from build_native.toolchain import ROOT, BuildRefused, check


def build(target: Path) -> None:
    """Build the native module for the running interpreter as the file `target`.

    Raises BuildRefused. Go's build cache makes a second build a matter of seconds.
    """
    toolchain = check()
    folder = generate(toolchain)
    target.parent.mkdir(parents=True, exist_ok=True)
    command = [
        toolchain.go,
        "build",
        "-buildmode=c-shared",
        "-trimpath",
        # -s -w: no symbol table and no debugging data, a third of the size.
        f"-ldflags=-s -w -X {GO_PACKAGE}.version={version()}",
        "-o",
        str(target.resolve()),
        f"./{folder.relative_to(ROOT)}",
    ]
    if subprocess.run(command, cwd=ROOT, env=toolchain.environment, check=False).returncode != 0:
        raise BuildRefused("compiling the engine failed; the lines above are Go's own.")
    # c-shared writes a C header beside the library; nobody includes it.
    target.with_suffix(".h").unlink(missing_ok=True)


def version() -> str:
    """The distribution's version, from pyproject.toml."""
    text = (ROOT / "pyproject.toml").read_text(encoding="utf-8")
    found = re.search(r'^version = "([^"]+)"$', text, re.MULTILINE)
    if found is None:
        raise BuildRefused("pyproject.toml has no version.")
    return found[1]
