"""A redis-server of a test's own: in a temporary folder, on a free port, gone afterwards."""

from __future__ import annotations

import shutil
import signal
import subprocess
import tempfile
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

from postgres_server import free_port

__all__ = ["RedisServer", "run_redis"]

_PATIENCE: Final = 30.0


class RedisServer:
    """A server that keeps every write (``appendfsync always``), and can be stopped and started."""

    def __init__(self, folder: Path, port: int) -> None:
        self.port = port
        self._folder = folder
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def url(self) -> str:
        """Where it is."""
        return f"redis://127.0.0.1:{self.port}/0"

    def start(self) -> None:
        """Start it where it was, with what it had; it answers on return."""
        self._mend()
        program = shutil.which("redis-server")
        assert program is not None, "redis-server is missing; install Debian's redis-server"
        self._process = subprocess.Popen(
            [
                *(program, "--port", str(self.port), "--bind", "127.0.0.1"),
                *("--dir", str(self._folder), "--save", ""),
                *("--appendonly", "yes", "--appendfsync", "always"),
                *("--logfile", str(self._folder / "redis.log")),
            ]
        )
        deadline = time.monotonic() + _PATIENCE
        tick = threading.Event()
        while self._answer("PING") != "PONG":
            assert self._process.poll() is None, (self._folder / "redis.log").read_text()
            assert time.monotonic() < deadline, "redis-server did not start"
            tick.wait(0.01)

    def _mend(self) -> None:
        """Take out what a SIGKILL has left half-written, as operators are told to.

        Redis 7.0.15 cuts the file off behind the last whole command. Where that is within a
        transaction, it goes on writing there, and at the start after this one it executes the
        commands before the cut: entries appear that nobody was answered for.
        """
        manifest = self._folder / "appendonlydir" / "appendonly.aof.manifest"
        if manifest.exists():
            subprocess.run(
                ["redis-check-aof", "--fix", manifest],
                input="y\n",
                text=True,
                stdout=subprocess.DEVNULL,
                check=True,
                timeout=_PATIENCE,
            )

    def kill(self, by: signal.Signals = signal.SIGKILL) -> None:
        """End it by a signal: SIGKILL at once, SIGTERM in order."""
        assert self._process is not None
        self._process.send_signal(by)
        self._process.wait(_PATIENCE)

    def pause(self) -> None:
        """Stop it without closing its connections: it answers nothing."""
        assert self._process is not None
        self._process.send_signal(signal.SIGSTOP)

    def resume(self) -> None:
        """Let it go on."""
        assert self._process is not None
        self._process.send_signal(signal.SIGCONT)

    def command(self, *words: str) -> str:
        """What redis-cli prints for a command."""
        answer = self._answer(*words)
        assert not answer.startswith("ERR"), answer
        return answer

    def _answer(self, *words: str) -> str:
        return subprocess.run(
            ["redis-cli", "-h", "127.0.0.1", "-p", str(self.port), *words],
            capture_output=True,
            text=True,
            check=False,
            timeout=_PATIENCE,
        ).stdout.strip()

    def stop(self) -> None:
        """End it, whatever it is doing."""
        if self._process is not None and self._process.poll() is None:
            self.resume()
            self.kill()


@contextmanager
def run_redis() -> Iterator[RedisServer]:
    """A server for as long as the block runs."""
    with tempfile.TemporaryDirectory(prefix="redistest") as folder:
        server = RedisServer(Path(folder), free_port())
        server.start()
        try:
            yield server
        finally:
            server.stop()
