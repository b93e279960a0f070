"""A panic inside a facade call: an error for its caller, a stack in the log, nothing else.

No input is known to make the engine panic, so the test builds a copy of it that does.
"""

from __future__ import annotations

import re
import subprocess
import sys
import textwrap
from typing import TYPE_CHECKING

from copies import ROOT, clean_environment, copy_project

if TYPE_CHECKING:
    from pathlib import Path

#: What is put before these calls: a panic while the GIL is held, and one while it is given up.
BROKEN = {
    "t.Unlocked(func() { text, err = e.Executor.MetricsText() })": 'if t != nil { panic("held") }',
    "text, err = sonic.MarshalString(e.Executor.Health())": 'if t != nil { panic("given up") };',
}

CODE = """
import logging, threading
from fraiseql_subscriptions import EngineError, SubscriptionExecutor

class Keep(logging.Handler):
    def emit(self, record):
        messages.append(record.getMessage())
        logged.release()

messages, logged = [], threading.Semaphore(0)
logging.getLogger("fraiseql_subscriptions").addHandler(Keep())
executor = SubscriptionExecutor()
answers = executor.register_subscription("c", 1, "subscription { a { id } }")
for call, cause in ((executor.metrics_text, "held"), (executor.health, "given up")):
    try:
        call()
    except EngineError as error:
        assert error.code == "ENGINE_ERROR" and "panicked: " + cause in str(error), error
    else:
        raise AssertionError("the call did not fail")
    assert logged.acquire(timeout=20), "nothing was logged"
    assert cause in messages[-1] and "go/api/metrics.go" in messages[-1], messages[-1]
executor.publish_event("t", "c", {"id": 1})
assert b'"data":{"a":{"id":1}}' in executor.next_event(answers)
executor.close()
print("alive")
"""


def test_a_panic_costs_its_own_call_only(tmp_path: Path) -> None:
    folder = copy_project(tmp_path / "copy")
    file = folder / "go" / "api" / "metrics.go"
    text = file.read_text(encoding="utf-8")
    for call, panic in BROKEN.items():
        assert text.count(call) == 1, f"there is no call {call!r} to break"
        text = text.replace(call, f"{panic}\n{call}")
    file.write_text(text, encoding="utf-8")
    built = subprocess.run(
        [sys.executable, "-m", "build_native"],
        cwd=folder,
        capture_output=True,
        text=True,
        check=False,
    )
    assert built.returncode == 0, built.stderr
    answer = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(CODE)],
        env=clean_environment(PYTHONPATH=str(folder / "python")),
        capture_output=True,
        text=True,
        check=False,
        timeout=120,
    )
    assert (answer.returncode, answer.stdout) == (0, "alive\n"), answer.stderr


def test_every_call_that_does_something_is_guarded() -> None:
    exported = re.compile(r"^func ([A-Z]\w*)\(.*\{\n\t(.*)", re.MULTILINE)
    unguarded = {
        name: first
        for file in (ROOT / "go" / "api").glob("*.go")
        for name, first in exported.findall(file.read_text(encoding="utf-8"))
        if not re.fullmatch(r"defer guard\(\w+, &err\)", first)
    }
    assert unguarded == {"NextEvent": "return NextEvents(handle, id, outAddress, 1)"}
