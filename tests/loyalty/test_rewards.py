"""Redeeming: exactly once, never below zero, whatever comes at the same time."""

from typing import Any

import pytest
from django.utils import timezone

from loyalty import ledger, rewards
from loyalty.models import Account, Entry, Lot, Redemption, Reward
from members.models import Member
from tests.factories import make_member, make_user
from tests.loyalty.concurrency import at_once

State = Redemption.State


def make_reward(**fields: Any) -> Reward:
    return Reward.objects.create(**({"name": "Coffee", "points": 100} | fields))


def member_with(points: int) -> Member:
    member = make_member()
    ledger.award(
        member_id=member.pk, points=points, key=f"start:{member.pk}", occurred_at=timezone.now(), explanation={}
    )
    return member


def redeem(member: Member, reward: Reward, key: str) -> Redemption:
    return rewards.redeem(member_id=member.pk, reward_id=reward.pk, key=key, user=None)


@pytest.mark.django_db
def test_redeeming_takes_points_and_stock_and_cancelling_gives_both_back() -> None:
    member, reward, user = member_with(150), make_reward(stock=2), make_user()
    redemption = rewards.redeem(member_id=member.pk, reward_id=reward.pk, key="k", user=user)
    reward.refresh_from_db()
    assert (redemption.state, reward.stock, Account.objects.get(member=member).balance) == (State.RESERVED, 1, 50)
    rewards.confirm(redemption, user=user)
    for _ in range(2):
        assert rewards.cancel(redemption, user=user).state == State.CANCELLED
    reward.refresh_from_db()
    assert (reward.stock, Account.objects.get(member=member).balance) == (2, 150)
    assert Lot.objects.get(member=member).remaining == 150


@pytest.mark.django_db
def test_a_fulfilled_redemption_stays() -> None:
    redemption = redeem(member_with(100), make_reward(), "k")
    with pytest.raises(rewards.WrongState):
        rewards.fulfil(redemption, user=None)
    rewards.confirm(redemption, user=None)
    for _ in range(2):
        assert rewards.fulfil(redemption, user=None).state == State.FULFILLED
    with pytest.raises(rewards.WrongState):
        rewards.cancel(redemption, user=None)


@pytest.mark.django_db
def test_what_cannot_be_redeemed_writes_nothing() -> None:
    member, poor = member_with(500), member_with(99)
    blocked = member_with(500)
    Member.objects.filter(pk=blocked.pk).update(status=Member.Status.BLOCKED)
    offered, gone, ended = make_reward(), make_reward(name="Gone", stock=0), make_reward(name="Ended", active=False)
    for error, who, reward in (
        (ledger.InsufficientPoints, poor, offered),
        (rewards.OutOfStock, member, gone),
        (rewards.NotOffered, member, ended),
        (rewards.NotEligible, blocked, offered),
    ):
        with pytest.raises(error):
            redeem(who, reward, "k")
    assert not Redemption.objects.exists()
    assert not Entry.objects.filter(points__lt=0).exists()


@pytest.mark.django_db
def test_the_same_key_redeems_once_and_other_input_is_refused() -> None:
    member, reward, dearer = member_with(500), make_reward(), make_reward(name="Cake", points=300)
    first = redeem(member, reward, "k")
    assert redeem(member, reward, "k") == first
    for who, what in ((member, dearer), (member_with(500), reward)):
        with pytest.raises(ledger.KeyReused):
            redeem(who, what, "k")
    assert Account.objects.get(member=member).balance == 400


@pytest.mark.django_db(transaction=True)
def test_64_connections_share_the_last_ten_of_a_stock() -> None:
    reward = make_reward(stock=10)
    members = [member_with(100) for _ in range(64)]
    outcomes = at_once(*(lambda m=member: redeem(m, reward, f"k{m.pk}") for member in members))
    reward.refresh_from_db()
    assert outcomes == {"done": 10, "OutOfStock": 54}
    assert (reward.stock, Account.objects.filter(balance=0).count()) == (0, 10)


@pytest.mark.django_db(transaction=True)
def test_64_connections_spend_a_balance_that_pays_for_three() -> None:
    member, reward = member_with(350), make_reward()
    outcomes = at_once(*(lambda n=number: redeem(member, reward, f"k{n}") for number in range(64)))
    assert outcomes == {"done": 3, "InsufficientPoints": 61}
    assert Account.objects.get(member=member).balance == 50


@pytest.mark.django_db(transaction=True)
def test_the_same_request_twenty_times_at_once_counts_once() -> None:
    member, reward = member_with(500), make_reward(stock=5)
    outcomes = at_once(*[lambda: redeem(member, reward, "the same")] * 20)
    assert outcomes == {"done": 20}
    assert Redemption.objects.count() == 1
    assert Account.objects.get(member=member).balance == 400


@pytest.mark.django_db(transaction=True)
def test_redeeming_and_cancelling_at_once_never_deadlock_or_lose_a_point() -> None:
    members, rewards_ = [member_with(300) for _ in range(4)], [make_reward(stock=4), make_reward(name="Tea", stock=4)]
    held = [redeem(member, reward, f"held {member.pk} {reward.pk}") for member in members for reward in rewards_]
    again = [(member, reward) for member in members for reward in reversed(rewards_)]
    outcomes = at_once(
        *(lambda r=redemption: rewards.cancel(r, user=None) for redemption in held),
        *(lambda m=member, r=reward: redeem(m, r, f"again {m.pk} {r.pk}") for member, reward in again),
        *(lambda r=redemption: rewards.cancel(r, user=None) for redemption in held),
    )
    assert set(outcomes) <= {"done", "OutOfStock", "InsufficientPoints"}
    kept = Redemption.objects.exclude(state=State.CANCELLED).count()
    assert sum(Account.objects.values_list("balance", flat=True)) == 1200 - 100 * kept
    assert sum(Reward.objects.values_list("stock", flat=True)) == 8 - kept
