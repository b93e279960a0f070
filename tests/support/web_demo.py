"""``demo --web`` as a process, and a proxy that loses its connections when told to."""

from __future__ import annotations

import asyncio
import contextlib
import signal
import subprocess
import sys
import threading
from collections.abc import Coroutine
from typing import Any, Final, TypeVar

from client_server import PATIENCE, free_port

__all__ = ["LossyProxy", "WebDemo"]

_T = TypeVar("_T")
_COMMAND: Final = (sys.executable, "-W", "error", "-m", "fraiseql_subscriptions", "demo", "--web")


class WebDemo:
    """The demo's page, served at `speed` by a process of its own, always on the same port."""

    def __init__(self, speed: str) -> None:
        self._speed = speed
        self._process: subprocess.Popen[str] | None = None
        self.port = free_port()
        self.url = f"http://127.0.0.1:{self.port}"

    def start(self) -> None:
        """Start it and read where it says it is."""
        assert self._process is None
        self._process = subprocess.Popen(
            [*_COMMAND, "--speed", self._speed, "--port", str(self.port)],
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        assert self._process.stdout is not None
        told = [self._process.stdout.readline() for _ in range(3)]
        assert told == [
            f"The board: {self.url}/\n",
            f"GraphiQL:  {self.url}/graphiql\n",
            "Ctrl-C ends it.\n",
        ], self.end(signal.SIGKILL)

    def end(self, number: int = signal.SIGINT) -> tuple[int, str]:
        """End it by a signal; its exit status and what it wrote to stderr."""
        assert self._process is not None
        self._process.send_signal(number)
        _, errors = self._process.communicate(timeout=PATIENCE)
        status, self._process = self._process.returncode, None
        return status, errors

    def close(self) -> None:
        if self._process is not None:
            self.end(signal.SIGKILL)


class LossyProxy:
    """Carries TCP connections to `port` until `lose()`, on a port of its own."""

    def __init__(self, port: int) -> None:
        self._target = port
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, daemon=True)
        self._thread.start()
        self._writers: set[asyncio.StreamWriter] = set()
        self._server = self._run(asyncio.start_server(self._carry, "127.0.0.1", 0))
        self.port: int = self._server.sockets[0].getsockname()[1]
        self.url = f"http://127.0.0.1:{self.port}"

    def _run(self, coroutine: Coroutine[Any, Any, _T]) -> _T:
        return asyncio.run_coroutine_threadsafe(coroutine, self._loop).result(PATIENCE)

    async def _carry(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        onward_reader, onward_writer = await asyncio.open_connection("127.0.0.1", self._target)
        ends = {writer, onward_writer}
        self._writers |= ends
        try:
            await asyncio.gather(_copy(reader, onward_writer), _copy(onward_reader, writer))
        finally:
            self._writers -= ends
            for one in ends:
                one.transport.abort()

    def lose(self) -> int:
        """Break every connection, without a word to either side; how many there were."""

        async def lose() -> int:
            count = len(self._writers) // 2
            for writer in self._writers:
                writer.transport.abort()
            return count

        return self._run(lose())

    def close(self) -> None:
        async def close() -> None:
            self._server.close()
            for writer in self._writers:
                writer.transport.abort()
            others = asyncio.all_tasks() - {asyncio.current_task()}
            if others:
                await asyncio.wait(others, timeout=PATIENCE)

        self._run(close())
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join(PATIENCE)
        self._loop.close()


async def _copy(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    with contextlib.suppress(OSError):  # lost
        while data := await reader.read(65536):
            writer.write(data)
            await writer.drain()
    writer.close()
