"""Every program of the guide runs as printed and prints what stands below it.

A block of Python that begins with ``# name.py`` is that file; others are programs of their
own. Consoles are typed in a folder that has all files of the page, with a free port in place of
8000: a line that begins with ``$`` is a command, ``&`` at its end leaves it running.
"""

from __future__ import annotations

import contextlib
import re
import shlex
import socket
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from postgres_server import free_port

Run = Callable[..., subprocess.CompletedProcess[str]]

DOCS = Path(__file__).parents[2] / "docs"
BLOCK = re.compile(r"^```(\w*)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
#: What a test of its own types, since it needs an environment of its own.
ELSEWHERE = {"FraiseQL": "tests/fraiseql/test_guide.py"}


class Page:
    """A page's programs, files and consoles, with the titles of their sections."""

    def __init__(self, path: Path) -> None:
        self.name = path.stem
        self.files: dict[str, str] = {}
        self.programs: list[tuple[str, str, str]] = []
        self.consoles: list[tuple[str, str]] = []
        text = path.read_text(encoding="utf-8")
        for title, section in re.findall(
            r"^## (.*?)\n(.*?)(?=^## |\Z)", text, re.MULTILINE | re.DOTALL
        ):
            if title not in ELSEWHERE:
                self._read(title, BLOCK.findall(section))

    def _read(self, title: str, blocks: list[tuple[str, str]]) -> None:
        printed = False
        for index, (language, block) in enumerate(blocks):
            if language == "python" and (named := re.match(r"# (\w+\.py)\n", block)):
                self.files[named[1]] = block
            elif language == "python":
                printed = blocks[index + 1 : index + 2] != [] and blocks[index + 1][0] == "text"
                self.programs.append((title, block, blocks[index + 1][1] if printed else ""))
            elif language == "console":
                self.consoles.append((title, block))
            else:
                assert language == "text", f"{title}: a block of {language or 'no language'}"
                assert printed, f"{title}: nothing prints {block!r}"
                printed = False


PAGES = [Page(DOCS / f"{name}.md") for name in ("guide", "troubleshooting")]
PROGRAMS = [(page.name, *one) for page in PAGES for one in page.programs]
CONSOLES = [(page, *one) for page in PAGES for one in page.consoles]


@pytest.mark.parametrize(
    ("program", "output"),
    [(program, output) for _, _, program, output in PROGRAMS],
    ids=[f"{page}: {title}" for page, title, _, _ in PROGRAMS],
)
def test_it_prints_what_stands_below_it(run_python: Run, program: str, output: str) -> None:
    done = run_python(program)
    assert done.stdout == output
    assert "Traceback" not in done.stderr  # a failing resolver is logged there


@pytest.mark.parametrize(
    ("page", "console"),
    [(page, console) for page, _, console in CONSOLES],
    ids=[f"{page.name}: {title}" for page, title, _ in CONSOLES],
)
def test_what_is_typed_gives_what_stands_below_it(
    page: Page, console: str, tmp_path: Path, until: Callable[..., None]
) -> None:
    port = str(free_port())
    for name, text in page.files.items():
        (tmp_path / name).write_text(text.replace("8000", port))
    given = ""
    with contextlib.ExitStack() as stack:
        for line in console.splitlines():
            if not line.startswith("$ "):
                continue
            command = line[2:].replace("8000", port)
            if command.endswith(" &"):
                stack.enter_context(running(command[:-2], tmp_path, int(port), until))
                given += f"{line}\n"
            else:
                given += f"{line}\n{typed(command, tmp_path)}"
    assert given == console


def typed(command: str, folder: Path) -> str:
    """What a command prints."""
    words = shlex.split(command)
    if words[:2] == ["pip", "install"]:  # here it is all installed, and pip says so or fails
        words[2:2] = ["--dry-run", "--no-index", "--quiet", "--no-build-isolation"]
    module = [] if words[0] == "python" else ["-m", words[0]]
    done = subprocess.run(
        [sys.executable, *module, *words[1:]],
        cwd=folder, capture_output=True, text=True, timeout=60, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    return done.stdout


@contextlib.contextmanager
def running(command: str, folder: Path, port: int, until: Callable[..., None]) -> Iterator[None]:
    """A server for the block."""
    log = folder / "log"

    def listens() -> bool:
        assert process.poll() is None, log.read_text()
        with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port), 1):
            return True
        return False

    with log.open("w") as file:
        process = subprocess.Popen(
            [sys.executable, "-m", *shlex.split(command)], cwd=folder, stdout=file, stderr=file
        )
    try:
        until(listens, command)
        yield
    finally:
        process.terminate()
        process.wait(20)
    assert "Traceback" not in log.read_text(), log.read_text()
