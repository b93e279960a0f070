"""What graphql-ws tells of a connection: pings, pongs, and why it was closed."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from client_server import ClientServer
from node_project import Script

Serve = Callable[..., ClientServer]
Run = Callable[..., Script]
QUERY = 'subscription { flightUpdated(airport: "JFK") { id } }'
OPEN = {"connection": "open"}
CLOSED = {"connection": "closed", "code": 1000, "reason": "Normal Closure"}


@pytest.fixture(params=["graphql-ws", "graphql-ws-6"])
def dial(request: pytest.FixtureRequest, run: Run) -> Callable[..., Script]:
    """Run the client of either major version, which does not come back by itself."""

    def start(server: ClientServer, **options: Any) -> Script:
        settings = {"module": request.param, "retries": 0, **options}
        return run("graphql_ws.mjs", server, **settings)

    return start


def test_the_client_pings_and_the_server_answers(serve: Serve, dial: Callable[..., Script]) -> None:
    server = serve()
    script = dial(server, keepAlive=20, pings=True)
    script.tell(subscribe="a", query=QUERY)
    assert script.hear() == OPEN
    for _ in range(3):
        assert script.hear() == {"ping": "sent"}
        assert script.hear() == {"pong": "received"}


def test_the_server_pings_and_the_client_answers(serve: Serve, dial: Callable[..., Script]) -> None:
    server = serve(ping=0.05, pong=5.0)
    script = dial(server, pings=True)
    script.tell(subscribe="a", query=QUERY)
    assert script.hear() == OPEN
    for _ in range(3):
        assert script.hear() == {"ping": "received"}
        assert script.hear() == {"pong": "sent"}


@pytest.mark.parametrize(
    ("code", "reason", "server_options", "client_options", "heard"),
    [
        # A frame before connection_init, which the client sends by itself.
        (
            4400,
            "Clients send no messages of the type hello",
            {},
            {"frames": [{"type": "hello"}]},
            [],
        ),
        (
            4401,
            "Unauthorized",
            {},
            {"frames": [{"type": "subscribe", "id": "x", "payload": {"query": QUERY}}]},
            [],
        ),
        (4403, "no entry", {}, {"params": {"refuse": "no entry"}}, []),
        (4408, "Connection initialisation timeout", {"init_timeout": 0.1}, {"silent": True}, []),
        (
            4409,
            "Subscriber for same already exists",
            {},
            {"ids": ["same", "same"]},
            [OPEN],
        ),
        (
            4429,
            "Too many initialisation requests",
            {},
            {"frames": [{"type": "connection_init"}]},
            [OPEN],
        ),
    ],
)
def test_a_close_code_reaches_the_application(
    serve: Serve,
    dial: Callable[..., Script],
    code: int,
    reason: str,
    server_options: dict[str, Any],
    client_options: dict[str, Any],
    heard: list[Any],
) -> None:
    server = serve(**server_options)
    script = dial(server, **client_options)
    for name in ("a", "b"):
        script.tell(subscribe=name, query=QUERY)
    for message in heard:
        assert script.hear() == message
    assert script.hear() == {"connection": "closed", "code": code, "reason": reason}
    told = sorted([script.hear(), script.hear()], key=lambda message: str(message["id"]))
    assert told == [{"id": name, "errors": [f"{code} {reason}"]} for name in ("a", "b")]
    assert script.end() == []
    server.expect_active(0)


def test_queries_and_mutations_go_over_the_same_socket(
    serve: Serve, dial: Callable[..., Script]
) -> None:
    server = serve()
    script = dial(server)
    script.tell(subscribe="a", query=QUERY)
    server.expect_active(1)
    assert script.hear() == OPEN
    script.tell(subscribe="q", query="{ airports }")
    assert script.hear() == {"id": "q", "next": {"data": {"airports": ["JFK", "LGA"]}}}
    assert script.hear() == {"id": "q", "complete": True}
    query = 'mutation { depart(airport: "JFK", id: 7) { id airport } }'
    script.tell(subscribe="m", query=query)
    told = [script.hear() for _ in range(3)]
    assert {"id": "a", "next": {"data": {"flightUpdated": {"id": 7}}}} in told
    assert [message for message in told if message["id"] == "m"] == [
        {"id": "m", "next": {"data": {"depart": {"id": 7, "airport": "JFK"}}}},
        {"id": "m", "complete": True},
    ]
    assert script.end() == [{"id": "a", "complete": True}, CLOSED]


def test_a_client_that_is_done_says_goodbye(serve: Serve, dial: Callable[..., Script]) -> None:
    server = serve()
    script = dial(server)
    script.tell(subscribe="a", query=QUERY)
    server.expect_active(1)
    assert script.hear() == OPEN
    script.tell(complete="a")
    assert script.hear() == {"id": "a", "complete": True}
    assert script.hear() == CLOSED
    assert script.end() == []
    server.expect_active(0)


def test_a_server_that_is_told_to_stop_completes_and_goes_away(
    serve: Serve, dial: Callable[..., Script]
) -> None:
    server = serve()
    script = dial(server)
    script.tell(subscribe="a", query=QUERY)
    server.expect_active(1)
    assert script.hear() == OPEN
    server.publish("flights.JFK", {"id": 1})
    assert server.stop() == ""
    assert script.hear() == {"id": "a", "next": {"data": {"flightUpdated": {"id": 1}}}}
    assert script.hear() == {"id": "a", "complete": True}
    assert script.hear() == {
        "connection": "closed",
        "code": 1001,
        "reason": "The server is shutting down",
    }
    assert script.end() == []
