"""Several processes on one database, under faults drawn from a seed."""

from __future__ import annotations

import json
import random
import signal
import time
from collections import defaultdict

import psycopg
import pytest
from cluster import SECONDS, Process, run_nodes
from postgres_server import PostgresServer, run_server


class Trouble:
    """What may happen to a bus, and an application that publishes in its own transactions."""

    def __init__(self, server: PostgresServer, url: str, started: list[Process], seed: int) -> None:
        self.server = server
        self.url = url
        self.nodes = started
        self.chance = random.Random(seed)
        self.committed: list[str] = []
        self.rolled_back: list[str] = []
        self.done: dict[str, int] = defaultdict(int)

    def make(self) -> None:
        """One fault, or one transaction."""
        act = self.chance.choices(
            (self.transaction, self.terminate, self.restart, self.crash, self.pause),
            weights=(60, 30, 2, 3, 5),
        )[0]
        self.done[act.__name__] += 1
        act()

    def transaction(self) -> None:
        """Two that overlap, in numbers and in time; each commits or rolls back."""
        with psycopg.connect(self.url) as one, psycopg.connect(self.url) as two:
            for turn in range(self.chance.randrange(1, 6)):
                conn = self.chance.choice((one, two))
                name = f"sql.{self.done['transaction']}.{turn}"
                list_ = self.committed if conn is one else self.rolled_back
                conn.execute(
                    "SELECT fraiseql_subscriptions.publish('bills', 't', %s::jsonb)",
                    [json.dumps({"id": name, "channel": "bills"})],
                )
                list_.append(name)
            time.sleep(self.chance.random() * 0.05)  # how long a transaction is open
            two.rollback()

    def terminate(self) -> None:
        """Some session of some node."""
        self.server.sql(
            "postgres",
            f"""SELECT pg_terminate_backend(pid) FROM (SELECT pid FROM pg_stat_activity
            WHERE application_name = 'fraiseql_subscriptions' ORDER BY pid
            OFFSET {self.chance.randrange(3 * len(self.nodes))} LIMIT 1) AS one""",
        )

    def restart(self) -> None:
        self.server.down()
        self.server.up()

    def crash(self) -> None:
        self.server.down(signal.SIGKILL)
        self.server.up()

    def pause(self) -> None:
        """A node that does not run for a while."""
        victim = self.chance.choice(self.nodes)
        victim.freeze(True)
        time.sleep(self.chance.random() * 0.5)  # how long it does not run
        victim.freeze(False)


@pytest.mark.parametrize("count", [2, 4])
def test_every_node_sees_the_outbox_under_faults(count: int) -> None:
    seed = 7 * count
    with run_server("fsync=on") as server:
        url = server.installed()
        with run_nodes([url] * count, seed) as started:
            trouble = Trouble(server, url, started, seed)
            end = time.monotonic() + SECONDS
            while time.monotonic() < end:
                trouble.make()
            outcomes = [one.ask("stop") for one in started]
            with psycopg.connect(url) as conn:
                conn.execute(
                    """SELECT fraiseql_subscriptions.publish('bills', 't',
                    '{"id": "last", "channel": "bills"}')"""
                )
            given = [one.ask("until last") for one in started]
            for one in started:
                one.end(0)
        with psycopg.connect(url) as conn:
            rows = conn.execute(
                "SELECT data ->> 'id', channel FROM fraiseql_subscriptions.outbox ORDER BY seq"
            ).fetchall()
    outbox: dict[str, list[str]] = defaultdict(list)
    for name, channel in rows:
        outbox[channel].append(name)
    there = {name for name, _ in rows}
    assert len(there) == len(rows), "an event was published twice"
    for number, one in enumerate(given):
        assert one == outbox, f"node {number} was given something else than the outbox"
    accepted = {name for one in outcomes for name in one.get("accepted", [])}
    refused = {name for one in outcomes for name in one.get("refused", [])}
    assert accepted <= there, f"accepted and lost: {sorted(accepted - there)[:5]}"
    assert not refused & there, f"refused and there: {sorted(refused & there)[:5]}"
    assert set(trouble.committed) <= there
    assert not set(trouble.rolled_back) & there
    assert len(accepted) > 10 * SECONDS, "hardly anything was published"
    print(f"{len(rows)} events, {dict(trouble.done)}")
