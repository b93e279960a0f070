"""What does serving WebSocket clients cost, beside others and beside sending alone?

1, 100, 1,000 and 10,000 sockets with a subscription each, against four servers under the same
uvicorn, each in a process of its own: the engine, a bare ASGI application that sends prepared
bytes of the same size from a loop, and Strawberry's and Ariadne's own applications over an
asyncio queue a subscriber. In turns; the clients are a program in Go (load/), which counts every
message, reads its latency from the time within, and does not sleep meanwhile: waking a reader
on the same machine would be charged to the server.
"""

from __future__ import annotations

import statistics
from contextlib import ExitStack
from functools import partial

from harness.clock import in_turns
from harness.figure import Report, Table
from harness.load import Loaded, Turn, built, under_load
from harness.script import main
from servers import NAMES

#: Sockets; turns; seconds of each; events a second where the pace is fixed; seconds of that.
SIZES = {
    1: (15, 0.5, 200.0, 3.0),
    100: (5, 0.8, 20.0, 3.0),
    1000: (5, 0.8, 2.0, 4.0),
    10_000: (2, 1.0, 0.25, 4.0),
}
BRIEF = {1: (1, 0.2, 200.0, 0.2), 100: (1, 0.2, 20.0, 0.2)}
#: Messages under way in a closed turn, at least two events.
UNDER_WAY = 256
#: Seconds of load before each closed turn that do not count. A server that has been idle for
#: seconds, while others had their turns, finds nothing in the caches, and takes up to eight
#: times as long for the first tenth of a second; that is not what a message costs under load.
WARM_UP = 0.4
#: Processor time a message, over that of the bare application.
TARGET = 1.3
COLUMNS = [
    "sockets, server",
    "messages/s",
    "p50, ms",
    "p99, ms",
    "CPU a message, µs",
    "CPU over bare",
    "engine's rate over it",
    "kB a socket",
    "paced: p50, ms",
    "paced: p99, ms",
    "paced: CPU a message, µs",
]


def size_up(
    report: Report, table: Table, sockets: int, how: tuple[int, float, float, float]
) -> None:
    turns, seconds, pace, paced_seconds = how
    window = max(2, UNDER_WAY // sockets)
    with ExitStack() as stack:
        program = built()
        servers: dict[str, Loaded] = {
            name: stack.enter_context(under_load(program, name, sockets)) for name in NAMES
        }
        closed = in_turns(
            turns, {name: partial(warm, one, seconds, window) for name, one in servers.items()}
        )
        paced = {name: one.paced(paced_seconds, pace) for name, one in servers.items()}
    ours, bare = closed["engine"], closed["bare"]
    if ours[0].bytes * bare[0].messages != bare[0].bytes * ours[0].messages:
        raise RuntimeError("the bare application does not send as many bytes a message")
    for name in NAMES:
        found = closed[name]
        over_bare = _ratios([one.cost for one in found], [one.cost for one in bare])
        rate = _ratios([one.rate for one in ours], [one.rate for one in found])
        table.rows.append(
            [
                f"{sockets:,}, {name}",
                _median([one.rate for one in found]),
                _median([one.p50_us for one in found]) / 1e3,
                _median([one.p99_us for one in found]) / 1e3,
                _median([one.cost for one in found]),
                f"{_median(over_bare):.2f} x",
                f"{_median(rate):.2f} x",
                servers[name].weight / 1e3 if sockets > 1 else "",
                paced[name].p50_us / 1e3,
                paced[name].p99_us / 1e3,
                paced[name].cost,
            ]
        )
    figures(report, sockets, closed)


def warm(server: Loaded, seconds: float, window: int) -> Turn:
    server.closed(WARM_UP, window)
    return server.closed(seconds, window)


def figures(report: Report, sockets: int, closed: dict[str, list[Turn]]) -> None:
    costs = {name: [one.cost for one in found] for name, found in closed.items()}
    many = "1 socket" if sockets == 1 else f"{sockets:,} sockets"
    ratios = _ratios(costs["engine"], costs["bare"])
    title = f"WebSocket: CPU a message to {many}, over a bare application's"
    report.add(f"websocket_cpu_{sockets}", title, ratios, "x", TARGET)
    for name in NAMES:
        title = f"  CPU a message by {name}"
        report.add(f"websocket_cpu_{sockets}_{name}", title, costs[name], "µs")


def _ratios(these: list[float], those: list[float]) -> list[float]:
    return [one / other for one, other in zip(these, those, strict=True)]


def _median(values: list[float]) -> float:
    return statistics.median(values)


def measure(brief: bool) -> Report:
    report = Report()
    table = Table("A server under load over WebSocket", COLUMNS, [])
    for sockets, how in (BRIEF if brief else SIZES).items():
        size_up(report, table, sockets, how)
    report.tables.append(table)
    return report


if __name__ == "__main__":
    main("What does serving WebSocket clients cost, beside others and sending alone?", measure)
