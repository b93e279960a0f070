"""ariadne's own ASGI application over a queue a subscriber."""

from __future__ import annotations

from collections.abc import AsyncGenerator
from typing import Any

from ariadne import SubscriptionType, make_executable_schema
from ariadne.asgi import GraphQL
from ariadne.asgi.handlers import GraphQLTransportWSHandler
from harness.workload import DATA

from .queues import Queues
from .served import Application, stamp

__all__ = ["Ariadne"]

SCHEMA = """
type Query { ready: Boolean }
type Customer { id: Int name: String }
type Order { id: Int status: String total: Float currency: String customer: Customer
             region: Int items: Int sent: String }
type Subscription { orderUpdated: Order }
"""


class Ariadne:
    def __init__(self) -> None:
        queues: Queues[dict[str, Any]] = Queues()
        bindable = SubscriptionType()

        @bindable.source("orderUpdated")
        def updates(_: object, info: Any) -> AsyncGenerator[dict[str, Any], None]:
            return queues.subscribe()

        @bindable.field("orderUpdated")
        def resolve(event: dict[str, Any], info: Any) -> dict[str, Any]:
            return event

        schema = make_executable_schema(SCHEMA, bindable)
        self.app: Application = GraphQL(schema, websocket_handler=GraphQLTransportWSHandler())
        self._queues = queues

    def subscribers(self) -> int:
        return len(self._queues)

    def publish(self, count: int) -> None:
        for _ in range(count):
            self._queues.put({**DATA, "sent": stamp()})
