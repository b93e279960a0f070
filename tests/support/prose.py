"""Pages whose blocks are run: programs with what they print, files, and consoles.

A block of Python that begins with ``# name.py`` is that file; others are programs of their
own. Consoles are typed in a folder that has all files of the page, with a free port in place of
8000: a line that begins with ``$`` is a command, ``&`` at its end leaves it running.
"""

from __future__ import annotations

import contextlib
import os
import re
import shlex
import socket
import subprocess
import threading
import time
from collections.abc import Collection, Iterator, Mapping
from pathlib import Path
from typing import Final

from postgres_server import free_port

__all__ = ["DOCS", "Page", "run_console"]

DOCS: Final = Path(__file__).parents[2] / "docs"
_BLOCK: Final = re.compile(r"^```(\w*)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
_NAMED: Final = re.compile(r"# (\w+\.py)\n")
#: Seconds after which a wait is a failure.
_PATIENCE: Final = 60.0


class Page:
    """A page's programs, files and consoles, with the titles of their sections."""

    def __init__(self, path: Path, *, elsewhere: Collection[str] = (), only: str = "") -> None:
        """Read it, without the sections `elsewhere`, or consoles and programs of one `only`."""
        self.name = path.stem
        self.files: dict[str, str] = {}
        self.programs: list[tuple[str, str, str]] = []
        self.consoles: list[tuple[str, str]] = []
        text = path.read_text(encoding="utf-8")
        for title, section in re.findall(
            r"^## (.*?)\n(.*?)(?=^## |\Z)", text, re.MULTILINE | re.DOTALL
        ):
            blocks = _BLOCK.findall(section)
            self._name_files(blocks)
            if title not in elsewhere and only in ("", title):
                self._read(title, blocks)

    def _name_files(self, blocks: list[tuple[str, str]]) -> None:
        for language, block in blocks:
            if language == "python" and (named := _NAMED.match(block)):
                assert named[1] not in self.files, f"{named[1]} is there twice"
                self.files[named[1]] = block

    def _read(self, title: str, blocks: list[tuple[str, str]]) -> None:
        printed = False
        for index, (language, block) in enumerate(blocks):
            if language == "python" and _NAMED.match(block):
                continue
            if language == "python":
                printed = blocks[index + 1 : index + 2] != [] and blocks[index + 1][0] == "text"
                self.programs.append((title, block, blocks[index + 1][1] if printed else ""))
            elif language == "console":
                self.consoles.append((title, block))
            else:
                assert language == "text", f"{title}: a block of {language or 'no language'}"
                assert printed, f"{title}: nothing prints {block!r}"
                printed = False


def run_console(
    page: Page,
    console: str,
    folder: Path,
    python: str,
    environment: Mapping[str, str] | None = None,
) -> str:
    """Type what a console shows in `folder`; what it would show."""
    port = str(free_port())
    settings = {**os.environ, **(environment or {})}
    for name, text in page.files.items():
        (folder / name).write_text(text.replace("8000", port))
    given = ""
    with contextlib.ExitStack() as stack:
        for line in console.splitlines():
            if not line.startswith("$ "):
                continue
            given += f"{line}\n"
            command = shlex.split(line[2:].replace("8000", port))
            if command[-1] == "&":
                stack.enter_context(_running(command[:-1], folder, python, settings, int(port)))
            else:
                given += _typed(command, folder, python, settings)
    return given


def _typed(words: list[str], folder: Path, python: str, settings: Mapping[str, str]) -> str:
    """What a command prints."""
    if words[:2] == ["pip", "install"]:  # here it is all installed, and pip says so or fails
        words[2:2] = ["--dry-run", "--no-index", "--quiet", "--no-build-isolation"]
    done = subprocess.run(
        [python, *([] if words[0] == "python" else ["-m", words[0]]), *words[1:]],
        cwd=folder, env=settings, capture_output=True, text=True, timeout=_PATIENCE, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    return done.stdout


@contextlib.contextmanager
def _running(
    words: list[str], folder: Path, python: str, settings: Mapping[str, str], port: int
) -> Iterator[None]:
    """A server for the block."""
    log = folder / "log"
    with log.open("w") as file:
        process = subprocess.Popen(
            [python, "-m", *words], cwd=folder, env=settings, stdout=file, stderr=file
        )
    try:
        deadline = time.monotonic() + _PATIENCE
        tick = threading.Event()
        while not _listens(port):
            assert process.poll() is None, log.read_text()
            assert time.monotonic() < deadline, f"{words} does not listen:\n{log.read_text()}"
            tick.wait(0.02)
        yield
    finally:
        process.terminate()
        process.wait(_PATIENCE)
    assert "Traceback" not in log.read_text(), log.read_text()


def _listens(port: int) -> bool:
    with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port), 1):
        return True
    return False
