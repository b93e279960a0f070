"""Several processes on one Redis, under faults drawn from a seed."""

from __future__ import annotations

import json
import random
import signal
import time
from collections import defaultdict
from contextlib import ExitStack, suppress
from typing import Any

import pytest
from bus_node import CHANNELS
from cluster import SECONDS, Process, run_nodes
from faulty_link import FaultyLink, run_link
from redis import Redis
from redis.exceptions import ConnectionError as Unreachable
from redis.exceptions import RedisError
from redis_server import RedisServer, run_redis

STREAM = "fraiseql:events:"


def document(name: str, channel: str) -> str:
    """An event as any program may write it."""
    data = {"id": name, "channel": channel}
    return json.dumps({"id": name, "event_type": "t", "channel": channel, "data": data})


class Trouble:
    """What may happen to a bus, and programs that write to its streams themselves."""

    def __init__(
        self, server: RedisServer, links: list[FaultyLink], started: list[Process], seed: int
    ) -> None:
        self.server = server
        self.links = links
        self.nodes = started
        self.chance = random.Random(seed)
        self.client = Redis(port=server.port, decode_responses=True, socket_timeout=30)
        self.written: list[str] = []
        self.done: dict[str, int] = defaultdict(int)

    def make(self) -> None:
        """One fault, or one event of somebody else's."""
        act = self.chance.choices(
            (
                *(self.write, self.write_by_cli, self.kill_clients, self.cut, self.slow, self.hold),
                *(self.pause, self.freeze, self.restart, self.crash),
            ),
            weights=(60, 4, 20, 20, 10, 4, 6, 6, 2, 3),
        )[0]
        self.done[act.__name__] += 1
        act()
        time.sleep(self.chance.random() * 0.02)  # how long it lasts until the next

    def write(self) -> None:
        """By redis-py, in the documented form, and something that is no event."""
        name, channel = f"py.{self.done['write']}", self.chance.choice(CHANNELS)
        self.client.xadd(STREAM + channel, {"data": document(name, channel)})
        self.written.append(name)
        if self.chance.random() < 0.1:
            self.client.xadd(STREAM + channel, {"data": "{"})

    def write_by_cli(self) -> None:
        name, channel = f"cli.{self.done['write_by_cli']}", self.chance.choice(CHANNELS)
        self.server.command("XADD", STREAM + channel, "*", "data", document(name, channel))
        self.written.append(name)

    def kill_clients(self) -> None:
        """One connection of some node, or all."""
        ids = [one["id"] for one in self.client.client_list()]
        ids.remove(str(self.client.client_id()))
        for number in ids if self.chance.random() < 0.2 else [self.chance.choice(ids or [0])]:
            with suppress(RedisError):  # it has gone by itself
                self.client.client_kill_filter(_id=str(number))

    def cut(self) -> None:
        self.chance.choice(self.links).cut()

    def slow(self) -> None:
        link = self.chance.choice(self.links)
        link.delay = self.chance.choice((0.0, 0.0, 0.002, 0.02))

    def hold(self) -> None:
        link = self.chance.choice(self.links)
        link.hold(True)
        time.sleep(self.chance.random())  # how long nothing gets through
        link.hold(False)

    def pause(self) -> None:
        kind = self.chance.choice(("ALL", "WRITE"))
        self.client.client_pause(self.chance.randrange(50, 400), all=kind == "ALL")

    def freeze(self) -> None:
        victim = self.chance.choice(self.nodes)
        victim.freeze(True)
        time.sleep(self.chance.random() * 0.5)  # how long it does not run
        victim.freeze(False)

    def restart(self) -> None:
        self.server.kill(signal.SIGTERM)
        self.server.start()
        self._reconnect()

    def crash(self) -> None:
        self.server.kill()
        self.server.start()
        self._reconnect()

    def _reconnect(self) -> None:
        with suppress(Unreachable):
            self.client.ping()
        self.client.ping()

    def calm(self) -> None:
        for link in self.links:
            link.delay = 0.0


def streams(client: Any) -> dict[str, list[str]]:
    """What Redis has, in its own order: the events' ids by channel."""
    found: dict[str, list[str]] = {}
    for channel in CHANNELS:
        texts = [fields["data"] for _, fields in client.xrange(STREAM + channel)]
        found[channel] = [json.loads(text)["data"]["id"] for text in texts if text != "{"]
    return found


@pytest.mark.parametrize("count", [2, 4])
def test_every_node_sees_the_streams_under_faults(count: int) -> None:
    seed = 11 * count
    with ExitStack() as stack:
        server = stack.enter_context(run_redis())
        links = [stack.enter_context(run_link(server.port)) for _ in range(count)]
        started = stack.enter_context(run_nodes([one.url for one in links], seed))
        trouble = Trouble(server, links, started, seed)
        stack.callback(trouble.client.close)
        end = time.monotonic() + SECONDS
        while time.monotonic() < end:
            trouble.make()
        trouble.calm()
        outcomes = [one.ask("stop") for one in started]
        trouble.client.xadd(STREAM + CHANNELS[0], {"data": document("last", CHANNELS[0])})
        given = [one.ask("until last") for one in started]
        for one in started:
            one.end(0)
        there_by_channel = streams(trouble.client)
    there = {name for names in there_by_channel.values() for name in names}
    total = sum(map(len, there_by_channel.values()))
    assert total == len(there), "an event was published twice"
    for number, one in enumerate(given):
        for channel, names in there_by_channel.items():
            assert one.get(channel, []) == names, f"node {number}: {channel} is not as in Redis"
    accepted = {name for one in outcomes for name in one.get("accepted", [])}
    refused = {name for one in outcomes for name in one.get("refused", [])}
    assert accepted <= there, f"accepted and lost: {sorted(accepted - there)[:5]}"
    assert not refused & there, f"refused and there: {sorted(refused & there)[:5]}"
    assert set(trouble.written) <= there
    assert len(accepted) > 10 * SECONDS, "hardly anything was published"
    print(f"{total} events, {dict(trouble.done)}")
