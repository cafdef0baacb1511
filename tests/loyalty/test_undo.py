"""Taking a whole batch of awards back, where a part of it is spent, expired, or taken back already."""

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
import time_machine
from django.db import connection
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from hypothesis.extra.django import TestCase

from loyalty import ledger, verify
from loyalty.ledger import Policy
from loyalty.models import Account, Entry
from members.models import Member
from tests.factories import make_member

NOW = datetime(2026, 6, 1, 4, 0, tzinfo=UTC)

pytestmark = pytest.mark.django_db


def award(member: Member, points: int, key: str, **fields: Any) -> Entry:
    return ledger.award(
        member_id=member.pk, points=points, key=key, **({"occurred_at": NOW, "explanation": {}} | fields)
    )


def spend(member: Member, points: int, key: str) -> Entry:
    return ledger.spend(member_id=member.pk, points=points, key=key, occurred_at=NOW, explanation={})


def put(entries: list[Entry]) -> None:
    with connection.cursor() as cursor:
        cursor.execute("DROP TABLE IF EXISTS batch")
        cursor.execute(
            "CREATE TEMPORARY TABLE batch ON COMMIT DROP AS SELECT unnest(%s::bigint[]) AS entry_id",
            [[entry.pk for entry in entries]],
        )


def preview(entries: list[Entry], at: datetime = NOW) -> ledger.BatchPreview:
    put(entries)
    with time_machine.travel(at, tick=False), connection.cursor() as cursor:
        return ledger.preview_batch(cursor, "batch")


def undo(entries: list[Entry], policy: Policy, at: datetime = NOW) -> int:
    put(entries)
    with time_machine.travel(at, tick=False), connection.cursor() as cursor:
        return ledger.undo_batch(cursor, "batch", explanation={}, policy=policy)


def stands(member: Member) -> tuple[int, int]:
    """Balance and debt; every invariant holds."""
    with connection.cursor() as cursor:
        cursor.execute("SET CONSTRAINTS ALL IMMEDIATE")
        cursor.execute("SET CONSTRAINTS ALL DEFERRED")
    assert {check.key: rows for check in verify.checks() if (rows := check.offending())} == {}
    account = Account.objects.get(member=member)
    return account.balance, account.debt


def test_the_preview_says_what_is_spent_and_who_would_owe_how_much() -> None:
    rich, poor = make_member(), make_member()
    batch = [award(rich, 100, "a"), award(poor, 100, "b"), award(poor, 50, "c")]
    award(rich, 500, "other")
    spend(rich, 60, "s")
    spend(poor, 130, "t")
    assert preview(batch) == ledger.BatchPreview(
        entries=3, points=250, members=2, spent=190, spent_members=1, debt=130, short=[(poor.pk, 130)]
    )


@pytest.mark.parametrize(
    ("policy", "left"), [(Policy.DEBT, (-130, 130)), (Policy.TAKE, (0, 0)), (Policy.REFUSE, (20, 0))]
)
def test_what_is_spent_follows_the_policy_and_the_others_are_undone(policy: Policy, left: tuple[int, int]) -> None:
    rich, poor = make_member(), make_member()
    batch = [award(rich, 100, "a"), award(poor, 100, "b"), award(poor, 50, "c")]
    award(rich, 500, "other")
    spend(rich, 60, "s")
    spend(poor, 130, "t")
    if policy == Policy.REFUSE:
        with pytest.raises(ledger.AlreadySpent):
            undo(batch, policy)
        assert stands(rich) == (540, 0)
    else:
        assert undo(batch, policy) == 3
        assert undo(batch, policy) == 0
        assert stands(rich) == (440, 0)
    assert stands(poor) == left


def test_expired_and_refunded_parts_of_a_batch_are_taken_once() -> None:
    member = make_member()
    batch = [
        award(member, 100, "a", expires_at=NOW + timedelta(days=1)),
        award(member, 40, "b", expires_at=NOW + timedelta(days=3)),
        award(member, 0, "tier", qualifying=70),
    ]
    spend(member, 30, "s")
    ledger.claw_back(batch[0], points=20, qualifying=20, key="r", policy=Policy.DEBT, occurred_at=NOW, explanation={})
    ledger.expire_due(NOW + timedelta(days=2))
    # The second lot has expired too, but that night's run has not come by.
    at = NOW + timedelta(days=4)
    assert preview(batch, at).debt == 30
    undo(batch, Policy.DEBT, at)
    assert stands(member) == (-30, 30)
    assert ledger.balances_of(member.pk, at).qualifying == 0


class TestBatches(TestCase):
    @settings(max_examples=30, deadline=None, suppress_health_check=[HealthCheck.too_slow])
    @given(
        lots=st.lists(
            st.tuples(st.integers(1, 90), st.none() | st.integers(1, 8), st.booleans(), st.integers(0, 90)),
            min_size=1,
            max_size=5,
        ),
        spent=st.integers(0, 200),
        days=st.integers(0, 8),
        run=st.booleans(),
        refunds=st.booleans(),
        policy=st.sampled_from([Policy.DEBT, Policy.TAKE]),
    )
    def test_a_batch_comes_to_the_same_as_its_awards_one_by_one(
        self,
        *,
        lots: list[tuple[int, int | None, bool, int]],
        spent: int,
        days: int,
        run: bool,
        refunds: bool,
        policy: Policy,
    ) -> None:
        at = NOW + timedelta(days=days)
        outcomes = []
        for one_by_one in (False, True):
            member = make_member()
            batch = []
            for place, (points, expires, chosen, _refunded) in enumerate(lots):
                expiry = None if expires is None else NOW + timedelta(days=expires)
                entry = award(member, points, f"{member.pk}:{place}", expires_at=expiry)
                batch += [entry] if chosen else []
            if there := min(spent, ledger.available(member.pk, NOW)):
                spend(member, there, f"s:{member.pk}")
            if refunds:
                refund(member, [min(points, refunded) for points, _expires, _chosen, refunded in lots], policy)
            if run:
                ledger.expire_due(at)
            owed = Account.objects.get(member=member).debt
            debt = preview(batch, at).debt
            if one_by_one:
                for entry in batch:
                    ledger.reverse(entry, explanation={}, policy=policy, occurred_at=at)
            else:
                assert undo(batch, policy, at) == len(batch)
                if policy == Policy.DEBT and not owed:
                    assert ledger.debt_of(member.pk) == debt
            ledger.expire_due(at)
            outcomes.append(stands(member))
        # Refunds that are undone one by one go back to lots from which others have taken meanwhile.
        assert refunds or outcomes[0] == outcomes[1]


def refund(member: Member, parts: list[int], policy: Policy) -> None:
    """Take a part of each award back."""
    for place, points in enumerate(parts):
        ledger.claw_back(
            Entry.objects.get(idempotency_key=f"{member.pk}:{place}"),
            points=points,
            qualifying=points,
            key=f"refund:{member.pk}:{place}",
            policy=policy,
            occurred_at=NOW,
            explanation={},
        )
