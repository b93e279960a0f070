"""Ten million events with subscriptions coming and going: is everything still as it was?

`make soak`. Prints what it sees at each tenth, then a verdict; exits with 1 when resident memory of
the last tenth of the events is more than 2% above that of the second, when descriptors or threads
grew, or when a response is neither received nor dropped nor queued.
"""

from __future__ import annotations

import argparse
import sys

from harness.traffic import Findings, run

GROWTH = 2.0


def show(found: Findings) -> None:
    done = len(found.resident)
    if done % 10 == 0:
        print(
            f"{done:3}%  {found.seconds:5.0f} s  {found.resident[-1]:6.1f} MB resident  "
            f"{found.descriptors[-1]} descriptors  {found.threads[-1]} threads  "
            f"{found.registered:,} subscriptions registered  {found.received:,} responses",
            flush=True,
        )


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--events", type=int, default=10_000_000, help="how many (10,000,000)")
    options = parser.parse_args()
    found = run(options.events, show)
    growth = found.growth()
    if growth > GROWTH:
        found.problems.append(f"resident memory grew by {growth:.1f}%, over {GROWTH:.0f}%")
    drops = ", ".join(f"{name} {lost:,}" for name, lost in found.dropped.items())
    print(
        f"{found.events:,} events in {found.seconds:.0f} s: {found.owed:,} responses owed, "
        f"{found.received:,} received, dropped: {drops}. Resident memory of the last tenth over "
        f"the second: {growth:+.2f}%."
    )
    for problem in found.problems:
        print(f"BROKEN: {problem}")
    print("broken" if found.problems else "sound")
    return 1 if found.problems else 0


if __name__ == "__main__":
    sys.exit(main())
