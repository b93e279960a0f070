"""The demo's page in headless Chromium: what it shows is what the engine published."""

from __future__ import annotations

import json
import signal
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from browser import Browser
from web_demo import LossyProxy, WebDemo

from fraiseql_subscriptions.demo import data

STATUS = {"departed": "Departed", "arrived": "Landed", "cancelled": "Cancelled"}
ROWS = "[...document.querySelectorAll('#rows tr')].map(r => [...r.cells].map(c => c.textContent))"
COUNTS = "['departed', 'flying', 'arrived', 'cancelled'].map(id => +window[id].textContent)"
LIVE = "document.getElementById('state').textContent === 'Live'"
LOST = "document.getElementById('state').dataset.state === 'lost'"


@pytest.fixture
def demo() -> Iterator[Callable[[str], WebDemo]]:
    served: list[WebDemo] = []

    def start(speed: str) -> WebDemo:
        made = WebDemo(speed)
        served.append(made)
        made.start()
        return made

    yield start
    for made in served:
        made.close()


@pytest.fixture(scope="module")
def events() -> list[data.FlightEvent]:
    return data.events_of(data.read_flights())


def board(
    events: list[data.FlightEvent], origin: str | None = None, carrier: str | None = None
) -> list[list[str]]:
    """The board's rows after these events: one a flight, the latest event on top."""
    names, airports = data.read_airlines(), data.read_airports()
    rows: dict[tuple[Any, ...], list[str]] = {}
    for event in events:
        flight = event.data
        if origin not in (None, flight["origin"]) or carrier not in (None, flight["carrier"]):
            continue
        key = tuple(flight[name] for name in ("carrier", "flight", "origin", "destination"))
        rows.pop(key, None)
        delay = flight["delay"]
        rows[key] = [
            data.clock(event.minute).replace("+", " +"),
            f"{flight['carrier']} {flight['flight']}",
            names[flight["carrier"]],
            flight["origin"],
            f"{airports[flight['destination']].city} ({flight['destination']})",
            STATUS[flight["status"]],
            "–" if delay is None else f"{delay:+}".replace("-", "−"),  # noqa: RUF001
        ]
    return list(rows.values())[::-1]


def rows_like(browser: Browser, wanted: list[list[str]]) -> None:
    """Wait until the first row is the last event's; then every row must be as wanted."""
    text = json.dumps("".join(wanted[0]))
    count = len(wanted)
    browser.do(
        until=f"document.querySelectorAll('#rows tr').length === {count} && "
        f"document.querySelector('#rows tr').textContent === {text}"
    )
    assert browser.do(ask=ROWS) == wanted


def test_the_board_shows_the_day_and_filters_it(
    browser: Browser,
    demo: Callable[[str], WebDemo],
    events: list[data.FlightEvent],
    tmp_path: Path,
) -> None:
    served = demo("max")
    browser.do(open=served.url)
    rows_like(browser, board(events))
    assert browser.do(ask=COUNTS) == [922, 2, 920, 10]
    assert browser.do(ask="document.querySelectorAll('#map .arcs path').length") == 2
    for origin, carrier in (("JFK", ""), ("JFK", "B6"), ("", "HA"), ("", "")):
        browser.do(choose="#origin", value=origin)
        browser.do(choose="#carrier", value=carrier)
        rows_like(browser, board(events, origin or None, carrier or None))
    browser.do(picture=str(tmp_path / "board.png"))
    assert (tmp_path / "board.png").stat().st_size > 50_000
    assert browser.end() == []
    assert served.end() == (130, "interrupted\n")


def test_flights_arrive_live_and_none_is_missed_when_the_connection_is_lost(
    browser: Browser, demo: Callable[[str], WebDemo], events: list[data.FlightEvent]
) -> None:
    served = demo("7200")
    proxy = LossyProxy(served.port)
    try:
        browser.do(open=proxy.url)
        for flown in (100, 400, 700):
            browser.do(until=f"{COUNTS}[0] >= {flown}")
            assert proxy.lose() > 0
            browser.do(until=LOST)
            browser.do(until=LIVE)
        rows_like(browser, board(events))
    finally:
        proxy.close()
    problems = browser.end()
    assert [one for one in problems if not one.startswith("WebSocket connection to")] == []


def test_the_board_begins_again_with_another_server(
    browser: Browser, demo: Callable[[str], WebDemo], events: list[data.FlightEvent]
) -> None:
    served = demo("max")
    browser.do(open=served.url)
    rows_like(browser, board(events))
    served.end(signal.SIGKILL)
    browser.do(until=LOST)
    assert browser.do(ask=ROWS) == board(events)  # what is known stays
    # Rows of the server before would otherwise pass for those of the new one.
    browser.do(ask="document.querySelector('#rows tr').cells[2].textContent = 'of before'")
    served.start()
    browser.do(until=LIVE)
    rows_like(browser, board(events))


def test_graphiql_knows_the_schema_and_runs_a_subscription(
    browser: Browser, demo: Callable[[str], WebDemo], tmp_path: Path
) -> None:
    served = demo("2000")
    browser.do(open=f"{served.url}/graphiql")
    browser.do(click="[aria-label='Show Documentation Explorer']")
    browser.do(until="document.body.innerText.includes('subscription: Subscription')")
    browser.do(click=".graphiql-execute-button")
    shown = "document.querySelector('.result-window').innerText"
    browser.do(until=f"{shown}.includes('flightUpdated')")
    first = browser.do(ask=shown)
    assert '"airline": ' in first
    assert "errors" not in first
    browser.do(until=f"{shown} !== {json.dumps(first)}")  # one result after the other
    browser.do(picture=str(tmp_path / "graphiql.png"))
    browser.do(click=".graphiql-execute-button")
    assert browser.end() == []
