"""ASGI servers as processes of their own, on free loopback ports."""

from __future__ import annotations

import contextlib
import http.client
import os
import signal
import subprocess
import sys
import textwrap
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from postgres_server import free_port

__all__ = ["SERVERS", "ServerProcess", "run_server"]

#: What follows `python -m` to serve `app` of the module `served`.
SERVERS: Final = {
    "uvicorn": ["uvicorn", "served:app", "--port", "{port}"],
    "gunicorn": ["gunicorn", "served:app", "-k", "asgi", "-b", "127.0.0.1:{port}"],
    "hypercorn": ["hypercorn", "served:app", "-b", "127.0.0.1:{port}"],
    "granian": ["granian", "served:app", "--interface", "asgi", "--port", "{port}"],
}


@dataclass
class ServerProcess:
    """A server that runs, or has just been started."""

    process: subprocess.Popen[bytes]
    port: int
    log: Path

    @property
    def socket(self) -> str:
        return f"ws://127.0.0.1:{self.port}/"

    def written(self) -> str:
        """What it has written so far."""
        return self.log.read_text()

    def answers(self) -> bool:
        """Whether it answers requests."""
        with contextlib.suppress(OSError, http.client.HTTPException):
            client = http.client.HTTPConnection("127.0.0.1", self.port, timeout=20)
            client.request("GET", "/")
            client.getresponse().read()
            client.close()
            return True
        return False


@contextlib.contextmanager
def run_server(
    folder: Path, module: str, arguments: list[str], **environment: str
) -> Iterator[ServerProcess]:
    """Serve the text of a module in `folder`; stopped and gone after the block.

    In development mode, asyncio's debug mode with it, where the tests run in it.
    """
    mode = ["-X", "dev"] if sys.flags.dev_mode else []
    (folder / "served.py").write_text(textwrap.dedent(module))
    log = folder / "log"
    port = free_port()
    with log.open("w") as file:
        process = subprocess.Popen(
            [sys.executable, *mode, "-m", *(one.format(port=port) for one in arguments)],
            cwd=folder, stdout=file, stderr=file, start_new_session=True,
            env={**os.environ, **environment},
        )  # fmt: skip
    try:
        yield ServerProcess(process, port, log)
    finally:
        process.terminate()
        try:
            process.wait(20)
        finally:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)
