"""`install()` as FraiseQL's own module, beside whatever native module that version has."""

from __future__ import annotations

import subprocess
import textwrap
from collections.abc import Callable
from pathlib import Path

import pytest

Run = Callable[[str], str]


@pytest.fixture
def run(python: str, tmp_path: Path) -> Run:
    """What a program prints in an environment with FraiseQL."""

    def running(program: str) -> str:
        done = subprocess.run(
            [python, "-c", textwrap.dedent(program)],
            cwd=tmp_path, capture_output=True, text=True, timeout=60, check=False,
        )  # fmt: skip
        assert done.returncode == 0, done.stderr
        return done.stdout

    return running


def test_code_written_for_the_rust_core_runs_on_the_engine(run: Run) -> None:
    told = run(
        """
        import fraiseql_subscriptions
        fraiseql_subscriptions.install()

        from fraiseql import _fraiseql_rs
        from fraiseql._fraiseql_rs.subscriptions import PySubscriptionPayload

        core = _fraiseql_rs.subscriptions
        config = core.PyEventBusConfig.memory()
        executor = core.PySubscriptionExecutor()
        payload = PySubscriptionPayload("subscription { orderUpdated { id } }")
        id = executor.register_subscription(
            connection_id="c", subscription_id="s", query=payload.query,
            operation_name=payload.operation_name, variables=payload.variables,
            user_id="u", tenant_id="t",
        )
        executor.register_resolver("s", lambda data: {"orderUpdated": {"id": data["id"]}})
        executor.publish_event("updated", "orders", {"id": 7, "user_id": "u", "tenant_id": "t"})
        print(config.bus_type, executor.next_event("s").decode())
        """
    )
    assert told == (
        'memory {"id":"s","type":"next","payload":{"data":{"orderUpdated":{"id":7}}}}\n'
    )


def test_fraiseql_goes_on_as_before(run: Run) -> None:
    program = """
        import sys
        import fraiseql
        before = getattr(fraiseql, "_fraiseql_rs", None) or sys.modules.get("fraiseql._fraiseql_rs")
        import fraiseql_subscriptions
        served = fraiseql_subscriptions.install()
        assert fraiseql_subscriptions.install().PyEventBusConfig is served.PyEventBusConfig
        core = fraiseql._fraiseql_rs
        assert before is None or core is before

        @fraiseql.type
        class Thing:
            some_id: int

        @fraiseql.query
        async def things(info) -> list[Thing]:
            return []

        from fraiseql.gql.schema_builder import build_fraiseql_schema
        schema = build_fraiseql_schema(query_types=[Thing])
        print(list(schema.query_type.fields), list(schema.type_map["Thing"].fields))
        """
    assert run(program) == "['things'] ['someId']\n"


def test_nothing_is_written_into_fraiseqls_folder(run: Run) -> None:
    run(
        """
        import pathlib
        import fraiseql, fraiseql_subscriptions
        folder = pathlib.Path(fraiseql.__file__).parent
        def files():
            return {path for path in folder.rglob("*") if "__pycache__" not in path.parts}
        before = files()
        fraiseql_subscriptions.install()
        assert files() == before
        """
    )
