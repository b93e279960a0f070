"""What does registering and completing a subscription cost when its query was seen before?

Another subscription with the same query stays live meanwhile, as in a server where many clients
ask the same. Shown besides: with variables of its own, so that a new plan is made each time, and
with a query that nobody else holds.
"""

from __future__ import annotations

import statistics
from collections.abc import Callable

from harness.clock import in_turns, nothing, samples
from harness.figure import Report
from harness.script import main
from harness.workload import QUERY, subscribe

from fraiseql_subscriptions import SubscriptionExecutor

ONE_ORDER = "subscription ($id: Int) { orderUpdated(id: $id) { id status total } }"


def measure(brief: bool) -> Report:
    runs, count = (3, 300) if brief else (15, 5000)
    with SubscriptionExecutor() as executor:
        subscribe(executor, 100)
        subscribe(executor, 100, lambda number: {"variables": {"id": -number}}, ONE_ORDER)
        numbers = iter(range(10**9))

        def timed(once: Callable[[str], None]) -> Callable[[], float]:
            return lambda: statistics.median(
                samples(lambda: once(f"n{next(numbers)}"), count, nothing)
            )

        def seen(name: str) -> None:
            executor.complete_subscription(
                executor.register_subscription("connection", name, QUERY, channels="orders.*")
            )

        def variables(name: str) -> None:
            executor.complete_subscription(
                executor.register_subscription(
                    "connection", name, ONE_ORDER, None, {"id": int(name[1:])}
                )
            )

        def unseen(name: str) -> None:
            query = f"subscription {name} {{ orderUpdated {{ id status total }} }}"
            executor.complete_subscription(
                executor.register_subscription("connection", name, query)
            )

        executor.register_subscription("connection", "first", QUERY, channels="orders.*")
        found = in_turns(
            runs, {"seen": timed(seen), "variables": timed(variables), "unseen": timed(unseen)}
        )

    report = Report()
    for key, title, target in (
        ("seen", "register + complete, query seen before", 5.0),
        ("variables", "register + complete, query seen, other variables", None),
        ("unseen", "register + complete, query never seen", None),
    ):
        report.add(f"register_{key}", title, found[key], "µs", target)
    return report


if __name__ == "__main__":
    main("What does registering and completing a subscription cost?", measure)
