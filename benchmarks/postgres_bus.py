"""What does PostgreSQL as the bus cost, and how soon is an event there?

Every part has a server of its own on this machine, with PostgreSQL's own settings: each commit
waits for the disk. The bare program is benchmarks/floor/outbox: pgx, the same rows, the same two
indexes, the same batches and notifications, and nothing else.
"""

from __future__ import annotations

import json
import select
import statistics
import threading
import time
from concurrent.futures import ThreadPoolExecutor, wait
from time import perf_counter

import psycopg
from harness.clock import percentile
from harness.figure import Report, Table
from harness.gobench import go_dialogue
from harness.postgres import Database, database
from harness.script import main
from harness.workload import CHANNEL, DATA, TYPE

from fraiseql_subscriptions import QueuePolicy, SubscriptionExecutor

#: Events a batch, and how many batches of it there are in a turn: even numbers.
BATCHES = {1: 60, 16: 40, 256: 12}
RATE = 5_000
SUBSCRIPTIONS = 10_000
MATCHES = 10
#: Events are published in so many batches a second.
TICKS = 100


def measure(brief: bool) -> Report:
    report = Report()
    with database() as one:
        publishing(report, one, 3 if brief else 60)
    with database() as one:
        latency(report, one, 50 if brief else 2_000)
    with database() as one:
        sustained(report, one, 1.0 if brief else 20.0)
    return report


def publishing(report: Report, database: Database, turns: int) -> None:
    """Batches of events, each a transaction, published until they are accepted.

    Accepted is committed, which is what the bare program waits for. One publisher, of either kind,
    sends a batch when the one before is committed. With two, of either kind, one's work overlaps
    the other's commit, and the database is never idle; the server commits one transaction that
    notifies after the other. The target is against the quicker of the bare program's two ways.
    A turn is a few batches, so that all meet whatever the machine and
    its disk do meanwhile.
    """
    data = json.dumps(DATA, separators=(",", ":"))
    found: dict[tuple[int, str], list[float]] = {}
    published = 0
    with (
        SubscriptionExecutor(database.url) as executor,
        go_dialogue("./benchmarks/floor/outbox", database.url, data) as bare,
        ThreadPoolExecutor(2) as threads,
    ):

        def publish(size: int, batches: int) -> None:
            batch = [(TYPE, CHANNEL, DATA)] * size
            for _ in range(batches):
                executor.publish_events(batch, wait="accepted")

        def publish_from_two(size: int, batches: int) -> None:
            wait([threads.submit(publish, size, batches // 2) for _ in range(2)])

        for turn in range(turns + 3):
            for size, batches in BATCHES.items():
                for name, run in (("one", publish), ("two", publish_from_two)):
                    begin = perf_counter()
                    run(size, batches)
                    found.setdefault((size, name), []).append((perf_counter() - begin) / batches)
                    published += batches
                for name, connections in (("bare one", 1), ("bare two", 2)):
                    took = float(bare(f"{size} {batches} {connections}")) / 1e9
                    found.setdefault((size, name), []).append(took / batches)
                if turn == 2:  # until now it was for warming up
                    for times in found.values():
                        times.clear()
    # Batches of two threads that wait at once may share a transaction.
    transactions = database.value(
        "SELECT count(DISTINCT xmin::text) FROM fraiseql_subscriptions.outbox"
    )
    if transactions < 0.98 * published:
        raise RuntimeError(f"{published} batches were {transactions} transactions")
    rows: list[list[str | float]] = []
    for size in BATCHES:
        one, two, bare_one, bare_two = (
            statistics.median(found[size, name]) for name in ("one", "two", "bare one", "bare two")
        )
        report.add(
            f"postgres_publishing_{size}",
            f"PostgreSQL: published from two threads, against bare pgx, {size} a batch",
            min(bare_one, bare_two) / two,
            "x",
            0.8,
            at_least=True,
        )
        report.add(
            f"postgres_publishing_one_{size}",
            f"PostgreSQL: published from one thread, against bare pgx, {size} a batch",
            bare_one / one,
            "x",
        )
        rows.append(
            [f"{size} a batch", *(round(size / took) for took in (one, two, bare_one, bare_two))]
        )
    report.tables.append(
        Table(
            "events/s published into PostgreSQL, each batch a commit on disk",
            ["", "one Python thread", "two", "bare pgx, one connection", "two"],
            rows,
        )
    )


def latency(report: Report, database: Database, count: int) -> None:
    """From an application's commit to the bytes of its event's subscriber, one at a time."""
    from_begin, from_end = [], []
    with (
        SubscriptionExecutor(database.url) as executor,
        psycopg.connect(database.url) as conn,
    ):
        executor.register_subscription("c", "1", "subscription { orderUpdated { id } }")
        descriptor = executor.fileno()
        publish = "SELECT fraiseql_subscriptions.publish('orders.eu', 'shipped', %s::jsonb)"
        arrived = [0.0]
        there, go_on = threading.Event(), threading.Event()

        def read() -> None:
            while True:
                select.select([descriptor], [], [])
                if messages := executor.drain():
                    arrived[0] = perf_counter()
                    there.set()
                    if b'"id":-1' in messages[-1][1]:
                        return

        reader = threading.Thread(target=read)
        reader.start()
        for number in range(count + 100):
            conn.execute(publish, [json.dumps({**DATA, "id": number})])
            there.clear()
            begin = perf_counter()
            conn.commit()
            end = perf_counter()
            if not there.wait(10):
                raise RuntimeError("an event did not come")
            if number >= 100:
                from_begin.append((arrived[0] - begin) * 1e3)
                from_end.append((arrived[0] - end) * 1e3)
            go_on.wait(0.001)
        conn.execute(publish, ['{"id": -1}'])
        conn.commit()
        reader.join()
    for percent, target in ((50, 2.0), (99, None)):
        report.add(
            f"postgres_commit_to_bytes_p{percent}",
            f"PostgreSQL: COMMIT sent to the subscriber's bytes, p{percent}",
            percentile(from_begin, percent),
            "ms",
            target,
        )
    report.add(
        "postgres_committed_to_bytes_p50",
        "PostgreSQL: COMMIT answered to the subscriber's bytes, p50",
        percentile(from_end, 50),
        "ms",
    )


def sustained(report: Report, database: Database, seconds: float) -> None:
    """RATE events a second, each reaching MATCHES of SUBSCRIPTIONS, everything drained."""
    groups = SUBSCRIPTIONS // MATCHES
    drained, lags = [0], []
    with SubscriptionExecutor(database.url) as executor:
        for number in range(SUBSCRIPTIONS):
            executor.register_subscription(
                f"connection-{number // 100}",
                f"s{number}",
                "subscription { orderUpdated { id sent } }",
                channels="orders.>",
                filter={"customer.id": number % groups},
                queue=QueuePolicy(max_responses=100_000),
            )
        size = RATE // TICKS
        batches = round(seconds * TICKS)
        goal = batches * size * MATCHES
        descriptor = executor.fileno()

        def read() -> None:
            while drained[0] < goal:
                select.select([descriptor], [], [], 10)
                messages = executor.drain(100_000)
                now = time.time()
                drained[0] += len(messages)
                if messages:
                    sent = float(messages[0][1].rpartition(b'"sent":')[2].rstrip(b"}"))
                    lags.append((now - sent) * 1e3)

        reader = threading.Thread(target=read)
        pause = threading.Event()
        before = database.cost()
        reader.start()
        begin = perf_counter()
        for batch in range(batches):
            wait = begin + batch / TICKS - perf_counter()
            if wait > 0:
                pause.wait(wait)
            now = time.time()
            executor.publish_events(
                [
                    (
                        TYPE,
                        f"orders.{n % 7}",
                        {**DATA, "customer": {"id": (batch * size + n) % groups}, "sent": now},
                    )
                    for n in range(size)
                ],
                wait="accepted",
            )
        reader.join(60)
        took = perf_counter() - begin
        after = database.cost()
        if drained[0] != goal:
            raise RuntimeError(f"{drained[0]} of {goal} responses were drained")
    events = batches * size
    if database.value("SELECT count(*) FROM fraiseql_subscriptions.outbox") != events:
        raise RuntimeError("the outbox does not hold what was published")
    report.add(
        "postgres_sustained",
        f"PostgreSQL: events/s that each reach {MATCHES} of {SUBSCRIPTIONS:,}, all bytes drained",
        events / took,
        "/s",
        0.98 * RATE,
        at_least=True,
    )
    report.add(
        "postgres_sustained_lag",
        "PostgreSQL: published to drained meanwhile, p99",
        percentile(lags, 99),
        "ms",
    )
    report.add(
        "postgres_wal",
        "PostgreSQL: write-ahead log an event of 140 bytes",
        (after.wal - before.wal) / events,
        "B",
    )
    report.add(
        "postgres_processor",
        "PostgreSQL: the server's processor time an event, one node reading",
        (after.processor - before.processor) / events * 1e6,
        "µs",
    )


if __name__ == "__main__":
    main("What does PostgreSQL as the bus cost, and how soon is an event there?", measure)
