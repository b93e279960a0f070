"""A PostgreSQL of a test's own: in a temporary folder, on a free loopback port, gone afterwards.

The server is looked for as the engine's Go tests do: in the folder that PGBIN names, on PATH,
and where Debian puts it. As root it runs as another user, since PostgreSQL refuses root.
"""

from __future__ import annotations

import contextlib
import os
import pwd
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

import psutil

__all__ = ["PostgresServer", "free_port", "run_server"]

_PATIENCE: Final = 60.0
_SETTINGS: Final = ("listen_addresses=127.0.0.1", "fsync=off", "max_prepared_transactions=10")


class PostgresServer:
    """A running server. Its superuser is ``postgres``; whoever connects is trusted, save the role
    ``secret``, who needs a password."""

    def __init__(self, folder: Path, settings: tuple[str, ...] = ()) -> None:
        self.port = free_port()
        self._settings = (*_SETTINGS, *settings)
        self._folder = folder
        self._programs = _programs()
        self._owner = _owner()
        self._databases = 0
        self._process: subprocess.Popen[bytes] | None = None
        if self._owner is not None:
            os.chown(folder, self._owner, -1)
        subprocess.run(
            [self._programs / "initdb", "-D", folder / "data", "-U", "postgres", "--auth=trust",
             "--no-sync", "--encoding=UTF8", "--locale=C"],
            user=self._owner, cwd=folder, capture_output=True, timeout=_PATIENCE, check=True,
        )  # fmt: skip
        rules = folder / "data" / "pg_hba.conf"
        rules.write_text("host all secret 127.0.0.1/32 scram-sha-256\n" + rules.read_text())

    def up(self) -> None:
        """Start it with what it had; it takes connections on return."""
        settings = [part for setting in self._settings for part in ("-c", setting)]
        deadline = time.monotonic() + _PATIENCE
        while True:
            with (self._folder / "log").open("a") as log:
                self._process = subprocess.Popen(
                    [self._programs / "postgres", "-D", self._folder / "data",
                     "-p", str(self.port), "-k", self._folder, *settings],
                    user=self._owner, cwd=self._folder, stdout=log, stderr=log,
                    start_new_session=True,
                )  # fmt: skip
            if self._answers(deadline):
                return
            # After a kill, what was left of it may hold its memory for a moment.
            assert time.monotonic() < deadline, (self._folder / "log").read_text()

    def _answers(self, deadline: float) -> bool:
        assert self._process is not None
        tick = threading.Event()
        ready: list[str | Path] = [
            *(self._programs / "pg_isready", "-q", "-h", "127.0.0.1", "-p", str(self.port))
        ]
        while subprocess.run(ready, timeout=_PATIENCE, check=False).returncode != 0:
            if self._process.poll() is not None or time.monotonic() > deadline:
                return False
            tick.wait(0.02)
        return True

    @property
    def pid(self) -> int:
        """The process of which the others are children."""
        assert self._process is not None
        return self._process.pid

    def down(self, signal_: signal.Signals = signal.SIGINT) -> None:
        """End it: SIGINT ends sessions and stops in order, SIGKILL is a crash of all of it."""
        assert self._process is not None
        victims = [self._process.pid]
        if signal_ is signal.SIGKILL:
            victims += [child.pid for child in psutil.Process(self._process.pid).children()]
        for pid in victims:
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal_)
        self._process.wait(_PATIENCE)

    def url(self, database: str, role: str = "postgres") -> str:
        """Where `role` finds `database`."""
        return f"postgresql://{role}@127.0.0.1:{self.port}/{database}?sslmode=disable"

    def installed(self) -> str:
        """The URL of a new database with the outbox's schema."""
        url = self.url(self.new_database())
        command = [sys.executable, "-m", "fraiseql_subscriptions", "postgres", "install", url]
        subprocess.run(command, capture_output=True, timeout=_PATIENCE, check=True)
        return url

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
def run_server(*settings: str) -> Iterator[PostgresServer]:
    """A server for as long as the block runs, with settings such as ``"fsync=on"``."""
    with tempfile.TemporaryDirectory(prefix="pgtest") as name:
        server = PostgresServer(Path(name), settings)
        server.up()
        try:
            yield server
        finally:
            server.down()


def free_port() -> int:
    """A port of the loopback interface that nobody uses now."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port: int = listener.getsockname()[1]
        return port


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
