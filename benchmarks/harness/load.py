"""A server under load: one of servers/ in a process of its own, and its clients (load/)."""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

from servers.served import EXPECTED, QUERY

from .machine import ROOT

__all__ = ["Loaded", "Turn", "built", "under_load"]

SERVE = ROOT / "benchmarks" / "serve.py"


@dataclass(frozen=True, slots=True)
class Turn:
    """What one turn measured, of all clients together."""

    messages: int
    bytes: int
    seconds: float
    cpu_seconds: float
    p50_us: float
    p99_us: float

    @property
    def rate(self) -> float:
        """Messages a second."""
        return self.messages / self.seconds

    @property
    def cost(self) -> float:
        """Microseconds of the server's processor time a message."""
        return self.cpu_seconds * 1e6 / self.messages

    @property
    def busy(self) -> float:
        """How much of a processor the server took, in per cent."""
        return 100 * self.cpu_seconds / self.seconds


class Loaded:
    """A server with all its clients. `connected` is how many seconds they took to subscribe,
    `weight` how many bytes of resident memory each beyond the first."""

    def __init__(self, sockets: int, asked: IO[str], told: IO[str]) -> None:
        self._asked = asked
        self._told = told
        grown = self._answer()
        self.connected: float = grown["seconds"]
        self.weight: float = grown["bytes"] / max(1, sockets - 1)

    def closed(self, seconds: float, window: int) -> Turn:
        """As fast as the clients read, `window` events under way at most."""
        return self._turn(f"closed {seconds} {window}")

    def paced(self, seconds: float, rate: float) -> Turn:
        """`rate` events a second."""
        return self._turn(f"paced {seconds} {rate}")

    def _turn(self, command: str) -> Turn:
        self._asked.write(f"{command}\n")
        self._asked.flush()
        return Turn(**self._answer())

    def _answer(self) -> dict[str, Any]:
        line = self._told.readline()
        if not line:
            raise RuntimeError("the load generator failed; what it said stands above")
        answer: dict[str, Any] = json.loads(line)
        return answer


def built() -> Path:
    """The load generator, compiled."""
    program = ROOT / "build" / "load"
    command = ["go", "build", "-o", str(program), "./benchmarks/load"]
    subprocess.run(command, cwd=ROOT, check=True)
    return program


@contextmanager
def under_load(program: Path, name: str, sockets: int, ws: str = "auto") -> Iterator[Loaded]:
    """The server called `name` with so many subscribed clients."""
    with ExitStack() as stack:
        folder = stack.enter_context(tempfile.TemporaryDirectory())
        control = f"{folder}/control"
        server = stack.enter_context(
            subprocess.Popen(
                [sys.executable, str(SERVE), name, control, "--ws", ws],
                stdout=subprocess.PIPE,
                text=True,
            )
        )
        stack.callback(server.kill)
        assert server.stdout is not None
        port = int(server.stdout.readline())
        generator = stack.enter_context(
            subprocess.Popen(
                [
                    str(program),
                    f"-port={port}",
                    f"-pid={server.pid}",
                    f"-control={control}",
                    f"-sockets={sockets}",
                    f"-query={QUERY}",
                    f"-expect={json.dumps(EXPECTED)}",
                ],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                text=True,
            )
        )
        stack.callback(generator.kill)
        assert generator.stdin is not None
        assert generator.stdout is not None
        yield Loaded(sockets, generator.stdin, generator.stdout)
