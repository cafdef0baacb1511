"""Many connections move the points of one member at the same moment."""

from datetime import UTC, datetime, timedelta

import pytest

from loyalty import ledger, rewards, verify
from loyalty.ledger import Policy
from loyalty.models import Account, Entry, Reward
from tests.factories import make_member
from tests.loyalty.concurrency import at_once

NOW = datetime(2026, 6, 1, 4, 0, tzinfo=UTC)

pytestmark = pytest.mark.django_db(transaction=True)


def award(points: int, **fields: object) -> Entry:
    member = make_member()
    return ledger.award(
        member_id=member.pk, points=points, key=f"award:{member.pk}", occurred_at=NOW, explanation={}, **fields
    )


def claw_back(entry: Entry, points: int, key: str) -> Entry | None:
    return ledger.claw_back(
        entry, points=points, qualifying=points, key=key, policy=Policy.DEBT, occurred_at=NOW, explanation={}
    )


def prove() -> None:
    assert {check.key: rows for check in verify.checks() if (rows := check.offending())} == {}


def test_sixty_four_connections_redeem_what_a_balance_pays_for_and_no_more() -> None:
    member_id = award(399).member_id
    reward = Reward.objects.create(name="Coffee", points=120, stock=None)

    def redeem(number: int) -> object:
        return rewards.redeem(member_id=member_id, reward_id=reward.pk, key=f"r{number}", user=None)

    outcomes = at_once(*(lambda n=number: redeem(n) for number in range(64)))
    assert outcomes == {"done": 3, "InsufficientPoints": 61}
    assert Account.objects.get(pk=member_id).balance == 39
    prove()


def test_a_refund_and_redemptions_at_once_take_every_point_once() -> None:
    bought = award(100)
    reward = Reward.objects.create(name="Coffee", points=40, stock=None)

    def redeem(number: int) -> object:
        return rewards.redeem(member_id=bought.member_id, reward_id=reward.pk, key=f"r{number}", user=None)

    outcomes = at_once(
        *(lambda n=number: redeem(n) for number in range(6)),
        *(lambda n=number: claw_back(bought, 25, f"refund {n}") for number in range(6)),
    )
    assert set(outcomes) <= {"done", "InsufficientPoints", "MoreThanAwarded"}
    assert outcomes["MoreThanAwarded"] == 2
    account = Account.objects.get(pk=bought.member_id)
    redeemed = Entry.objects.filter(kind="redeem").count()
    assert account.balance == -40 * redeemed
    assert account.debt == 40 * redeemed
    prove()


def test_the_same_request_twenty_times_at_once_counts_once() -> None:
    bought, other = award(100), award(1)
    assert at_once(*[lambda: claw_back(bought, 30, "refund")] * 20) == {"done": 20}

    def give() -> object:
        return ledger.transfer(
            from_member=bought.member_id,
            to_member=other.member_id,
            points=20,
            key="gift",
            occurred_at=NOW,
            explanation={},
        )

    assert at_once(*[give] * 20) == {"done": 20}
    assert at_once(*[lambda: ledger.reverse(other, explanation={}, occurred_at=NOW)] * 20) == {"done": 20}
    balances = Account.objects.filter(pk__in=[bought.member_id, other.member_id]).order_by("pk")
    assert list(balances.values_list("balance", flat=True)) == [50, 20]
    prove()


def test_debt_is_paid_once_by_earnings_that_come_at_once() -> None:
    bought = award(100)
    ledger.spend(member_id=bought.member_id, points=100, key="s", occurred_at=NOW, explanation={})
    claw_back(bought, 100, "refund")

    def earn(number: int) -> object:
        return ledger.award(member_id=bought.member_id, points=30, key=f"e{number}", occurred_at=NOW, explanation={})

    assert at_once(*(lambda n=number: earn(n) for number in range(6))) == {"done": 6}
    assert ledger.balances_of(bought.member_id, NOW + timedelta(days=1)).available == 80
    assert ledger.debt_of(bought.member_id) == 0
    prove()
