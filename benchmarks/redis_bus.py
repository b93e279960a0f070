"""What does the way through Redis cost, beside Redis itself?

- Latency: a program writes an event with XADD; how long until a subscriber in another process
  has its response in hand?
- A load: 10,000 events a second on 100 channels, 10,000 subscriptions of which each event reaches
  10, every response drained by the process that publishes.
- Throughput: events sent through Redis and back as fast as they go, by the bus and by a program
  that pipelines the same XADDs and reads with the same XREADs through go-redis alone
  (go/internal/bus/redis/benchmark_test.go), in turns. Of a crowd the bus need not have its own
  events sent back, as the program must, since the transaction that adds them reads what is before
  them. It also makes each event, and owes listeners outside a PUBLISH of each: programs that do
  this with go-redis are beside it.
"""

from __future__ import annotations

import json
import select
import threading
from time import perf_counter, sleep

from harness.clock import percentile
from harness.figure import Report
from harness.gobench import go_program
from harness.redis_server import run_redis
from harness.script import main
from harness.workload import DATA, QUERY, TYPE
from redis import Redis

from fraiseql_subscriptions import SubscriptionExecutor

CHANNELS = 100
MATCHING = 10
RATE = 10_000
BATCH = 100


def measure(brief: bool) -> Report:
    report = Report()
    with run_redis() as port:
        _latency(report, port, 200 if brief else 5000)
        _load(report, port, 1.0 if brief else 20.0)
    _throughput(report, 2 if brief else 7, 20_000 if brief else 200_000)
    return report


def _latency(report: Report, port: int, count: int) -> None:
    """One event at a time, as another program writes it."""
    document = json.dumps({"event_type": TYPE, "channel": "outside", "data": DATA})
    with (
        SubscriptionExecutor(f"redis://127.0.0.1:{port}/0") as executor,
        Redis(port=port) as client,
    ):
        executor.register_subscription("c", "1", QUERY, channels="outside")
        ready = executor.fileno()
        times = []
        for _ in range(count):
            begin = perf_counter()
            client.xadd("fraiseql:events:outside", {"data": document})
            while not executor.drain():
                select.select([ready], [], [])
            times.append((perf_counter() - begin) * 1e3)
    for percent, target in ((50, 1.0), (99, None)):
        report.add(
            f"redis_latency_p{percent}",
            f"XADD by redis-py to the subscriber's bytes, p{percent}",
            percentile(times, percent),
            "ms",
            target,
        )


def _load(report: Report, port: int, seconds: float) -> None:
    """Publish at a steady rate and drain; what is reached, and how late the last one is."""
    events = int(RATE * seconds)
    with SubscriptionExecutor(f"redis://127.0.0.1:{port}/0") as executor:
        for number in range(CHANNELS * CHANNELS):
            executor.register_subscription(
                f"c{number}",
                "1",
                QUERY,
                channels=f"load.{number % CHANNELS}",
                filter={"region": number // CHANNELS // MATCHING},
            )
        received, bytes_ = 0, 0
        done = threading.Event()

        def drain() -> None:
            nonlocal received, bytes_
            while received < events * MATCHING:
                select.select([executor.fileno()], [], [], 1.0)
                while pairs := executor.drain(4096):
                    received += len(pairs)
                    bytes_ += sum(len(message) for _, message in pairs)
                if done.is_set() and perf_counter() > deadline:
                    return

        reader = threading.Thread(target=drain)
        reader.start()
        begin = perf_counter()
        deadline = begin + seconds + 60
        for first in range(0, events, BATCH):
            executor.publish_events(
                [
                    (
                        TYPE,
                        f"load.{number % CHANNELS}",
                        {**DATA, "region": number // CHANNELS % (CHANNELS // MATCHING)},
                    )
                    for number in range(first, min(first + BATCH, events))
                ]
            )
            if (ahead := begin + (first + BATCH) / RATE - perf_counter()) > 0:
                sleep(ahead)
        done.set()
        reader.join()
        took = perf_counter() - begin
        if received != events * MATCHING:
            raise RuntimeError(f"{received} responses of {events * MATCHING} came")
        rate = events / took
        lost = executor.get_metrics()["dropped"]
        if any(lost.values()):
            raise RuntimeError(f"responses were dropped: {lost}")
    report.add(
        "redis_load",
        f"events/s to {CHANNELS * CHANNELS:,} subscriptions on {CHANNELS} channels, "
        f"{MATCHING} match each, all {bytes_ / events / MATCHING:.0f}-byte responses drained "
        f"({RATE:,}/s asked for)",
        rate,
        "/s",
        RATE * 0.99,
        at_least=True,
    )


def _throughput(report: Report, runs: int, events: int) -> None:
    names = ("bare", "made", "told", "single", "batch", "heard")
    found: dict[str, list[float]] = {name: [] for name in names}
    with go_program(
        "./go/internal/bus/redis", f"Throughput/channels={CHANNELS}/", f"{events}x"
    ) as run:
        for _ in range(runs):
            for name, nanoseconds in zip(found, run(), strict=True):
                found[name].append(1e9 / nanoseconds)
    for name, title in (
        ("bare", "go-redis alone, XADD and XREAD"),
        ("made", "go-redis alone, each event made anew"),
        ("told", "go-redis alone, each event made anew, with a PUBLISH"),
        ("single", "the bus, published one by one"),
        ("batch", "the bus, published 500 at a time"),
        ("heard", "the bus, one by one, somebody listens outside"),
    ):
        report.add(f"redis_{name}", f"events/s through Redis and back: {title}", found[name], "/s")
    for name, title, base, what, target in (
        ("single", "published one by one", "bare", "go-redis alone", 0.8),
        ("single", "published one by one", "made", "go-redis alone that makes the events", None),
        ("batch", "published 500 at a time", "bare", "go-redis alone", 0.8),
        ("batch", "published 500 at a time", "made", "go-redis alone that makes the events", None),
        ("heard", "somebody listens", "told", "go-redis alone that does as much", None),
    ):
        report.add(
            f"redis_{name}_{base}_ratio",
            f"the bus over {what}, {title}",
            [own / bare for own, bare in zip(found[name], found[base], strict=True)],
            "",
            target,
            at_least=True,
        )


if __name__ == "__main__":
    main("What does the way through Redis cost, beside Redis itself?", measure)
