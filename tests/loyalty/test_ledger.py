"""Posting points: award, spend, reverse, and many at once."""

from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any

import pytest
from django.db import connection, transaction

from loyalty import ledger
from loyalty.models import Account, Entry, Lot
from members.models import Member
from tests.factories import make_member, make_purchase

NOW = datetime(2026, 6, 1, 4, 0, tzinfo=UTC)

pytestmark = pytest.mark.django_db


def award(member: Member, points: int, key: str, **fields: Any) -> Entry:
    return ledger.award(
        member_id=member.pk, points=points, key=key, **({"occurred_at": NOW, "explanation": {}} | fields)
    )


def spend(member: Member, points: int, key: str, **fields: Any) -> Entry:
    return ledger.spend(
        member_id=member.pk, points=points, key=key, **({"occurred_at": NOW, "explanation": {}} | fields)
    )


def remaining(member: Member) -> list[int]:
    return list(Lot.objects.filter(member=member).order_by("id").values_list("remaining", flat=True))


def prove() -> None:
    """Let the deferred checks run now."""
    with connection.cursor() as cursor:
        cursor.execute("SET CONSTRAINTS ALL IMMEDIATE")
        cursor.execute("SET CONSTRAINTS ALL DEFERRED")


def test_an_award_moves_balance_ledger_and_lots_together() -> None:
    member = make_member()
    first = award(member, 100, "a")
    second = award(member, 50, "b")
    assert (first.seq, first.balance_after, second.seq, second.balance_after) == (1, 100, 2, 150)
    assert Account.objects.get(member=member).balance == 150
    assert remaining(member) == [100, 50]
    prove()


def test_spending_takes_the_lot_that_expires_first_and_then_the_oldest() -> None:
    member = make_member()
    award(member, 100, "never expires")
    award(member, 100, "later", expires_at=NOW + timedelta(days=60))
    award(member, 100, "newer of two", expires_at=NOW + timedelta(days=30))
    award(member, 100, "older of two", expires_at=NOW + timedelta(days=30), occurred_at=NOW - timedelta(days=9))
    spend(member, 250, "s")
    assert remaining(member) == [100, 50, 0, 0]
    prove()


def test_pending_and_expired_points_cannot_be_spent() -> None:
    member = make_member()
    award(member, 100, "pending", activates_at=NOW + timedelta(days=1))
    award(member, 100, "expired", occurred_at=NOW - timedelta(days=9), expires_at=NOW)
    award(member, 10, "usable")
    with pytest.raises(ledger.InsufficientPoints) as refused:
        spend(member, 11, "s")
    assert (refused.value.available, refused.value.needed) == (10, 11)
    assert Account.objects.get(member=member).balance == 210


def test_the_same_key_with_the_same_input_returns_the_first_entry() -> None:
    member = make_member()
    first = award(member, 100, "a")
    assert award(member, 100, "a", occurred_at=NOW + timedelta(hours=1)) == first
    taken = spend(member, 30, "s")
    assert spend(member, 30, "s") == taken
    assert Account.objects.get(member=member).balance == 70


def test_the_same_key_with_other_input_is_refused() -> None:
    member, other = make_member(), make_member()
    award(member, 100, "a")
    for refused in (
        lambda: award(member, 101, "a"),
        lambda: award(member, 100, "a", purchase=make_purchase(member)),
        lambda: spend(member, 100, "a"),
        lambda: award(other, 100, "a"),
    ):
        with pytest.raises(ledger.KeyReused), transaction.atomic():
            refused()
    assert Entry.objects.count() == 1


def test_a_reversed_spend_goes_back_to_its_lots_with_their_expiry() -> None:
    member = make_member()
    award(member, 100, "a", expires_at=NOW + timedelta(days=30))
    award(member, 100, "b")
    taken = spend(member, 150, "s")
    ledger.reverse(taken, explanation={})
    assert remaining(member) == [100, 100]
    prove()


def test_a_reversed_award_takes_its_own_lot_first_and_the_rest_from_others() -> None:
    member = make_member()
    award(member, 100, "other", expires_at=NOW + timedelta(days=30))
    wrong = award(member, 100, "wrong")
    spend(member, 150, "s")
    award(member, 80, "new")
    ledger.reverse(wrong, explanation={})
    assert remaining(member) == [0, 0, 30]
    prove()


def test_a_reversed_award_that_is_spent_is_refused_and_not_floored() -> None:
    member = make_member()
    wrong = award(member, 100, "wrong")
    spend(member, 1, "s")
    with pytest.raises(ledger.InsufficientPoints):
        ledger.reverse(wrong, explanation={})
    assert Account.objects.get(member=member).balance == 99


def test_an_entry_is_reversed_at_most_once() -> None:
    member = make_member()
    entry = award(member, 100, "a")
    reversal = ledger.reverse(entry, explanation={})
    assert ledger.reverse(entry, explanation={}) == reversal
    with pytest.raises(ledger.AlreadyReversed):
        ledger.reverse(entry, explanation={}, key="another key")
    with pytest.raises(ledger.NotReversible):
        ledger.reverse(reversal, explanation={})


def stage(rows: list[tuple[int, int, str, datetime]]) -> None:
    with connection.cursor() as cursor:
        cursor.execute("DROP TABLE IF EXISTS staged")
        cursor.execute(f"CREATE TEMPORARY TABLE staged ({ledger.STAGING_COLUMNS})")
        cursor.executemany(
            "INSERT INTO staged (member_id, points, key, occurred_at, activates_at, explanation, place)"
            " VALUES (%s, %s, %s, %s, now(), '{}', %s)",
            [(*row, place) for place, row in enumerate(rows)],
        )


def test_bulk_awards_are_the_same_as_single_ones() -> None:
    one, two = make_member(), make_member()
    award(one, 5, "before")
    rows = [
        (one.pk, 10, "c", NOW + timedelta(days=2)),
        (two.pk, 20, "d", NOW),
        (one.pk, 30, "b", NOW + timedelta(days=1)),
        (one.pk, 5, "before", NOW),
    ]
    stage(rows)
    with connection.cursor() as cursor:
        assert ledger.post_awards(cursor, "staged") == 3
    prove()
    posted = Entry.objects.filter(member=one).order_by("seq").values_list("idempotency_key", "balance_after")
    assert list(posted) == [("before", 5), ("b", 35), ("c", 45)]
    assert award(one, 10, "c") == Entry.objects.get(idempotency_key="c")
    stage(rows)
    with connection.cursor() as cursor:
        assert ledger.post_awards(cursor, "staged") == 0


def test_bulk_awards_refuse_a_key_that_stands_for_something_else() -> None:
    member = make_member()
    award(member, 5, "taken")
    stage([(member.pk, 6, "taken", NOW), (member.pk, 6, "new", NOW)])
    with pytest.raises(ledger.KeyReused), connection.cursor() as cursor:
        ledger.post_awards(cursor, "staged")
    assert Entry.objects.count() == 1


def test_points_are_whole_and_positive() -> None:
    member = make_member()
    for points in (0, -5):
        with pytest.raises(ValueError, match="points"):
            award(member, points, "a")
        with pytest.raises(ValueError, match="points"):
            spend(member, points, "s")
    assert Decimal(Account.objects.count()) == 0
