"""The engine against the model of its rules: it delivers what that allows, and nothing else.

``SECURITY_CASES`` is how many cases hypothesis makes (5,000).
"""

# ruff: noqa: A001  (`id` is what the API calls it)

from __future__ import annotations

import json
import os
from dataclasses import dataclass, field, replace
from typing import Any, Final
from uuid import UUID

import pytest
from hypothesis import HealthCheck, event, given, settings
from hypothesis import strategies as st
from raw import raw
from security_model import SCHEMA, Field, Model, Query, parse

from fraiseql_subscriptions import (
    AuthorizationError,
    ScopeViolation,
    SecurityContext,
    SecurityPolicy,
    SubscriptionExecutor,
)

CASES: Final = int(os.environ.get("SECURITY_CASES", "5000"))

UUID_TEXT: Final = "0b6e6b34-4d3e-4a51-8b42-6f1d2f9a7c10"
BIG: Final = 2**70
#: Identifiers of contexts: few, so that they meet those of events often.
identifiers: Final = st.sampled_from([None, 1, 1, 1, 2, "1", "a", UUID(UUID_TEXT), BIG, 0])
#: The same and what only looks like them, as an event's JSON.
_CARRIED: Final = """
null 1 1 1 1 1 1 1 1 "1" "1" "1" "a" "a" "a" 2 0 -0 1.0 1e0 10e-1 true [] [1] {} {"equals":1}
"\\u0031" "\\u0061" "\\u0430" "A" "01" "1\\u0020" "" "null"
"""
carried: Final = st.sampled_from(
    [*_CARRIED.split(), str(BIG), str(BIG + 1), f'"{UUID_TEXT}"', f'"{UUID_TEXT.upper()}"']
)
permissions: Final = st.frozensets(
    st.sampled_from(
        ["order:read", "line:read", "customer:read", "hidden:read", "id:see", "vip", "x", "own"]
    )
)
contexts: Final = st.builds(
    SecurityContext,
    tenant_id=identifiers,
    user_id=st.sampled_from([None, None, None, 1, "a"]),
    federation_id=st.sampled_from([None, None, None, None, 1, "a"]),
    service_name=st.sampled_from([None, None, None, None, "a"]),
    permissions=st.none() | permissions,
)
#: Paths of permission maps, of which often several match one field.
_PATHS: Final = """
* orderUpdated orderUpdated.* orderUpdated.amount *.amount *.*.sku orderUpdated.*.sku *.lines.*
*.customer
"""
modes: Final = st.sampled_from(["strict", "strict", "if_present", "off"])
policies: Final = st.builds(
    SecurityPolicy,
    tenant=modes,
    row=modes,
    federation=modes,
    scope=st.sampled_from(["strict", "strict", "off"]),
    rbac=st.sampled_from(["refuse", "null", "null", "off"]),
    identifiers=st.sampled_from(["strict", "strict", "loose"]),
    tenant_field=st.sampled_from(["tenant_id", "tenant_id", "meta.tenant", "meta.owners.0"]),
    user_field=st.sampled_from(["user_id", "user_id", "meta.userId"]),
    permissions=st.dictionaries(
        st.sampled_from(_PATHS.split()),
        st.sampled_from([None, "x", "own", "vip"]),
        max_size=5,
    ),
    require_permissions=st.sampled_from([False, False, True]),
)
#: Whether and how a field is selected: (alias, how).
selected: Final = st.sampled_from(
    [
        *(None, None, ("", "plain"), ("", "plain")),
        *(("its", "plain"), ("", "fragment"), ("its", "nested"), ("", "left out")),
    ]
)


def _fields(
    draw: st.DrawFn, names: list[str], below: dict[str, Any], first: str
) -> tuple[Field, ...]:
    """Some of the fields, those of `below` with selections of their own; `first` always."""
    found = [Field(first)]
    for name in names:
        chosen = draw(selected)
        if chosen is not None and name != first:
            alias, how = chosen
            fields = below[name](draw) if name in below else None
            found.append(Field(name, fields, alias and f"its_{name.strip('_')}", how))
    return tuple(found)


def _customer(draw: st.DrawFn) -> tuple[Field, ...]:
    return _fields(draw, ["__typename"], {}, "name")


def _line(draw: st.DrawFn) -> tuple[Field, ...]:
    return _fields(draw, ["customer"], {"customer": _customer}, "sku")


@st.composite
def roots(draw: st.DrawFn, typed: bool) -> Field:
    name = draw(st.sampled_from(["orderUpdated", "orderUpdated", "orders"]))
    alias = draw(st.sampled_from(["", "its"]))
    if typed:
        kind, names = "objects", ["id", "amount", "lines", "customer", "__typename"]
    else:
        # Without a schema a leaf may turn out to hold objects, and names may begin with __.
        kind = draw(st.sampled_from(["objects", "objects", "leaves", "leaf"]))
        names = ["id", "amount", "lines", "customer", "__proto__", "__hidden"]
    if kind == "leaf":
        return Field(name, None, alias)
    objects = {"lines": _line, "customer": _customer, "__hidden": _customer}
    below = objects if kind == "objects" else {"__hidden": _customer}
    return Field(name, _fields(draw, names, below, "amount"), alias)


spellings: Final = st.sampled_from(
    ["tenantId", "tenant_id", "userId", "user_id", "tenant", "n", "tenant_id"]
)
said: Final = st.sampled_from([1, 1, 2, "1", "a", None, BIG, [1], True])
little: Final[st.SearchStrategy[dict[str, Any]]] = st.one_of(
    st.just({}), st.just({}), st.dictionaries(spellings, said, max_size=2)
)


def without_n(arguments: dict[str, Any]) -> dict[str, Any]:
    """The argument n is the one through which a query uses its variable."""
    return {name: value for name, value in arguments.items() if name != "n"}


def queries(typed: bool) -> st.SearchStrategy[Query]:
    return st.builds(
        Query,
        root=roots(typed),
        arguments=little.map(without_n),
        variables=little,
        defaults=st.just({}) | st.just({}) | st.dictionaries(spellings, said, max_size=1),
        resolved=st.sampled_from([False, False, False, True]),
    )


#: What an event's data holds besides identifiers.
bodies: Final[st.SearchStrategy[dict[str, Any]]] = st.sampled_from(
    [
        {},
        {"amount": 1, "lines": [{"sku": "s", "customer": {"name": "Ann"}}, {"sku": None}]},
        {"amount": {"deep": [1]}, "lines": [], "customer": {"name": 1.5, "more": []}},
        {"amount": [{"a": 1}], "lines": None, "customer": None, "__hidden": {"name": "Bo"}},
        {"amount": [[1], {"b": 2}], "customer": {}, "__proto__": {"name": "Cy"}},
        {"amount": "x", "lines": [{"customer": None}], "__hidden": None, "__proto__": 1},
    ]
)
#: Members that federation compares, mostly none.
federations: Final = st.sampled_from(
    [{}] * 5
    + [{"federation_id": 1}, {"federation_id": "a", "service_name": "a"}, {"service_name": "A"}]
    + [{"federation_id": 1.0, "service_name": None}, {"federation_id": None, "service_name": "a"}]
)


@dataclass(frozen=True)
class Event:
    """An event as it is published; of `members`, (name, JSON), several may have one name."""

    channel: str
    id: int
    body: dict[str, Any]
    federation: dict[str, Any]
    members: list[tuple[str, str]] = field(default_factory=list)

    @property
    def text(self) -> str:
        parts = [f"{json.dumps(name)}:{value}" for name, value in self.members]
        rest = {"id": self.id, **self.body, **self.federation}
        parts += [f"{json.dumps(name)}:{json.dumps(value)}" for name, value in rest.items()]
        return "{" + ",".join(parts) + "}"


#: How many members of a name there are.
counts: Final = {
    "tenant_id": st.sampled_from([0, 1, 1, 1, 1, 2]),
    "user_id": st.sampled_from([0, 0, 0, 0, 1, 2]),
}


@st.composite
def members(draw: st.DrawFn) -> list[tuple[str, str]]:
    """Identifiers: usually one tenant and perhaps a user, sometimes twice, anywhere."""
    found = []
    for name, inner in (("tenant_id", "tenant"), ("user_id", "userId")):
        for _ in range(draw(counts[name])):
            value = draw(carried)
            where = draw(st.sampled_from(["top", "top", "meta"]))
            if where == "top":
                found.append((name, value))
            elif inner == "tenant":
                found.append(("meta", f'{{"tenant":{value},"owners":[{value}]}}'))
            else:
                found.append(("meta", f'{{"userId":{value},"tenant":{draw(carried)}}}'))
    return found


events: Final = st.builds(
    Event,
    st.sampled_from(["c", "c", "c", "c:tenant-1", "tenant-a.c", "c:tenant-", f"tenant-{BIG}"]),
    st.integers(0, 99),
    bodies,
    federations,
    members(),
)
steps: Final = st.one_of(
    events,
    events,
    events,
    st.tuples(st.just("context"), contexts),
    st.tuples(st.just("permission"), st.sampled_from(["order:read", "x", "line:read"])),
    st.tuples(st.sampled_from(["tenant_id", "user_id"]), st.sampled_from([1, "1", "a"])),
    st.just(("read", None)),
)


@dataclass(frozen=True)
class Case:
    policy: SecurityPolicy
    typed: bool
    wanted: list[tuple[Query, SecurityContext | None]]
    steps: list[Any]


#: So many others that the index finds subscribers by their tenant or user.
CROWD: Final = [
    (
        Query(Field("orders", (Field("amount"),))),
        SecurityContext(tenant_id=f"of the crowd {number}", user_id=number % 2 or None),
    )
    for number in range(6)
]


@st.composite
def cases(draw: st.DrawFn) -> Case:
    typed = draw(st.booleans())
    policy = draw(policies)
    # Contexts of one draw repeat: that is what shared answers and indexes are about.
    who = draw(st.lists(st.none() | contexts, min_size=1, max_size=3))
    asked = draw(st.lists(queries(typed), min_size=1, max_size=2))
    wanted = st.tuples(st.sampled_from(asked), st.sampled_from(who))
    return Case(
        policy,
        typed,
        draw(st.sampled_from([[], CROWD])) + draw(st.lists(wanted, min_size=1, max_size=4)),
        draw(st.lists(steps, min_size=2, max_size=6)),
    )


@dataclass
class Subscriber:
    """A subscription as the model knows it."""

    id: str
    connection: str
    query: Query
    context: SecurityContext | None
    ended: bool = False
    #: Events, with their channels, queued for it under its context, and under earlier ones.
    queued: list[tuple[str, Any]] = field(default_factory=list)
    before: list[tuple[str, Any]] = field(default_factory=list)


class Run:
    """One case, in the engine and in the model at once."""

    def __init__(self, case: Case, executor: SubscriptionExecutor) -> None:
        self.model = Model(case.policy, case.typed)
        self.executor = executor
        self.subscribers: list[Subscriber] = []
        for number, (query, context) in enumerate(case.wanted):
            self.register(number, query, context)

    def register(self, number: int, query: Query, context: SecurityContext | None) -> None:
        allowed = self.model.registers(query, context)
        event("registered" if allowed else "refused")
        connection = f"c{number % 2}"
        try:
            id = self.executor.register_subscription(
                connection,
                number,
                query.text(),
                None,
                dict(query.variables),
                context=context,
                resolver=resolve if query.resolved else None,
            )
        except (ScopeViolation, AuthorizationError):
            assert not allowed, f"{query.text()} is refused to {context}"
            return
        assert allowed, f"{query.text()} is registered for {context}"
        self.subscribers.append(Subscriber(id, connection, query, context))

    def step(self, step: Any) -> None:
        if isinstance(step, Event):
            self.publish(step)
            return
        what, value = step
        if what == "read":
            self.read()
        elif what == "context":
            self.executor.update_context("c0", value)
            for one in self.subscribers:
                if one.connection == "c0":
                    self.give(one, value)
        elif what == "permission":
            self.executor.revoke(permission=value)
            for one in self.subscribers:
                held = one.context and one.context.permissions
                if one.context and held and value in held:
                    self.give(one, replace(one.context, permissions=set(held) - {value}))
        else:
            self.executor.revoke(**{what: value})
            for one in self.subscribers:
                if one.context and self.model.same(value, getattr(one.context, what)):
                    one.ended = True

    def publish(self, what: Event) -> None:
        data, body = parse(what.text), raw(what.text)
        if not self.model.publishes(what.channel, data):
            with pytest.raises(ValueError, match="names the tenant"):
                self.executor.publish_event("t", what.channel, body)
            return
        self.executor.publish_event("t", what.channel, body)
        for one in self.subscribers:
            seen = not one.ended and self.model.sees(one.context, what.channel, data)
            event("seen" if seen else "not seen")
            if seen:
                one.queued.append((what.channel, data))

    def give(self, one: Subscriber, context: SecurityContext) -> None:
        one.context = context
        one.before, one.queued = one.before + one.queued, []
        one.ended = one.ended or not self.model.registers(one.query, context)

    def read(self) -> None:
        for one in self.subscribers:
            messages = [json.loads(text) for text in self.executor.next_events(one.id)]
            if one.ended:
                assert [message["type"] for message in messages] == ["error"], (messages, one)
                continue
            assert all(message["type"] == "next" for message in messages), (messages, one)
            shown = [message["payload"] for message in messages]
            expected = [self.answer(one, data) for _, data in one.queued]
            late = len(shown) - len(expected)
            assert [each["data"] for each in shown[max(late, 0) :]] == expected, one
            # What was queued under another context may be there, and is what this one may see.
            allowed = [
                self.answer(one, data)
                for channel, data in one.before
                if self.model.sees(one.context, channel, data)
            ]
            for each in shown[: max(late, 0)]:
                assert any(reveals_no_more(each["data"], most) for most in allowed), (each, one)
            one.queued, one.before = [], []
        self.subscribers = [one for one in self.subscribers if not one.ended]

    def answer(self, one: Subscriber, data: Any) -> Any:
        if one.query.resolved:
            return {"resolved": data["id"]}
        return self.model.answer(one.query, one.context, data)


def resolve(data: dict[str, Any]) -> dict[str, Any]:
    return {"resolved": data["id"]}


def reveals_no_more(shown: Any, most: Any) -> bool:
    """Whether `shown` is `most`, or has nulls in the place of some of it."""
    if shown is None or shown == most:
        return True
    if isinstance(shown, dict) and isinstance(most, dict) and shown.keys() == most.keys():
        return all(reveals_no_more(shown[name], most[name]) for name in shown)
    if isinstance(shown, list) and isinstance(most, list) and len(shown) == len(most):
        return all(map(reveals_no_more, shown, most))
    return False


@settings(
    max_examples=CASES, deadline=None, suppress_health_check=[HealthCheck.too_slow], database=None
)
@given(cases())
def test_what_is_delivered_is_what_the_rules_allow(case: Case) -> None:
    schema = SCHEMA if case.typed else None
    with SubscriptionExecutor(security=case.policy, schema=schema) as executor:
        run = Run(case, executor)
        for step in case.steps:
            run.step(step)
        run.read()
