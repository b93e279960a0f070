"""Every module, by what the subscriber's context holds and what the event (or query) carries."""

# ruff: noqa: A001  (`id` is what the API calls it)

from __future__ import annotations

import json
from typing import Any

import pytest
from raw import raw

from fraiseql_subscriptions import (
    AuthorizationError,
    ScopeViolation,
    SecurityContext,
    SecurityPolicy,
    SubscriptionExecutor,
)

QUERY = "subscription { thing { id } }"
#: What an event carries for a field: JSON members, written where FIELD is the field's name.
CARRIED = {
    "own": '"FIELD":5',
    "another's": '"FIELD":6',
    "absent": '"other":5',
    "null": '"FIELD":null',
    "text": '"FIELD":"5"',
    "fraction": '"FIELD":5.0',
    "boolean": '"FIELD":true',
    "list": '"FIELD":[5]',
    "object": '"FIELD":{"id":5}',
    "own, then another's": '"FIELD":5,"FIELD":6',
    "another's, then own": '"FIELD":6,"FIELD":5',
    "own, then null": '"FIELD":5,"FIELD":null',
    "null, then own": '"FIELD":null,"FIELD":5',
    "own in another case": '"Field":5',
    "own, its name escaped": '"\\u0046IELD":5',
}
OWN = {"own", "another's, then own", "null, then own", "own, its name escaped"}
NOBODYS = {"absent", "null", "own, then null", "own in another case"}
FIELDS = {
    "tenant_id": "tenant",
    "user_id": "row",
    "federation_id": "federation",
    "service_name": "federation",
}


def _carrying(what: str, field: str) -> bytes:
    members = CARRIED[what].replace("FIELD", field).replace("Field", field.upper())
    return b'{"id":1,' + members.replace("\\u0046IELD", _escaped(field)).encode() + b"}"


def _holding(field: str) -> SecurityContext:
    identifiers: dict[str, Any] = {field: 5}
    return SecurityContext(**identifiers)


def _escaped(field: str) -> str:
    return f"\\u{ord(field[0]):04x}{field[1:]}"


@pytest.mark.parametrize("mode", ["strict", "if_present", "off"])
@pytest.mark.parametrize("field", FIELDS)
def test_what_events_carry(field: str, mode: Any) -> None:
    module = FIELDS[field]
    modes: dict[str, Any] = {"tenant": "off", "row": "off", "federation": "off", module: mode}
    # The other of federation's two is absent on both sides, which every mode allows.
    with SubscriptionExecutor(security=SecurityPolicy(**modes)) as executor:
        holders = {
            "a trusted subscription": executor.register_subscription("c", 1, QUERY),
            "an empty context": executor.register_subscription(
                "c", 2, QUERY, context=SecurityContext()
            ),
            "a context": executor.register_subscription("c", 3, QUERY, context=_holding(field)),
        }
        for what in CARRIED:
            before = executor.get_metrics()["denied"][module]
            executor.publish_event("t", "things", raw(_carrying(what, field)))
            allowed = {
                "a trusted subscription": True,
                "an empty context": mode == "off" or what in NOBODYS,
                "a context": mode == "off"
                or what in OWN
                or (mode == "if_present" and what in NOBODYS),
            }
            for holder, id in holders.items():
                got = len(executor.next_events(id))
                assert got == allowed[holder], f"{holder}, {what}: {got} responses"
            denied = executor.get_metrics()["denied"][module] - before
            # Those that an index tells apart are never looked at.
            assert denied <= list(allowed.values()).count(False)


@pytest.mark.parametrize("mode", ["strict", "off"])
@pytest.mark.parametrize("name", ["tenant_id", "tenantId", "user_id", "userId"])
def test_what_queries_name(name: str, mode: Any) -> None:
    own = "tenant_id" if name.startswith("tenant") else "user_id"
    policy = SecurityPolicy(scope=mode, tenant="off", row="off")
    named: dict[str, Any] = {
        "own": 5,
        "another's": 6,
        "null": None,
        "text": "5",
        "fraction": 5.0,
        "boolean": True,
        "list": [5],
        "object": {"id": 5},
    }
    allowed = {
        "a trusted subscription": {*named, "absent"},
        "an empty context": {"null", "absent"},
        "a context": {"own", "absent"},
    }
    contexts = {
        "a trusted subscription": None,
        "an empty context": SecurityContext(),
        "a context": _holding(own),
    }
    with SubscriptionExecutor(security=policy) as executor:
        for holder, context in contexts.items():
            for what in [*named, "absent"]:
                for place in ("variable", "default", "undefined variable", "argument"):
                    query, variables = QUERY, {}
                    if what != "absent":
                        text = json.dumps(named[what]).replace('"id"', "id")
                        if place == "argument":
                            query = f"subscription {{ thing({name}: {text}) {{ id }} }}"
                        elif place == "undefined variable":
                            variables = {name: named[what]}
                        else:
                            given = place == "variable"
                            default = "" if given else f" = {text}"
                            variables = {name: named[what]} if given else {}
                            query = (
                                f"subscription (${name}: Any{default}) "
                                f"{{ thing(n: ${name}) {{ id }} }}"
                            )
                    case = f"{holder}, {what} in {place}"
                    try:
                        id = executor.register_subscription(
                            "c", case, query, None, variables, context=context
                        )
                    except ScopeViolation:
                        assert mode == "strict", case
                        assert what not in allowed[holder], case
                        continue
                    assert mode == "off" or what in allowed[holder], case
                    # Nothing that an event carries counts here.
                    for carried in CARRIED:
                        executor.publish_event("t", "c", raw(_carrying(carried, own)))
                    assert len(executor.next_events(id)) == len(CARRIED), case
                    assert executor.complete_subscription(id)


@pytest.mark.parametrize("rbac", ["refuse", "null", "off"])
@pytest.mark.parametrize("required", [False, True])
def test_what_fields_need(rbac: Any, required: bool) -> None:
    policy = SecurityPolicy(
        rbac=rbac, require_permissions=required, permissions={"thing": None, "thing.secret": "s"}
    )
    contexts = {
        "a trusted subscription": None,
        "no permissions": SecurityContext(),
        "an empty set": SecurityContext(permissions=[]),
        "others": SecurityContext(permissions=["S", "s ", "secret", "*"]),
        "the permission": SecurityContext(permissions=["s", "t"]),
    }
    query = "subscription { thing { id secret } }"
    with SubscriptionExecutor(security=policy) as executor:
        for holder, context in contexts.items():
            asked = context is not None and (required or context.permissions is not None)
            held = rbac == "off" or not asked or holder == "the permission"
            try:
                id = executor.register_subscription("c", holder, query, context=context)
            except AuthorizationError:
                assert rbac == "refuse", holder
                assert not held, holder
                continue
            assert held or rbac == "null", holder
            for what in CARRIED:
                body = _carrying(what, "secret")
                executor.publish_event("t", "c", raw(body))
                message = executor.next_event(id)
                assert message is not None, (holder, what)
                payload = json.loads(message)["payload"]
                told = [error["extensions"]["code"] for error in payload.get("errors", [])]
                shown = payload["data"]["thing"]["secret"]
                value = json.loads(body).get("secret")
                if not held:
                    assert (shown, told) == (None, ["FORBIDDEN"]), (holder, what)
                elif isinstance(value, dict) and asked and rbac != "off":
                    # Nobody could say what its fields need.
                    assert (shown, told) == (None, ["FORBIDDEN"]), (holder, what)
                else:
                    assert (shown, told) == (value, []), (holder, what)
