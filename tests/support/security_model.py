"""What the security rules say, written a second time: slowly, plainly, without the engine.

The text that it follows is docs/guide.md's chapter on security. It knows nothing of indexes,
compiled checks or shared answers, and has its own reading of JSON (Python's).
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, Final

from fraiseql_subscriptions import SecurityContext, SecurityPolicy

#: Field names → what one that selects from an object needs by its name. A table, so that the
#: engine's rule for words and plurals is not simply repeated.
BY_NAME: Final = {
    "orderUpdated": "order:read",
    "orders": "order:read",
    "lines": "line:read",
    "customer": "customer:read",
    "__hidden": "hidden:read",
}

SCHEMA: Final = """
scalar Any
type Query { a: Int }
type Subscription {
  orderUpdated(tenantId: Any tenant_id: Any userId: Any user_id: Any tenant: Any n: Any): Order
  orders(tenantId: Any tenant_id: Any userId: Any user_id: Any tenant: Any n: Any): Order
}
type Order {
  id: Any @requiresPermission(name: "id:see")
  amount: Any
  lines: [Line]
  customer: Customer @requiresPermission(name: "vip") @requiresPermission(name: "x")
}
type Line { sku: Any customer: Customer }
type Customer { name: Any @requiresPermission(name: "x") }
"""
#: What that schema declares, by type and field.
DECLARED: Final = {
    ("Order", "id"): ["id:see"],
    ("Order", "customer"): ["vip", "x"],
    ("Customer", "name"): ["x"],
}
TYPES: Final = {
    "orderUpdated": "Order",
    "orders": "Order",
    "lines": "Line",
    "customer": "Customer",
}


class Fraction(str):
    """A JSON number with a fraction or an exponent: equal to no identifier of a context."""

    __slots__ = ()


@dataclass(frozen=True)
class Field:
    """A selected field; `fields` is None for a leaf. `how`: plain, in a fragment, or left out."""

    name: str
    fields: tuple[Field, ...] | None = None
    alias: str = ""
    how: str = "plain"

    @property
    def key(self) -> str:
        return self.alias or self.name

    def text(self, arguments: str = "") -> str:
        shown = (f"{self.alias}: {self.name}" if self.alias else self.name) + arguments
        if self.fields is not None:
            shown += f" {{ {' '.join(each.text() for each in self.fields)} }}"
        return {
            "plain": shown,
            "fragment": f"... {{ {shown} }}",
            "nested": f"... {{ ... @include(if: true) {{ {shown} }} }}",
            "left out": f"... @skip(if: true) {{ {shown} }}",
        }[self.how]


@dataclass(frozen=True)
class Query:
    """A subscription: its root field, the arguments of that, and its variables."""

    root: Field
    arguments: Mapping[str, Any] = field(default_factory=dict)
    variables: Mapping[str, Any] = field(default_factory=dict)  # name → value given
    defaults: Mapping[str, Any] = field(default_factory=dict)  # name → default in the query
    resolved: bool = False  # by a resolver that makes the whole response

    def text(self) -> str:
        defined = " ".join(
            f"${name}: Any = {json.dumps(value)}" for name, value in self.defaults.items()
        )
        given = [f"{name}: {json.dumps(value)}" for name, value in self.arguments.items()]
        given += [f"n: ${name}" for name in list(self.defaults)[:1]]
        root = self.root.text(f"({' '.join(given)})" if given else "")
        return f"subscription {f'({defined})' if defined else ''} {{ {root} }}"


@dataclass(frozen=True)
class Model:
    """The rules of one policy, with or without `SCHEMA`."""

    policy: SecurityPolicy
    typed: bool = False

    # --- registration ------------------------------------------------------------------

    def registers(self, query: Query, context: SecurityContext | None) -> bool:
        """Whether this context may have this subscription at all."""
        if context is None:
            return not self.policy.require_context
        if self.policy.scope == "strict" and not self._agrees(query, context):
            return False
        missing = self._missing(query, context)
        return not missing or (self.policy.rbac == "null" and not query.resolved)

    def _agrees(self, query: Query, context: SecurityContext) -> bool:
        named = [*query.arguments.items(), *query.variables.items()]
        named += [pair for pair in query.defaults.items() if pair[0] not in query.variables]
        for path, own in (
            (self.policy.tenant_field, context.tenant_id),
            (self.policy.user_field, context.user_id),
        ):
            last = path.split(".")[-1]
            camel = re.sub("_(.)", lambda found: found[1].upper(), last)
            snake = re.sub("([A-Z])", lambda found: "_" + found[1].lower(), last)
            for name, value in named:
                if name in (last, camel, snake) and not self.same(own, value):
                    return False
        return True

    def _asks(self, context: SecurityContext) -> bool:
        return self.policy.rbac != "off" and (
            context.permissions is not None or self.policy.require_permissions
        )

    def _missing(self, query: Query, context: SecurityContext) -> set[str]:
        if not self._asks(context):
            return set()
        needed = set(self._needed(query.root, (), "Subscription"))
        return needed - set(context.permissions or ())

    def _needed(self, selected: Field, above: tuple[str, ...], parent: str) -> Iterator[str]:
        if selected.name == "__typename" or selected.how == "left out":
            return
        yield from self._own(selected, above, parent)
        for each in selected.fields or ():
            yield from self._needed(each, (*above, selected.name), TYPES.get(selected.name, ""))

    def _own(self, selected: Field, above: tuple[str, ...], parent: str) -> list[str]:
        path = (*above, selected.name)
        matching = [
            names
            for names in (tuple(entry.split(".")) for entry in self.policy.permissions)
            if len(names) == len(path)
            and all(name in ("*", own) for name, own in zip(names, path, strict=True))
        ]
        if matching:  # where they first differ, a name comes before *
            chosen = min(matching, key=lambda names: [name == "*" for name in names])
            permission = self.policy.permissions[".".join(chosen)]
            return [] if permission is None else [permission]
        if self.typed and (parent, selected.name) in DECLARED:
            return DECLARED[parent, selected.name]
        return [] if selected.fields is None else [BY_NAME[selected.name]]

    # --- delivery ----------------------------------------------------------------------

    def publishes(self, channel: str, data: Any) -> bool:
        """Whether an event may be published: its channel and its data name one tenant."""
        named = tenant_of(channel)
        carried = look_up(data, self.policy.tenant_field)
        return self.policy.tenant == "off" or not named or carried is None or reads(carried, named)

    def sees(self, context: SecurityContext | None, channel: str, data: Any) -> bool:
        """Whether an event reaches a subscriber whose query asks for it."""
        if context is None:
            return True
        policy = self.policy
        tenant = look_up(data, policy.tenant_field)
        named = tenant_of(channel)
        if policy.tenant != "off" and named and tenant is None:
            if not reads(context.tenant_id, named):
                return False
        elif not self._allows(policy.tenant, context.tenant_id, tenant):
            return False
        user = look_up(data, policy.user_field)
        return (
            self._allows(policy.row, context.user_id, user)
            and self._allows(policy.federation, context.federation_id, data.get("federation_id"))
            and self._allows(policy.federation, context.service_name, data.get("service_name"))
        )

    def _allows(self, mode: str, own: Any, carried: Any) -> bool:
        if mode == "off" or (mode == "if_present" and carried is None):
            return True
        return self.same(own, carried)

    def same(self, own: Any, other: Any) -> bool:
        """Whether two identifiers are equal; None is nobody's."""
        if type(own) is type(other) and isinstance(own, (int, str, type(None))):
            return bool(own == other)
        if self.policy.identifiers == "loose" and {type(own), type(other)} == {int, str}:
            return str(own) == str(other)
        return False

    def answer(self, query: Query, context: SecurityContext | None, data: Any) -> Any:
        """The response's `data`; what may not be seen is null."""
        missing = set() if context is None else self._missing(query, context)
        guarded = context is not None and self._asks(context) and not self.typed
        root = query.root
        if missing & set(self._own(root, (), "Subscription")):
            return {root.key: None}
        if root.fields is None:
            return {root.key: None if guarded else plain(data)}
        return {
            root.key: self._select(root.fields, data, (root.name,), missing, guarded, root.name)
        }

    def _select(
        self,
        fields: tuple[Field, ...],
        value: Any,
        above: tuple[str, ...],
        missing: set[str],
        guarded: bool,
        parent: str,
    ) -> Any:
        if isinstance(value, list):
            return [self._select(fields, each, above, missing, guarded, parent) for each in value]
        if value is None:
            return None
        found = {}
        for each in fields:
            if each.how == "left out":
                continue
            below = value.get(each.name)
            if each.name == "__typename":
                below = TYPES[parent] if self.typed else None
            elif missing & set(self._own(each, above, TYPES.get(parent, ""))):
                below = None
            elif each.fields is not None:
                path = (*above, each.name)
                below = self._select(each.fields, below, path, missing, guarded, each.name)
            elif guarded and holds_object(below):
                below = None
            found[each.key] = plain(below)
        return found


def parse(text: str) -> Any:
    """JSON as the model reads it: of two members of a name the last."""
    return json.loads(text, parse_float=Fraction)


def plain(value: Any) -> Any:
    """A parsed value as a response's reader sees it."""
    if isinstance(value, Fraction):
        return float(value)
    if isinstance(value, list):
        return [plain(each) for each in value]
    if isinstance(value, dict):
        return {name: plain(each) for name, each in value.items()}
    return value


def holds_object(value: Any) -> bool:
    return isinstance(value, dict) or (
        isinstance(value, list) and any(holds_object(each) for each in value)
    )


def look_up(data: Any, path: str) -> Any:
    """What a dotted path leads to; None where it leads nowhere."""
    for name in path.split("."):
        if isinstance(data, dict):
            data = data.get(name)
        elif isinstance(data, list) and name.isdecimal() and int(name) < len(data):
            data = data[int(name)]
        else:
            return None
    return data


def tenant_of(channel: str) -> str:
    """The tenant that a channel's first segment of that kind names, or nothing."""
    for segment in re.split("[.:]", channel):
        if segment.startswith("tenant-") and segment != "tenant-":
            return segment.removeprefix("tenant-")
    return ""


def reads(identifier: Any, segment: str) -> bool:
    """Whether an identifier, written as a channel's segment, is that one."""
    return type(identifier) in (int, str) and str(identifier) == segment
