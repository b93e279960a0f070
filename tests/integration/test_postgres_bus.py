"""What an application sees of PostgreSQL in particular."""

# ruff: noqa: A001  (`id` is a name of the public API)

from __future__ import annotations

import json
from collections.abc import Callable, Iterator

import psycopg
import pytest
from postgres_server import PostgresServer, run_server

from fraiseql_subscriptions import (
    BusError,
    BusUnavailable,
    EventBusConfig,
    SubscriptionExecutor,
    SubscriptionsError,
)

QUERY = "subscription { order { id } }"


@pytest.fixture(scope="module")
def server() -> Iterator[PostgresServer]:
    with run_server() as running:
        yield running


@pytest.fixture
def url(server: PostgresServer) -> str:
    return server.installed()


@pytest.fixture
def node(url: str) -> Iterator[SubscriptionExecutor]:
    with SubscriptionExecutor(url) as made:
        yield made


def number_in(message: bytes | None) -> object:
    assert message is not None
    return json.loads(message)["payload"]["data"]["order"]["id"]


def test_an_event_exists_exactly_when_its_transaction_commits(
    url: str, node: SubscriptionExecutor, until: Callable[..., None]
) -> None:
    id = node.register_subscription("c", "1", QUERY, channels="orders")
    with psycopg.connect(url) as conn:
        for number, end in enumerate((conn.commit, conn.rollback, conn.commit)):
            conn.execute(
                "SELECT fraiseql_subscriptions.publish('orders', 't', %s::jsonb)",
                [json.dumps({"id": number})],
            )
            assert node.next_event(id) is None
            end()
            if end == conn.commit:
                until(lambda: node.get_metrics()["queued"], "the event")
                assert number_in(node.next_event(id)) == number
    assert node.next_event(id) is None


def test_a_client_goes_on_from_what_its_mutation_published(
    url: str, node: SubscriptionExecutor
) -> None:
    """The position of an event of an open transaction misses nothing that commits later."""
    with psycopg.connect(url) as one, psycopg.connect(url) as two:
        publish = "SELECT fraiseql_subscriptions.publish('orders', 't', %s::jsonb)"
        one.execute(publish, ['{"id": "later"}'])
        row = two.execute(publish, ['{"id": "own"}']).fetchone()
        assert row is not None
        two.commit()
        one.commit()
    id = node.register_subscription("c", "1", QUERY, channels="orders", since=row[0])
    assert number_in(node.next_event(id)) == "later"
    assert node.next_event(id) is None
    assert node.publish_event("t", "orders", {"id": "live"})
    assert number_in(node.next_event(id)) == "live"


def test_what_was_committed_before_a_subscription_began_is_not_delivered(
    url: str, node: SubscriptionExecutor
) -> None:
    node.register_subscription("c", "reads", QUERY)  # so the reader is at work
    publish = "SELECT fraiseql_subscriptions.publish(%s, 't', '{\"id\": \"before\"}')"
    early = 0
    with psycopg.connect(url, autocommit=True) as conn:
        for number in range(300):
            channel = f"orders.{number}"
            conn.execute(publish, [channel])
            id = node.register_subscription("c", str(number), QUERY, channels=channel)
            node.publish_event("t", channel, {"id": "after"})
            numbers = [number_in(message) for message in node.next_events(id)]
            assert numbers[-1:] == ["after"]
            early += len(numbers) - 1
            node.complete_subscription(id)
    assert early == 0


def test_who_holds_delivery_back_is_in_health_and_metrics(
    url: str, node: SubscriptionExecutor, until: Callable[..., None]
) -> None:
    id = node.register_subscription("c", "1", QUERY, channels="orders")
    with psycopg.connect(url) as one, psycopg.connect(url) as two:
        publish = "SELECT fraiseql_subscriptions.publish('orders', 't', '{}')"
        one.execute(publish)
        two.execute(publish)
        two.commit()
        until(lambda: node.health()["bus"]["server"]["held_seconds"] > 0, "the hold")
        assert node.health()["bus"]["server"]["held_by"] == one.info.backend_pid
        assert "held_seconds" in node.metrics_text()
        one.commit()
    until(lambda: node.get_metrics()["queued"] == 2, "the events")
    assert len(node.next_events(id)) == 2
    assert node.health()["bus"]["server"]["held_seconds"] == 0


@pytest.mark.parametrize(
    "data", [{"id": "\0"}, {"id": "漢'\"\\"}, {"id": 2**100}, {"id": 1.5e-300}]
)
def test_data_comes_back_as_it_was(node: SubscriptionExecutor, data: dict[str, object]) -> None:
    id = node.register_subscription("c", "1", QUERY, channels="orders")
    node.publish_event("t", "orders", data)
    assert number_in(node.next_event(id)) == data["id"]


def test_channel_names_are_text(url: str, node: SubscriptionExecutor) -> None:
    name = 'it\'s;--."orders".$1.%s'
    id = node.register_subscription("c", "1", QUERY, channels=name)
    node.publish_event("t", name, {"id": 1})
    assert number_in(node.next_event(id)) == 1
    for wrong in ("a\0b", "x" * 10_000, "a b", ""):
        with pytest.raises(ValueError, match="channel"):
            node.publish_event("t", wrong, {"id": 1})
    with psycopg.connect(url) as conn:
        assert conn.execute("SELECT channel FROM fraiseql_subscriptions.outbox").fetchall() == [
            (name,)
        ]


def test_ids_have_a_length(node: SubscriptionExecutor) -> None:
    assert node.publish_event("t", "orders", {"id": 1}, event_id="x" * 255)
    with pytest.raises(ValueError, match="256 bytes"):
        node.publish_event("t", "orders", {"id": 1}, event_id="x" * 256)


def test_a_missing_schema_names_the_command_that_installs_it(server: PostgresServer) -> None:
    with SubscriptionExecutor(server.url(server.new_database())) as executor:
        with pytest.raises(BusError, match="python -m fraiseql_subscriptions postgres install"):
            executor.publish_event("t", "orders", {"id": 1})
        with pytest.raises(BusError, match="python -m fraiseql_subscriptions postgres install"):
            executor.register_subscription("c", "1", QUERY)


@pytest.mark.parametrize("role", ["nobody", "secret:hunter2"])
def test_who_is_not_let_in_is_told_without_the_password(server: PostgresServer, role: str) -> None:
    server.sql(
        "postgres",
        """DO $$ BEGIN CREATE ROLE secret LOGIN PASSWORD 'another';
        EXCEPTION WHEN duplicate_object THEN NULL; END $$""",
    )
    url = server.url("postgres", role)
    with SubscriptionExecutor(url) as executor:
        with pytest.raises(BusError, match="28") as caught:
            executor.publish_event("t", "orders", {"id": 1})
        shown = f"{caught.value!r} {executor!r} {executor.health()} {EventBusConfig.from_url(url)}"
        assert "hunter2" not in shown + executor.metrics_text()


def test_a_bus_that_is_not_there_is_unavailable_in_time() -> None:
    bus = EventBusConfig.postgresql("postgresql://u:hunter2@127.0.0.1:1/x", publish_timeout=0.2)
    with SubscriptionExecutor(bus) as executor:
        with pytest.raises(BusUnavailable, match="nothing was published") as caught:
            executor.publish_event("t", "orders", {"id": 1})
        assert "hunter2" not in str(caught.value)


def test_another_prefix_than_the_installed_is_refused(url: str) -> None:
    with (
        SubscriptionExecutor(EventBusConfig.postgresql(url, prefix="shop")) as executor,
        pytest.raises(SubscriptionsError, match=r'"shop".*"fraiseql"'),
    ):
        executor.register_subscription("c", "1", QUERY)
