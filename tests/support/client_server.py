"""The clients' server as a process: started on a free port, killed, started again on the same."""

from __future__ import annotations

import json
import signal
import socket
import subprocess
import sys
import threading
import time
import urllib.error
import urllib.request
from collections.abc import Callable
from pathlib import Path
from typing import Any, Final

__all__ = ["PATIENCE", "ClientServer", "free_port", "until"]

#: Seconds after which a wait is a failure.
PATIENCE: Final = 30.0
_APPLICATION: Final = Path(__file__).resolve().parents[1] / "clients" / "application.py"


def until(condition: Callable[[], object], what: str = "the condition") -> None:
    """Wait for a condition, and fail with a message when it does not come."""
    deadline = time.monotonic() + PATIENCE
    tick = threading.Event()
    while not condition():
        assert time.monotonic() < deadline, f"{what} did not come in {PATIENCE} s"
        tick.wait(0.01)


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


class ClientServer:
    """tests/clients/application.py under uvicorn. `options` are GraphQLSubscriptions' own."""

    def __init__(self, **options: Any) -> None:
        self._options = json.dumps(options)
        self._process: subprocess.Popen[str] | None = None
        self.port = free_port()
        self.url = f"ws://127.0.0.1:{self.port}/graphql/"

    def start(self) -> None:
        assert self._process is None
        command = [sys.executable, "-W", "error", str(_APPLICATION), str(self.port), self._options]
        self._process = subprocess.Popen(command, stderr=subprocess.PIPE, text=True)
        until(self._answers, "the server")

    def _answers(self) -> bool:
        assert self._process is not None
        if self._process.poll() is not None:
            assert self._process.stderr is not None
            raise AssertionError(f"the server did not start: {self._process.stderr.read()}")
        try:
            self.metrics()
        except urllib.error.URLError:
            return False
        return True

    def stop(self) -> str:
        """Ask it to end, as a deployment does; what it wrote to stderr."""
        assert self._process is not None
        self._process.terminate()
        return self._gone(-signal.SIGTERM)  # uvicorn passes it on when it has shut down

    def kill(self) -> str:
        """End it as a crash does."""
        assert self._process is not None
        self._process.kill()
        return self._gone(-signal.SIGKILL)

    def _gone(self, expected: int) -> str:
        assert self._process is not None
        _, errors = self._process.communicate(timeout=PATIENCE)
        status, self._process = self._process.returncode, None
        assert status == expected, errors
        return errors

    def close(self) -> None:
        """End it if a test has not, and fail if it complained."""
        if self._process is not None:
            errors = self.stop()
            assert not errors, errors

    def metrics(self) -> dict[str, Any]:
        found: dict[str, Any] = self._ask("metrics")
        return found

    def expect_active(self, count: int) -> None:
        """Wait until so many subscriptions live."""
        until(lambda: self.metrics()["active"] == count, f"{count} subscriptions")

    def publish(self, channel: str, data: dict[str, Any]) -> None:
        self._ask("publish", {"channel": channel, "data": data})

    def end(self, filter: dict[str, Any]) -> int:  # noqa: A002
        """Complete the subscriptions that a filter finds; how many."""
        ended: int = self._ask("end", filter)
        return ended

    def _ask(self, path: str, body: Any = None) -> Any:
        request = urllib.request.Request(
            f"http://127.0.0.1:{self.port}/{path}",
            data=None if body is None else json.dumps(body).encode(),
        )
        with urllib.request.urlopen(request, timeout=PATIENCE) as answer:
            return json.load(answer)
