"""Held, pending, sliding and chosen points, and points that go to another member."""

from datetime import UTC, date, datetime, time, timedelta
from typing import Any
from zoneinfo import ZoneInfo

import pytest
from django.db import connection, transaction

from loyalty import ledger, verify
from loyalty.models import Account, Entry, Lot
from members.models import Member
from tests.factories import make_member
from tests.loyalty.concurrency import at_once

NOW = datetime(2026, 6, 1, 4, 0, tzinfo=UTC)
DAY = timedelta(days=1)

pytestmark = pytest.mark.django_db


def award(member: Member, points: int, key: str, **fields: Any) -> Entry:
    return ledger.award(
        member_id=member.pk, points=points, key=key, **({"occurred_at": NOW, "explanation": {}} | fields)
    )


def transfer(giver: Member, receiver: Member, points: int, key: str = "t", **fields: Any) -> Entry:
    return ledger.transfer(
        from_member=giver.pk,
        to_member=receiver.pk,
        points=points,
        key=key,
        **({"occurred_at": NOW, "explanation": {}} | fields),
    )


def remaining(member: Member) -> list[int]:
    return list(Lot.objects.filter(member=member).order_by("id").values_list("remaining", flat=True))


def prove() -> None:
    with connection.cursor() as cursor:
        cursor.execute("SET CONSTRAINTS ALL IMMEDIATE")
        cursor.execute("SET CONSTRAINTS ALL DEFERRED")
    assert {check.key: rows for check in verify.checks() if (rows := check.offending())} == {}


def test_an_expired_lot_is_not_shown_as_available(django_assert_num_queries: Any) -> None:
    member = make_member()
    award(member, 100, "expired", expires_at=NOW)
    award(member, 50, "soon", expires_at=NOW + 9 * DAY)
    award(member, 30, "pending", activates_at=NOW + DAY)
    award(member, 20, "held", held=True)
    award(member, 10, "usable")
    with django_assert_num_queries(1):
        has = ledger.balances_of(member.pk, NOW)
    assert (has.balance, has.available, has.pending, has.held, has.expired) == (210, 60, 30, 20, 100)
    assert (has.debt, has.qualifying) == (0, 210)
    assert ledger.available(member.pk, NOW) == 60
    assert ledger.available_to([member.pk], NOW) == {member.pk: 60}
    with pytest.raises(ledger.InsufficientPoints) as refused, transaction.atomic():
        ledger.spend(member_id=member.pk, points=61, key="all", occurred_at=NOW, explanation={})
    assert refused.value.available == 60
    assert ledger.balances_of(make_member().pk, NOW).balance == 0


def test_held_points_are_spent_only_once_they_are_released() -> None:
    member = make_member()
    held = award(member, 100, "held", held=True)
    award(member, 30, "usable")
    with pytest.raises(ledger.InsufficientPoints):
        ledger.spend(member_id=member.pk, points=31, key="s", occurred_at=NOW + 400 * DAY, explanation={})
    assert ledger.release([held.pk], at=NOW + DAY) == 1
    assert ledger.release([held.pk], at=NOW + 2 * DAY) == 0
    assert ledger.available(member.pk, NOW) == 30
    assert ledger.available(member.pk, NOW + DAY) == 130
    prove()


def test_sliding_points_live_on_with_each_activity_and_never_shorter() -> None:
    member, other = make_member(), make_member()
    sliding = award(member, 100, "slides", idle_months=12)
    fixed = award(member, 100, "fixed", expires_at=NOW + 90 * DAY)
    award(other, 100, "other", idle_months=12)
    assert sliding.lot.expires_at == datetime(2027, 6, 1, 4, 0, tzinfo=UTC)
    assert ledger.prolong([member.pk], NOW + 30 * DAY) == 1
    assert ledger.prolong([member.pk], NOW + 3 * DAY) == 0
    expiries = dict(Lot.objects.values_list("entry__idempotency_key", "expires_at"))
    assert expiries["slides"] == datetime(2027, 7, 1, 4, 0, tzinfo=UTC)
    assert expiries["fixed"] == fixed.lot.expires_at
    assert expiries["other"] == datetime(2027, 6, 1, 4, 0, tzinfo=UTC)
    assert ledger.expire_due(datetime(2027, 6, 2, tzinfo=UTC)) == (2, 200)
    # What has expired stays so.
    assert ledger.prolong([other.pk], datetime(2027, 6, 3, tzinfo=UTC)) == 0
    prove()


def test_sliding_points_live_on_to_the_same_time_of_day_when_the_clocks_change(settings: Any) -> None:
    """Noon in Berlin is 11:00 UTC before the change of 29 March and 10:00 UTC after it."""
    settings.TIME_ZONE = "Europe/Berlin"
    member = make_member()
    award(member, 100, "slides", occurred_at=datetime(2026, 3, 1, 11, 0, tzinfo=UTC), idle_months=1)
    ledger.prolong([member.pk], datetime(2026, 3, 10, 11, 0, tzinfo=UTC))
    assert Lot.objects.get().expires_at == datetime(2026, 4, 10, 10, 0, tzinfo=UTC)


def test_sliding_points_of_many_awards_at_once_expire_like_single_ones() -> None:
    one, many = make_member(), make_member()
    moment = datetime(2026, 8, 31, 15, 0, tzinfo=UTC)
    award(one, 10, "one", occurred_at=moment, idle_months=6)
    with connection.cursor() as cursor:
        cursor.execute(f"CREATE TEMPORARY TABLE staged ({ledger.STAGING_COLUMNS}) ON COMMIT DROP")
        cursor.execute(
            "INSERT INTO staged (member_id, points, key, occurred_at, idle_months, held, explanation, place)"
            " VALUES (%s, 10, 'many', %s, 6, true, '{}', 0)",
            [many.pk, moment],
        )
        ledger.post_awards(cursor, "staged")
    expiry, same = Lot.objects.order_by("id").values_list("expires_at", flat=True)
    assert expiry == same
    assert Lot.objects.get(member=many).activates_at is None


# In Santiago the clocks change at midnight: there is a day without its first hour.
@pytest.mark.parametrize(
    ("zone", "first"),
    [
        ("Europe/Berlin", date(2026, 3, 24)),
        ("Europe/Berlin", date(2026, 10, 24)),
        ("America/Santiago", date(2026, 9, 1)),
    ],
)
def test_a_clock_change_neither_skips_nor_repeats_a_day_of_expiry(zone: str, first: date, settings: Any) -> None:
    settings.TIME_ZONE = zone
    local = ZoneInfo(zone)
    member = make_member()
    for number in range(10):
        for hour in (0, 2):
            moment = datetime.combine(first + number * DAY, time(hour, 30), tzinfo=local).astimezone(UTC)
            award(member, 1, f"{number} {hour}", occurred_at=moment, idle_months=12)
    a_year_later = first.replace(year=2027)
    out = []
    for number in range(10):
        midnight = datetime.combine(a_year_later + (number + 1) * DAY, time(0), tzinfo=local)
        out.append(ledger.expire_due(midnight.astimezone(UTC))[1])
    assert out == [2] * 10


def test_points_to_spend_can_be_chosen() -> None:
    member, other = make_member(), make_member()
    award(member, 100, "first to expire", expires_at=NOW + DAY)
    kept = award(member, 100, "never expires").lot
    gift = award(member, 100, "gift").lot
    pending = award(member, 100, "pending", activates_at=NOW + DAY).lot
    theirs = award(other, 100, "theirs").lot
    ledger.spend(
        member_id=member.pk, points=120, key="s", occurred_at=NOW, explanation={}, lots=[gift.pk, kept.pk, gift.pk]
    )
    assert remaining(member) == [100, 80, 0, 100]
    with pytest.raises(ledger.InsufficientPoints) as refused, transaction.atomic():
        ledger.spend(
            member_id=member.pk,
            points=81,
            key="t",
            occurred_at=NOW,
            explanation={},
            lots=[kept.pk, pending.pk, theirs.pk],
        )
    assert refused.value.available == 80
    prove()


def test_points_that_are_given_keep_their_expiry_and_pay_debt_first() -> None:
    giver, receiver = make_member(), make_member()
    award(giver, 100, "late", expires_at=NOW + 60 * DAY)
    award(giver, 100, "soon", expires_at=NOW + 30 * DAY)
    award(giver, 50, "soon too", expires_at=NOW + 30 * DAY)
    bought = award(receiver, 40, "bought")
    ledger.spend(member_id=receiver.pk, points=40, key="s", occurred_at=NOW, explanation={})
    ledger.claw_back(
        bought, points=40, qualifying=40, key="r", policy=ledger.Policy.DEBT, occurred_at=NOW, explanation={}
    )
    given = transfer(giver, receiver, 200)
    assert given.points == -200
    assert remaining(giver) == [50, 0, 0]
    arrived = Lot.objects.filter(member=receiver, entry__kind="transfer").order_by("id")
    assert list(arrived.values_list("points", "remaining", "expires_at")) == [
        (150, 110, NOW + 30 * DAY),
        (50, 50, NOW + 60 * DAY),
    ]
    assert ledger.balances_of(receiver.pk, NOW).qualifying == 0
    assert transfer(giver, receiver, 200) == given
    with pytest.raises(ledger.KeyReused):
        transfer(giver, make_member(), 200)
    with pytest.raises(ledger.NotReversible):
        ledger.reverse(given, explanation={})
    prove()


def test_a_transfer_gives_no_more_than_there_is_and_not_to_oneself() -> None:
    giver, receiver = make_member(), make_member()
    award(giver, 10, "a")
    with pytest.raises(ledger.InsufficientPoints):
        transfer(giver, receiver, 11)
    with pytest.raises(ValueError, match="another"):
        transfer(giver, giver, 5)


@pytest.mark.django_db(transaction=True)
def test_transfers_both_ways_at_once_do_not_deadlock() -> None:
    one, two = make_member(), make_member()
    award(one, 100, "one")
    award(two, 100, "two")
    outcomes = at_once(
        *(lambda n=n: transfer(one, two, 5, f"there {n}") for n in range(12)),
        *(lambda n=n: transfer(two, one, 5, f"back {n}") for n in range(12)),
    )
    assert outcomes == {"done": 24}
    assert sorted(Account.objects.values_list("balance", flat=True)) == [100, 100]
    prove()
