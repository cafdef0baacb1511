"""Points that a household spends together."""

from collections.abc import Callable
from datetime import datetime, timedelta

import pytest
from django.test import Client
from django.utils import timezone
from hypothesis import given, settings
from hypothesis import strategies as st

from loyalty import ledger, pools, rewards, verify
from loyalty.models import Entry, Lot, Reward
from members import households
from members.models import Household, Member
from tests.factories import make_member, make_user
from tests.loyalty.concurrency import at_once

pytestmark = pytest.mark.django_db


def home(*points: int) -> list[Member]:
    """A household whose members hold so many points, each lot expiring a month after the one before."""
    household = households.create(name="Wang", kind=Household.Kind.HOUSEHOLD, user=None)
    members = []
    for place, held in enumerate(points, 1):
        member = make_member()
        households.join(household, member, user=None)
        if held:
            give(member, held, expires_at=timezone.now() + timedelta(days=30 * place))
        members.append(member)
    return members


def give(member: Member, points: int, *, expires_at: datetime | None = None) -> None:
    ledger.award(
        member_id=member.pk,
        points=points,
        key=f"give:{member.pk}:{points}",
        occurred_at=timezone.now() - timedelta(days=1),
        explanation={},
        expires_at=expires_at,
    )


def balances(members: list[Member]) -> list[int]:
    return [ledger.available(member.pk, timezone.now()) for member in members]


def reward(points: int, **fields: object) -> Reward:
    return Reward.objects.create(name=f"Reward {Reward.objects.count()}", points=points, **fields)


def broken() -> list[str]:
    return [check.key for check in verify.checks() if check.offending()]


def test_the_lots_that_expire_first_pay_whoever_they_belong_to() -> None:
    first, second, third = members = home(100, 200, 300)
    redemption = rewards.redeem(member_id=third.pk, reward_id=reward(250).pk, key="a", user=None)
    assert balances(members) == [0, 50, 300]
    paid = {entry.member_id: entry.points for entry in redemption.entries.all()}
    assert paid == {first.pk: -100, second.pk: -150}
    assert broken() == []


def test_cancelling_gives_each_their_points_back_to_the_lots_they_came_from() -> None:
    members = home(100, 200, 300)
    lots = dict(Lot.objects.values_list("pk", "remaining"))
    redemption = rewards.redeem(member_id=members[0].pk, reward_id=reward(450, stock=1).pk, key="a", user=None)
    rewards.cancel(redemption, user=None)
    rewards.cancel(redemption, user=None)
    assert dict(Lot.objects.values_list("pk", "remaining")) == lots
    assert broken() == []


def test_who_joins_or_leaves_changes_only_what_is_redeemed_from_then_on() -> None:
    first, second = members = home(100, 200)
    redemption = rewards.redeem(member_id=first.pk, reward_id=reward(250).pk, key="a", user=None)
    households.leave(second.household, second, user=None)
    with pytest.raises(ledger.InsufficientPoints):
        rewards.redeem(member_id=first.pk, reward_id=reward(1).pk, key="b", user=None)
    rewards.cancel(redemption, user=None)
    assert balances(members) == [100, 200]
    assert broken() == []


def test_who_is_blocked_does_not_pay() -> None:
    first, second = home(100, 200)
    Member.objects.filter(pk=second.pk).update(status=Member.Status.BLOCKED)
    with pytest.raises(ledger.InsufficientPoints) as refusal:
        rewards.redeem(member_id=first.pk, reward_id=reward(150).pk, key="a", user=None)
    assert refusal.value.available == 100


def test_the_same_key_redeems_once() -> None:
    members = home(100, 200)
    wanted = reward(150)
    first = rewards.redeem(member_id=members[0].pk, reward_id=wanted.pk, key="a", user=None)
    assert rewards.redeem(member_id=members[0].pk, reward_id=wanted.pk, key="a", user=None) == first
    assert sum(balances(members)) == 150


@settings(max_examples=40)
@given(
    held=st.lists(st.integers(0, 500), min_size=1, max_size=5),
    price=st.integers(1, 1500),
)
def test_a_pool_pays_exactly_the_price_or_nothing(held: list[int], price: int) -> None:
    members = home(*held)
    ids = [member.pk for member in members]
    if price > sum(held):
        with pytest.raises(ledger.InsufficientPoints):
            pools.shares(ids, price, timezone.now())
        return
    redemption = rewards.redeem(member_id=ids[-1], reward_id=reward(price).pk, key=f"k{ids[-1]}", user=None)
    assert sum(entry.points for entry in redemption.entries.all()) == -price
    assert sum(balances(members)) == sum(held) - price
    assert balances(members) == left_in_order(held, price)


def left_in_order(held: list[int], price: int) -> list[int]:
    left = []
    for points in held:
        taken = min(points, price)
        price -= taken
        left.append(points - taken)
    return left


@pytest.mark.django_db(transaction=True)
def test_two_of_a_household_who_redeem_at_once_are_paid_for_once() -> None:
    members = home(300, 300)
    wanted = reward(400)
    outcomes = at_once(*(redeeming(member, wanted, place) for place in range(5) for member in members))
    assert outcomes == {"done": 1, "InsufficientPoints": 9}
    assert sum(balances(members)) == 200
    assert broken() == []


@pytest.mark.django_db(transaction=True)
def test_redeeming_and_leaving_at_once_never_takes_more_than_there_is() -> None:
    _first, second = members = home(300, 300)
    wanted = reward(300)

    def leave() -> None:
        households.leave(second.household, Member.objects.get(pk=second.pk), user=None)

    outcomes = at_once(*(redeeming(member, wanted, place) for place in range(3) for member in members), leave)
    assert outcomes["done"] == 3
    assert sum(balances(members)) == 0
    assert broken() == []


def redeeming(member: Member, wanted: Reward, place: int) -> Callable[[], object]:
    return lambda: rewards.redeem(member_id=member.pk, reward_id=wanted.pk, key=f"once:{member.pk}:{place}", user=None)


def test_the_member_page_shows_what_the_household_holds() -> None:
    first, second = home(100, 200)
    client = Client()
    client.force_login(make_user("customer_service"))
    shown = client.get(f"/programme/members/{first.number}/pool/").content.decode()
    assert "300 points can be spent together" in shown
    assert client.get(f"/programme/members/{make_member().number}/pool/").content == b""
    dialog = client.get(f"/programme/members/{second.number}/redeem/").content.decode()
    assert "300 points can be spent" in dialog
    rewards.redeem(member_id=second.pk, reward_id=reward(50).pk, key="a", user=None)
    entry = Entry.objects.get(redemption__isnull=False)
    assert entry.member == first
    page = client.get(f"/members/{first.number}/").content.decode()
    assert f"{second.number} of the same household redeemed it" in page
