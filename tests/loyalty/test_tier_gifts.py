"""Gifts for reaching a tier: once for each time that it is earned, whatever is refunded, late or at once."""

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any

import pytest
import time_machine
from django.db import IntegrityError, connection, transaction
from django.db.models import Count
from django.test import Client
from django.test.utils import CaptureQueriesContext
from django.urls import reverse
from django.utils import timezone
from pytest_django import DjangoCaptureOnCommitCallbacks

from loyalty import gifts, programme, rewards, verify
from loyalty.intake import record_purchase, record_refund
from loyalty.models import (
    Account,
    Entry,
    Redemption,
    Reward,
    Tier,
    TierBenefit,
    TierChange,
    TierGift,
    TierScheme,
    TierStanding,
)
from loyalty.tiers import benefits, grants
from loyalty.tiers.recalculation import recalculate
from members.models import Member
from staff.permissions import Role
from tests.factories import make_member, make_user
from tests.loyalty.concurrency import at_once

NOW = datetime(2026, 6, 1, 4, 0, tzinfo=UTC)
DAY = timedelta(days=1)


@pytest.fixture
def clock() -> Iterator[Any]:
    with time_machine.travel(NOW, tick=False) as frozen:
        yield frozen


def make_gift(*, tier: str = "gold", stock: int | None = 5, points: int = 0) -> TierBenefit:
    """A gift of a programme with four tiers; without a reward where the stock is -1."""
    programme.ensure_defaults()
    reward = (
        None if stock == -1 else Reward.objects.create(name=f"Cup of {tier}", points=900, stock=stock, active=False)
    )
    return TierBenefit.objects.create(
        tier=Tier.objects.get(key=tier), kind="gift", text="A cup", text_zh="杯子", reward=reward, points=points
    )


def buy(member: Member, key: str, *, amount: int = 8_500, at: datetime | None = None) -> None:
    record_purchase(member_id=member.pk, key=key, purchased_at=at or timezone.now(), amount=Decimal(amount))


def tier_of(member: Member) -> str:
    return TierStanding.objects.get(member=member).tier.key


def stock() -> int | None:
    return Reward.objects.get(name__startswith="Cup").stock


def prove() -> None:
    assert {check.key: check.offending() for check in verify.checks() if check.offending()} == {}


@pytest.mark.django_db
def test_who_earns_the_tier_gets_the_reward_for_no_points_and_the_points_with_their_reason(clock: Any) -> None:
    make_gift(points=300)
    member = make_member()
    buy(member, "reaches gold")
    before = Account.objects.get(member=member).balance
    assert [gifts.hand_out_due(), gifts.hand_out_due()] == [1, 0]
    gift = TierGift.objects.select_related("redemption").get()
    assert gift.redemption is not None
    assert (gift.redemption.points, gift.redemption.state) == (0, Redemption.State.CONFIRMED)
    assert stock() == 4
    assert Account.objects.get(member=member).balance == before + 300
    entry = Entry.objects.get(idempotency_key=f"gift:{gift.pk}")
    assert (entry.points, entry.qualifying, entry.explanation["benefit"]) == (300, 0, "A cup")
    rewards.fulfil(gift.redemption, user=None)
    prove()


@pytest.mark.django_db
def test_buying_refunding_and_buying_again_gives_nothing_twice_and_takes_nothing_back(clock: Any) -> None:
    make_gift()
    member = make_member()
    for number in range(3):
        buy(member, f"k{number}")
        assert tier_of(member) == "gold"
        gifts.hand_out_due()
        clock.shift(DAY)
        record_refund(key=f"r{number}", purchase_key=f"k{number}", refunded_at=timezone.now())
        assert tier_of(member) == "bronze"
        clock.shift(DAY)
    assert (TierGift.objects.count(), Redemption.objects.count(), stock()) == (1, 1, 4)
    prove()


@pytest.mark.django_db
def test_days_of_grace_after_a_refund_give_nothing_twice_either(clock: Any) -> None:
    make_gift()
    TierScheme.objects.update(grace_days=10)
    member = make_member()
    for number in range(2):
        buy(member, f"k{number}")
        clock.shift(DAY)
        record_refund(key=f"r{number}", purchase_key=f"k{number}", refunded_at=timezone.now())
        clock.shift(12 * DAY)
        recalculate(timezone.now(), first=0, last=2**40)
        assert tier_of(member) == "bronze"
    assert TierChange.objects.filter(evidence__cause="grace").count() == 2
    assert TierGift.objects.count() == 1


@pytest.mark.django_db
def test_who_jumps_over_a_tier_gets_its_gift_too_once_and_keeps_it(clock: Any) -> None:
    make_gift(tier="gold")
    passed = make_gift(tier="silver", stock=-1, points=50)
    member = make_member()
    buy(member, "jumps to gold")
    assert tier_of(member) == "gold"
    assert gifts.hand_out_due() == 2
    assert set(TierGift.objects.values_list("tier__key", "reached_at")) == {("silver", NOW), ("gold", NOW)}
    clock.shift(DAY)
    record_refund(key="r", purchase_key="jumps to gold", refunded_at=timezone.now())
    buy(member, "silver alone", amount=2_500)
    assert tier_of(member) == "silver"
    assert (gifts.hand_out_due(), passed.gifts.count()) == (0, 1)
    prove()


@pytest.mark.django_db
def test_a_gift_only_for_who_reaches_the_tier_is_not_given_to_who_jumps_over_it(clock: Any) -> None:
    TierBenefit.objects.filter(pk=make_gift(tier="silver").pk).update(when_passed=False)
    jumps, stops = make_member(), make_member()
    buy(jumps, "jumps to gold")
    buy(stops, "stops at silver", amount=2_500)
    assert list(TierGift.objects.values_list("member", flat=True)) == [stops.pk]


@pytest.mark.django_db
def test_a_gift_of_a_tier_that_was_passed_goes_with_the_move_while_nobody_has_it(clock: Any) -> None:
    for tier in ("silver", "gold"):
        make_gift(tier=tier)
    member = make_member()
    clock.shift(10 * DAY)
    buy(member, "jumps to gold")
    assert TierGift.objects.count() == 2
    late = timezone.now() - DAY
    buy(member, "came late", amount=2_500, at=late)
    jump = timezone.now()
    assert set(TierGift.objects.values_list("tier__key", "reached_at")) == {("silver", late), ("gold", jump)}
    prove()


@pytest.mark.django_db
def test_who_falls_because_time_passed_and_earns_the_tier_again_gets_the_gift_again(clock: Any) -> None:
    make_gift()
    member = make_member()
    buy(member, "first")
    clock.shift(400 * DAY)
    recalculate(timezone.now(), first=0, last=2**40)
    assert tier_of(member) == "bronze"
    buy(member, "second")
    assert gifts.hand_out_due() == 2
    assert sorted(gift.lost_at is None for gift in TierGift.objects.all()) == [False, True]
    prove()


@pytest.mark.django_db
def test_a_purchase_that_comes_late_moves_the_upgrade_and_gives_once(clock: Any) -> None:
    make_gift()
    given, waiting = make_member(), make_member()
    clock.shift(10 * DAY)
    for member in (given, waiting):
        buy(member, f"{member.pk}:1", amount=5_000)
        clock.shift(DAY)
        buy(member, f"{member.pk}:2", amount=5_000)
        if member == given:
            gifts.hand_out_due()
        buy(member, f"{member.pk}:late", amount=5_000, at=timezone.now() - 5 * DAY)
    assert gifts.hand_out_due() == 1
    assert dict(TierGift.objects.order_by().values_list("member").annotate(n=Count("pk"))) == {
        given.pk: 1,
        waiting.pk: 1,
    }
    # The one that nobody had yet went with its move and came with the new one.
    moved = TierChange.objects.get(member=waiting, to_tier__key="gold")
    assert TierGift.objects.get(member=waiting).reached_at == moved.changed_at
    prove()


@pytest.mark.django_db
def test_history_from_before_the_gift_a_tier_by_hand_and_a_new_scheme_give_nothing(clock: Any) -> None:
    programme.ensure_defaults()
    old, moved, honoured = make_member(), make_member(), make_member()
    buy(moved, "not enough", amount=5_000)
    clock.shift(DAY)
    make_gift()
    buy(old, "import of last year", at=NOW - 100 * DAY)
    grants.grant(
        member=honoured, tier=Tier.objects.get(key="gold"), until=NOW + 90 * DAY, reason="VIP", user=make_user()
    )
    Tier.objects.get(key="gold").thresholds.update(value=4_000)
    clock.shift(DAY)
    recalculate(timezone.now(), first=0, last=2**40, everyone=True)
    assert {tier_of(member) for member in (old, moved, honoured)} == {"gold"}
    assert not TierGift.objects.exists()


@pytest.mark.django_db
def test_without_stock_the_gift_stays_due_is_said_so_and_goes_out_when_there_is_some(clock: Any) -> None:
    make_gift(stock=0, points=50)
    member, desk = make_member(), Client()
    desk.force_login(make_user(Role.ADMINISTRATOR))
    buy(member, "k")
    assert gifts.hand_out_due() == 0
    assert gifts.hand_out(TierGift.objects.get().pk) is False
    assert not Redemption.objects.exists()
    assert not Entry.objects.filter(idempotency_key__startswith="gift:").exists()
    card = reverse("loyalty:member-tier", args=[member.number])
    assert "out of stock" in desk.get(card).content.decode()
    assert "1 gift waits, because Cup of gold is out of stock." in desk.get(reverse("loyalty:tiers")).content.decode()
    Reward.objects.update(stock=1)
    assert gifts.hand_out_due() == 1
    assert stock() == 0
    assert "gifts wait" not in desk.get(reverse("loyalty:tiers")).content.decode()
    clock.shift(timedelta(minutes=1))
    timeline = desk.get(reverse("members:member", args=[member.number]), {"kind": "gifts"}).content.decode()
    assert "Gift for reaching Gold" in timeline
    redemptions = desk.get(reverse("loyalty:redemptions")).content.decode()
    assert "Take the gift back" in redemptions


@pytest.mark.django_db
def test_who_is_blocked_waits_and_a_gift_outlives_its_benefit(clock: Any) -> None:
    benefit = make_gift(stock=-1, points=200)
    member = make_member()
    buy(member, "k")
    Member.objects.update(status=Member.Status.BLOCKED)
    benefits.remove(benefit, user=make_user())
    assert gifts.hand_out_due() == 0
    Member.objects.update(status=Member.Status.ACTIVE)
    assert gifts.hand_out_due() == 1
    prove()


@pytest.mark.django_db
def test_a_gift_taken_back_goes_into_stock_and_is_not_given_again(clock: Any) -> None:
    make_gift()
    buy(make_member(), "k")
    gifts.hand_out_due()
    rewards.cancel(Redemption.objects.get(), user=make_user())
    assert (stock(), gifts.hand_out_due()) == (5, 0)
    prove()


@pytest.mark.django_db
def test_many_moves_cost_one_statement_and_a_purchase_without_a_move_none(
    clock: Any, django_capture_on_commit_callbacks: DjangoCaptureOnCommitCallbacks
) -> None:
    make_gift()
    member = make_member()
    buy(member, "opens", amount=10)
    asked = []
    for key, amount in (("stays", 10), ("moves", 8_500)):
        with CaptureQueriesContext(connection) as queries, django_capture_on_commit_callbacks() as told:
            buy(member, key, amount=amount)
        asked.append((sum("loyalty_tiergift" in query["sql"] for query in queries), len(told)))
    assert asked == [(0, 0), (1, 1)]


@pytest.mark.django_db
def test_the_database_refuses_a_second_gift_and_half_a_gift(clock: Any) -> None:
    benefit = make_gift()
    buy(make_member(), "k")
    gift = TierGift.objects.get()
    for columns, values in (("lost_at, points", "NULL, 0"), ("lost_at, points, given_at", "now(), 0, now()")):
        with pytest.raises(IntegrityError), transaction.atomic(), connection.cursor() as cursor:
            cursor.execute(
                "INSERT INTO loyalty_tiergift (member_id, benefit_id, tier_id, reward_id, text, text_zh, reached_at,"
                f" created_at, {columns}) SELECT %s, %s, %s, %s, '', '', now(), now(), {values}",
                [gift.member_id, benefit.pk, gift.tier_id, gift.reward_id],
            )


@pytest.mark.django_db(transaction=True)
def test_many_workers_at_once_hand_each_gift_out_once_and_the_last_of_a_stock_to_one() -> None:
    make_gift(stock=1, points=40)
    members = [make_member() for _ in range(3)]
    for member in members:
        buy(member, f"k{member.pk}")
    assert TierGift.objects.count() == 3
    assert at_once(*[gifts.hand_out_due] * 8) == {"done": 8}
    assert (TierGift.objects.exclude(given_at=None).count(), Redemption.objects.count(), stock()) == (1, 1, 0)
    assert Entry.objects.filter(idempotency_key__startswith="gift:").count() == 1
    Reward.objects.update(stock=9)
    assert at_once(*[gifts.hand_out_due] * 8) == {"done": 8}
    assert (TierGift.objects.exclude(given_at=None).count(), Redemption.objects.count(), stock()) == (3, 3, 7)
    prove()


@pytest.mark.django_db
@pytest.mark.parametrize(
    ("typed", "said"),
    [
        ({"kind": "delivery", "points": "10"}, "Only a gift on reaching the tier is handed out."),
        ({"kind": "gift", "points": "9999999"}, "less than or equal to"),
        ({"kind": "gift", "points": "200"}, ""),
        ({"kind": "gift", "points": ""}, ""),
    ],
)
def test_the_form_lets_only_gifts_give_and_no_more_than_one_person_may(typed: dict[str, str], said: str) -> None:
    programme.ensure_defaults()
    desk, gold = Client(), Tier.objects.get(key="gold")
    desk.force_login(make_user(Role.ADMINISTRATOR))
    form = {"tier": gold.pk, "text": "A cup", "text_zh": "杯子", "yearly_value": "", "reward": ""} | typed
    response = desk.post(reverse("loyalty:tier-benefit-add"), form)
    assert (response.status_code, said in response.content.decode()) == (422 if said else 302, True)
    if not said:
        assert TierBenefit.objects.get().points == int(typed["points"] or 0)
