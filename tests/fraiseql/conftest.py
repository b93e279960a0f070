"""Real FraiseQL applications: each version on its CPython, in an environment made for it."""

from __future__ import annotations

import contextlib
import os
import subprocess
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import pytest
from postgres_server import PostgresServer, free_port, run_server

ROOT: Final = Path(__file__).parents[2]
VERSIONS: Final = ["0.5.3", "1.9.16"]
#: Seconds after which a wait is a failure.
PATIENCE: Final = 60.0


@pytest.fixture(scope="session", params=VERSIONS)
def python(request: pytest.FixtureRequest) -> str:
    """The interpreter of an environment with one version of FraiseQL and this package."""
    done = subprocess.run(
        [ROOT / "scripts" / "fraiseql.sh", request.param],
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    return done.stdout.strip()


@pytest.fixture(scope="session")
def postgres() -> Iterator[PostgresServer]:
    with run_server() as server:
        yield server


@dataclass
class Served:
    """An application that is being served."""

    port: int
    log: Path
    database: str
    #: How many failures it is to have logged in the end.
    failures: int = 0

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    @property
    def socket(self) -> str:
        return f"ws://127.0.0.1:{self.port}/graphql/subscriptions"

    def until_logged(self, text: str) -> None:
        """Wait until the application has written `text`."""
        wait(lambda: text in self.log.read_text(), f"{text!r} in its log", self.log)


def wait(condition: Callable[[], object], what: str, log: Path) -> None:
    """Wait for a condition, and fail with the application's log when it does not come."""
    deadline = time.monotonic() + PATIENCE
    tick = threading.Event()
    while not condition():
        assert time.monotonic() < deadline, f"{what} did not come:\n{log.read_text()}"
        tick.wait(0.02)


@pytest.fixture
def serve(
    python: str, postgres: PostgresServer, tmp_path: Path
) -> Callable[..., contextlib.AbstractContextManager[Served]]:
    """Serve ``app:app`` of a folder with uvicorn.

    The database is new and has the folder's schema, unless one is named. With
    ``bus="postgresql"`` it is the application's bus, too.
    """

    @contextlib.contextmanager
    def serving(
        folder: Path, *options: str, database: str = "", bus: str = "memory"
    ) -> Iterator[Served]:
        if not database:
            database = postgres.new_database()
            schema = folder / "schema.sql"
            if schema.exists():
                postgres.sql(database, schema.read_text())
            if bus == "postgresql":
                subprocess.run(
                    [python, "-m", "fraiseql_subscriptions", "postgres", "install",
                     postgres.url(database)],
                    check=True, capture_output=True, timeout=PATIENCE,
                )  # fmt: skip
        environment = {"DATABASE_URL": postgres.url(database)}
        if bus == "postgresql":
            environment["SUBSCRIPTIONS_BUS"] = postgres.url(database)
        port = free_port()
        served = Served(port, tmp_path / f"{port}.log", database)
        with served.log.open("w") as log:
            process = subprocess.Popen(
                [python, "-m", "uvicorn", "app:app", "--port", str(served.port),
                 "--app-dir", folder, *options],
                cwd=tmp_path, stdout=log, stderr=log,
                env={**os.environ, **environment},
            )  # fmt: skip
        try:
            wait(
                lambda: (
                    "Uvicorn running on" in served.log.read_text() or process.poll() is not None
                ),
                "the start",
                served.log,
            )
            assert process.poll() is None, served.log.read_text()
            yield served
        finally:
            process.terminate()
            process.wait(PATIENCE)
        written = served.log.read_text()
        assert written.count("Traceback") == served.failures, written

    return serving
