"""What every client can rely on, whoever wrote it and whichever protocol it speaks."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import pytest
from client_server import ClientServer
from node_project import Script

QUERY = """subscription ($airport: String!, $carrier: String) {
  flightUpdated(airport: $airport, carrier: $carrier) { id gate { number } }
}"""
WILD = (
    "argument 'airport' of field 'flightUpdated' is '*', which cannot be one segment of a channel"
)
Serve = Callable[..., ClientServer]
Run = Callable[..., Script]


@dataclass(frozen=True)
class Client:
    """One client: its script and what is its own manner.

    `typenames`: it asks for every object's type. `confirms`: it tells who completes a subscription
    that this has been done. `positions`: results come with positions. `returns`: it subscribes
    again when a connection is lost, instead of reporting that.
    """

    name: str
    script: str
    options: dict[str, Any] = field(default_factory=dict)
    typenames: bool = False
    confirms: bool = False
    positions: bool = False
    returns: bool = True

    def about(self, id: str, number: int, gate: int | None = None) -> dict[str, Any]:  # noqa: A002
        """What the script says when a flight's update reaches its subscription."""
        at = None if gate is None else self.object("Gate", number=gate)
        flight = self.object("Flight", id=number, gate=at)
        return {"id": id, "next": {"data": {"flightUpdated": flight}}}

    def object(self, type_name: str, **fields: Any) -> dict[str, Any]:
        return {**fields, "__typename": type_name} if self.typenames else fields


SINGLE = Client(
    "graphql-sse, one connection", "graphql_sse.mjs", {"singleConnection": True}, confirms=True
)
DISTINCT = Client("graphql-sse", "graphql_sse.mjs", confirms=True, positions=True)
CLIENTS = [
    Client("graphql-ws 5", "graphql_ws.mjs", {"module": "graphql-ws"}, confirms=True),
    Client("graphql-ws 6", "graphql_ws.mjs", {"module": "graphql-ws-6"}, confirms=True),
    Client("urql", "urql.mjs", confirms=True),
    Client("apollo", "apollo.mjs", typenames=True),
    Client("apollo, multipart", "apollo_multipart.mjs", typenames=True, returns=False),
    Client("subscriptions-transport-ws", "subscriptions_transport_ws.mjs"),
    DISTINCT,
    SINGLE,
]


class Talk:
    """A client's script. What it says of connections is kept apart, and positions are."""

    def __init__(self, client: Client, server: ClientServer, run: Run, **options: Any) -> None:
        self._script = run(client.script, server, **{**client.options, **options})
        self._positions = client.positions
        self.connections: list[Any] = []

    def subscribe(self, id: str, query: str = QUERY, **variables: Any) -> None:  # noqa: A002
        self._script.tell(subscribe=id, query=query, variables=variables)

    def complete(self, id: str) -> None:  # noqa: A002
        self._script.tell(complete=id)

    def hear(self) -> Any:
        while "connection" in (message := self._script.hear()):
            self.connections.append(message)
        if self._positions and "data" in message.get("next", {}):
            position = message["next"].pop("extensions")
            assert list(position) == ["position"]
        return message

    def end(self) -> list[Any]:
        """Results and errors that came after what the test has heard; there should be none."""
        left = self._script.end()
        return [message for message in left if "next" in message or "errors" in message]


@pytest.fixture(params=CLIENTS, ids=[client.name for client in CLIENTS])
def client(request: pytest.FixtureRequest) -> Client:
    found: Client = request.param
    return found


@pytest.fixture
def server(serve: Serve) -> ClientServer:
    """One that pings, keeps alive and sends heartbeats all the time."""
    return serve(ping=0.3)


@pytest.fixture
def talk(client: Client, server: ClientServer, run: Run) -> Talk:
    return Talk(client, server, run)


def test_several_subscriptions_each_get_their_own_in_order(
    client: Client, server: ClientServer, talk: Talk
) -> None:
    talk.subscribe("a", airport="JFK")
    talk.subscribe("b", airport="LGA", carrier="DL")
    talk.subscribe("c", airport="JFK", carrier="B6")
    server.expect_active(3)
    heard: dict[str, list[Any]] = {"a": [], "b": [], "c": []}
    for number in range(30):
        airport, carrier = ("JFK", "LGA")[number % 2], ("B6", "DL", "UA")[number % 3]
        data = {"id": number, "carrier": carrier, "gate": {"number": number + 100, "x": 1}}
        server.publish(f"flights.{airport}", data)
    for _ in range(15 + 5 + 5):
        message = talk.hear()
        heard[message["id"]].append(message)
    about = client.about
    assert heard["a"] == [about("a", n, n + 100) for n in range(0, 30, 2)]
    assert heard["b"] == [about("b", n, n + 100) for n in range(30) if n % 2 and n % 3 == 1]
    assert heard["c"] == [about("c", n, n + 100) for n in range(30) if n % 6 == 0]
    assert talk.end() == []
    server.expect_active(0)


def test_completing_one_leaves_the_others(client: Client, server: ClientServer, talk: Talk) -> None:
    talk.subscribe("a", airport="JFK")
    talk.subscribe("b", airport="JFK", carrier=None)
    server.expect_active(2)
    talk.complete("a")
    if client.confirms:
        assert talk.hear() == {"id": "a", "complete": True}
    server.expect_active(1)
    server.publish("flights.JFK", {"id": 1})
    assert talk.hear() == client.about("b", 1)
    talk.subscribe("c", airport="JFK", carrier="DL")
    server.expect_active(2)
    server.publish("flights.JFK", {"id": 2, "carrier": "DL"})
    assert both(talk) == [client.about("b", 2), client.about("c", 2)]
    assert talk.end() == []
    server.expect_active(0)


def test_a_refused_operation_is_a_list_of_errors(
    client: Client, server: ClientServer, run: Run
) -> None:
    talk = Talk(client, server, run, retries=0)
    talk.subscribe("a", airport="JFK")
    server.expect_active(1)
    for id_, refusal, query, variables in (
        ("b", "field 'secret' cannot be subscribed to", "subscription { secret { id } }", {}),
        (
            "c",
            WILD,
            QUERY,
            {"airport": "*"},
        ),
    ):
        talk.subscribe(id_, query, **variables)
        assert talk.hear() == {"id": id_, **refused(client, refusal)}
        if client is DISTINCT:
            assert talk.hear() == {"id": id_, "complete": True}
    server.publish("flights.JFK", {"id": 1})  # the first one goes on
    assert talk.hear() == client.about("a", 1)
    if client is not SINGLE:  # it has opened another stream, and forgotten the first one
        assert talk.end() == []


def refused(client: Client, message: str) -> dict[str, Any]:
    """How a client tells of it. graphql-sse knows the errors of responses only."""
    if client is SINGLE:
        return {"errors": ["Server responded with 400: Bad Request"]}
    if client is DISTINCT:
        error = {"message": message, "extensions": {"code": "INVALID_QUERY"}}
        return {"next": {"errors": [error]}}
    return {"errors": [message]}


def test_an_error_in_a_response_comes_beside_its_data(
    client: Client, server: ClientServer, talk: Talk
) -> None:
    talk.subscribe("a", 'subscription { delayed(airport: "JFK") { id } }')
    server.expect_active(1)
    for number in (1, 2):  # the subscription lives on
        server.publish("flights.JFK", {"id": number})
        assert talk.hear() == {
            "id": "a",
            "next": {
                "data": None,
                "errors": [
                    {
                        "message": f"nobody knows when flight {number} leaves",
                        "path": ["delayed"],
                        "extensions": {"code": "RESOLVER_ERROR"},
                    }
                ],
            },
        }
    assert talk.end() == []
    assert "nobody knows when flight 1 leaves" in server.stop()  # its log


def test_the_server_completes_a_subscription(
    client: Client, server: ClientServer, talk: Talk
) -> None:
    talk.subscribe("a", airport="JFK")
    talk.subscribe("b", airport="LGA")
    server.expect_active(2)
    assert server.end({"variables.airport": "JFK"}) == 1
    assert talk.hear() == {"id": "a", "complete": True}
    server.publish("flights.LGA", {"id": 1})
    assert talk.hear() == client.about("b", 1)
    assert talk.end() == []


def test_a_client_comes_back_when_the_server_has_crashed(
    client: Client, server: ClientServer, talk: Talk
) -> None:
    for name, airport in (("a", "JFK"), ("b", "LGA")):
        talk.subscribe(name, airport=airport)
    server.expect_active(2)
    server.publish("flights.JFK", {"id": 1})
    assert talk.hear() == client.about("a", 1)
    server.kill()
    if not client.returns:
        assert both(talk) == [{"id": name, "errors": ["terminated"]} for name in ("a", "b")]
    server.start()
    if not client.returns:
        for name, airport in (("a", "JFK"), ("b", "LGA")):
            talk.subscribe(name, airport=airport)
    server.expect_active(2)
    server.publish("flights.JFK", {"id": 2})
    server.publish("flights.LGA", {"id": 3})
    assert both(talk) == [client.about("a", 2), client.about("b", 3)]
    assert talk.end() == []
    server.expect_active(0)


def both(talk: Talk) -> list[Any]:
    """The next two messages, by their subscriptions, which have no order between them."""
    return sorted([talk.hear(), talk.hear()], key=lambda message: str(message["id"]))
