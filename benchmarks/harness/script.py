"""The command line that every benchmark script has: alone it prints its rows, for run.py JSON."""

from __future__ import annotations

import argparse
import json
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path

from .figure import Report
from .machine import Bystanders, commit, machine, yardstick
from .table import format_grid, format_table

__all__ = ["main"]


def main(question: str, measure: Callable[[bool], Report]) -> None:
    """Run `measure(brief)` and print its table, or write its report to the file asked for."""
    parser = argparse.ArgumentParser(description=question)
    parser.add_argument("--brief", action="store_true", help="few repetitions: only shows it works")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write the report to FILE")
    options = parser.parse_args()
    yardsticks = [yardstick()]
    bystanders = Bystanders()
    report = measure(options.brief)
    others = bystanders.percent()
    yardsticks.append(yardstick())
    if options.json is None:
        print(format_table(report.figures))
        for table in report.tables:
            print(f"\n{format_grid(table)}")
        print(f"\nother programs used {others:.0f}% of the machine meanwhile")
        return
    told = {
        "question": question,
        "brief": options.brief,
        "commit": commit(),
        "machine": machine(),
        "others_percent": others,
        "yardstick_ns": yardsticks,
        "figures": [figure.as_json() for figure in report.figures],
        "series": report.series,
        "tables": [asdict(table) for table in report.tables],
    }
    options.json.write_text(json.dumps(told, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")
