"""Audit records reach the application, and hold what they should and no more."""

from __future__ import annotations

import gc
import logging
import threading
import time
import weakref
from collections.abc import Callable
from typing import Any

import pytest

from fraiseql_subscriptions import (
    AuditRecord,
    AuthorizationError,
    InvalidQuery,
    Limits,
    SecurityContext,
    SecurityPolicy,
    SubscriptionExecutor,
    TooManyViolations,
)

QUERY = "subscription { thing { id } }"
Until = Callable[..., None]


def kinds(records: list[AuditRecord]) -> list[str]:
    return [one.kind for one in records]


def test_every_refusal_and_every_end_is_told_in_order(until: Until) -> None:
    records: list[AuditRecord] = []
    policy = SecurityPolicy(require_context=True)
    with SubscriptionExecutor(security=policy, audit=records.append) as executor:
        with pytest.raises(AuthorizationError):
            executor.register_subscription("c", 1, QUERY)
        with pytest.raises(InvalidQuery):
            executor.register_subscription("c", 2, "{", user_id="ann", tenant_id=2**70)
        expiring = SecurityContext(tenant_id=1, expires_at=time.time() + 60)
        executor.register_subscription("c", 3, QUERY, context=expiring)
        executor.register_subscription("d", 4, QUERY, tenant_id=1)
        executor.register_subscription("e", 5, QUERY, tenant_id=2)
        assert executor.revoke(tenant_id=1, user_id=None) == 2
        assert executor.invalidate({"tenant_id": 2}) == 1
        until(lambda: len(records) == 4, "the records")
        assert kinds(records) == ["refused", "refused", "revoked", "invalidated"]
        first, second, third, fourth = records
        assert (first.code, first.connection_id, first.subscription_id) == ("FORBIDDEN", "c", "1")
        assert (second.code, second.user_id, second.tenant_id) == ("INVALID_QUERY", "ann", 2**70)
        assert (third.tenant_id, third.count, third.reason) == (1, 2, "revoked by tenant_id")
        assert (fourth.count, fourth.reason) == (1, "invalidated by a filter on tenant_id")
        assert all(abs(one.time - time.time()) < 60 for one in records)
        refused = executor.get_metrics()["refused"]
        assert refused == {"FORBIDDEN": 1, "INVALID_QUERY": 1}
        assert 'registrations_refused_total{code="FORBIDDEN"} 1' in executor.metrics_text()


def test_what_a_new_context_may_not_have_is_told_of_each_subscription(until: Until) -> None:
    records: list[AuditRecord] = []
    limits = Limits(max_subscriptions_per_user=1)
    with SubscriptionExecutor(audit=records.append, limits=limits) as executor:
        held = SecurityContext(user_id="ann", tenant_id=1, permissions={"thing:read"})
        executor.register_subscription("c", 1, QUERY, context=held)
        executor.register_subscription("d", 2, QUERY, user_id="bob")
        executor.register_subscription("e", 3, QUERY, user_id="eve")
        scoped = "subscription ($tenant_id: Int) { thing(t: $tenant_id) { id } }"
        executor.register_subscription("f", 4, scoped, None, {"tenant_id": 1}, tenant_id=1)
        assert executor.revoke(permission="thing:read") == 1
        assert executor.update_context("d", SecurityContext(user_id="eve")) == 0
        assert executor.update_context("f", SecurityContext(tenant_id=2)) == 0
        until(lambda: len(records) == 4, "the records")
        first, second, third, fourth = records
        assert kinds(records) == ["forbidden", "revoked", "forbidden", "forbidden"]
        assert (first.code, first.connection_id, first.subscription_id) == ("FORBIDDEN", "c", "1")
        assert (first.user_id, first.tenant_id, first.count) == ("ann", 1, 1)
        assert "thing:read" in first.reason
        assert (second.permission, second.count) == ("thing:read", 1)
        assert (third.code, third.user_id) == ("LIMIT_EXCEEDED", "eve")
        assert "max_subscriptions_per_user" in third.reason
        assert (fourth.code, fourth.tenant_id) == ("FORBIDDEN", 2)
        assert executor.get_metrics()["ended"]["forbidden"] == 2
        assert executor.get_metrics()["ended"]["limit"] == 1


def test_the_circuit_breaker_is_told_and_is_a_warning(
    until: Until, caplog: pytest.LogCaptureFixture
) -> None:
    records: list[AuditRecord] = []
    policy = SecurityPolicy(max_violations=1)
    with SubscriptionExecutor(audit=records.append, security=policy) as executor:
        nothing = SecurityContext(user_id="ann", permissions=())
        executor.register_subscription("c", 1, QUERY, user_id="ann")
        for number in range(2):
            with pytest.raises(AuthorizationError):
                executor.register_subscription("c", f"x{number}", QUERY, context=nothing)
        with pytest.raises(TooManyViolations):
            executor.register_subscription("c", 2, QUERY, user_id="ann")
        until(lambda: len(records) == 4, "the records")
        assert kinds(records) == ["refused", "refused", "circuit_breaker", "refused"]
        assert [one.code for one in records] == [
            "FORBIDDEN",
            "FORBIDDEN",
            "TOO_MANY_VIOLATIONS",
            "TOO_MANY_VIOLATIONS",
        ]
        assert (records[2].connection_id, records[2].count) == ("c", 1)
        until(lambda: any(one.levelno == logging.WARNING for one in caplog.records), "a warning")


def test_expiry_is_told(until: Until) -> None:
    records: list[AuditRecord] = []
    with SubscriptionExecutor(audit=records.append) as executor:
        context = SecurityContext(expires_at=time.time() + 1)
        executor.register_subscription("c", 1, QUERY, context=context)
        until(lambda: records, "the record")
        assert (records[0].kind, records[0].code, records[0].count) == ("expired", "EXPIRED", 1)


def test_denials_are_sampled_and_hold_no_data(until: Until) -> None:
    records: list[AuditRecord] = []
    with SubscriptionExecutor(audit=records.append, audit_denials=0.001) as executor:
        for number in range(3):
            executor.register_subscription("c", number, QUERY, tenant_id=1)
        executor.register_subscription("c", 3, QUERY, tenant_id=2, user_id=5)
        event = {"id": 1, "tenant_id": 2, "secret": "s3cr3t"}
        for _ in range(50):
            executor.publish_event("changed", "things", event, event_id=None)
        until(lambda: records, "the record")
        assert executor.get_metrics()["denied"]["tenant"] == 150
    (record,) = records
    assert (record.kind, record.count) == ("denied", 4)
    assert record.denied == {"tenant": 3, "row": 1}
    assert (record.event_type, record.channel) == ("changed", "things")
    assert record.event_id
    assert record.data is None
    assert "s3cr3t" not in repr(records)


def test_denials_hold_the_data_if_that_is_wanted_and_come_again(until: Until) -> None:
    records: list[AuditRecord] = []
    with SubscriptionExecutor(audit=records.append, audit_denials=500, audit_data=True) as executor:
        executor.register_subscription("c", 1, QUERY, tenant_id=1)

        def told() -> bool:
            executor.publish_event("changed", "things", {"tenant_id": 2, "n": 2**70})
            return len(records) >= 3

        until(told, "three records")
        assert records[0].data == {"tenant_id": 2, "n": 2**70}


def test_no_denials_are_told_at_zero(until: Until) -> None:
    records: list[AuditRecord] = []
    with SubscriptionExecutor(audit=records.append, audit_denials=0) as executor:
        executor.register_subscription("c", 1, QUERY, tenant_id=1)
        executor.publish_event("changed", "things", {"tenant_id": 2})
        executor.invalidate({})
        until(lambda: records, "the record")
        assert kinds(records) == ["invalidated"]


def test_records_are_logged_with_what_they_hold(
    executor: SubscriptionExecutor, until: Until, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO, "fraiseql_subscriptions.audit")
    executor.register_subscription("c", 1, QUERY, user_id="ann")
    executor.revoke(user_id="ann")
    executor.invalidate({})
    until(lambda: len(caplog.records) == 2, "the log")
    first, second = caplog.records
    assert first.name == "fraiseql_subscriptions.audit"
    assert (first.levelno, second.levelno) == (logging.INFO, logging.INFO)
    assert first.getMessage() == "revoked: revoked by user_id"
    record = first.__dict__["audit"]
    assert isinstance(record, AuditRecord)
    assert record.user_id == "ann"


def test_a_callable_that_raises_is_logged_and_stops_nothing(
    until: Until, caplog: pytest.LogCaptureFixture
) -> None:
    records: list[AuditRecord] = []

    def audit(record: AuditRecord) -> None:
        records.append(record)
        raise RuntimeError("no")

    with SubscriptionExecutor(audit=audit) as executor:
        for _ in range(3):
            executor.invalidate({})
        until(lambda: len(records) == 3, "the records")
        until(lambda: sum("audit callable raised" in one for one in caplog.messages) == 3)
        executor.register_subscription("c", 1, QUERY)


def test_the_callable_may_call_the_executor(until: Until) -> None:
    seen: list[Any] = []

    def audit(record: AuditRecord) -> None:
        if record.kind == "refused":
            seen.append(executor.register_subscription("c", 2, QUERY))
            executor.publish_event("x", "things", {"id": 1})
            executor.update_context("c", SecurityContext())

    with SubscriptionExecutor(audit=audit) as executor:
        with pytest.raises(InvalidQuery):
            executor.register_subscription("c", 1, "{")
        until(lambda: seen, "the call")


def test_what_there_is_no_room_for_is_counted(
    until: Until, caplog: pytest.LogCaptureFixture
) -> None:
    held, told = threading.Event(), threading.Event()
    records: list[AuditRecord] = []

    def audit(record: AuditRecord) -> None:
        records.append(record)
        told.set()
        held.wait(30)

    with SubscriptionExecutor(audit=audit) as executor:
        executor.invalidate({})
        assert told.wait(30)
        for _ in range(1024 + 7):
            executor.invalidate({})
        assert executor.get_metrics()["audit_lost"] == 7
        held.set()
        until(lambda: len(records) == 1025, "the others")
        assert any("7 audit records were lost" in one for one in caplog.messages)


def test_what_was_told_before_closing_arrives() -> None:
    records: list[AuditRecord] = []
    with SubscriptionExecutor(audit=records.append) as executor:
        for _ in range(20):
            executor.invalidate({})
    assert len(records) == 20


def test_an_executor_that_its_callable_refers_to_is_collected() -> None:
    class Owner:
        def __init__(self) -> None:
            self.executor = SubscriptionExecutor(audit=self.audit)

        def audit(self, record: AuditRecord) -> None:
            """Refers to the owner, and so to the executor."""

    owner = Owner()
    owner.executor.invalidate({})
    gone = weakref.ref(owner)
    del owner
    deadline = time.monotonic() + 30
    while gone() is not None:  # the engine may be in the call
        assert time.monotonic() < deadline, "it was not collected"
        gc.collect()


def test_wrong_options_are_refused() -> None:
    for options, named in (
        ({"audit": 5}, "audit"),
        ({"audit_denials": "1"}, "audit_denials"),
        ({"audit_data": 1}, "audit_data"),
    ):
        with pytest.raises(TypeError, match=named):
            SubscriptionExecutor(**options)
    with pytest.raises(ValueError, match="audit_denials"):
        SubscriptionExecutor(audit_denials=-1)
