"""Many spends at once say the same as one after the other."""

from datetime import UTC, datetime, timedelta

import pytest
from django.db import connection
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from hypothesis.extra.django import TestCase

from loyalty import ledger
from loyalty.models import Account, Draw, Entry, Lot
from members.models import Member
from tests.factories import make_member

NOW = datetime(2026, 6, 1, 4, 0, tzinfo=UTC)
LOTS = st.lists(
    st.tuples(st.integers(1, 500), st.one_of(st.none(), st.integers(-5, 40)), st.integers(-3, 3)),
    min_size=1,
    max_size=6,
)


def member_with(lots: list[tuple[int, int | None, int]]) -> Member:
    member = make_member()
    for place, (points, expires_in, activates_in) in enumerate(lots):
        ledger.award(
            member_id=member.pk,
            points=points,
            key=f"award:{member.pk}:{place}",
            occurred_at=NOW - timedelta(days=30),
            activates_at=NOW + timedelta(days=activates_in),
            expires_at=None if expires_in is None else NOW + timedelta(days=expires_in),
            explanation={},
        )
    return member


def spend_at_once(wanted: dict[int, int]) -> int:
    with connection.cursor() as cursor:
        cursor.execute(f"CREATE TEMPORARY TABLE spends ({ledger.SPENDING_COLUMNS}) ON COMMIT DROP")
        cursor.executemany(
            "INSERT INTO spends VALUES (%s, %s, %s, %s, NULL, '{}')",
            [(member, points, f"many:{member}", NOW) for member, points in wanted.items()],
        )
        try:
            return ledger.post_spends(cursor, "spends")
        finally:
            if not connection.needs_rollback:
                cursor.execute("DROP TABLE spends; SET CONSTRAINTS ALL IMMEDIATE; SET CONSTRAINTS ALL DEFERRED")


def drawn(member: Member) -> list[int]:
    return list(Lot.objects.filter(member=member).order_by("id").values_list("remaining", flat=True))


class TestManySpends(TestCase):
    @settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.too_slow])
    @given(lots=st.lists(LOTS, min_size=1, max_size=4), share=st.floats(0.05, 1))
    def test_they_draw_the_same_lots_as_single_spends(
        self, lots: list[list[tuple[int, int | None, int]]], share: float
    ) -> None:
        wanted: dict[int, int] = {}
        twins: list[tuple[Member, Member]] = []
        for each in lots:
            member, twin = member_with(each), member_with(each)
            usable = sum(p for p, expires, active in each if active <= 0 and (expires is None or expires > 0))
            if points := int(usable * share):
                wanted[member.pk] = points
                ledger.spend(member_id=twin.pk, points=points, key=f"one:{twin.pk}", occurred_at=NOW, explanation={})
                twins.append((member, twin))
        assert spend_at_once(wanted) == len(wanted)
        for member, twin in twins:
            assert drawn(member) == drawn(twin)
            assert Account.objects.get(pk=member.pk).balance == Account.objects.get(pk=twin.pk).balance


@pytest.mark.django_db
def test_one_member_with_too_few_points_stops_them_all() -> None:
    rich, poor = member_with([(100, None, 0)]), member_with([(10, None, 0), (90, -1, 0)])
    with pytest.raises(ledger.InsufficientPoints):
        spend_at_once({rich.pk: 50, poor.pk: 11})
    assert Entry.objects.filter(kind="redeem").count() == 0
    assert Draw.objects.count() == 0
    assert drawn(rich) == [100]


@pytest.mark.django_db
def test_a_bulk_spend_is_recognised_by_a_single_one_with_its_key() -> None:
    member = member_with([(100, None, 0)])
    spend_at_once({member.pk: 40})
    again = ledger.spend(member_id=member.pk, points=40, key=f"many:{member.pk}", occurred_at=NOW, explanation={})
    assert again.balance_after == 60
    with pytest.raises(ledger.KeyReused):
        ledger.spend(member_id=member.pk, points=41, key=f"many:{member.pk}", occurred_at=NOW, explanation={})
