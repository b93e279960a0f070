"""A browser's own EventSource, as docs/protocols.md uses it, and its bare WebSocket."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from browser import Browser
from client_server import ClientServer
from web_demo import LossyProxy

QUERY = 'subscription { flightUpdated(airport: "JFK") { id } }'
PROTOCOLS = Path(__file__).resolve().parents[2] / "docs" / "protocols.md"


@pytest.fixture
def printed() -> str:
    """The only program of docs/protocols.md."""
    (program,) = re.findall(r"^```js\n(.*?)^```$", PROTOCOLS.read_text(), re.MULTILINE | re.DOTALL)
    found: str = program
    return found


def result(number: int) -> dict[str, Any]:
    return {"flightUpdated": {"id": number}}


def test_what_is_printed_goes_on_without_a_gap_after_a_lost_connection(
    printed: str, browser: Browser, serve: Callable[..., ClientServer]
) -> None:
    server = serve(retry=0.3, ping=0.3)
    proxy = LossyProxy(server.port)
    try:
        browser.do(open=f"{proxy.url}/metrics")  # a page of the same origin
        program = printed.replace("/graphql/subscriptions", "/graphql/")
        browser.do(
            ask="(() => { window.shown = []; window.events = (() => {"
            f"const query = {json.dumps(QUERY)}; const show = (it) => shown.push(it.data);"
            f"{program} return events; }})(); }})()"
        )
        for first in (0, 10, 20):
            server.expect_active(1)
            server.publish("flights.JFK", {"id": first})
            browser.do(until=f"shown.length > {first}")
            assert proxy.lose() > 0
            for number in range(first + 1, first + 10):  # seen after Last-Event-ID
                server.publish("flights.JFK", {"id": number})
            browser.do(until=f"shown.length >= {first + 10}")
        assert browser.do(ask="shown") == [result(number) for number in range(30)]
        assert server.end({"field": "flightUpdated"}) == 1
        browser.do(until="events.readyState === EventSource.CLOSED")
        server.publish("flights.JFK", {"id": 30})
        server.expect_active(0)
        assert browser.do(ask="shown.length") == 30
    finally:
        proxy.close()


def test_a_websocket_without_a_subprotocol_is_closed_with_4406(
    browser: Browser, serve: Callable[..., ClientServer]
) -> None:
    server = serve()
    browser.do(open=f"http://127.0.0.1:{server.port}/metrics")
    browser.do(
        ask=f"(() => {{ new WebSocket({json.dumps(server.url)}).onclose ="
        " ({ code, reason }) => { window.end = [code, reason]; }; })()"
    )
    browser.do(until="window.end !== undefined")
    code, reason = browser.do(ask="end")
    assert code == 4406
    assert reason == "Subprotocol not acceptable"
