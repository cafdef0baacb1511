"""Refunds on many connections at the same moment."""

from datetime import timedelta
from decimal import Decimal

import pytest
from django.utils import timezone

from loyalty import ledger, policies, programme, verify
from loyalty.intake import record_purchase, record_refund
from loyalty.models import Account, Entry
from members.models import Member, Purchase, Refund
from tests.factories import make_member
from tests.loyalty.concurrency import at_once

pytestmark = pytest.mark.django_db(transaction=True)


@pytest.fixture
def member() -> Member:
    programme.ensure_defaults()
    policies.settings_now()
    return make_member()


def buy(member: Member, key: str = "p", amount: int = 100) -> None:
    at = timezone.now() - timedelta(days=1)
    record_purchase(member_id=member.pk, key=key, purchased_at=at, amount=Decimal(amount))


def refund(key: str, amount: int | None = None, of: str = "p") -> None:
    record_refund(key=key, purchase_key=of, amount=None if amount is None else Decimal(amount))


def prove(member: Member, balance: int) -> None:
    assert {check.key: rows for check in verify.checks() if (rows := check.offending())} == {}
    assert Account.objects.get(member=member).balance == balance


def test_the_same_refund_twenty_times_at_once_counts_once(member: Member) -> None:
    buy(member)
    assert at_once(*[lambda: refund("r", 30)] * 20) == {"done": 20}
    assert (Refund.objects.count(), Entry.objects.filter(kind=Entry.Kind.CLAWBACK).count()) == (1, 1)
    prove(member, 70)


def test_the_same_refund_twenty_times_at_once_for_an_unseen_purchase_waits_once(member: Member) -> None:
    assert at_once(*[lambda: refund("r", 30)] * 20) == {"done": 20}
    assert (Refund.objects.count(), Purchase.objects.count()) == (1, 0)
    buy(member)
    prove(member, 70)


def test_refunds_that_race_never_give_back_more_than_there_is(member: Member) -> None:
    buy(member)
    outcomes = at_once(*(lambda key=f"r{n}": refund(key, 30) for n in range(12)))
    assert outcomes == {"done": 3, "RefundRefused": 9}
    prove(member, 10)


@pytest.mark.parametrize("turn", range(5))
def test_a_purchase_and_its_refund_that_come_at_once_never_miss_each_other(member: Member, turn: int) -> None:
    outcomes = at_once(
        *(lambda n=n: buy(member, f"p{n}") for n in range(6)),
        *(lambda n=n: refund(f"r{n}", 40, of=f"p{n}") for n in range(6)),
    )
    assert outcomes == {"done": 12}
    assert set(Refund.objects.values_list("state", flat=True)) == {Refund.State.APPLIED}
    prove(member, 6 * 60)


def test_refund_and_redeem_race_without_losing_a_point(member: Member) -> None:
    for n in range(4):
        buy(member, f"p{n}")

    def spend(n: int) -> None:
        ledger.spend(
            member_id=member.pk, points=80, key=f"s{n}", occurred_at=timezone.now(), explanation={"text": "mug"}
        )

    outcomes = at_once(
        *(lambda n=n: spend(n) for n in range(8)), *(lambda n=n: refund(f"r{n}", None, of=f"p{n}") for n in range(4))
    )
    spent = Entry.objects.filter(kind=Entry.Kind.REDEEM).count()
    assert outcomes["done"] == 4 + spent
    assert outcomes["InsufficientPoints"] == 8 - spent
    prove(member, -80 * spent)
