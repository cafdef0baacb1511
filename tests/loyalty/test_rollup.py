"""Sums by month: the same sealed or not, in any zone, and what verify recounts."""

from datetime import UTC, date, datetime, timedelta
from typing import Any

import pytest
from django.db import connection

from loyalty import ledger, verify
from loyalty.ledger import rollup, sealing
from loyalty.models import Entry
from loyalty.sealed import EntryMonth
from tests.factories import make_member

# Half an hour before February in Shanghai, and still January in Berlin.
LATE = datetime(2026, 1, 31, 15, 30, tzinfo=UTC)
HOUR = timedelta(hours=1)

pytestmark = pytest.mark.django_db


@pytest.fixture
def points(settings: Any) -> None:
    """100 points issued in January; 30 redeemed in February, taken back in March; 40 expired in April."""
    settings.TIME_ZONE = "Asia/Shanghai"
    member = make_member().pk
    ledger.award(
        member_id=member, points=40, key="a", occurred_at=LATE, expires_at=LATE + timedelta(days=80), explanation={}
    )
    ledger.award(member_id=member, points=60, key="b", occurred_at=LATE + HOUR, explanation={})
    spent = ledger.spend(member_id=member, points=30, key="c", occurred_at=LATE + HOUR, explanation={})
    ledger.reverse(spent, occurred_at=LATE + timedelta(days=40), explanation={})
    ledger.expire_due(LATE + timedelta(days=81))


def seal(up_to: int) -> None:
    with connection.cursor() as cursor:
        while sealing.seal_up_to(cursor, up_to):
            pass


def broken() -> list[str]:
    return [check.key for check in verify.checks() if check.offending()]


JANUARY, FEBRUARY, MARCH, APRIL = (date(2026, month, 1) for month in (1, 2, 3, 4))


def test_entries_and_lots_are_summed_by_month_of_the_programme_and_kind(points: None) -> None:
    assert [(row.month, row.kind, row.points, row.entries) for row in rollup.entry_months()] == [
        (JANUARY, "earn", 40, 1),
        (FEBRUARY, "earn", 60, 1),
        (FEBRUARY, "redeem", -30, 1),
        (MARCH, "reverse", 30, 1),
        (APRIL, "expire", -40, 1),
    ]
    assert [(row.issued, row.month, row.kind, row.points) for row in rollup.lot_months()] == [
        (JANUARY, JANUARY, "issue", 40),
        (JANUARY, FEBRUARY, "redeem", -30),
        (JANUARY, MARCH, "return", 30),
        (JANUARY, APRIL, "expire", -40),
        (FEBRUARY, FEBRUARY, "issue", 60),
    ]


def test_sealing_changes_no_sum(points: None, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sealing, "BLOCK_ENTRIES", 2)
    before = rollup.entry_months(), rollup.lot_months()
    first, *_, last = Entry.objects.order_by("id").values_list("id", flat=True)
    for up_to in (first, last - 1, last):
        seal(up_to)
        assert (rollup.entry_months(), rollup.lot_months()) == before
        assert broken() == []
    assert EntryMonth.objects.count() == len(before[0])


def test_another_zone_is_counted_anew(points: None, settings: Any) -> None:
    seal(Entry.objects.latest("id").pk)
    settings.TIME_ZONE = "Europe/Berlin"
    counted = rollup.entry_months(), rollup.lot_months()
    assert sum(row.points for row in counted[0] if row.month == JANUARY) == 70
    sealing.seal()
    assert (rollup.entry_months(), rollup.lot_months()) == counted
    ledger.award(member_id=make_member().pk, points=5, key="d", occurred_at=LATE, explanation={})
    seal(Entry.objects.latest("id").pk)
    assert set(EntryMonth.objects.values_list("zone", flat=True)) == {"Europe/Berlin"}
    assert sum(row.points for row in rollup.entry_months() if row.month == JANUARY) == 75
    assert broken() == []


def test_a_wrong_sum_is_found(points: None) -> None:
    seal(Entry.objects.latest("id").pk)
    EntryMonth.objects.filter(kind="redeem").update(points=0)
    assert broken() == ["months"]
