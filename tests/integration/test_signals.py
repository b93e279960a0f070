"""Signals, broken pipes and fault handlers work beside the engine as docs/operations.md says."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
import textwrap
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

Run = Callable[..., subprocess.CompletedProcess[str]]

#: Records of the engine's logger are printed, so that a test sees each of them.
BEFORE = """
import asyncio, faulthandler, logging, os, signal, socket, sys, threading, time
logging.basicConfig(format="%(message)s", stream=sys.stdout)
from fraiseql_subscriptions import QueuePolicy, SubscriptionExecutor

def until(condition):
    deadline, tick = time.monotonic() + 20, threading.Event()
    while not condition():
        assert time.monotonic() < deadline, "it did not come in 20 s"
        tick.wait(0.001)
"""

LOADED = (
    BEFORE
    + """
executor = SubscriptionExecutor(queue=QueuePolicy(max_responses=1_000_000, max_bytes=1 << 40))
plain = executor.register_subscription("c", 1, "subscription { a { id } }", channels="plain")
executor.publish_event("t", "plain", {"id": 1})
"""
)

#: resolves(f): f ran as a resolver on a thread of the engine.
ON_THE_ENGINES_THREAD = """
def resolves(resolver):
    entered, go_on, done = threading.Event(), threading.Event(), threading.Event()
    def both(data):
        if data["first"]:
            entered.set()
            assert go_on.wait(20)
        else:
            resolver()
            done.set()
    id = executor.register_subscription("r", 1, "subscription { a }", channels="r", resolver=both)
    publisher = threading.Thread(target=executor.publish_event, args=("t", "r", {"first": True}))
    publisher.start()
    assert entered.wait(20)
    async def publish():  # a loop's thread does not wait for its turn: a worker takes it
        executor.publish_event("t", "r", {"first": False})
    asyncio.run(publish())
    go_on.set()
    assert done.wait(20)
    publisher.join()
    executor.complete_subscription(id)
"""


def code(*parts: str) -> str:
    return "".join(map(textwrap.dedent, parts))


# --- What loading changes ----------------------------------------------------------------


@pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")
def test_loading_takes_the_signals_of_faults_broken_pipes_and_sigurg_only(run_python: Run) -> None:
    run_python(
        code(
            BEFORE,
            """
            def caught():
                with open("/proc/self/status") as status:
                    mask = next(int(line.split()[1], 16) for line in status if "SigCgt" in line)
                return {number for number in range(1, 65) if mask >> number - 1 & 1}
            def known():
                return {name: signal.getsignal(name) for name in signal.valid_signals()}
            before, before_known = caught(), known()
            SubscriptionExecutor().fileno()
            added = (caught() - before) & signal.valid_signals()  # 32 and 33 are the C library's
            assert {signal.Signals(number).name for number in added} == {
                "SIGBUS", "SIGFPE", "SIGSEGV", "SIGPIPE", "SIGURG"
            }, added
            assert before <= caught() and known() == before_known
            """,
        )
    )


# --- Ctrl-C ------------------------------------------------------------------------------

HELD = """
gate, entered = threading.Event(), threading.Event()
def hold(data):
    entered.set()
    gate.wait()
executor.register_subscription("h", 1, "subscription { a }", channels="held", resolver=hold)
threading.Thread(target=executor.publish_event, args=("t", "held", {}), daemon=True).start()
assert entered.wait(20)
"""

ECHO = """
executor.register_subscription("e", 1, "subscription { a }", channels="echo", resolver=dict)
"""

FULL = """
executor.register_subscription(
    "f", 1, "subscription { a }", channels="full",
    queue=QueuePolicy(max_responses=1, overflow="block", block_timeout=1000),
)
executor.publish_event("t", "full", {})
"""

SLEEPS = """
def slow(data):
    time.sleep(20)  # the resolver's long work
executor.register_subscription("s", 1, "subscription { a }", channels="slow", resolver=slow)
"""


@pytest.mark.parametrize(
    ("prepare", "function", "body"),
    [
        ("", "publish_event", "while True: executor.publish_event('t', 'plain', {})"),
        (ECHO, "publish_event", "while True: executor.publish_event('t', 'echo', {})"),
        (HELD, "_await_dispatch", "executor.publish_event('t', 'held', {})"),
        (HELD, "_await_dispatch", "executor.publish_events([('t', 'held', {})])"),
        (FULL, "_await_room", "executor.publish_event('t', 'full', {})"),
        (FULL, "_await_room", "executor.publish_events([('t', 'full', {}), ('t', 'full', {})])"),
        (HELD, "_wait", "executor.close(timeout=30)"),
        (SLEEPS, "slow", "executor.publish_event('t', 'slow', {})"),
    ],
    ids=[
        "publishing",
        "resolving",
        "waiting",
        "waiting-batch",
        "blocked",
        "blocked-batch",
        "closing",
        "in-a-resolver",
    ],
)
def test_ctrl_c_is_answered_at_once(
    run_python: Run, prepare: str, function: str, body: str
) -> None:
    """From the signal to the except block; 0.1 s is promised, and half a second asserted."""
    done = run_python(
        code(
            LOADED,
            prepare,
            f"""
            main = threading.get_ident()
            def interrupt():
                global sent
                until(lambda: sys._current_frames()[main].f_code.co_name == {function!r})
                sent = time.monotonic()
                os.kill(os.getpid(), signal.SIGINT)
            threading.Thread(target=interrupt, daemon=True).start()
            def work():  # CPython 3.11 lets what strikes a loop's own jump through
                {body}
            try:
                work()
            except KeyboardInterrupt:
                # In one write: the engine's thread may log in between.
                sys.stdout.write(f"answered after {{time.monotonic() - sent}} s\\n")
                sys.stdout.flush()
                os._exit(0)
            """,
        )
    )
    assert float(done.stdout.partition("answered after ")[2].split()[0]) < 0.5


def test_ctrl_c_in_a_resolver_ends_a_program_that_does_not_catch_it(run_python: Run) -> None:
    done = run_python(
        code(
            LOADED,
            """
            def interrupted(data):
                os.kill(os.getpid(), signal.SIGINT)
            executor.register_subscription("c", 2, "subscription { a }", resolver=interrupted)
            executor.publish_event("t", "c", {})
            """,
        ),
        expected=-signal.SIGINT,
    )
    assert done.stderr.rstrip().endswith("KeyboardInterrupt")


# --- The application's handlers ----------------------------------------------------------


def test_an_applications_signal_handler_runs_beside_publishing(run_python: Run) -> None:
    run_python(
        code(
            LOADED,
            """
            seen = []
            signal.signal(signal.SIGUSR1, lambda number, frame: seen.append(number))
            for n in range(1, 101):
                os.kill(os.getpid(), signal.SIGUSR1)
                executor.publish_event("t", "plain", {"id": n})
                until(lambda: len(seen) == n)
            assert set(seen) == {signal.SIGUSR1}
            """,
        )
    )


def test_asyncios_signal_handlers_work(run_python: Run) -> None:
    run_python(
        code(
            LOADED,
            """
            async def main():
                loop = asyncio.get_running_loop()
                stream = executor.stream(plain)
                for name in (signal.SIGTERM, signal.SIGINT, signal.SIGUSR1):
                    stop = asyncio.Event()
                    loop.add_signal_handler(name, stop.set)
                    executor.publish_event("t", "plain", {"id": 1})
                    await asyncio.wait_for(anext(stream), 10)
                    os.kill(os.getpid(), name)
                    await asyncio.wait_for(stop.wait(), 10)
                await stream.aclose()
            asyncio.run(main())
            """,
        )
    )


def test_a_wakeup_descriptor_is_written_to(run_python: Run) -> None:
    run_python(
        code(
            LOADED,
            """
            reader, writer = socket.socketpair()
            writer.setblocking(False)
            reader.settimeout(10)
            signal.signal(signal.SIGUSR2, lambda *_: None)
            signal.set_wakeup_fd(writer.fileno())
            os.kill(os.getpid(), signal.SIGUSR2)
            assert reader.recv(1) == bytes([signal.SIGUSR2])
            signal.set_wakeup_fd(-1)
            reader.close(), writer.close()
            """,
        )
    )


def test_sigterm_ends_the_process(run_python: Run) -> None:
    run_python(
        code(
            LOADED,
            """
            os.kill(os.getpid(), signal.SIGTERM)
            threading.Event().wait(20)
            """,
        ),
        expected=-signal.SIGTERM,
    )


def test_a_signal_blocked_before_loading_can_be_waited_for(run_python: Run) -> None:
    """The engine's threads inherit the mask; one blocked later is not blocked in them."""
    run_python(
        code(
            BEFORE,
            """
            signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGUSR1})
            """,
            LOADED,
            ON_THE_ENGINES_THREAD,
            """
            resolves(lambda: None)
            for _ in range(20):
                os.kill(os.getpid(), signal.SIGUSR1)
                assert signal.sigtimedwait({signal.SIGUSR1}, 10).si_signo == signal.SIGUSR1
            """,
        )
    )


@pytest.mark.parametrize(("when", "calls"), [("before", 0), ("after", 1)])
def test_sigurg_is_gos(run_python: Run, when: str, calls: int) -> None:
    """A handler set before loading is not called any more; one set later hears Go's too."""
    install = "calls = []; signal.signal(signal.SIGURG, lambda *_: calls.append(1))\n"
    done = run_python(
        code(
            BEFORE,
            install if when == "before" else "",
            LOADED,
            install if when == "after" else "",
            """
            os.kill(os.getpid(), signal.SIGURG)
            for n in range(1000):
                executor.publish_event("t", "plain", {"id": n})
            assert len(executor.next_events(plain, 10_000)) == 1001
            print(len(calls))
            """,
        )
    )
    assert (int(done.stdout) >= 1) is (calls == 1)


# --- Broken pipes ------------------------------------------------------------------------

BREAK = """
def broken():
    reader, writer = os.pipe()
    os.close(reader)
    near, far = socket.socketpair()
    far.close()
    for write in (lambda: os.write(writer, b"x"), lambda: near.send(b"x")):
        try:
            write()
        except BrokenPipeError:
            seen.append(1)
    os.close(writer)
    near.close()
seen = []
"""


def test_a_broken_pipe_is_an_exception_on_every_thread(run_python: Run) -> None:
    run_python(
        code(
            LOADED,
            BREAK,
            ON_THE_ENGINES_THREAD,
            """
            broken()
            thread = threading.Thread(target=broken)
            thread.start(), thread.join()
            executor.register_subscription("b", 1, "subscription { a }", channels="b",
                                           resolver=lambda data: broken())
            executor.publish_event("t", "b", {})
            resolves(broken)
            assert len(seen) == 8, seen
            """,
        )
    )


def test_a_broken_pipe_is_an_exception_in_a_forked_child(run_python: Run) -> None:
    run_python(
        code(
            LOADED,
            BREAK,
            """
            import warnings
            warnings.simplefilter("ignore", DeprecationWarning)  # fork beside threads
            child = os.fork()
            if child == 0:
                broken()
                os._exit(len(seen))
            ended = []
            until(lambda: ended.append(os.waitpid(child, os.WNOHANG)) or ended[-1][0])
            assert os.waitstatus_to_exitcode(ended[-1][1]) == 2, ended[-1]
            """,
        )
    )


@pytest.mark.parametrize("when", ["before", "after"])
def test_a_default_sigpipe_ends_the_process_as_the_application_asked(
    run_python: Run, when: str
) -> None:
    ask = "signal.signal(signal.SIGPIPE, signal.SIG_DFL)\n"
    run_python(
        code(
            BEFORE,
            ask if when == "before" else "",
            LOADED,
            ask if when == "after" else "",
            BREAK,
            "broken()",
        ),
        expected=-signal.SIGPIPE,
    )


# --- Handlers replaced after loading -----------------------------------------------------

OPEN_TWO_MORE = """
for _ in range(2):
    with SubscriptionExecutor() as another:
        another.fileno()
"""


@pytest.mark.parametrize(
    ("before", "after", "warnings"),
    [
        ("", "", []),
        ("faulthandler.enable()", "", []),
        ("", "faulthandler.enable()", ["faulthandler was enabled after"]),
        ("faulthandler.enable()", "faulthandler.disable()", ["faulthandler was disabled after"]),
        ("signal.signal(signal.SIGPIPE, signal.SIG_DFL)", "", []),
        ("", "signal.signal(signal.SIGPIPE, signal.SIG_DFL)", ["SIGPIPE was set to SIG_DFL"]),
        ("", "signal.signal(signal.SIGPIPE, signal.SIG_IGN)", []),
    ],
)
def test_handlers_replaced_after_loading_are_warned_of_once(
    run_python: Run, before: str, after: str, warnings: list[str]
) -> None:
    done = run_python(code(BEFORE, before, LOADED, after, OPEN_TWO_MORE))
    told = done.stdout.splitlines()
    assert len(told) == len(warnings), told
    for line, start in zip(told, warnings, strict=True):
        assert line.startswith(start)
        assert "before the first use of an executor" in line


@pytest.mark.parametrize("where", ["here", "in a resolver", "on the engine's thread"])
def test_a_faulthandler_enabled_before_loading_tells_where_python_crashed(
    run_python: Run, where: str
) -> None:
    calls = {
        "here": "crash()",
        "in a resolver": "executor.register_subscription('x', 1, 'subscription { a }', "
        "resolver=lambda data: crash())\nexecutor.publish_event('t', 'x', {})",
        "on the engine's thread": "resolves(crash)",
    }
    done = run_python(
        code(
            BEFORE,
            "import ctypes\nfaulthandler.enable()\n",
            LOADED,
            ON_THE_ENGINES_THREAD,
            "def crash(): ctypes.string_at(8)\n",
            calls[where],
        ),
        expected=-signal.SIGSEGV,
    )
    assert "Fatal Python error: Segmentation fault" in done.stderr
    assert "in crash" in done.stderr


# --- Descriptors 1 and 2 -----------------------------------------------------------------


def test_the_engine_writes_nothing_to_the_standard_streams(tmp_path: Path) -> None:
    """Whatever goes wrong: its messages are exceptions, responses and log records."""
    script = """
    import asyncio, json, logging, sys
    from fraiseql_subscriptions import *

    class Keeps(logging.Handler):
        def emit(self, record):
            kept.append(record.getMessage())
    kept = []
    logger = logging.getLogger("fraiseql_subscriptions")
    logger.addHandler(Keeps())
    logger.propagate = False

    def fails(data): raise LookupError("fails")
    def unserialisable(data): return {"a": object()}
    async def never(data): await asyncio.Event().wait()

    refused = []
    def refuses(call):
        try:
            call()
        except (SubscriptionsError, ValueError, TypeError, RuntimeError) as error:
            refused.append(str(error))
        else:
            raise AssertionError("it was not refused")

    for debug in (False, True):
        executor = SubscriptionExecutor(
            queue=QueuePolicy(max_responses=1), debug=debug, resolver_timeout=0.05
        )
        register, publish = executor.register_subscription, executor.publish_event
        ids = [register("c", n, "subscription { a { id } }", channels="a",
                        resolver=(None, fails, unserialisable)[n % 3]) for n in range(9)]
        for n in range(100):
            publish("t", "a", {"id": n})
        for bad in ("", "{", "subscription { a b }", "mutation { a }", "\\0", "{" * 1000):
            refuses(lambda: register("c", "bad", bad))
        refuses(lambda: register("c", "bad", "subscription { a }", filter={"a": {"resembles": 1}}))
        refuses(lambda: register("c", 0, "subscription { a }"))
        for data in ({"a": float("nan")}, {"a": object()}, [], {"a": "x" * 2_000_000}):
            refuses(lambda: publish("t", "a", data))
        refuses(lambda: executor.next_event("nobody"))
        native, handle = executor._native, executor._handle
        refuses(lambda: native.drain(handle, 0, id(object), id(object), id(object), 1))
        refuses(lambda: native.publish_event(handle, "t", "a", id(object), "", "", 0))
        async def late():
            slow = register("c", "never", "subscription { a }", channels="n", resolver=never)
            await executor.publish("t", "n", {})
            assert b"errors" in await anext(executor.stream(slow))
        asyncio.run(late())
        refuses(lambda: SubscriptionExecutor(schema="type").fileno())
        executor.close()
        refuses(executor.drain)
        refuses(lambda: native.health(handle))
    with open(sys.argv[1], "w") as report:
        json.dump([len(refused), kept], report)
    """
    output, errors, report = (tmp_path / name for name in ("1", "2", "report"))
    with output.open("wb") as first, errors.open("wb") as second:
        done = subprocess.run(
            [sys.executable, "-c", textwrap.dedent(script), str(report)],
            stdout=first,
            stderr=second,
            timeout=60,
            check=False,
        )
    written = output.read_text() + errors.read_text()
    assert not written, written
    assert done.returncode == 0
    refused, kept = json.loads(report.read_text())
    told: Any = " ".join(kept)
    assert refused == 2 * 18, refused
    assert "loses responses" in told
    assert "fails" in told
