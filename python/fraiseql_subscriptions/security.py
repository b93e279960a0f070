"""Who is asking, and by which rules: checked when it is said, enforced in the engine.

Both classes are frozen: one object can serve any number of subscriptions and threads.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping
from dataclasses import dataclass, field, fields
from datetime import datetime
from types import MappingProxyType
from typing import Any, Final, Literal
from uuid import UUID

from .config import _boolean, _integer, _is_utf8, _one_of, _path, _seconds
from .encode import decode_exact, encode
from .types import Identifier

__all__ = ["SecurityContext", "SecurityPolicy"]

_MODES: Final = ("strict", "if_present", "off")
_IDENTIFIERS: Final = ("strict", "loose")
_SCOPES: Final = ("strict", "off")
_RBAC: Final = ("refuse", "null", "off")
_NONE: Final[frozenset[str]] = frozenset()
#: Names of GraphQL fields, but for introspection, or ``*``; joined by dots.
_SELECTION_PATH: Final = re.compile(
    r"(?:\*|(?!__)[A-Za-z_][A-Za-z0-9_]*)(?:\.(?:\*|(?!__)[A-Za-z_][A-Za-z0-9_]*))*"
)
#: The end of the year 9999, which ``datetime.max`` comes to as a float.
_MAX_EXPIRY: Final = 253402300800

Mode = Literal["strict", "if_present", "off"]


@dataclass(frozen=True, slots=True)
class SecurityContext:
    """Who is asking: compared with the events by the subscription's security policy.

    `user_id`, `tenant_id`, `federation_id` and `service_name` are str, int or UUID, or None for
    nobody; 5 and "5" are different identifiers unless the policy says ``identifiers="loose"``.
    A UUID becomes its canonical text. The empty context is the anonymous client's.

    `permissions` are what field permissions are looked up in; an empty set grants nothing,
    None leaves field permissions out unless the policy requires them. `expires_at` is an aware
    datetime or unix seconds, kept as the latter. `claims` is a JSON object, for filters over
    subscriptions. `roles` and `scopes` decide nothing here; resolvers that take ``info`` find
    them in its context.
    """

    user_id: Identifier | None = None
    tenant_id: Identifier | None = None
    federation_id: Identifier | None = None
    service_name: Identifier | None = None
    roles: Collection[str] = _NONE
    permissions: Collection[str] | None = None
    scopes: Collection[str] = _NONE
    expires_at: datetime | float | None = None
    claims: Mapping[str, Any] | None = field(default=None, hash=False)

    def __post_init__(self) -> None:
        for name in ("user_id", "tenant_id", "federation_id", "service_name"):
            value = getattr(self, name)
            if value is None:
                continue
            if isinstance(value, UUID):  # compares as its text, so it is kept as that
                object.__setattr__(self, name, str(value))
            else:
                _identity(name, value)
        for name in ("roles", "permissions", "scopes"):
            names = getattr(self, name)
            if names is not _NONE and (names is not None or name != "permissions"):
                object.__setattr__(self, name, _names(name, names))
        if self.expires_at is not None:
            object.__setattr__(self, "expires_at", _instant("expires_at", self.expires_at))
        if self.claims is not None:
            if not isinstance(self.claims, Mapping):
                raise TypeError(f"claims must be a mapping, not {type(self.claims).__name__}")
            # A copy, so that nobody changes it later; errors name the path from "claims".
            copied = decode_exact(encode({"claims": dict(self.claims)}))
            object.__setattr__(self, "claims", MappingProxyType(copied["claims"]))

    def _as_json(self) -> dict[str, Any]:
        # In alphabetical order, and only what is given: equal contexts give equal text.
        found: dict[str, Any] = {}
        if self.claims is not None:
            found["claims"] = dict(self.claims)
        if self.expires_at is not None:
            found["expires_at"] = self.expires_at
        if self.federation_id is not None:
            found["federation_id"] = self.federation_id
        if self.permissions is not None:
            found["permissions"] = sorted(self.permissions)
        if self.roles:
            found["roles"] = sorted(self.roles)
        if self.scopes:
            found["scopes"] = sorted(self.scopes)
        if self.service_name is not None:
            found["service_name"] = self.service_name
        if self.tenant_id is not None:
            found["tenant_id"] = self.tenant_id
        if self.user_id is not None:
            found["user_id"] = self.user_id
        return found


@dataclass(frozen=True, slots=True, kw_only=True)
class SecurityPolicy:
    """Which checks guard delivery to subscriptions that have a context.

    `tenant`, `row` and `federation` are ``"strict"`` (both sides equal, or both absent),
    ``"if_present"`` (checked when the event carries a value) or ``"off"``. The field names are
    dotted paths in the event's data; federation compares ``federation_id`` and
    ``service_name``. `require_context` refuses subscriptions registered without one.

    `scope`, ``"strict"`` or ``"off"``: variables and root field arguments that are named like the
    last segment of `tenant_field` or `user_field`, in snake_case or camelCase, must be the
    context's.

    `rbac` says what becomes of a selected field whose permission the context lacks: ``"refuse"``
    the subscription, ``"null"`` the field, with an error of the code FORBIDDEN (refused all the
    same where a resolver makes the whole response), or ``"off"``. It applies to contexts that
    have `permissions`, and with `require_permissions` to all. A field that selects from an object
    needs ``singular:read`` by its name's first word (``orderUpdated`` and ``orders``:
    ``order:read``). The schema's ``@requiresPermission(name: …)`` on a field comes before that
    rule, and `permissions` before both: a map of selection paths from the root field, with
    ``*`` for any one field (``"orderUpdated.amount"``), to a permission, or None for none.
    Without a schema a field without a selection set shows no objects to whom permissions apply.

    More than `max_violations` within `violation_window` seconds end what a connection has,
    with the code TOO_MANY_VIOLATIONS, and nothing can be registered on it until they are older.
    Violations are registering outside one's own scope, selecting forbidden fields, naming a
    subscription of another connection, and exceeding a rate of `Limits`.
    """

    tenant: Mode = "strict"
    row: Mode = "strict"
    federation: Mode = "strict"
    scope: Literal["strict", "off"] = "strict"
    rbac: Literal["refuse", "null", "off"] = "refuse"
    tenant_field: str = "tenant_id"
    user_field: str = "user_id"
    identifiers: Literal["strict", "loose"] = "strict"
    permissions: Mapping[str, str | None] = field(default_factory=dict, hash=False)
    require_context: bool = False
    require_permissions: bool = False
    max_violations: int = 100
    violation_window: float = 60.0

    def __post_init__(self) -> None:
        for name in ("tenant", "row", "federation"):
            _one_of(name, getattr(self, name), _MODES)
        _one_of("scope", self.scope, _SCOPES)
        _one_of("rbac", self.rbac, _RBAC)
        _one_of("identifiers", self.identifiers, _IDENTIFIERS)
        _path("tenant_field", self.tenant_field)
        _path("user_field", self.user_field)
        object.__setattr__(self, "permissions", _permission_map(self.permissions))
        _boolean("require_context", self.require_context)
        _boolean("require_permissions", self.require_permissions)
        _integer("max_violations", self.max_violations, minimum=0)
        _seconds("violation_window", self.violation_window)
        if not self.violation_window:
            raise ValueError("violation_window must be above 0 seconds, not 0")

    def _as_json(self) -> dict[str, Any]:
        found = {field.name: getattr(self, field.name) for field in fields(self)}
        return {**found, "permissions": dict(self.permissions)}


def _identity(name: str, value: object) -> None:
    if value is None or type(value) is int:
        return
    if isinstance(value, bool) or not isinstance(value, (str, int)):
        raise TypeError(f"{name} must be str, int, UUID or None, not {type(value).__name__}")
    if isinstance(value, str) and not value:
        raise ValueError(f"{name} must not be empty; use None for nobody")


def _names(name: str, value: object) -> frozenset[str]:
    if isinstance(value, (str, bytes, Mapping)) or not isinstance(value, Collection):
        raise TypeError(f"{name} must be a set or list of str, not {type(value).__name__}")
    for one in value:
        if not isinstance(one, str):
            raise TypeError(f"{name} must hold str, not {type(one).__name__}")
        if not one or not _is_utf8(one):
            raise ValueError(f"{name} holds {one!r}, which names nothing")
    return frozenset(value)


def _permission_map(value: object) -> Mapping[str, str | None]:
    if not isinstance(value, Mapping):
        raise TypeError(f"permissions must be a mapping, not {type(value).__name__}")
    for path, permission in value.items():
        if not isinstance(path, str):
            raise TypeError(f"permissions must have str keys, not {type(path).__name__}")
        if _SELECTION_PATH.fullmatch(path) is None:
            raise ValueError(
                f"permissions has the key {path!r}; write field names or * joined by single dots, "
                "from the root field"
            )
        if permission is not None and not isinstance(permission, str):
            raise TypeError(
                f"permissions[{path!r}] must be str or None, not {type(permission).__name__}"
            )
        if permission is not None and (not permission or not _is_utf8(permission)):
            raise ValueError(f"permissions[{path!r}] is {permission!r}, which names nothing")
    return MappingProxyType(dict(value))


def _instant(name: str, value: object) -> float:
    if isinstance(value, datetime):
        if value.utcoffset() is None:
            raise ValueError(f"{name} must be an aware datetime; give it a tzinfo")
        value = value.timestamp()
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        raise TypeError(
            f"{name} must be an aware datetime or unix seconds, not {type(value).__name__}"
        )
    if not 0 <= value <= _MAX_EXPIRY:  # nor is NaN
        raise ValueError(f"{name} must be unix seconds up to the year 9999, not {value}")
    return float(value)
