"""One process of a cluster under test: it publishes, and writes down all that it is given.

usage: bus_node.py URL NAME SEED

Prints "ready" once it follows every channel, and begins at a line "start". A line "stop" on its
stdin ends its publishing; it answers with a JSON object of what became of its events: ids by
outcome. A line "until ID" lets it go on reading until the event of that id has come; it answers
with the ids that it was given, a list a channel, and ends.
"""

from __future__ import annotations

import json
import random
import select
import sys
import threading
from collections import defaultdict
from typing import Any, Final

from fraiseql_subscriptions import (
    BusUnavailable,
    DispatchTimeout,
    EventBusConfig,
    PublishOutcomeUnknown,
    QueuePolicy,
    SubscriptionExecutor,
)

CHANNELS: Final = ("orders.eu", "orders.us", "bills", "parcels.it's")
PUBLISHERS: Final = 3


class Node:
    """An executor with a subscription to everything."""

    def __init__(self, url: str, name: str, seed: int) -> None:
        self.name = name
        self.seed = seed
        make = EventBusConfig.redis if url.startswith("redis") else EventBusConfig.postgresql
        self.executor = SubscriptionExecutor(make(url, publish_timeout=15.0))
        self.executor.register_subscription(
            "reader",
            "1",
            "subscription { event { id channel } }",
            queue=QueuePolicy(max_responses=1_000_000, max_bytes=1 << 30),
        )
        self.given: dict[str, list[str]] = defaultdict(list)
        self.outcomes: dict[str, list[str]] = defaultdict(list)
        self.stopping = threading.Event()

    def publish(self, number: int) -> None:
        """Publish until told to stop: one, several at once, with and without waiting."""
        chance = random.Random(self.seed * PUBLISHERS + number)
        count = 0
        while not self.stopping.is_set():
            names = [
                f"{self.name}.{number}.{count + n}" for n in range(chance.choice((1, 1, 1, 5)))
            ]
            count += len(names)
            channels = [chance.choice(CHANNELS) for _ in names]
            try:
                if len(names) == 1:
                    self.executor.publish_event(
                        "t",
                        channels[0],
                        {"id": names[0], "channel": channels[0]},
                        event_id=chance.choice((None, names[0])),
                        wait=chance.choice(("dispatched", "accepted")),
                    )
                else:
                    self.executor.publish_events(
                        [
                            ("t", channel, {"id": name, "channel": channel})
                            for name, channel in zip(names, channels, strict=True)
                        ]
                    )
            except BusUnavailable:
                outcome = "refused"
            except PublishOutcomeUnknown:
                outcome = "unknown"
            except DispatchTimeout:
                outcome = "accepted"
            else:
                outcome = "accepted"
            self.outcomes[outcome].extend(names)
            self.stopping.wait(chance.expovariate(1 / 0.005))

    def drain(self) -> set[str]:
        """Write down what has come; the ids."""
        new = set()
        while pairs := self.executor.drain():
            for _, message in pairs:
                payload: Any = json.loads(message)["payload"]
                event = payload["data"]["event"]
                self.given[event["channel"]].append(event["id"])
                new.add(event["id"])
        return new


def main() -> None:
    """Be a node until told otherwise."""
    node = Node(sys.argv[1], sys.argv[2], int(sys.argv[3]))
    threads = [threading.Thread(target=node.publish, args=(n,)) for n in range(PUBLISHERS)]
    print("ready", flush=True)
    sys.stdin.readline()
    for thread in threads:
        thread.start()
    last = None
    seen: set[str] = set()
    while last is None or last not in seen:
        readable, _, _ = select.select([node.executor.fileno(), sys.stdin], [], [])
        seen |= node.drain()
        if sys.stdin not in readable:
            continue
        command, _, argument = sys.stdin.readline().strip().partition(" ")
        if command == "stop":
            node.stopping.set()
            for thread in threads:
                thread.join()
            print(json.dumps(node.outcomes), flush=True)
        else:
            last = argument
    print(json.dumps(node.given), flush=True)
    node.executor.close()


if __name__ == "__main__":
    main()
