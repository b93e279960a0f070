"""A PostgreSQL for benchmarks: the tests' own, with the durability that a server has by default."""

from __future__ import annotations

import contextlib
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import psutil

sys.path.append(str(Path(__file__).resolve().parents[2] / "tests" / "support"))

from postgres_server import run_server

if TYPE_CHECKING:
    from postgres_server import PostgresServer

__all__ = ["Cost", "Database", "database"]


class Database:
    """A database with the schema, on a server of its own."""

    def __init__(self, server: PostgresServer) -> None:
        self.server = server
        self.url = server.installed()
        self.name = self.url.rpartition("/")[2].partition("?")[0]

    def value(self, sql: str) -> float:
        """The one number that a statement gives."""
        return float(self.server.sql(self.name, sql))

    def cost(self) -> Cost:
        """What the server has done so far."""
        return Cost(self)


class Cost:
    """Bytes of the write-ahead log and seconds of processor time up to now, of the whole server."""

    def __init__(self, database: Database) -> None:
        self.wal = database.value("SELECT pg_current_wal_insert_lsn() - '0/0'")
        main = psutil.Process(database.server.pid)
        # Sessions that have ended count as the main process's children.
        self.processor = sum(main.cpu_times()[:4])
        for process in main.children():
            with contextlib.suppress(psutil.NoSuchProcess):
                self.processor += sum(process.cpu_times()[:2])


@contextmanager
def database() -> Iterator[Database]:
    """A database for as long as the block runs."""
    with run_server("fsync=on") as server:
        yield Database(server)
