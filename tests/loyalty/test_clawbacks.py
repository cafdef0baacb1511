"""Taking back a part of an award, and what happens where its points are spent or have expired."""

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from django.db import connection, transaction

from loyalty import ledger, verify
from loyalty.ledger import Policy
from loyalty.models import Account, Entry, Lot
from members.models import Member
from tests.factories import make_member

NOW = datetime(2026, 6, 1, 4, 0, tzinfo=UTC)
LATER = NOW + timedelta(days=30)

pytestmark = pytest.mark.django_db


@pytest.fixture
def member() -> Member:
    """A member without points."""
    return make_member()


def award(member: Member, points: int, key: str = "award", **fields: Any) -> Entry:
    return ledger.award(
        member_id=member.pk, points=points, key=key, **({"occurred_at": NOW, "explanation": {}} | fields)
    )


def spend(member: Member, points: int, key: str = "spend", at: datetime = NOW) -> Entry:
    return ledger.spend(member_id=member.pk, points=points, key=key, occurred_at=at, explanation={})


def claw_back(entry: Entry, points: int, key: str = "refund", **fields: Any) -> Entry:
    taken = ledger.claw_back(
        entry,
        points=points,
        key=key,
        **({"qualifying": points, "policy": Policy.DEBT, "occurred_at": LATER, "explanation": {}} | fields),
    )
    assert taken is not None
    return taken


def stands(member: Member) -> tuple[int, int, list[int]]:
    """Balance, debt and what is left in each lot; every invariant holds."""
    with connection.cursor() as cursor:
        cursor.execute("SET CONSTRAINTS ALL IMMEDIATE")
        cursor.execute("SET CONSTRAINTS ALL DEFERRED")
    assert {check.key: rows for check in verify.checks() if (rows := check.offending())} == {}
    account = Account.objects.get(member=member)
    return (
        account.balance,
        account.debt,
        list(Lot.objects.filter(member=member).order_by("id").values_list("remaining", flat=True)),
    )


def test_a_part_of_an_award_goes_out_of_its_own_lot_and_no_longer_counts_for_the_tier(member: Member) -> None:
    award(member, 50, "other", expires_at=LATER + timedelta(days=1))
    bought = award(member, 100, counts_at=NOW - timedelta(days=3))
    taken = claw_back(bought, 40)
    assert (taken.points, taken.qualifying, taken.counts_at) == (-40, -40, NOW - timedelta(days=3))
    assert stands(member) == (110, 0, [50, 60])
    assert ledger.balances_of(member.pk, LATER).qualifying == 110


def test_debt_is_paid_first_by_the_next_earnings(member: Member) -> None:
    bought = award(member, 100)
    spend(member, 80)
    claw_back(bought, 100)
    assert stands(member) == (-80, 80, [0])
    assert ledger.debt_of(member.pk) == 80
    assert ledger.available(member.pk, LATER) == 0
    award(member, 30, "first")
    assert stands(member) == (-50, 50, [0, 0])
    award(member, 70, "second")
    assert stands(member) == (20, 0, [0, 0, 20])


def test_debt_is_paid_first_by_many_awards_at_once(member: Member) -> None:
    other = make_member()
    bought = award(member, 100)
    spend(member, 100)
    claw_back(bought, 100)
    with connection.cursor() as cursor:
        cursor.execute(f"CREATE TEMPORARY TABLE staged ({ledger.STAGING_COLUMNS}) ON COMMIT DROP")
        cursor.executemany(
            "INSERT INTO staged (member_id, points, key, occurred_at, explanation, place)"
            " VALUES (%s, %s, %s, %s, '{}', 0)",
            [
                (who.pk, points, f"{who.pk}:{points}", NOW + timedelta(days=points))
                for who in (member, other)
                for points in (40, 70, 90)
            ],
        )
        assert ledger.post_awards(cursor, "staged") == 6
    assert stands(member) == (100, 0, [0, 0, 10, 90])
    assert stands(other) == (200, 0, [40, 70, 90])


def test_pending_points_pay_before_there_is_debt_and_pending_awards_pay_debt(member: Member) -> None:
    bought = award(member, 100)
    spend(member, 100)
    award(member, 60, "pending", activates_at=LATER + timedelta(days=9))
    award(member, 10, "held", held=True)
    claw_back(bought, 100)
    assert stands(member) == (-30, 30, [0, 0, 0])
    award(member, 50, "next", held=True)
    assert stands(member) == (20, 0, [0, 0, 0, 20])


def test_each_policy_decides_about_spent_points_in_its_own_way(member: Member) -> None:
    bought = award(member, 100)
    spend(member, 70)
    with pytest.raises(ledger.InsufficientPoints) as refused, transaction.atomic():
        claw_back(bought, 50, policy=Policy.REFUSE)
    assert (refused.value.available, refused.value.needed) == (30, 50)
    assert stands(member) == (30, 0, [30])
    taken = claw_back(bought, 50, policy=Policy.TAKE)
    assert (taken.points, taken.explanation["let_go"]) == (-30, 20)
    assert stands(member) == (0, 0, [0])
    # What was let go is settled: the rest of the refund asks for the rest only.
    rest = claw_back(bought, 50, "refund 2", policy=Policy.DEBT)
    assert rest.points == -50
    assert stands(member) == (-50, 50, [0])


def test_a_late_refund_after_expiry_takes_nothing_a_second_time(member: Member) -> None:
    bought = award(member, 100, expires_at=NOW + timedelta(days=10))
    # The run of that night has not come by: it makes no difference.
    taken = claw_back(bought, 100)
    assert (taken.points, taken.qualifying, taken.explanation["expired"]) == (0, -100, 100)
    assert stands(member) == (0, 0, [0])


def test_debt_and_expiry_work_together(member: Member) -> None:
    bought = award(member, 100, expires_at=NOW + timedelta(days=10))
    spend(member, 60)
    ledger.expire_due(NOW + timedelta(days=11))
    # 60 of 100 points were of use; half of the purchase earned 50 of them, so 10 are owed and not 50.
    first = claw_back(bought, 50)
    assert (first.points, first.explanation["expired"]) == (-10, 40)
    second = claw_back(bought, 50, "refund 2")
    assert (second.points, "expired" in second.explanation) == (-50, False)
    assert stands(member) == (-60, 60, [0])
    award(member, 100, "next", expires_at=LATER + timedelta(days=1))
    ledger.expire_due(LATER + timedelta(days=2))
    assert stands(member) == (0, 0, [0, 0])


def test_an_award_is_never_taken_back_twice(member: Member) -> None:
    bought = award(member, 100)
    award(member, 500, "other")
    claw_back(bought, 60)
    with pytest.raises(ledger.MoreThanAwarded), transaction.atomic():
        claw_back(bought, 41, "refund 2")
    with pytest.raises(ledger.MoreThanAwarded), transaction.atomic():
        claw_back(bought, 0, "refund 3", qualifying=41)
    claw_back(bought, 40, "refund 4")
    ledger.reverse(bought, explanation={}, occurred_at=LATER)
    with pytest.raises(ledger.AlreadyReversed), transaction.atomic():
        claw_back(bought, 1, "refund 5")
    assert stands(member) == (500, 0, [0, 500])


def test_a_clawback_sent_twice_counts_once_whatever_happened_between(member: Member) -> None:
    bought = award(member, 100, expires_at=NOW + timedelta(days=90))
    first = claw_back(bought, 40)
    ledger.expire_due(NOW + timedelta(days=91))
    assert claw_back(bought, 40, occurred_at=NOW + timedelta(days=92)) == first
    with pytest.raises(ledger.KeyReused), transaction.atomic():
        claw_back(bought, 41)
    with pytest.raises(ledger.KeyReused), transaction.atomic():
        claw_back(bought, 40, qualifying=39)
    assert stands(member) == (0, 0, [0])


def test_a_clawback_of_nothing_is_none_and_one_of_less_than_nothing_an_error(member: Member) -> None:
    bought = award(member, 100)
    nothing = ledger.claw_back(
        bought, points=0, qualifying=0, key="k", policy=Policy.DEBT, occurred_at=NOW, explanation={}
    )
    assert nothing is None
    with pytest.raises(ValueError, match="points"):
        claw_back(bought, -1)


def test_a_reversed_clawback_gives_back_what_it_took_and_pays_debt_first(member: Member) -> None:
    bought = award(member, 100, expires_at=LATER + timedelta(days=9))
    spend(member, 70)
    taken = claw_back(bought, 100)
    assert stands(member) == (-70, 70, [0])
    award(member, 50, "next")
    assert stands(member) == (-20, 20, [0, 0])
    ledger.reverse(taken, explanation={}, occurred_at=LATER)
    # 20 paid what was left of the debt, 30 went back to the lot; 50 are a lot of their own with its expiry.
    assert stands(member) == (80, 0, [30, 0, 50])
    assert Lot.objects.get(entry__reverses=taken).expires_at == LATER + timedelta(days=9)


def test_reversing_an_award_takes_its_clawbacks_and_its_expiry_into_account(member: Member) -> None:
    bought = award(member, 100, expires_at=LATER)
    spend(member, 20)
    claw_back(bought, 30, occurred_at=NOW)
    ledger.expire_due(LATER)
    award(member, 45, "other", occurred_at=LATER)
    ledger.reverse(bought, explanation={}, occurred_at=LATER, policy=Policy.REFUSE)
    assert stands(member) == (25, 0, [0, 25])


@pytest.mark.parametrize(("policy", "left"), [(Policy.TAKE, (0, 0)), (Policy.DEBT, (-70, 70))])
def test_reversing_a_spent_award_follows_the_policy(member: Member, policy: Policy, left: tuple[int, int]) -> None:
    bought = award(member, 100)
    spend(member, 70)
    reversal = ledger.reverse(bought, explanation={}, policy=policy, occurred_at=LATER)
    assert (reversal.points, reversal.qualifying) == (-100, -100)
    assert stands(member)[:2] == left
    assert ledger.reverse(bought, explanation={}, policy=policy) == reversal


def test_points_whose_lot_has_expired_come_back_for_a_stated_grace(member: Member) -> None:
    award(member, 60, expires_at=NOW + timedelta(days=10))
    award(member, 60, "longer", expires_at=LATER + timedelta(days=60))
    spent = spend(member, 100)
    ledger.expire_due(NOW + timedelta(days=11))
    grace = LATER + timedelta(days=30)
    reversal = ledger.reverse(spent, explanation={}, occurred_at=LATER, grace_until=grace)
    assert stands(member) == (120, 0, [0, 60, 60])
    own = Lot.objects.get(entry=reversal)
    assert (own.points, own.expires_at) == (60, grace)
    assert ledger.available(member.pk, LATER) == 120


def test_points_that_come_back_pay_debt_first(member: Member) -> None:
    bought = award(member, 100)
    spent = spend(member, 100)
    claw_back(bought, 30)
    ledger.reverse(spent, explanation={}, occurred_at=LATER)
    assert stands(member) == (70, 0, [70])


def test_an_award_may_count_for_the_tier_alone_or_be_spent_alone(member: Member) -> None:
    tier_only = award(member, 0, "tier", qualifying=500)
    award(member, 100, "gift", qualifying=0)
    assert stands(member) == (100, 0, [100])
    assert ledger.balances_of(member.pk, NOW).qualifying == 500
    claw_back(tier_only, 0, qualifying=200)
    assert ledger.balances_of(member.pk, LATER).qualifying == 300
    ledger.reverse(tier_only, explanation={}, occurred_at=LATER)
    assert ledger.balances_of(member.pk, LATER).qualifying == 0
    stands(member)
