"""The main job on real input: the demo command, and the data behind it."""

from __future__ import annotations

import json
import os
import pty
import random
import signal
import statistics
import subprocess
import sys
from collections import Counter, defaultdict
from collections.abc import Mapping
from typing import Any

import pytest

from fraiseql_subscriptions.__main__ import main
from fraiseql_subscriptions.demo import data
from fraiseql_subscriptions.demo.dashboards import dashboards_for, extra_dashboards
from fraiseql_subscriptions.demo.distribution import Distribution
from fraiseql_subscriptions.demo.expected import Expectations

COMMAND = (sys.executable, "-W", "error", "-m", "fraiseql_subscriptions", "demo")
TIMEOUT = 120

# --- The day as events -------------------------------------------------------------------


def row(**cells: str) -> dict[str, str]:
    """A row of the file: JFK to BOS at 10:00, on time, with other cells where given."""
    return {
        "date": "2013-02-04",
        "carrier": "B6",
        "flight": "7",
        "tailnum": "N1",
        "origin": "JFK",
        "dest": "BOS",
        "sched_dep_time": "1000",
        "dep_time": "1000",
        "dep_delay": "0",
        "sched_arr_time": "1110",
        "arr_time": "1110",
        "arr_delay": "0",
        "air_time": "40",
        "distance": "187",
        **cells,
    }


ZONES = {"BOS": 0, "LAX": 3, "SJU": -1}


@pytest.mark.parametrize(
    ("cells", "departure", "arrival"),
    [
        ({}, 600, 670),
        ({"arr_time": "5"}, 600, 1445),
        # Late in the evening, there after midnight.
        ({"sched_dep_time": "2159", "dep_time": "2341", "dep_delay": "102", "arr_time": "49"},
         1421, 1489),
        # It was to leave before midnight and left after it.
        ({"sched_dep_time": "2359", "dep_time": "19", "dep_delay": "20", "arr_time": "120"},
         1459, 1520),
        # Early, across midnight the other way.
        ({"sched_dep_time": "5", "dep_time": "2355", "dep_delay": "-10", "arr_time": "100"},
         -5, 60),
        ({"sched_dep_time": "2355", "dep_time": "2400", "dep_delay": "5", "arr_time": "2400"},
         1440, 1440),
        # West: 12:45 there is 15:45 in New York.
        ({"dest": "LAX", "arr_time": "1245"}, 600, 945),
        # West, and past midnight in New York only.
        ({"dest": "LAX", "sched_dep_time": "2000", "dep_time": "2000", "arr_time": "2310"},
         1200, 1570),
        # East: 14:30 there is 13:30 in New York; the clock there is past midnight already.
        ({"dest": "SJU", "arr_time": "1430"}, 600, 810),
        ({"dest": "SJU", "sched_dep_time": "2359", "dep_time": "2349", "dep_delay": "-10",
          "arr_time": "423"}, 1429, 1643),
        ({"arr_time": "", "arr_delay": "", "air_time": ""}, 600, None),
        ({"dep_time": "", "dep_delay": "", "arr_time": "", "arr_delay": ""}, None, None),
    ],
)  # fmt: skip
def test_local_times_become_minutes_in_new_york(
    cells: Mapping[str, str], departure: int | None, arrival: int | None
) -> None:
    flight = data.flight_of(row(**cells), ZONES)
    assert (flight.departure, flight.arrival) == (departure, arrival)


@pytest.mark.parametrize(
    ("cells", "reason"),
    [
        ({"dep_delay": ""}, "B6 7 of 2013-02-04: it departed, but dep_delay is empty"),
        ({"dep_delay": "3"}, "dep_time and dep_delay contradict each other"),
        ({"dest": "NRT"}, "the time zone of NRT is not known"),
        ({"sched_dep_time": "1061"}, "1061 is not a time of day"),
        ({"arr_time": "2401"}, "2401 is not a time of day"),
    ],
)
def test_a_row_that_makes_no_sense_is_named(cells: Mapping[str, str], reason: str) -> None:
    with pytest.raises(ValueError, match=reason):
        data.flight_of(row(**cells), ZONES)


def test_events_are_in_the_order_in_which_they_happened() -> None:
    cancelled = row(flight="2", sched_dep_time="1010", dep_time="", dep_delay="", arr_time="",
                    arr_delay="")  # fmt: skip
    late = row(flight="3", sched_dep_time="900", dep_time="1010", dep_delay="70", arr_delay="65",
               arr_time="1110")  # fmt: skip
    flights = [data.flight_of(one, ZONES) for one in (row(flight="1"), cancelled, late)]
    events = data.events_of(flights)
    assert [(e.event_type, e.data["flight"], e.channel, e.data["delay"]) for e in events] == [
        ("departed", 1, "flights.JFK", 0),
        ("cancelled", 2, "flights.JFK", None),
        ("departed", 3, "flights.JFK", 70),
        ("arrived", 1, "flights.BOS", 0),
        ("arrived", 3, "flights.BOS", 65),
    ]
    assert [event.sequence for event in events] == [0, 1, 2, 3, 4]
    assert [event.data["sequence"] for event in events] == [0, 1, 2, 3, 4]


def test_an_event_after_midnight_has_the_next_days_date() -> None:
    late = row(sched_dep_time="2159", dep_time="2341", dep_delay="102", arr_time="49")
    departed, arrived = data.events_of([data.flight_of(late, ZONES)])
    assert departed.data["time"] == "2013-02-04T23:41:00-05:00"
    assert arrived.data["time"] == "2013-02-05T00:49:00-05:00"
    assert [data.clock(event.minute) for event in (departed, arrived)] == ["23:41", "00:49+1"]


def test_the_whole_file_is_read() -> None:
    flights = data.read_flights()
    events = data.events_of(flights)
    assert len(flights) == 932
    assert Counter(event.event_type for event in events) == {
        "departed": 922,
        "arrived": 920,
        "cancelled": 10,
    }
    assert [event.minute for event in events] == sorted(event.minute for event in events)
    assert {flight.carrier for flight in flights} <= data.read_airlines().keys()


def test_the_time_zones_agree_with_the_time_spent_in_the_air() -> None:
    """An hour's mistake would leave no time on the ground, or far too much."""
    on_the_ground: dict[str, list[int]] = defaultdict(list)
    for flight in data.read_flights():
        if flight.arrival is not None and flight.departure is not None and flight.air_time:
            minutes = flight.arrival - flight.departure - flight.air_time
            on_the_ground[flight.destination].append(minutes)
    wrong = {
        airport: minutes
        for airport, minutes in on_the_ground.items()
        if not 8 <= statistics.median(minutes) < 60 or max(minutes) > 180
    }
    assert len(on_the_ground) == 85
    assert wrong == {}


# --- Who should receive what -------------------------------------------------------------


@pytest.fixture(scope="module")
def expectations() -> Expectations:
    return Expectations(data.FLIGHTS, data.AIRLINES, data.TIME_ZONES)


def test_every_dashboard_and_every_extra_one_has_an_expectation(
    expectations: Expectations,
) -> None:
    names = data.read_airlines()
    events = data.events_of(data.read_flights())
    dashboards = [*dashboards_for(names), *extra_dashboards(2000, events, names)]
    for dashboard in dashboards:
        expectations.of(dashboard.kind, dashboard.subject)
    extra = [dashboard for dashboard in dashboards if dashboard.extra]
    kinds = Counter(dashboard.kind for dashboard in extra)
    assert len(extra) == 2000
    assert max(kinds.values()) - min(kinds.values()) <= 1
    subjects = {d.subject for d in extra if d.kind == "destination"}
    assert subjects == {event.data["destination"] for event in events}


def test_expectations_add_up_to_the_day(expectations: Expectations) -> None:
    def count(kind: str, subject: str = "") -> int:
        return expectations.of(kind, subject).count

    flights = data.read_flights()
    carriers = {flight.carrier for flight in flights}
    airports = {flight.origin for flight in flights} | {f.destination for f in flights}
    assert sum(count("airline", carrier) for carrier in carriers) == 1852
    assert sum(count("airport", airport) for airport in airports) == 1852
    assert count("airport", "JFK") == 304
    assert count("all but", "DL") == 1852 - count("airline", "DL")
    assert count("cancelled") == 10
    assert count("shut out", "DL") == count("anonymous") == 0
    with pytest.raises(ValueError, match="'airlines'"):
        count("airlines", "DL")


# --- The distribution --------------------------------------------------------------------


def test_quantiles_are_at_most_one_part_in_a_hundred_too_large() -> None:
    durations = [random.Random(number).lognormvariate(-8, 2) for number in range(5000)]
    found = Distribution()
    for duration in durations:
        found.add(duration)
    durations.sort()
    for share in (0.01, 0.5, 0.9, 0.99, 0.999):
        exact = durations[max(int(share * 5000) - 1, 0)]
        assert exact * 0.9999 <= found.quantile(share) <= exact * 1.0101
    assert found.quantile(1.0) == found.maximum == durations[-1]


def test_a_distribution_of_nothing_and_of_extremes() -> None:
    found = Distribution()
    assert found.quantile(0.5) == 0.0
    for duration in (0.0, -1.0, 1e9):
        found.add(duration)
    assert found.quantile(0.5) <= 1e-7
    assert found.maximum == 1e9
    assert found.count == 3


# --- The command -------------------------------------------------------------------------


def demo(*arguments: str, code: str | None = None) -> subprocess.CompletedProcess[str]:
    """Run the command, or Python code that prepares something and calls main()."""
    command = (*COMMAND[:3], "-c", code) if code else COMMAND
    return subprocess.run(
        [*command, *arguments],
        capture_output=True,
        text=True,
        timeout=TIMEOUT,
        check=False,
    )


def json_of(*arguments: str) -> dict[str, Any]:
    answer = demo("--json", *arguments)
    assert answer.returncode == 0, answer.stderr
    assert answer.stderr == ""
    found: dict[str, Any] = json.loads(answer.stdout)
    return found


def test_every_dashboard_receives_what_the_file_says() -> None:
    found = json_of()
    assert found["ok"] is True
    assert found["differences"] == []
    assert (found["flights"], found["events"], found["dropped"]) == (932, 1852, 0)
    assert found["speed"] == "max"
    assert found["dashboards"] == len(found["results"]) == 20
    received = {result["name"]: result["received"] for result in found["results"]}
    assert sum(received.values()) == found["received"]
    assert received["airport JFK"] == received["named board JFK"] == 304
    assert received["cancelled"] == 10
    assert received["delay 60"] == received["named delay 60"] > received["delay 120"] > 0
    # The others' flights exist; a tenant that asks for them sees none.
    assert received["all but DL"] == 1596
    assert received["shut out DL"] == received["anonymous"] == 0
    for durations in (found["delivery_ms"], found["publishing_ms"]):
        assert 0 < durations["p50"] <= durations["p90"] <= durations["p99"] <= durations["max"]
    assert found["events_per_second"] > 0


def test_plain_lines_where_the_output_is_no_terminal() -> None:
    answer = demo()
    assert answer.returncode == 0, answer.stderr
    lines = answer.stdout.splitlines()
    assert lines[0] == (
        "Flights from New York, 4 February 2013: 932 flights, 1,852 events, 20 dashboards"
    )
    assert "\x1b" not in answer.stdout
    assert any(line.startswith("06:00 ") and "of 1,852 events" in line for line in lines)
    shut_out = next(line for line in lines if line.startswith("shut out DL "))
    assert shut_out.split()[-4:] == ["1", "0", "0", "ok"]
    assert lines[-2].startswith("Replayed as fast as possible in ")
    assert lines[-1].startswith("All 20 dashboards received exactly what the CSV file says")


def test_more_subscribers_are_checked_too() -> None:
    found = json_of("--subscribers", "200", "--speed", "0")
    assert found["dashboards"] == 220
    assert sum(result["dashboards"] for result in found["results"]) == 220
    others = {r["name"]: r["received"] for r in found["results"] if "others" in r["name"]}
    assert len(others) == 9
    assert others["airline, others"] > 0
    assert others["shut out, others"] == 0


def test_the_day_can_be_replayed_at_a_pace() -> None:
    found = json_of("--speed", "60000")
    assert found["speed"] == 60000
    assert 1.3 < found["seconds"] < 20


TAMPER = """
import dataclasses, sys
from fraiseql_subscriptions.__main__ import main
from fraiseql_subscriptions.demo.expected import Expectations
real = Expectations.of
def of(self, kind, subject):
    found = real(self, kind, subject)
    if (kind, subject) == ("destination", "BOS"):
        found = dataclasses.replace(found, {change})
    return found
Expectations.of = of
sys.exit(main(["demo", *sys.argv[1:]]))
"""


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        ("count=97", "destination BOS: 96 responses received, 97 expected"),
        ("digest='0'", "destination BOS: 96 responses as expected, but what they say differs"),
    ],
)
def test_a_difference_is_named_and_is_the_exit_status(change: str, sentence: str) -> None:
    code = TAMPER.replace("{change}", change)
    answer = demo(code=code)
    assert answer.returncode == 1
    assert answer.stdout.splitlines()[-2:] == ["1 of 20 dashboards differ.", sentence]
    assert "DIFFERS" in answer.stdout
    found = demo("--json", code=code)
    assert found.returncode == 1
    assert json.loads(found.stdout)["differences"] == [sentence]
    assert json.loads(found.stdout)["ok"] is False


def test_a_queue_that_drops_is_a_difference() -> None:
    answer = demo(
        code="""
import functools, sys
from fraiseql_subscriptions import QueuePolicy
from fraiseql_subscriptions.__main__ import main
from fraiseql_subscriptions.demo import replay
small = QueuePolicy(max_responses=1)
replay.SubscriptionExecutor = functools.partial(replay.SubscriptionExecutor, queue=small)
async def hurry(self, executor, event):
    self._published_at[event.sequence] = 1.0
    executor.publish_event(event.event_type, event.channel, event.data)
replay.Replay._publish = hurry
sys.exit(main(["demo", "--json"]))
"""
    )
    assert answer.returncode == 1, answer.stderr
    found = json.loads(answer.stdout)
    assert found["dropped"] > 0
    assert any(one.startswith("airport JFK: ") for one in found["differences"])


def test_a_response_that_never_comes_ends_the_replay_with_a_sentence() -> None:
    answer = demo(
        code="""
import asyncio, sys
from fraiseql_subscriptions.__main__ import main
from fraiseql_subscriptions.demo import replay, resolvers
replay._PATIENCE = 0.5
async def name(self, carrier):
    await asyncio.Event().wait()
resolvers.AirlineDirectory.name = name
sys.exit(main(["demo"]))
"""
    )
    assert answer.returncode == 1
    assert "The replay was given up: " in answer.stderr
    assert "Traceback" not in answer.stderr


def in_terminal(*command: str) -> tuple[int, str, str]:
    """Run a command with a terminal as its output; exit status, what the terminal got, stderr."""
    ours, theirs = pty.openpty()
    variables = {**os.environ, "TERM": "xterm-256color", "COLUMNS": "120", "LINES": "40"}
    variables.pop("NO_COLOR", None)
    with subprocess.Popen(
        command, stdin=theirs, stdout=theirs, stderr=subprocess.PIPE, env=variables
    ) as process:
        os.close(theirs)
        shown = b""
        while True:
            try:
                part = os.read(ours, 65536)
            except OSError:  # EIO: the other side is closed
                break
            if not part:
                break
            shown += part
        os.close(ours)
        assert process.stderr is not None
        errors = process.stderr.read().decode()
    return process.returncode, shown.decode(), errors


def test_a_terminal_gets_a_live_table_and_a_progress_bar() -> None:
    status, shown, errors = in_terminal(*COMMAND, "--speed", "60000", "--subscribers", "9")
    assert (status, errors) == (0, "")
    assert "last flight" in shown
    assert "━" in shown
    assert "9 extra" in shown
    assert "Endeavor Air Inc." in shown or "JetBlue Airways" in shown
    assert "All 29 dashboards received exactly what the CSV file says" in shown
    assert shown.count("\x1b[?25l") == shown.count("\x1b[?25h") == 1  # the cursor is back


def test_without_rich_a_sentence_says_so_and_plain_lines_follow() -> None:
    hidden = (
        "import sys; sys.modules['rich.console'] = None;"
        "from fraiseql_subscriptions.__main__ import main; sys.exit(main(['demo', '--speed', '0']))"
    )
    status, shown, errors = in_terminal(sys.executable, "-W", "error", "-c", hidden)
    assert status == 0
    assert errors.strip() == (
        "The live table needs rich, which is not installed; plain lines follow. "
        "To get it: pip install 'fraiseql-subscriptions[demo]'"
    )
    assert "\x1b" not in shown
    assert "All 20 dashboards received" in shown


def test_ctrl_c_ends_it_in_one_line() -> None:
    with subprocess.Popen(
        [*COMMAND, "--speed", "600"], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    ) as process:
        assert process.stdout is not None
        assert process.stdout.readline().startswith("Flights")
        assert process.stdout.readline().startswith("04:53")
        process.send_signal(signal.SIGINT)
        _, errors = process.communicate(timeout=TIMEOUT)
    assert process.returncode == 130
    assert errors == "interrupted\n"


def test_a_reader_that_leaves_is_no_traceback() -> None:
    with subprocess.Popen(
        [*COMMAND, "--speed", "60000"], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    ) as process:
        assert process.stdout is not None
        process.stdout.readline()
        process.stdout.close()
        assert process.stderr is not None
        assert process.stderr.read() == ""
    assert process.returncode == 1


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (["demo", "--speed", "-1"], "'-1' is not a number of simulated seconds per second"),
        (["demo", "--speed", "fast"], "'fast' is not a number of simulated seconds per second"),
        (["demo", "--speed", "nan"], "'nan' is not a number"),
        (["demo", "--speed", "inf"], "'inf' is not a number"),
        (["demo", "--subscribers", "-5"], "'-5' is not a number of dashboards"),
        (["demo", "--subscribers", "1e4"], "'1e4' is not a number of dashboards"),
        (["demo", "--subscribers", "1000001"], "give one from 0 to 1,000,000"),
        (["dmeo"], "invalid choice: 'dmeo'"),
        ([], "the following arguments are required: COMMAND"),
    ],
)
def test_wrong_arguments_are_named(
    arguments: list[str], sentence: str, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as leaving:
        main(arguments)
    assert leaving.value.code == 2
    assert sentence in capsys.readouterr().err


def test_help_says_what_it_does_and_how_it_ends(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as leaving:
        main(["demo", "--help"])
    assert leaving.value.code == 0
    text = capsys.readouterr().out
    for part in ("--speed FACTOR", "--subscribers N", "--json", "exit status:", "examples:"):
        assert part in text
