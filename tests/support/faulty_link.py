"""A TCP port that forwards to a server: late, not at all, or to nowhere, as a test wants."""

from __future__ import annotations

import socket
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import Final

__all__ = ["FaultyLink", "run_link"]

_PATIENCE: Final = 30.0


class FaultyLink:
    """Each connection has a thread for each direction."""

    def __init__(self, port: int) -> None:
        self.delay = 0.0  # seconds, in each direction
        self._target = port
        self._open = threading.Event()
        self._open.set()
        self._lock = threading.Lock()
        self._sockets: set[socket.socket] = set()
        self._threads: list[threading.Thread] = []
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port: int = self._listener.getsockname()[1]
        self._run(self._accept)

    @property
    def url(self) -> str:
        """Where a Redis server is, through this link."""
        return f"redis://127.0.0.1:{self.port}/0"

    def hold(self, held: bool) -> None:
        """Forward nothing and keep every connection open; or go on."""
        if held:
            self._open.clear()
        else:
            self._open.set()

    def cut(self) -> None:
        """Close every connection."""
        with self._lock:
            for one in self._sockets:
                with suppress(OSError):
                    one.shutdown(socket.SHUT_RDWR)

    def close(self) -> None:
        """End all of it."""
        with suppress(OSError):
            self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        self.hold(False)
        self.cut()
        for thread in self._threads:
            thread.join(_PATIENCE)

    def _run(self, work: object, *arguments: object) -> None:
        assert callable(work)
        thread = threading.Thread(target=work, args=arguments, daemon=True)
        self._threads = [one for one in self._threads if one.is_alive() or one.ident is None]
        self._threads.append(thread)
        thread.start()

    def _accept(self) -> None:
        with suppress(OSError):
            while True:
                client, _ = self._listener.accept()
                try:
                    server = socket.create_connection(("127.0.0.1", self._target), _PATIENCE)
                except OSError:
                    client.close()
                    continue
                server.settimeout(None)
                for one in (client, server):
                    one.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
                with self._lock:
                    self._sockets |= {client, server}
                self._run(self._forward, client, server)
                self._run(self._forward, server, client)

    def _forward(self, source: socket.socket, target: socket.socket) -> None:
        with suppress(OSError):
            while data := source.recv(1 << 16):
                if self.delay:
                    time.sleep(self.delay)  # what makes the link slow
                self._open.wait()
                target.sendall(data)
        # An end of one direction is the end of the connection.
        for one in (source, target):
            with suppress(OSError):
                one.shutdown(socket.SHUT_RDWR)
        with self._lock:
            self._sockets.discard(source)
        source.close()


@contextmanager
def run_link(port: int) -> Iterator[FaultyLink]:
    """A link to a port of this machine for as long as the block runs."""
    link = FaultyLink(port)
    try:
        yield link
    finally:
        link.close()
