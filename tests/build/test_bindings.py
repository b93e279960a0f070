"""What the build makes of a facade: names, values, errors, the GIL, memory."""

from __future__ import annotations

import ast
import os
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from copies import ProbeBuild


def test_functions_and_parameters_are_in_snake_case_and_nothing_else_is_there(
    probes: ProbeBuild,
) -> None:
    output = probes.run(
        """
        import inspect
        public = {n: str(inspect.signature(getattr(native, n))) for n in dir(native) if n[0] != "_"}
        print(public)
        """
    )
    assert ast.literal_eval(output) == {
        "count_text": "(text, http_port)",
        "echo_text": "(some_text)",
        "nap": "(milliseconds)",
        "version": "()",
    }


def test_go_comments_are_the_docstrings(probes: ProbeBuild) -> None:
    output = probes.run("print(native.version.__doc__)")
    assert output == 'Version tells the version, "quoted" and with a \\\\ in it.\n'


def test_values_cross_unchanged(probes: ProbeBuild) -> None:
    probes.run(
        """
        for text in ("x", "é☃😀", "x" * 1_000_000):
            assert native.echo_text(text) == text
        for number in (0, -1, 2**62, -(2**63) + 1, 2**63 - 2):
            assert native.count_text("x", number) == number + 1
        assert native.count_text(text="xx", http_port=40) == 42
        """
    )


def test_a_go_error_is_a_runtime_error_with_its_text(probes: ProbeBuild) -> None:
    output = probes.run(
        """
        for call in (lambda: native.echo_text(""), lambda: native.count_text("", 1)):
            try:
                call()
            except RuntimeError as error:
                print(ascii(str(error)))
        """
    )
    assert output.splitlines() == [
        ascii("EMPTY_TEXT: the text is empty — ☃"),
        ascii("EMPTY_TEXT: the text is empty"),
    ]


@pytest.mark.parametrize(
    ("call", "error"),
    [
        ("native.echo_text('a\\0b')", "ValueError"),
        ("native.echo_text('\\ud800')", "UnicodeEncodeError"),
        ("native.echo_text(b'a')", "TypeError"),
        ("native.nap(2**63)", "OverflowError"),
        ("native.nap()", "TypeError"),
    ],
)
def test_arguments_that_cannot_cross_are_refused(probes: ProbeBuild, call: str, error: str) -> None:
    output = probes.run(
        f"""
        try:
            {call}
        except Exception as error:
            print(type(error).__name__)
        """
    )
    assert output.strip() == error


def test_the_gil_is_kept_during_a_call(probes: ProbeBuild) -> None:
    output = probes.run(
        """
        import threading, time
        pauses = []
        def spin():
            last = time.perf_counter()
            while True:
                now = time.perf_counter()
                pauses.append(now - last)
                last = now
        threading.Thread(target=spin, daemon=True).start()
        while not pauses:
            time.sleep(0)
        sys.setswitchinterval(1e-6)
        del pauses[:]
        native.nap(100)
        # The pause is on the list once the other thread has had another turn.
        seen = len(pauses)
        while len(pauses) < seen + 2:
            time.sleep(0)
        print(max(pauses))
        """
    )
    # The other thread cannot have had a turn while the call slept for 100 ms.
    assert float(output) >= 0.1


def test_no_call_leaks_memory(probes: ProbeBuild) -> None:
    output = probes.run(
        """
        import psutil
        me, text = psutil.Process(), "x" * 500
        def refused(call, *arguments):
            try:
                call(*arguments)
            except (RuntimeError, ValueError):
                pass
        def turn(calls):
            for _ in range(calls):
                native.version()
                native.echo_text(text)
                native.count_text(text, 1)
                refused(native.echo_text, "")
                refused(native.count_text, "", 1)
                refused(native.echo_text, "a\\0b")
        turn(100_000)
        before = me.memory_info().rss
        turn(1_000_000)
        print(me.memory_info().rss - before)
        """
    )
    # A leak of one empty string per call would be 16 MB or more.
    assert int(output) < 4_000_000


def test_importing_changes_nothing_in_the_process(probes: ProbeBuild) -> None:
    output = probes.run("import os; print(os.getcwd()); print(len(native.__file__) > 0)")
    assert output.splitlines() == [os.getcwd(), "True"]
