"""The engine, as an application would use it."""

from __future__ import annotations

from harness.workload import CHANNEL, DATA, TYPE

from fraiseql_subscriptions import Limits, SubscriptionExecutor
from fraiseql_subscriptions.asgi import GraphQLSubscriptions

from .served import Application, stamp

__all__ = ["Engine"]


class Engine:
    """`GraphQLSubscriptions` over an executor in memory. The other servers send no pings either."""

    def __init__(self) -> None:
        self._executor = SubscriptionExecutor(limits=Limits.unlimited())
        self._executor.field("orderUpdated", channels=CHANNEL)
        self.app: Application = GraphQLSubscriptions(self._executor, ping=0)

    def subscribers(self) -> int:
        active: int = self._executor.get_metrics()["active"]
        return active

    def publish(self, count: int) -> None:
        self._executor.publish_events(
            [(TYPE, CHANNEL, {**DATA, "sent": stamp()}) for _ in range(count)]
        )
