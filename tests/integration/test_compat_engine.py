"""The drop-in executor, as code written for the module it replaces uses it."""

# ruff: noqa: A001, A002  (`id` is a name of the public API)

from __future__ import annotations

import json
import sys
import textwrap
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from fraiseql_subscriptions.compat import PyEventBusConfig, PySubscriptionExecutor


def register(executor: PySubscriptionExecutor, number: int = 1, **changed: Any) -> str:
    arguments: dict[str, Any] = {
        "connection_id": f"conn_{number}",
        "subscription_id": f"sub_{number}",
        "query": "subscription { test }",
        "operation_name": None,
        "variables": {},
        "user_id": number,
        "tenant_id": 1,
    }
    return executor.register_subscription(**{**arguments, **changed})


def test_the_whole_workflow() -> None:
    executor = PySubscriptionExecutor()
    id = register(executor)
    executor.publish_event(
        event_type="test", channel="test", data={"value": 42, "user_id": 1, "tenant_id": 1}
    )
    message = executor.next_event(id)
    assert message is not None
    assert json.loads(message)["payload"]["data"]["test"]["value"] == 42
    assert executor.next_event("sub_1") is None
    assert executor.subscriptions_by_channel("test") == [id]
    executor.complete_subscription(id)
    assert executor.get_metrics()["total"] == 1
    assert set(executor.get_metrics()) >= {"total", "active", "completed", "errored"}


@pytest.mark.parametrize("name", ["connection_id", "subscription_id", "query"])
def test_empty_strings_are_value_errors(name: str) -> None:
    executor = PySubscriptionExecutor()
    with pytest.raises(ValueError, match=f"{name} cannot be empty"):
        register(executor, 1, **{name: ""})
    calls: tuple[Callable[[], object], ...] = (
        lambda: executor.publish_event("", "c", {}),
        lambda: executor.publish_event("t", "", {}),
        lambda: executor.register_resolver("", print),
    )
    for call in calls:
        with pytest.raises(ValueError, match="cannot be empty"):
            call()


def test_an_unknown_subscription_is_a_value_error() -> None:
    executor = PySubscriptionExecutor()
    with pytest.raises(ValueError, match="Subscription not found"):
        executor.next_event("nonexistent")
    with pytest.raises(ValueError, match="Subscription not found"):
        executor.complete_subscription("nonexistent")


def test_a_query_that_does_not_parse_is_a_runtime_error() -> None:
    executor = PySubscriptionExecutor()
    with pytest.raises(RuntimeError, match="Failed to register subscription 'sub_1'"):
        register(executor, query="subscription {")


@pytest.mark.parametrize("resolver", ["not_a_function", None, 5])
def test_a_resolver_that_cannot_be_called_is_a_type_error(resolver: Any) -> None:
    executor = PySubscriptionExecutor()
    with pytest.raises(TypeError, match="callable"):
        executor.register_resolver(register(executor), resolver)


def answers(executor: PySubscriptionExecutor, id: str) -> list[Any]:
    found = []
    while message := executor.next_event(id):
        found.append(json.loads(message)["payload"]["data"])
    return found


def test_register_resolver_takes_either_id_and_one_not_registered_yet() -> None:
    executor = PySubscriptionExecutor()
    executor.register_resolver("sub_3", lambda data: "early")
    returned, client, early = (
        register(executor, n, user_id=None, tenant_id=None) for n in (1, 2, 3)
    )
    executor.register_resolver(returned, lambda data: "returned id")
    executor.register_resolver("sub_2", lambda data: "client's id")
    executor.publish_event("t", "c", {})
    assert answers(executor, "sub_1") == ["returned id"]
    assert answers(executor, client) == ["client's id"]
    assert answers(executor, early) == ["early"]
    executor.register_resolver(returned, lambda data: "replaced")
    executor.publish_event("t", "c", {})
    assert answers(executor, returned) == ["replaced"]


def test_a_bus_configuration_may_be_given() -> None:
    executor = PySubscriptionExecutor(PyEventBusConfig.memory())
    register(executor)


PACKAGE = """
from fraiseql_subscriptions import install
module = install()
from fraiseql import _fraiseql_rs
executor = _fraiseql_rs.subscriptions.PySubscriptionExecutor()
id = executor.register_subscription(
    connection_id="c", subscription_id="s", query="subscription { test }",
    operation_name=None, variables={}, user_id=1, tenant_id=1)
executor.publish_event("t", "c", {"user_id": 1, "tenant_id": 1})
assert executor.next_event(id)
import fraiseql._fraiseql_rs.subscriptions as direct
assert direct is module is _fraiseql_rs.subscriptions
assert set(module.__all__) == {
    "PySubscriptionPayload", "PyGraphQLMessage", "PySubscriptionExecutor", "PyEventBusConfig"}
assert install().PySubscriptionExecutor is module.PySubscriptionExecutor
"""


@pytest.mark.parametrize("with_core", [True, False])
def test_install_serves_the_names_where_fraiseql_looks(
    tmp_path: Path, run_python: Callable[..., Any], with_core: bool
) -> None:
    package = tmp_path / "fraiseql"
    package.mkdir()
    (package / "__init__.py").write_text("")
    if with_core:
        (package / "_fraiseql_rs.py").write_text("other = 1\n")
    before = sorted(path.name for path in package.iterdir())
    run_python(
        f"import sys; sys.dont_write_bytecode = True; sys.path.insert(0, {str(tmp_path)!r})\n"
        + PACKAGE
        + ("assert _fraiseql_rs.other == 1\n" if with_core else "")
    )
    assert sorted(path.name for path in package.iterdir()) == before


def test_install_without_fraiseql_is_an_import_error(run_python: Callable[..., Any]) -> None:
    run_python(
        textwrap.dedent(
            """
            import sys
            sys.modules["fraiseql"] = None
            from fraiseql_subscriptions import install
            try:
                install()
            except ImportError as error:
                assert "fraiseql" in str(error)
            else:
                raise SystemExit("no error")
            """
        )
    )
    assert "fraiseql" not in sys.modules


def test_scope_looks_at_variables_in_snake_case_only() -> None:
    executor = PySubscriptionExecutor()
    declared = "subscription ($tenantId: Int, $tenant_id: Int) { a }"

    def attempt(variables: dict[str, Any]) -> str:
        return executor.register_subscription("c", "s", declared, None, variables, 1, 2)

    with pytest.raises(RuntimeError, match="tenant_id"):
        attempt({"tenant_id": 3})
    assert attempt({"tenantId": 3, "tenant_id": 2})
