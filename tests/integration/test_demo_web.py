"""`demo --web`: what it serves, its day that begins again, and what it says when it cannot."""

from __future__ import annotations

import asyncio
import json
import math
import re
import socket
import subprocess
import sys
import urllib.request
from collections.abc import Iterator

import pytest
from websocket_server import dial, greet, hear, until

from fraiseql_subscriptions import SubscriptionExecutor
from fraiseql_subscriptions.__main__ import main
from fraiseql_subscriptions.demo import data
from fraiseql_subscriptions.demo.web import day as day_module
from fraiseql_subscriptions.demo.web.day import Day

COMMAND = (sys.executable, "-W", "error", "-m", "fraiseql_subscriptions", "demo", "--web")
TIMEOUT = 60


@pytest.fixture
def address() -> Iterator[str]:
    """Where a demo is served that has published its day at once."""
    command = [*COMMAND, "--port", "0", "--speed", "max"]
    with subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    ) as served:
        assert served.stdout is not None
        assert served.stderr is not None
        line = served.stdout.readline()
        found = re.fullmatch(r"The board: http://(127\.0\.0\.1:\d+)/\n", line)
        assert found, served.communicate(timeout=TIMEOUT)
        yield found[1]
        served.terminate()
        assert served.stderr.read() == ""


def fetch(url: str) -> tuple[str, str, str]:
    """Content type, policy and text."""
    with urllib.request.urlopen(url, timeout=TIMEOUT) as answer:
        headers = answer.headers
        return (
            headers["content-type"].split(";")[0],
            headers["content-security-policy"] or "",
            answer.read().decode(),
        )


def test_pages_name_files_that_are_served_from_here(address: str) -> None:
    for page in ("/", "/graphiql"):
        kind, policy, text = fetch(f"http://{address}{page}")
        assert kind == "text/html"
        assert "default-src 'self'" in policy
        files = re.findall(r'(?:src|href)="([^"#]+)"', text)
        assert len(files) >= 3
        for file in files:
            assert file.startswith("/"), f"{page} takes {file} from elsewhere"
            if file not in ("/", "/graphiql"):
                kind, _, _ = fetch(f"http://{address}{file}")
                wanted = {"css": "text/css", "js": "text/javascript", "svg": "image/svg+xml"}
                assert kind == wanted[file.rpartition(".")[2]]


@pytest.mark.asyncio
async def test_a_client_gets_the_day_so_far_from_its_start(address: str) -> None:
    async with dial(f"ws://{address}/graphql") as client:
        await greet(client)
        query = "{ day { start flights speed date } airports { code home } airlines { code } }"
        await client.send(json.dumps({"type": "subscribe", "id": "q", "payload": {"query": query}}))
        found = (await hear(client))["payload"]["data"]
        assert found["day"].pop("start")
        assert found["day"] == {"flights": 932, "speed": None, "date": "2013-02-04"}
        assert [one["code"] for one in found["airports"] if one["home"]] == ["JFK", "LGA", "EWR"]
        assert (len(found["airports"]), len(found["airlines"])) == (89, 15)


def test_every_airport_of_the_day_is_where_its_distances_say() -> None:
    """Great circles on a sphere are at most one part in 200 from those on the earth."""
    airports = data.read_airports()
    flights = data.read_flights()
    for flight in flights:
        found = distance(airports[flight.origin], airports[flight.destination])
        assert abs(found - flight.distance) <= 5 + flight.distance / 200, flight
    used = {flight.origin for flight in flights} | {flight.destination for flight in flights}
    assert used == airports.keys()


def distance(one: data.Airport, other: data.Airport) -> float:
    """In miles, by the haversine formula."""
    here, there = (
        (math.radians(place.latitude), math.radians(place.longitude)) for place in (one, other)
    )
    half = (
        math.sin((there[0] - here[0]) / 2) ** 2
        + math.cos(here[0]) * math.cos(there[0]) * math.sin((there[1] - here[1]) / 2) ** 2
    )
    return 2 * 3958.8 * math.asin(math.sqrt(half))


@pytest.mark.asyncio
async def test_the_day_begins_again_and_its_start_moves_with_it(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(day_module, "_NIGHT", 0.01)
    events = data.events_of(data.read_flights())[:10]
    seen: list[tuple[int, int]] = []
    async with SubscriptionExecutor() as executor:
        day = Day(executor, events, 1e9)
        publishing = asyncio.create_task(day.publish())
        first = await day.start()

        async def watch() -> None:
            async for event in executor.listen("flights.*"):
                seen.append((event.data["day"], event.data["sequence"]))  # noqa: PERF401  (it never ends)

        watching = asyncio.create_task(watch())
        await until(lambda: len(seen) >= 25)
        assert await day.start() != first
        watching.cancel()
        publishing.cancel()
        await asyncio.gather(watching, publishing, return_exceptions=True)
    whole = [(number, sequence) for number in range(1, 9) for sequence in range(10)]
    begin = whole.index(seen[0])
    assert seen[:25] == whole[begin : begin + 25]


def told(*arguments: str, hidden: str = "") -> subprocess.CompletedProcess[str]:
    """The command where a module is hidden."""
    code = (
        f"import sys; sys.modules[{hidden!r}] = None;"
        "from fraiseql_subscriptions.__main__ import main; sys.exit(main(sys.argv[1:]))"
    )
    return subprocess.run(
        [sys.executable, "-W", "error", "-c", code, "demo", "--web", *arguments],
        capture_output=True,
        text=True,
        timeout=TIMEOUT,
        check=False,
    )


@pytest.mark.parametrize("missing", ["uvicorn", "starlette", "graphql"])
def test_without_the_extra_a_sentence_says_what_to_install(missing: str) -> None:
    answer = told("--port", "0", hidden=missing)
    assert answer.returncode == 1
    assert f"The page needs {missing}" in answer.stderr
    assert answer.stderr.endswith("pip install 'fraiseql-subscriptions[web]'\n")
    assert answer.stderr.count("\n") == 1


def test_a_port_that_is_taken_is_named() -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        answer = told("--port", str(port))
    assert answer.returncode == 1
    assert answer.stderr == (
        f"127.0.0.1:{port} cannot be listened on: Address already in use. Try --port 0.\n"
    )


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (["--port", "65536"], "'65536' is not a port; give a number from 0 to 65535"),
        (["--port", "http"], "'http' is not a port"),
    ],
)
def test_wrong_ports_are_named(
    arguments: list[str], sentence: str, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as leaving:
        main(["demo", "--web", *arguments])
    assert leaving.value.code == 2
    assert sentence in capsys.readouterr().err


@pytest.mark.parametrize("other", [["--json"], ["--subscribers", "3"]])
def test_options_of_a_run_that_ends_are_refused(
    other: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["demo", "--web", *other]) == 2
    assert "--json and --subscribers are for a run that ends" in capsys.readouterr().err
