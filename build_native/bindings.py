"""Generates the sources of the native module: gopy, then pybindgen, then `rewrite`.

The result is one Go main package: gopy's Go file, pybindgen's C file and nothing else.
It is kept under build/ and made anew only when go/api, the tools or these steps change,
so that a rebuild after a change elsewhere in Go is a plain `go build`.
"""

from __future__ import annotations

import hashlib
import shutil
import subprocess
import sys
from pathlib import Path

from build_native import GO_PACKAGE, rewrite
from build_native.toolchain import ROOT, BuildRefused, Toolchain

_STAMP = "stamp.txt"


def generate(toolchain: Toolchain) -> Path:
    """The folder with up-to-date generated sources for this interpreter."""
    folder = ROOT / "build" / "_native" / toolchain.tag
    stamp = _fingerprint(toolchain)
    if (folder / _STAMP).is_file() and (folder / _STAMP).read_text(encoding="utf-8") == stamp:
        return folder
    shutil.rmtree(folder, ignore_errors=True)
    raw = folder / "raw"  # gopy's files as they came, to read when a step fails
    raw.mkdir(parents=True)
    arguments = [f"-vm={sys.executable}", "-name=native", f"-output={raw}", "-rename", "-no-make"]
    _run([_tool("gopy", toolchain), "gen", *arguments, GO_PACKAGE], ROOT, toolchain)

    functions = rewrite.functions_of((raw / "api.py").read_text(encoding="utf-8"), _facade())
    go_file = folder / "native.go"
    go_file.write_text(
        rewrite.go_source((raw / "native.go").read_text(encoding="utf-8"), functions),
        encoding="utf-8",
    )
    _run([_tool("goimports", toolchain), "-w", str(go_file)], ROOT, toolchain)
    # cgo reads every .go file of the folder and compiles every .c file: raw/ is another one.
    script = raw / "build_native.py"
    script.write_text(
        rewrite.build_script((raw / "build.py").read_text(encoding="utf-8"), functions),
        encoding="utf-8",
    )
    _run([sys.executable, str(script)], folder, toolchain)
    (folder / _STAMP).write_text(stamp, encoding="utf-8")
    return folder


def _facade() -> str:
    """The text of go/api without its tests."""
    files = sorted((ROOT / "go" / "api").glob("*.go"))
    return "\n".join(
        file.read_text(encoding="utf-8") for file in files if not file.name.endswith("_test.go")
    )


def _fingerprint(toolchain: Toolchain) -> str:
    """A digest of all that the generated text depends on."""
    digest = hashlib.sha256()
    for text in (toolchain.go_version, sys.version, toolchain.include, _facade()):
        digest.update(text.encode())
    for file in (ROOT / "go.sum", *sorted(Path(__file__).parent.glob("*.py"))):
        digest.update(file.read_bytes())
    return digest.hexdigest() + "\n"


def _tool(name: str, toolchain: Toolchain) -> str:
    """The path of a go.mod tool, built once whatever the interpreter's C flags are."""
    without_c = {k: v for k, v in toolchain.environment.items() if not k.startswith("CGO_")}
    without_c["CGO_ENABLED"] = "0"
    command = [toolchain.go, "tool", "-n", name]
    answer = subprocess.run(
        command, cwd=ROOT, env=without_c, stdout=subprocess.PIPE, text=True, check=False
    )
    if answer.returncode != 0:
        raise BuildRefused(f"building {name} failed; the lines above are Go's own.")
    return answer.stdout.strip()


def _run(command: list[str], folder: Path, toolchain: Toolchain) -> None:
    """Run a step quietly; on failure show what it said."""
    answer = subprocess.run(
        command,
        cwd=folder,
        env=toolchain.environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        check=False,
    )
    if answer.returncode != 0:
        print(answer.stdout, file=sys.stderr, flush=True)
        raise BuildRefused(f"{Path(command[0]).name} failed; the lines above are its own.")
