"""Serving the page: a socket, uvicorn, and where to look."""

from __future__ import annotations

import os
import socket
import sys

import uvicorn

from ..data import read_flights
from .application import application

__all__ = ["serve"]


def serve(host: str, port: int, speed: float | None) -> int:
    """Serve until Ctrl-C or SIGTERM; the exit status. `speed` None: as fast as possible."""
    try:
        listener = socket.create_server((host, port))
    except OSError as error:
        reason = error.strerror if error.errno is None else os.strerror(error.errno)
        sys.stderr.write(f"{host}:{port} cannot be listened on: {reason}. Try --port 0.\n")
        return 1
    with listener:
        address = "http://{}:{}".format(*listener.getsockname()[:2])
        sys.stdout.write(f"The board: {address}/\nGraphiQL:  {address}/graphiql\nCtrl-C ends it.\n")
        sys.stdout.flush()
        config = uvicorn.Config(
            application(read_flights(), speed), log_level="warning", ws="websockets-sansio"
        )
        uvicorn.Server(config).run(sockets=[listener])
    return 0
