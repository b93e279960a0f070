"""Serves one of servers/ by uvicorn in this process, for websocket_load.py, until it is killed.

The first line of output is the port. Commands come on a Unix socket: ``publish N`` has N events
published, ``count`` is answered with how many subscribers there are.
"""

from __future__ import annotations

import argparse
import asyncio
import resource
import socket
from typing import cast

import servers
import uvicorn
import uvloop
from servers.served import Served

#: Clients that may wait to be accepted.
BACKLOG = 4096
#: How TCP sends, for every server. Where BBR is the system's default, it paces the loopback, too:
#: by a timer, so that a message costs the kernel 3 to 5.5 µs as chance has it.
CONGESTION = b"reno"


class Control(asyncio.Protocol):
    """A line a command."""

    def __init__(self, served: Served) -> None:
        self._served = served
        self._rest = b""
        self._transport: asyncio.Transport | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)  # uvloop's own is no subclass

    def data_received(self, data: bytes) -> None:
        *lines, self._rest = (self._rest + data).split(b"\n")
        for line in lines:
            command, _, count = line.partition(b" ")
            if command == b"publish":
                self._served.publish(int(count))
            elif command == b"count" and self._transport is not None:
                self._transport.write(b"%d\n" % self._served.subscribers())
            else:
                raise ValueError(f"there is no command {line!r}")


async def serve(name: str, control: str, ws: str) -> None:
    served = servers.make(name)
    listening = socket.socket()
    listening.setsockopt(socket.IPPROTO_TCP, socket.TCP_CONGESTION, CONGESTION)
    listening.bind(("127.0.0.1", 0))
    listening.listen(BACKLOG)
    # Pings are off: each server is measured while others are idle.
    config = uvicorn.Config(
        served.app,
        interface="asgi3",
        ws=ws,
        ws_ping_interval=None,
        log_level="warning",
        backlog=BACKLOG,
    )
    loop = asyncio.get_running_loop()
    async with await loop.create_unix_server(lambda: Control(served), control):
        print(listening.getsockname()[1], flush=True)
        await uvicorn.Server(config).serve([listening])


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("name", choices=servers.NAMES)
    parser.add_argument("control", help="where to make the Unix socket for commands")
    parser.add_argument("--ws", default="auto", help="uvicorn's WebSocket implementation")
    options = parser.parse_args()
    _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))
    uvloop.run(serve(options.name, options.control, options.ws))


if __name__ == "__main__":
    main()
