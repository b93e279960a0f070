"""The ``demo`` command."""

from __future__ import annotations

import argparse
import asyncio
import math
import sys
from typing import Final

from . import data
from .dashboards import dashboards_for, extra_dashboards
from .display import Display, JsonDisplay, PlainDisplay
from .expected import Expectations
from .replay import Replay, Stalled
from .report import report_on

__all__ = ["add_arguments", "run"]

SUMMARY: Final = "replay a day of flights and check what every dashboard receives"

DESCRIPTION: Final = """\
Replays the flights that left New York on 4 February 2013 as events: 932 departures and
cancellations, and their arrivals, in the order in which they happened. Dashboards subscribe
by airline (each sees its own tenant only), by airport (a channel), by destination and delay
(filters), by event type, and with Python resolvers, sync and async, that join the airline's
name; one asks for everything that is not its own, and gets nothing.

At the end, the number and the bytes of the responses that each dashboard received are
compared with what the CSV file says, computed without the engine.

With --web it serves a page instead, where the day's flights arrive live on a board and a map,
and GraphiQL, in which to subscribe to them by hand."""

EPILOG: Final = """\
exit status:
  0    every dashboard received exactly what it should have
  1    one did not (its name and the difference are the last lines), or the engine failed
  2    the arguments are wrong
  130  interrupted by Ctrl-C

examples:
  python -m fraiseql_subscriptions demo
  python -m fraiseql_subscriptions demo --speed 600
  python -m fraiseql_subscriptions demo --speed max --subscribers 10000
  python -m fraiseql_subscriptions demo --json | jq .delivery_ms
  python -m fraiseql_subscriptions demo --web --speed 60"""

#: The whole day in about 14 seconds.
_DEFAULT_SPEED: Final = 6000.0
#: A quarter of an hour: time to look, and never nothing to see.
_WEB_SPEED: Final = 90.0
_MOST_SUBSCRIBERS: Final = 1_000_000


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The command's options."""
    parser.add_argument(
        "--speed",
        type=_speed,
        metavar="FACTOR",
        help="simulated seconds per second; 0 or max: as fast as possible "
        "(default: 6000, the day in about 14 seconds; max where the output is no terminal; "
        "90 with --web, the day in about 15 minutes)",
    )
    parser.add_argument(
        "--subscribers",
        type=_count,
        default=0,
        metavar="N",
        help="add N dashboards, spread over airlines, airports, destinations, delays and so on, "
        "all checked like the others",
    )
    parser.add_argument(
        "--json", action="store_true", help="print one JSON object, with every figure, at the end"
    )
    parser.add_argument(
        "--web", action="store_true", help="serve the day as a page, again and again, until Ctrl-C"
    )
    parser.add_argument(
        "--host", default="127.0.0.1", help="where --web listens (default: 127.0.0.1)"
    )
    parser.add_argument(
        "--port", type=_port, default=8000, help="and on which port; 0: a free one (default: 8000)"
    )


def run(arguments: argparse.Namespace) -> int:
    """Run it; the exit status."""
    if arguments.web:
        return _run_web(arguments)
    display = _display(as_json=arguments.json)
    speed = arguments.speed
    if speed is None:
        speed = 0.0 if isinstance(display, (JsonDisplay, PlainDisplay)) else _DEFAULT_SPEED
    flights = data.read_flights()
    names = data.read_airlines()
    events = data.events_of(flights)
    dashboards = [*dashboards_for(names), *extra_dashboards(arguments.subscribers, events, names)]
    replay = Replay(events, dashboards, speed or None)
    title = (
        f"Flights from New York, {flights[0].day:%-d %B %Y}: {len(flights):,} flights, "
        f"{len(events):,} events, {len(dashboards):,} dashboards"
    )
    try:
        with display.begin(title):
            asyncio.run(replay.run(display))
    except Stalled as error:
        sys.stderr.write(f"The replay was given up: {error}.\n")
        return 1
    expectations = Expectations(data.FLIGHTS, data.AIRLINES, data.TIME_ZONES)
    report = report_on(replay, flights, expectations)
    display.end(report)
    return 1 if report.differences else 0


def _run_web(arguments: argparse.Namespace) -> int:
    if arguments.json or arguments.subscribers:
        sys.stderr.write("--web serves a page; --json and --subscribers are for a run that ends\n")
        return 2
    try:
        from .web.serve import serve
    except ModuleNotFoundError as error:
        sys.stderr.write(
            f"The page needs {error.name}, which is not installed. "
            "To get it: pip install 'fraiseql-subscriptions[web]'\n"
        )
        return 1
    speed = _WEB_SPEED if arguments.speed is None else arguments.speed
    return serve(arguments.host, arguments.port, speed or None)


def _display(*, as_json: bool) -> Display:
    if as_json:
        return JsonDisplay()
    if not sys.stdout.isatty():
        return PlainDisplay()
    try:
        from .live import LiveDisplay
    except ImportError:
        sys.stderr.write(
            "The live table needs rich, which is not installed; plain lines follow. "
            "To get it: pip install 'fraiseql-subscriptions[demo]'\n"
        )
        return PlainDisplay()
    return LiveDisplay()


def _speed(text: str) -> float:
    if text == "max":
        return 0.0
    try:
        speed = float(text)
    except ValueError:
        speed = -1.0
    if not 0 <= speed < math.inf:
        raise argparse.ArgumentTypeError(
            f"{text!r} is not a number of simulated seconds per second; "
            "give a positive number, or 0 or max for as fast as possible"
        )
    return speed


def _port(text: str) -> int:
    if not text.isascii() or not text.isdigit() or int(text[:6]) > 65535:
        raise argparse.ArgumentTypeError(f"{text!r} is not a port; give a number from 0 to 65535")
    return int(text)


def _count(text: str) -> int:
    if not text.isascii() or not text.isdigit() or int(text[:10]) > _MOST_SUBSCRIBERS:
        raise argparse.ArgumentTypeError(
            f"{text!r} is not a number of dashboards; give one from 0 to {_MOST_SUBSCRIBERS:,}"
        )
    return int(text)
