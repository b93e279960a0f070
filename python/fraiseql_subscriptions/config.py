"""What an executor and a subscription can be told, checked when it is said.

Every class is frozen: one object can serve any number of executors and threads. A name that
the engine does not enforce is not a parameter here, so asking for it raises TypeError.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from typing import Any, Final, Literal
from urllib.parse import urlsplit

__all__ = ["EventBusConfig", "QueuePolicy"]

_BUS_KINDS: Final = ("memory", "redis", "postgresql")
_SCHEMES: Final = {
    "memory": "memory",
    "redis": "redis",
    "rediss": "redis",
    "redis+sentinel": "redis",
    "rediss+sentinel": "redis",
    "postgresql": "postgresql",
    "postgres": "postgresql",
}
_PREFIX: Final = re.compile(r"[a-z_][a-z0-9_]{0,29}")
_SUPPORTED: Final = "supported are memory://, redis:// (rediss://) and postgresql://"
_BLOCK_TIMEOUT: Final = 1.0
_OVERFLOWS: Final = ("drop_oldest", "drop_newest", "latest", "block", "disconnect")


@dataclass(frozen=True, slots=True)
class EventBusConfig:
    """Which bus carries the events. Make one with `memory()`, `redis()`, `postgresql()` or a URL.

    `history` is how many events a channel the in-memory bus keeps for ``since=``; the others
    keep what was published in the last `retention` seconds. A publish waits at most
    `publish_timeout` seconds for the server to accept it. `max_length` bounds a channel's stream
    in Redis besides. `prefix`, where it is given, is the one of the notifications' names that
    PostgreSQL's schema must have been installed with, and `reader_url` leads past a pooler.

    A URL may hold a password, so it is in no repr and no error.
    """

    kind: Literal["memory", "redis", "postgresql"] = "memory"
    history: int = 1024
    url: str = field(default="", repr=False)
    publish_timeout: float = 5.0
    retention: float = 3600.0
    max_length: int | None = None
    prefix: str = ""
    reader_url: str = field(default="", repr=False)

    def __post_init__(self) -> None:
        _one_of("kind", self.kind, _BUS_KINDS)
        _integer("history", self.history, minimum=0)
        _seconds("publish_timeout", self.publish_timeout)
        _seconds("retention", self.retention)
        if self.max_length is not None:
            _integer("max_length", self.max_length, minimum=1)
        _text("prefix", self.prefix)
        if self.prefix and not _PREFIX.fullmatch(self.prefix):
            raise ValueError(
                f"prefix must be 1 to 30 lower-case letters, digits and _, not {self.prefix!r}"
            )
        if (_kind_of(self.url) if self.url else "memory") != self.kind:
            raise ValueError(f"url is not the address of a {self.kind} bus")
        if self.reader_url and {self.kind, _kind_of(self.reader_url)} != {"postgresql"}:
            raise ValueError("reader_url must begin with postgresql://, as url does")

    @classmethod
    def memory(cls, history: int = 1024) -> EventBusConfig:
        """The bus inside this process. Raises ValueError for a negative history."""
        return cls("memory", history)

    @classmethod
    def redis(
        cls,
        url: str,
        *,
        publish_timeout: float = 5.0,
        retention: float = 3600.0,
        max_length: int | None = None,
    ) -> EventBusConfig:
        """Redis Streams at ``redis://[user:password@]host[:port][/database]``.

        ``rediss://`` uses TLS, ``redis+sentinel://host:port,host:port/database?master=name``
        asks Sentinels. Raises ValueError for other URLs; a Redis Cluster is not supported.
        """
        if _kind_of(url) != "redis":
            raise ValueError("url must begin with redis://, rediss:// or redis+sentinel://")
        return cls(
            "redis",
            url=url,
            publish_timeout=publish_timeout,
            retention=retention,
            max_length=max_length,
        )

    @classmethod
    def postgresql(
        cls,
        url: str,
        *,
        prefix: str = "",
        publish_timeout: float = 5.0,
        reader_url: str = "",
    ) -> EventBusConfig:
        """PostgreSQL at ``postgresql://…``, where the schema has been installed.

        See ``python -m fraiseql_subscriptions postgres install``, which also says how long
        events are kept. Where `url` leads through a pooler that gives every transaction another
        session, such as PgBouncer, `reader_url` leads to the server itself: notifications come
        to a session. Raises ValueError for other URLs.
        """
        if _kind_of(url) != "postgresql":
            raise ValueError("url must begin with postgresql://")
        return cls(
            "postgresql",
            url=url,
            prefix=prefix,
            publish_timeout=publish_timeout,
            reader_url=reader_url,
        )

    @classmethod
    def from_url(cls, url: str) -> EventBusConfig:
        """The bus that `url` names. Raises ValueError for a scheme that is not supported.

        The error names the scheme only: URLs hold passwords.
        """
        kind = _kind_of(url)
        if kind == "redis":
            return cls.redis(url)
        if kind == "postgresql":
            return cls.postgresql(url)
        if url not in ("memory:", "memory://", "memory:///"):
            raise ValueError("memory:// takes nothing after it; use EventBusConfig.memory(history)")
        return cls()

    def _as_json(self) -> dict[str, Any]:
        if self.kind == "memory":
            return {"kind": self.kind, "history": self.history}
        found: dict[str, Any] = {
            "kind": self.kind,
            "publish_timeout": float(self.publish_timeout),
            "url": self.url,
        }
        if self.kind == "redis":
            found["max_length"] = self.max_length or 0
            found["retention"] = float(self.retention)
        else:
            found["prefix"] = self.prefix
            found["reader_url"] = self.reader_url
        return found


def _kind_of(url: object) -> str:
    """The kind of bus that a URL is of. TypeError, ValueError."""
    if type(url) is not str:
        raise TypeError(f"bus must be an EventBusConfig or a URL, not {type(url).__name__}")
    try:
        scheme = urlsplit(url).scheme
    except ValueError:
        raise ValueError(f"bus is not a URL; {_SUPPORTED}") from None
    if "cluster" in scheme:
        raise ValueError(
            f"bus cannot be {scheme}://: a Redis Cluster is not supported; {_SUPPORTED}"
        )
    kind = _SCHEMES.get(scheme)
    if kind is None:
        found = f"{scheme}://" if scheme else "a URL without a scheme"
        raise ValueError(f"bus cannot be {found}; {_SUPPORTED}")
    if "\0" in url or not _is_utf8(url):
        raise ValueError("a bus's URL must be text without NUL characters")
    return kind


@dataclass(frozen=True, slots=True, kw_only=True)
class QueuePolicy:
    """How much a subscription may have waiting, and what gives way when that is full.

    `max_bytes` counts payload bytes. Answers that async resolvers still compute count as
    responses. `overflow` is one of

    - ``"drop_oldest"``, ``"drop_newest"``: the oldest queued response gives way, or the new one.
    - ``"latest"``: a response replaces the queued one whose event had the same value at `key`,
      and keeps its place; there is at most one a value. `key` is a dotted path into the
      event's data, whatever the client selects; values compare as in filters, an absent one is
      a value of its own. Without a `key` a response replaces the one before. More values than
      fit: as drop_oldest.
    - ``"block"``: the publisher waits, after everybody else has been served, until its
      responses fit, at most `block_timeout` seconds (1 unless
      given); then those that do not are dropped. Who
      never waits (in a resolver, ``wait="accepted"``, publish_event on a running event loop)
      drops them at once, and so does everybody after 1,024 waits for a reader that read nothing.
      ``await publish()`` waits without blocking its loop.
    - ``"disconnect"``: the subscription ends; its reader gets what is queued and then an error
      message with the code SLOW_CONSUMER.
    """

    max_responses: int = 1024
    max_bytes: int = 16 * 1024 * 1024
    overflow: Literal["drop_oldest", "drop_newest", "latest", "block", "disconnect"] = "drop_oldest"
    key: str | None = None
    block_timeout: float | None = None

    def __post_init__(self) -> None:
        _integer("max_responses", self.max_responses, minimum=1)
        _integer("max_bytes", self.max_bytes, minimum=1)
        _one_of("overflow", self.overflow, _OVERFLOWS)
        if self.key is not None:
            _path("key", self.key)
            if self.overflow != "latest":
                raise ValueError(f'key is for overflow="latest", not for "{self.overflow}"')
        if self.block_timeout is not None:
            _seconds("block_timeout", self.block_timeout)
            if self.overflow != "block":
                raise ValueError(
                    f'block_timeout is for overflow="block", not for "{self.overflow}"'
                )

    def _as_json(self) -> dict[str, Any]:
        # Keys in alphabetical order, and those alone that mean something.
        found: dict[str, Any] = {}
        if self.overflow == "block":
            found["block_timeout"] = (
                _BLOCK_TIMEOUT if self.block_timeout is None else float(self.block_timeout)
            )
        if self.key is not None:
            found["key"] = self.key
        found["max_bytes"] = self.max_bytes
        found["max_responses"] = self.max_responses
        found["overflow"] = self.overflow
        return found


def _one_of(name: str, value: object, allowed: tuple[str, ...]) -> None:
    if type(value) is not str or value not in allowed:
        raise ValueError(f"{name} must be one of {', '.join(allowed)}, not {value!r}")


def _integer(name: str, value: object, minimum: int) -> None:
    if type(value) is not int:
        raise TypeError(f"{name} must be an int, not {type(value).__name__}")
    if not minimum <= value < 2**53:
        raise ValueError(f"{name} must be from {minimum} to 2**53 - 1, not {value}")


def _boolean(name: str, value: object) -> None:
    if type(value) is not bool:
        raise TypeError(f"{name} must be a bool, not {type(value).__name__}")


def _seconds(name: str, value: object) -> None:
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        raise TypeError(f"{name} must be a number of seconds, not {type(value).__name__}")
    if not 0 <= value <= 1_000_000:
        raise ValueError(f"{name} must be from 0 to 1,000,000 seconds, not {value}")


def _text(name: str, value: object) -> None:
    if not isinstance(value, str):
        raise TypeError(f"{name} must be a str, not {type(value).__name__}")


def _path(name: str, value: str) -> None:
    _text(name, value)
    if not value or "\0" in value or not all(value.split(".")) or not _is_utf8(value):
        raise ValueError(f"{name} must be a field name or a dotted path, not {value!r}")


def _is_utf8(value: str) -> bool:
    try:
        value.encode()
    except UnicodeEncodeError:
        return False
    return True
