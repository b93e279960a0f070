"""Runs every benchmark, each in a process of its own, and prints one table.

Reports go to benchmarks/results/, those of a brief run, which only shows that everything works,
to benchmarks/results/brief/. A full run of all of them also writes its figures and its picture
into docs/. Targets that were missed are in the table like the others; the exit
status is for benchmarks that failed to run.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

from harness.figure import Figure, Table
from harness.page import write_figures
from harness.picture import draw
from harness.table import format_grid, format_table

HERE = Path(__file__).resolve().parent
RESULTS = HERE / "results"
PAGE = HERE.parent / "docs" / "performance.md"
PICTURE = HERE.parent / "docs" / "images" / "performance.png"
#: In the order of the table.
SCRIPTS = (
    "publish_latency",
    "dispatch_cost",
    "throughput",
    "resolver_overhead",
    "security_cost",
    "event_rate",
    "registration",
    "asyncio_latency",
    "memory_idle",
    "loop_pause",
    "memory_flat",
    "peer",
)
#: Seconds after which a script is taken for hung.
TIMEOUT = 600


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--brief", action="store_true", help="few repetitions: only shows it works")
    parser.add_argument("script", nargs="*", help=f"all, or some of: {', '.join(SCRIPTS)}")
    options = parser.parse_args()
    chosen = options.script or SCRIPTS
    if unknown := sorted(set(chosen) - set(SCRIPTS)):
        parser.error(f"there is no benchmark {', '.join(unknown)}")
    folder = RESULTS / "brief" if options.brief else RESULTS
    folder.mkdir(parents=True, exist_ok=True)

    begin = time.monotonic()
    reports = {name: run(name, folder, options.brief) for name in chosen}
    worked = {name: report for name, report in reports.items() if report is not None}
    figures = [figure_of(row) for report in worked.values() for row in report["figures"]]
    captions = captions_of(worked, figures, time.monotonic() - begin)
    tables = [Table(**one) for report in worked.values() for one in report["tables"]]
    print("", format_table(figures), "", *captions, sep="\n")
    for table in tables:
        print(f"\n{format_grid(table)}")
    complete = worked.keys() == set(SCRIPTS)
    if complete:
        picture(worked, folder / "performance.png" if options.brief else PICTURE)
    if complete and not options.brief:
        write_figures(PAGE, figures, captions, tables)
    if options.brief:
        print("A brief run: the figures only show that every benchmark works.")
    failed = [name for name, report in reports.items() if report is None]
    if failed:
        print(f"FAILED to run: {', '.join(failed)}.")
    return 1 if failed else 0


def run(name: str, folder: Path, brief: bool) -> dict[str, Any] | None:
    """The report of one script, None when it failed."""
    print(f"{name} …", file=sys.stderr, flush=True)
    path = folder / f"{name}.json"
    path.unlink(missing_ok=True)
    command = [sys.executable, str(HERE / f"{name}.py"), "--json", str(path)]
    if brief:
        command.append("--brief")
    try:
        subprocess.run(command, check=True, timeout=TIMEOUT)
    except (subprocess.CalledProcessError, subprocess.TimeoutExpired) as error:
        print(error, file=sys.stderr)
        return None
    report: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
    return report


def figure_of(row: dict[str, Any]) -> Figure:
    return Figure(**{key: value for key, value in row.items() if key != "met"})


def captions_of(
    reports: dict[str, dict[str, Any]], figures: list[Figure], seconds: float
) -> list[str]:
    """Sentences on how many targets were met, where, and how undisturbed."""
    met = [figure.met for figure in figures if figure.met is not None]
    out = [f"{sum(met)} of {len(met)} targets met, in {seconds:.0f} seconds."]
    if reports:
        out.append(f"{machine_of(next(iter(reports.values())))}.")
        shares = (f"{name} {report['others_percent']:.0f}%" for name, report in reports.items())
        out.append(f"Other programs' share of the machine meanwhile: {', '.join(shares)}.")
        spans = [value for report in reports.values() for value in report["yardstick_ns"]]
        out.append(
            f"A fixed Python call without the engine took {min(spans):.0f} to {max(spans):.0f} ns "
            "before and after the scripts; far apart, the machine itself changed its speed."
        )
    return out


def machine_of(report: dict[str, Any]) -> str:
    machine = report["machine"]
    return (
        f"{machine['processor']}, {machine['cores']} cores, {machine['memory_gib']} GiB, "
        f"{machine['system']}, Python {machine['python']}, {machine['go']}, "
        f"commit {report['commit']}"
    )


def picture(reports: dict[str, dict[str, Any]], path: Path) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    latency = reports["publish_latency"]
    draw(
        path,
        latency["series"],
        reports["asyncio_latency"]["series"],
        reports["dispatch_cost"]["series"]["publish"],
        machine_of(latency),
    )


if __name__ == "__main__":
    sys.exit(main())
