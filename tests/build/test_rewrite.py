"""Each change to gopy's output complains when it does not find what it changes."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from build_native import rewrite

if TYPE_CHECKING:
    from pathlib import Path

    from copies import ProbeBuild


@pytest.fixture
def raw(probes: ProbeBuild) -> Path:
    return next(probes.folder.glob("build/_native/*/raw"))


@pytest.fixture
def functions(raw: Path, probes: ProbeBuild) -> list[rewrite.Function]:
    wrapper = (raw / "api.py").read_text(encoding="utf-8")
    return rewrite.functions_of(wrapper, probes.facade.read_text(encoding="utf-8"))


def test_the_adapted_go_file_has_no_trace_of_what_was_removed(
    raw: Path, functions: list[rewrite.Function]
) -> None:
    text = rewrite.go_source((raw / "native.go").read_text(encoding="utf-8"), functions)
    for unwanted in ("gopyh", "SaveThread", "RestoreThread", "#cgo", "lpython", "Slice_"):
        assert unwanted not in text


@pytest.mark.parametrize(
    "needed",
    [
        "#cgo LDFLAGS:",
        "typedef uint8_t bool;",
        "// boolGoToPy converts",
        '"github.com/go-python/gopy/gopyh"',
        "// initialization functions -- can be called",
        "// ---- External Types Outside of Targeted Packages ---",
        "_saved_thread := C.PyEval_SaveThread()",
        "C.PyEval_RestoreThread(_saved_thread)",
        "//export api_",
    ],
)
def test_a_go_file_in_which_something_is_missing_is_refused(
    raw: Path, functions: list[rewrite.Function], needed: str
) -> None:
    text = (raw / "native.go").read_text(encoding="utf-8")
    assert needed in text
    with pytest.raises(rewrite.UnexpectedOutput):
        rewrite.go_source(text.replace(needed, "", 1), functions)


@pytest.mark.parametrize("needed", ['"native_go.h"', "add_checked_string_function(mod, 'api_"])
def test_a_binding_script_in_which_something_is_missing_is_refused(
    raw: Path, functions: list[rewrite.Function], needed: str
) -> None:
    text = (raw / "build.py").read_text(encoding="utf-8")
    assert needed in text
    with pytest.raises(rewrite.UnexpectedOutput):
        rewrite.build_script(text.replace(needed, "", 1), functions)


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("RegisterSubscription", "register_subscription"),
        ("ConsumerFD", "consumer_fd"),
        ("HTTPPort", "http_port"),
        ("h", "h"),
        ("dataAddress", "data_address"),
        ("connectionID", "connection_id"),
    ],
)
def test_names_in_snake_case(name: str, expected: str) -> None:
    assert rewrite.snake_case(name) == expected
