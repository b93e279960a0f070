"""The command line: ``python -m fraiseql_subscriptions COMMAND``."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from typing import Final

from . import postgres
from .demo import command as demo
from .errors import SubscriptionsError

__all__ = ["main"]

_INTERRUPTED: Final = 130  # as a shell reports it


def main(arguments: Sequence[str] | None = None) -> int:
    """Run a command; returns the exit status. `arguments` default to the process's own."""
    parser = argparse.ArgumentParser(
        prog="python -m fraiseql_subscriptions",
        description="A GraphQL subscriptions engine: its commands.",
    )
    commands = parser.add_subparsers(title="commands", metavar="COMMAND", required=True)
    command = commands.add_parser(
        "demo",
        help=demo.SUMMARY,
        description=demo.DESCRIPTION,
        epilog=demo.EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    demo.add_arguments(command)
    command.set_defaults(run=demo.run)
    command = commands.add_parser("postgres", help=postgres.SUMMARY, description=postgres.SUMMARY)
    postgres.add_arguments(command)
    command.set_defaults(run=postgres.run)
    chosen = parser.parse_args(arguments)
    try:
        status: int = chosen.run(chosen)
    except KeyboardInterrupt:
        sys.stderr.write("interrupted\n")
        return _INTERRUPTED
    except BrokenPipeError:
        return 1  # the reader has gone (head, less): nobody is left to tell
    except SubscriptionsError as error:
        sys.stderr.write(f"The engine failed: {error}\n")
        return 1
    return status


if __name__ == "__main__":
    sys.exit(main())
