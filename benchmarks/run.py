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
from dataclasses import replace
from pathlib import Path
from typing import Any

from harness.figure import Figure, Table
from harness.page import write_figures
from harness.picture import draw_growth, draw_latency
from harness.table import format_grid, format_table

HERE = Path(__file__).resolve().parent
RESULTS = HERE / "results"
PAGE = HERE.parent / "docs" / "performance.md"
IMAGES = PAGE.parent / "images"
#: What they show, by their path from the page.
PICTURES = {
    "images/latency.png": "How latencies are distributed",
    "images/scaling.png": "The cost of a publish as subscribers, matches, payload, queries grow",
}
#: In the order of the table.
SCRIPTS = (
    "publish_latency",
    "dispatch_cost",
    "index_cost",
    "queue_twin",
    "scaling",
    "throughput",
    "resolver_overhead",
    "security_cost",
    "limits_cost",
    "event_rate",
    "redis_bus",
    "registration",
    "asyncio_latency",
    "busy_loop",
    "memory_idle",
    "loop_pause",
    "postgres_bus",
    "memory_flat",
    "peer",
    "websocket_load",
)
#: Seconds after which a script is taken for hung.
TIMEOUT = 600
#: How much longer than the quickest the fixed Python call may take in a phase that counts as quiet.
UNSTEADY = 1.2
#: Marks figures from a phase in which it took longer.
MARK = "†"


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
    slow = slow_phases(worked)
    figures = [
        figure_of(row, marked=name in slow)
        for name, report in worked.items()
        for row in report["figures"]
    ]
    captions = captions_of(worked, slow, figures, time.monotonic() - begin)
    tables = [Table(**one) for report in worked.values() for one in report["tables"]]
    print("", format_table(figures), "", *captions, sep="\n")
    for table in tables:
        print(f"\n{format_grid(table)}")
    complete = worked.keys() == set(SCRIPTS)
    if complete:
        pictures(worked, folder if options.brief else IMAGES)
    if complete and not options.brief:
        write_figures(PAGE, figures, captions, tables, PICTURES)
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


def slow_phases(reports: dict[str, dict[str, Any]]) -> set[str]:
    """The scripts around which the fixed Python call took too long: their figures are marked.

    Which of a machine's speeds is its own can't be told from one script alone, so each is held
    against the quickest of the run.
    """
    best = min((min(report["yardstick_ns"]) for report in reports.values()), default=0.0)
    return {
        name for name, report in reports.items() if max(report["yardstick_ns"]) > UNSTEADY * best
    }


def figure_of(row: dict[str, Any], *, marked: bool) -> Figure:
    figure = Figure(**{key: value for key, value in row.items() if key != "met"})
    return replace(figure, title=f"{figure.title} {MARK}") if marked else figure


def captions_of(
    reports: dict[str, dict[str, Any]], slow: set[str], figures: list[Figure], seconds: float
) -> list[str]:
    """Sentences on how many targets were met, where, and how undisturbed."""
    met = [figure.met for figure in figures if figure.met is not None]
    out = [f"{sum(met)} of {len(met)} targets met, in {seconds:.0f} seconds."]
    if reports:
        out.append(f"{machine_of(next(iter(reports.values())))}.")
        shares = (f"{name} {report['others_percent']:.0f}%" for name, report in reports.items())
        out.append(f"Other programs' share of the machine meanwhile: {', '.join(shares)}.")
        spans = [value for report in reports.values() for value in report["yardstick_ns"]]
        verdict = (
            f"The run was not quiet: figures marked {MARK} come from phases more than 20% slower "
            f"than the quickest ({', '.join(name for name in reports if name in slow)})."
            if slow
            else "The run was quiet: it never took over 20% more than at its quickest."
        )
        out.append(
            f"A fixed Python call without the engine took {min(spans):.0f} to {max(spans):.0f} ns "
            f"before and after the scripts. {verdict}"
        )
    return out


def machine_of(report: dict[str, Any]) -> str:
    machine = report["machine"]
    return (
        f"{machine['processor']}, {machine['cores']} cores, {machine['memory_gib']} GiB, "
        f"{machine['system']}, Python {machine['python']}, {machine['go']}, "
        f"commit {report['commit']}"
    )


def pictures(reports: dict[str, dict[str, Any]], folder: Path) -> None:
    caption = machine_of(reports["publish_latency"])
    draw_latency(
        folder / "latency.png",
        caption,
        (
            "publish_event to 100 subscriptions",
            reports["publish_latency"]["series"],
            [(50, 20), (99, 80)],
        ),
        (
            "publish to `async for` body, idle loop",
            reports["asyncio_latency"]["series"],
            [(50, 100), (99, 300)],
        ),
        ("publish to `async for` body, busy loop", reports["busy_loop"]["series"], []),
    )
    curves = reports["scaling"]["series"]
    cores = {name: curve for name, curve in curves.items() if "core" in name}
    parts = [(name, {name: curve}) for name, curve in curves.items() if name not in cores]
    draw_growth(folder / "scaling.png", caption, *parts, ("subscribers, by cores", cores))


if __name__ == "__main__":
    sys.exit(main())
