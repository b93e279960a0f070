"""A redis-server of a benchmark's own: in a temporary folder, on a free port, without a disk."""

from __future__ import annotations

import socket
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager

from redis import Redis
from redis.backoff import ConstantBackoff
from redis.exceptions import ConnectionError as Unreachable
from redis.retry import Retry

__all__ = ["run_redis"]


@contextmanager
def run_redis() -> Iterator[int]:
    """The port of a server that runs as long as the block does."""
    with socket.create_server(("127.0.0.1", 0)) as free:
        port: int = free.getsockname()[1]
    with tempfile.TemporaryDirectory() as folder:
        server = subprocess.Popen(
            [
                *("redis-server", "--port", str(port), "--bind", "127.0.0.1"),
                *("--dir", folder, "--save", "", "--logfile", f"{folder}/log"),
            ]
        )
        try:
            patient = Retry(ConstantBackoff(0.02), 500, supported_errors=(Unreachable,))
            with Redis(port=port, retry=patient) as client:
                client.ping()
            yield port
        finally:
            server.kill()
            server.wait()
