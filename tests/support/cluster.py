"""Several processes on one bus: each runs bus_node.py.

FAULT_SECONDS is how long a test makes trouble.
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final

__all__ = ["SECONDS", "Process", "run_nodes"]

SECONDS: Final = float(os.environ.get("FAULT_SECONDS", "10"))
_PATIENCE: Final = 120.0


class Process:
    """A node in a process of its own."""

    def __init__(self, url: str, name: str, seed: int) -> None:
        program = Path(__file__).with_name("bus_node.py")
        self._running = subprocess.Popen(
            [sys.executable, "-W", "error", program, url, name, str(seed)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            bufsize=1,
        )
        # What does not come in time is the end of the process, and of the test.
        self._watch = threading.Timer(SECONDS + _PATIENCE, self._running.kill)
        self._watch.start()
        assert self.hear() == "ready"

    def hear(self) -> str:
        """The next line that it prints."""
        assert self._running.stdout is not None
        return self._running.stdout.readline().strip()

    def say(self, line: str) -> None:
        """A command to it."""
        assert self._running.stdin is not None
        self._running.stdin.write(line + "\n")

    def ask(self, line: str) -> Any:
        """What it answers to a command."""
        self.say(line)
        return json.loads(self.hear() or '"the node has ended"')

    def freeze(self, frozen: bool) -> None:
        """Let it not run, or run again."""
        self._running.send_signal(signal.SIGSTOP if frozen else signal.SIGCONT)

    def end(self, expected: int | None = None) -> None:
        """Wait for it to end with a status; None ends it."""
        self._watch.cancel()
        if expected is None:
            self._running.kill()
        assert expected in (None, self._running.wait(_PATIENCE))
        self._running.communicate()


@contextmanager
def run_nodes(urls: Sequence[str], seed: int) -> Iterator[list[Process]]:
    """Nodes that publish and read, one at each URL, for as long as the block runs."""
    started: list[Process] = []
    try:
        for number, url in enumerate(urls):
            started.append(Process(url, f"n{number}", seed * len(urls) + number))
        for one in started:
            one.say("start")
        yield started
    finally:
        for one in started:
            one.end()
