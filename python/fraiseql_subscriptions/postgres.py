"""The command ``postgres``: installs, removes and describes the schema in a database.

The work is the engine's, which brings its own client for PostgreSQL; no Python driver is needed.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import math
import os
import signal
import sys
from collections.abc import Iterator
from typing import Any, Final

from . import process
from .errors import from_native

__all__ = ["SUMMARY", "add_arguments", "run"]

SUMMARY: Final = "install, remove or describe the schema fraiseql_subscriptions in PostgreSQL"
_URL_HELP: Final = (
    "where the database is; DATABASE_URL when absent (arguments can be seen by other users)"
)
_PRINT_ALONE: Final = (
    "--print-sql prints the same SQL for every database, without URL and options; once it is "
    "applied, set prefix and retention in fraiseql_subscriptions.settings, and give rights with "
    "fraiseql_subscriptions.allow_publishing(role) and allow_reading(role)"
)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the subcommands and their options."""
    actions = parser.add_subparsers(dest="action", metavar="ACTION", required=True)
    install = actions.add_parser("install", help="create the schema, or bring it up to date")
    install.add_argument("--print-sql", action="store_true", help="print the SQL, run nothing")
    install.add_argument("--prefix", help="of the names of notifications (fraiseql)")
    install.add_argument(
        "--retention", type=_seconds, metavar="SECONDS", help="how long events are kept (3600)"
    )
    install.add_argument("--publisher", action="append", default=[], help="a role that publishes")
    install.add_argument("--reader", action="append", default=[], help="a role that reads")
    uninstall = actions.add_parser("uninstall", help="drop the schema and every event in it")
    uninstall.add_argument("--cascade", action="store_true", help="triggers that use it go, too")
    status = actions.add_parser("status", help="print what is installed, as JSON")
    for action in (install, uninstall, status):
        action.add_argument("url", nargs="?", metavar="URL", help=_URL_HELP)


def _seconds(text: str) -> float:
    value = float(text)
    if not math.isfinite(value):
        raise ValueError(text)
    return value


def run(chosen: argparse.Namespace) -> int:
    """Run the action; returns the exit status: 2 for what was wrong about the call itself."""
    action: str = chosen.action
    if action == "install" and chosen.print_sql:
        if (chosen.url, chosen.prefix, chosen.retention) != (None, None, None) or (
            chosen.publisher or chosen.reader
        ):
            return _refuse(_PRINT_ALONE)
        sys.stdout.write(process.load().postgres_sql())
        return 0
    url = os.environ.get("DATABASE_URL", "") if chosen.url is None else chosen.url
    if not url:
        return _refuse("give the database's URL, or set DATABASE_URL")
    options = ""
    if action == "install":
        options = json.dumps(
            {
                "prefix": chosen.prefix,
                "retention": chosen.retention,
                "publishers": chosen.publisher,
                "readers": chosen.reader,
            }
        )
    elif action == "uninstall" and chosen.cascade:
        options = "cascade"
    native = process.load()
    try:
        with _interruptible():
            done: dict[str, Any] = json.loads(native.postgres_tool(action, url, options))
    except RuntimeError as error:
        failure = from_native(error)
        sys.stderr.write(f"{type(failure).__name__}: {failure}\n")
        return 2 if isinstance(failure, ValueError) else 1
    sys.stdout.write(_said(action, done) + "\n")
    return 0


def _refuse(sentence: str) -> int:
    sys.stderr.write(f"ValueError: {sentence}\n")
    return 2


@contextlib.contextmanager
def _interruptible() -> Iterator[None]:
    """Let Ctrl-C end the process while it waits for the database, which then rolls back.

    Python's own handler would only run once the engine has returned.
    """
    if signal.getsignal(signal.SIGINT) is not signal.default_int_handler:
        yield  # ignored, or the business of whoever runs the command
        return
    signal.signal(signal.SIGINT, signal.SIG_DFL)
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, signal.default_int_handler)


def _said(action: str, done: dict[str, Any]) -> str:
    if action == "status":
        return json.dumps(done, indent=2)
    if action == "uninstall":
        return "removed" if done["removed"] else "there was nothing to remove"
    if done["from"] == done["to"]:
        return f"version {done['to']} was already installed"
    return f"installed version {done['to']}"
