"""What the nightly jobs do, as a worker runs them."""

from datetime import UTC, datetime, timedelta
from decimal import Decimal

import pytest
import time_machine

from loyalty import ledger, programme, tasks
from loyalty.intake import record_purchase
from loyalty.ledger import expiry
from loyalty.models import Account, Entry, Redemption, Reward, TierStanding
from loyalty.rewards import cancel, confirm, redeem
from staff import jobs
from staff.models import Job
from tests.factories import make_interaction, make_member, make_purchase
from tests.loyalty.concurrency import at_once

NOW = datetime(2026, 6, 1, 4, 0, tzinfo=UTC)


@pytest.mark.django_db
def test_expired_points_go_out_lot_by_lot_and_a_second_night_finds_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(expiry, "CHUNK", 2)
    members = [make_member() for _ in range(3)]
    for member in members:
        for days in (-2, -1, 0, 1):
            ledger.award(
                member_id=member.pk,
                points=10,
                key=f"{member.pk}:{days}",
                occurred_at=NOW - timedelta(days=30),
                expires_at=NOW + timedelta(days=days),
                explanation={},
            )
    with time_machine.travel(NOW, tick=False):
        results = []
        for _ in range(2):
            tasks.expire_points()
            results.append(jobs.run_inline(Job.objects.latest("pk")).result)
    assert results == [{"lots": 9, "points": 90, "prolonged": 0}, {"lots": 0, "points": 0, "prolonged": 0}]
    assert set(Account.objects.values_list("balance", flat=True)) == {10}
    first = Entry.objects.filter(kind="expire").order_by("seq").first()
    assert first is not None
    assert first.occurred_at == NOW - timedelta(days=2)


@pytest.mark.django_db
def test_points_expire_from_member_to_member_whenever_they_lapsed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(expiry, "CHUNK", 2)
    members = [make_member() for _ in range(5)]
    for place, member in enumerate(members):
        ledger.award(
            member_id=member.pk,
            points=10,
            key=str(place),
            occurred_at=NOW - timedelta(days=30),
            expires_at=NOW - timedelta(days=place),
            explanation={},
        )
    assert ledger.expire_due(NOW) == (5, 50)
    expired = Entry.objects.filter(kind="expire").order_by("id").values_list("member_id", flat=True)
    assert list(expired) == [member.pk for member in members]


@pytest.mark.django_db
def test_points_that_come_back_to_an_expired_lot_expire_again() -> None:
    member, reward = make_member(), Reward.objects.create(name="Coffee", points=60)
    with time_machine.travel(NOW, tick=False) as clock:
        ledger.award(
            member_id=member.pk,
            points=100,
            key="a",
            occurred_at=NOW,
            expires_at=NOW + timedelta(days=1),
            explanation={},
        )
        redemption = redeem(member_id=member.pk, reward_id=reward.pk, key="k", user=None)
        clock.shift(timedelta(days=2))
        assert ledger.expire_due(datetime.now(UTC)) == (1, 40)
        cancel(Redemption.objects.get(pk=redemption.pk), user=None)
        assert ledger.available(member.pk, datetime.now(UTC)) == 0
        assert ledger.expire_due(datetime.now(UTC)) == (1, 60)
    assert Account.objects.get(member=member).balance == 0


@pytest.mark.django_db
@pytest.mark.parametrize(
    "activity", ["purchase", "interaction", "redemption", "reservation", "cancelled", "nothing", "too late"]
)
def test_the_night_lets_sliding_points_live_on_where_the_member_was_active(activity: str) -> None:
    member = make_member()
    with time_machine.travel(NOW, tick=False) as clock:
        ledger.award(member_id=member.pk, points=100, key="a", occurred_at=NOW, idle_months=6, explanation={})
        clock.shift(timedelta(days=170))
        if activity == "purchase":
            make_purchase(member, purchased_at=datetime.now(UTC))
            clock.shift(timedelta(days=170))
            # Only the first purchase brings the lot into the reach of this one.
            make_purchase(member, purchased_at=datetime.now(UTC))
        elif activity == "interaction":
            make_interaction(member, occurred_at=datetime.now(UTC))
        elif activity in ("redemption", "reservation", "cancelled"):
            reward = Reward.objects.create(name="Coffee", points=60)
            redemption = redeem(member_id=member.pk, reward_id=reward.pk, key="k", user=None)
            if activity == "redemption":
                confirm(redemption, user=None)
            elif activity == "cancelled":
                cancel(redemption, user=None)
        elif activity == "too late":
            make_purchase(member, purchased_at=NOW + timedelta(days=185))
        clock.move_to(NOW + timedelta(days=345 if activity == "purchase" else 190))
        tasks.expire_points()
        jobs.run_inline(Job.objects.latest("pk"))
    left = {"purchase": 100, "interaction": 100, "redemption": 40}.get(activity, 0)
    assert Account.objects.get(member=member).balance == left


@pytest.mark.django_db
def test_a_redemption_that_is_confirmed_again_lets_nothing_live_on_that_came_since() -> None:
    member = make_member()
    reward = Reward.objects.create(name="Coffee", points=60)
    with time_machine.travel(NOW, tick=False) as clock:
        ledger.award(member_id=member.pk, points=60, key="a", occurred_at=NOW, explanation={})
        redemption = redeem(member_id=member.pk, reward_id=reward.pk, key="k", user=None)
        confirm(redemption, user=None)
        # As points arrive that somebody else hands on: their idleness began before.
        earlier = NOW - timedelta(days=20)
        came = ledger.award(member_id=member.pk, points=10, key="b", occurred_at=earlier, idle_months=1, explanation={})
        lapses = came.lot.expires_at
        clock.shift(timedelta(days=1))
        confirm(Redemption.objects.get(pk=redemption.pk), user=None)
    came.lot.refresh_from_db()
    assert came.lot.expires_at == lapses


@pytest.mark.django_db
def test_the_night_moves_down_whose_spend_left_the_window() -> None:
    programme.ensure_defaults()
    member = make_member()
    with time_machine.travel(NOW, tick=False) as clock:
        record_purchase(member_id=member.pk, key="k", purchased_at=NOW, amount=Decimal(8_000))
        assert TierStanding.objects.get(member=member).tier.key == "gold"
        clock.shift(timedelta(days=366))
        tasks.recalculate_tiers()
        assert jobs.run_inline(Job.objects.latest("pk")).result["moves"] == 1
    assert TierStanding.objects.get(member=member).tier.key == "bronze"


@pytest.mark.django_db(transaction=True)
def test_the_same_purchase_sent_by_twenty_connections_earns_once() -> None:
    programme.ensure_defaults()
    member = make_member()

    def record() -> object:
        return record_purchase(member_id=member.pk, key="k", purchased_at=NOW, amount=Decimal(80), receipt="S-1")

    assert at_once(*[record] * 20) == {"done": 20}
    assert Account.objects.get(member=member).balance == 80


@pytest.mark.django_db(transaction=True)
def test_expiry_and_spending_at_once_take_no_point_twice(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(expiry, "CHUNK", 3)
    members = [make_member() for _ in range(6)]
    for member in members:
        for key, expires in (("old", NOW), ("new", None)):
            ledger.award(
                member_id=member.pk,
                points=50,
                key=f"{key}:{member.pk}",
                occurred_at=NOW - timedelta(days=9),
                expires_at=expires,
                explanation={},
            )

    def spend(member_id: int, key: str) -> object:
        # A moment before the expiry: a till whose clock is behind.
        at = NOW - timedelta(seconds=1)
        return ledger.spend(member_id=member_id, points=30, key=key, occurred_at=at, explanation={})

    outcomes = at_once(
        *(lambda m=member.pk, k=f"{member.pk}:{n}": spend(m, k) for member in members for n in range(4)),
        *[lambda: ledger.expire_due(NOW)] * 8,
    )
    assert set(outcomes) <= {"done", "InsufficientPoints"}
    ledger.expire_due(NOW)
    for member in members:
        entries = Entry.objects.filter(member=member)
        assert sum(entry.points for entry in entries) == Account.objects.get(member=member).balance >= 0
