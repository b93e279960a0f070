"""What is the legacy client's own: keep-alives and how a connection is refused."""

from __future__ import annotations

from collections.abc import Callable

from client_server import ClientServer
from node_project import Script

Serve = Callable[..., ClientServer]
Run = Callable[..., Script]
SCRIPT = "subscriptions_transport_ws.mjs"
QUERY = 'subscription { flightUpdated(airport: "JFK") { id } }'


def test_keep_alives_keep_a_client_that_waits_for_them(serve: Serve, run: Run) -> None:
    """Once it has seen one, the client closes when none comes within its timeout."""
    server = serve(ping=0.1)
    script = run(SCRIPT, server, timeout=400, keepAlives=True)
    script.tell(subscribe="a", query=QUERY)
    assert script.hear() == {"connection": "open"}
    for _ in range(10):  # a second, by the server's clock
        assert script.hear() == {"keepAlive": "received"}
    server.publish("flights.JFK", {"id": 1})
    while (heard := script.hear()) == {"keepAlive": "received"}:
        pass
    assert heard == {"id": "a", "next": {"data": {"flightUpdated": {"id": 1}}}}


def test_a_client_notices_that_keep_alives_stay_away(serve: Serve, run: Run) -> None:
    """What the test before is worth: this server's come too late for this client."""
    server = serve(ping=0.5)
    script = run(SCRIPT, server, timeout=100, keepAlives=True, reconnect=False)
    script.tell(subscribe="a", query=QUERY)
    assert script.hear() == {"connection": "open"}
    assert script.hear() == {"keepAlive": "received"}
    assert script.hear() == {"connection": "closed"}


def test_a_refused_connection_is_told_why(serve: Serve, run: Run) -> None:
    server = serve()
    script = run(SCRIPT, server, params={"refuse": "no entry"}, reconnect=False)
    assert script.hear() == {"connection": "refused", "message": "no entry"}
    assert script.hear() == {"connection": "closed"}
    script.end()
