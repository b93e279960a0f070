"""Incremental builds, and builds that must fail loudly."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from copies import ProbeBuild


@pytest.fixture
def facade(probes: ProbeBuild) -> Iterator[Path]:
    """The probes' facade, put back after the test."""
    text = probes.facade.read_text(encoding="utf-8")
    yield probes.facade
    probes.facade.write_text(text, encoding="utf-8")
    assert probes.build().returncode == 0


def test_a_new_function_is_there_after_a_rebuild_of_seconds(
    probes: ProbeBuild, facade: Path
) -> None:
    with facade.open("a", encoding="utf-8") as file:
        file.write("\nfunc Added(text string) string { return text + text }\n")
    started = time.monotonic()
    answer = probes.build()
    took = time.monotonic() - started
    assert answer.returncode == 0, answer.stderr
    assert probes.run("print(native.added('ab'))") == "abab\n"
    assert took < 30


def test_sources_are_generated_only_when_the_facade_changes(
    probes: ProbeBuild, facade: Path
) -> None:
    stamp = next(probes.folder.glob("build/_native/*/stamp.txt"))
    before = stamp.stat().st_mtime_ns
    assert probes.build().returncode == 0
    assert stamp.stat().st_mtime_ns == before
    text = facade.read_text(encoding="utf-8")
    facade.write_text(text + "\nfunc Another() int { return 1 }\n", encoding="utf-8")
    assert probes.build().returncode == 0
    assert stamp.stat().st_mtime_ns > before


@pytest.mark.parametrize(
    ("addition", "complaint"),
    [
        ("func Triple() (int, int, error) { return 0, 0, nil }", "Triple"),
        ("func Quiet(n int) {}", "quiet"),
        ("func Lists(n []string) int { return 0 }", "lists"),
        ("func Truth() bool { return true }", "truth"),
        ("type Thing struct{ A int }", "Thing"),
    ],
)
def test_a_facade_that_cannot_be_bound_as_agreed_fails_the_build(
    probes: ProbeBuild, facade: Path, addition: str, complaint: str
) -> None:
    with facade.open("a", encoding="utf-8") as file:
        file.write(f"\n{addition}\n")
    answer = probes.build()
    assert answer.returncode != 0
    assert complaint.lower() in answer.stderr.lower()


def test_go_that_does_not_compile_fails_with_gos_own_message(
    probes: ProbeBuild, facade: Path
) -> None:
    with facade.open("a", encoding="utf-8") as file:
        file.write("\nfunc Broken() int { return undefinedName }\n")
    answer = probes.build()
    assert answer.returncode != 0
    assert "undefinedName" in answer.stderr
    assert "Traceback" not in answer.stderr


def test_a_process_keeps_the_library_it_loaded(
    probes: ProbeBuild, facade: Path, tmp_path: Path
) -> None:
    library = next(probes.folder.glob("python/*/_native.*.so"))
    held = tmp_path / "held"
    held.hardlink_to(library)
    loaded = held.read_bytes()
    with facade.open("a", encoding="utf-8") as file:
        file.write("\nfunc Later() int { return 1 }\n")
    assert probes.build().returncode == 0
    assert held.read_bytes() == loaded
    assert not library.samefile(held)
