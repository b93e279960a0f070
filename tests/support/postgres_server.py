"""A PostgreSQL of a test's own: in a temporary folder, on a free loopback port, gone afterwards.

The server is looked for as the engine's Go tests do: in the folder that PGBIN names, on PATH,
and where Debian puts it. As root it runs as another user, since PostgreSQL refuses root.
"""

from __future__ import annotations

import os
import pwd
import shutil
import signal
import socket
import subprocess
import tempfile
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

__all__ = ["PostgresServer", "free_port", "run_server"]

_PATIENCE: Final = 60.0
_SETTINGS: Final = ("listen_addresses=127.0.0.1", "fsync=off", "max_prepared_transactions=10")


class PostgresServer:
    """A running server. Its superuser is ``postgres``; whoever connects is trusted, save the role
    ``secret``, who needs a password."""

    def __init__(self, programs: Path, port: int) -> None:
        self.port = port
        self._programs = programs
        self._databases = 0

    def url(self, database: str, role: str = "postgres") -> str:
        """Where `role` finds `database`."""
        return f"postgresql://{role}@127.0.0.1:{self.port}/{database}?sslmode=disable"

    def new_database(self) -> str:
        """The name of a new, empty database."""
        self._databases += 1
        name = f"test_{self._databases}"
        self.sql("postgres", f"CREATE DATABASE {name}")
        return name

    def sql(self, database: str, statements: str, *, role: str = "postgres") -> str:
        """What psql prints for `statements`, unaligned; CalledProcessError at the first refused."""
        return self.program(
            "psql", "-qAtX", "-v", "ON_ERROR_STOP=1", self.url(database, role), text=statements
        ).strip()

    def program(self, name: str, *arguments: str, text: str = "") -> str:
        """Run one of PostgreSQL's programs to its end; what it printed."""
        try:
            return subprocess.run(
                [self._programs / name, *arguments],
                input=text,
                capture_output=True,
                text=True,
                timeout=_PATIENCE,
                check=True,
            ).stdout
        except subprocess.CalledProcessError as error:
            raise AssertionError(f"{name}: {error.stderr}") from error

    def session(self, database: str) -> subprocess.Popen[str]:
        """A psql that stays: SQL goes to its stdin, results come from its stdout."""
        return subprocess.Popen(
            [self._programs / "psql", "-qAtX", self.url(database)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            bufsize=1,
        )


@contextmanager
def run_server() -> Iterator[PostgresServer]:
    """A server for as long as the block runs."""
    programs = _programs()
    owner = _owner()
    with tempfile.TemporaryDirectory(prefix="pgtest") as name:
        folder = Path(name)
        data = folder / "data"
        if owner is not None:
            os.chown(folder, owner, -1)
        subprocess.run(
            [programs / "initdb", "-D", data, "-U", "postgres", "--auth=trust", "--no-sync",
             "--encoding=UTF8", "--locale=C"],
            user=owner, cwd=folder, capture_output=True, timeout=_PATIENCE, check=True,
        )  # fmt: skip
        rules = data / "pg_hba.conf"
        rules.write_text("host all secret 127.0.0.1/32 scram-sha-256\n" + rules.read_text())
        port = free_port()
        settings = [part for setting in _SETTINGS for part in ("-c", setting)]
        with (folder / "log").open("w") as log:
            process = subprocess.Popen(
                [programs / "postgres", "-D", data, "-p", str(port), "-k", folder, *settings],
                user=owner, cwd=folder, stdout=log, stderr=log, start_new_session=True,
            )  # fmt: skip
        try:
            _await(programs, port, process, folder / "log")
            yield PostgresServer(programs, port)
        finally:
            process.send_signal(signal.SIGINT)  # ends sessions, stops in order
            process.wait(_PATIENCE)


def free_port() -> int:
    """A port of the loopback interface that nobody uses now."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port: int = listener.getsockname()[1]
        return port


def _await(programs: Path, port: int, process: subprocess.Popen[bytes], log: Path) -> None:
    deadline = time.monotonic() + _PATIENCE
    tick = threading.Event()
    ready: list[str | Path] = [programs / "pg_isready", "-q", "-h", "127.0.0.1", "-p", str(port)]
    while subprocess.run(ready, timeout=_PATIENCE, check=False).returncode != 0:
        if process.poll() is not None or time.monotonic() > deadline:
            raise AssertionError(f"the server did not start:\n{log.read_text()}")
        tick.wait(0.02)


def _programs() -> Path:
    if folder := os.environ.get("PGBIN"):
        return Path(folder)
    if found := shutil.which("initdb"):
        return Path(found).resolve().parent
    debian = [path.parent for path in Path("/usr/lib/postgresql").glob("*/bin/initdb")]
    if not debian:
        raise AssertionError(
            "no PostgreSQL server is installed (apt-get install postgresql); PGBIN names the "
            "folder of initdb"
        )
    return max(debian, key=lambda path: int(path.parent.name) if path.parent.name.isdigit() else 0)


def _owner() -> int | None:
    """Whom the server runs as: None for this process's own user."""
    if os.geteuid() != 0:
        return None
    known = {user.pw_name: user.pw_uid for user in pwd.getpwall()}
    found = known.get("postgres", known.get("nobody"))
    if found is None:
        raise AssertionError("this is root, and no user postgres or nobody can run a server")
    return found
