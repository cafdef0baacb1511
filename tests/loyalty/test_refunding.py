"""Refunding a purchase at the desk: points that come back count towards the limits of who does it."""

from datetime import timedelta
from decimal import Decimal
from itertools import count

import pytest
from django.test import Client
from django.urls import reverse
from django.utils import timezone

from loyalty import ledger, limits, programme, refunding, rewards
from loyalty.intake import RecordedRefund, RefundDiffers, record_purchase
from loyalty.models import DayUse, ProgrammeSettings, Reward
from members.models import Purchase, Refund
from staff import approvals
from staff.models import Approval, User
from staff.permissions import Role
from tests.factories import make_member, make_user
from tests.loyalty.concurrency import at_once

pytestmark = pytest.mark.django_db
_serial = count()


def paid_with(points: int) -> Purchase:
    """A purchase of 20.00 for which a voucher of so many points paid, which earned 20."""
    programme.ensure_defaults()
    member, now, key = make_member().pk, timezone.now() - timedelta(hours=1), f"p{next(_serial)}"
    vouchers = []
    if points:
        ledger.award(member_id=member, points=points, key=key, occurred_at=now, explanation={})
        reward = Reward.objects.create(name=f"Voucher {key}", points=points)
        vouchers = [rewards.redeem(member_id=member, reward_id=reward.pk, key=key, user=None).pk]
    bought = record_purchase(
        member_id=member, key=key, purchased_at=now, amount=Decimal(20), redemptions=vouchers, receipt=key
    )
    return bought.purchase


def usable(purchase: Purchase) -> int:
    return ledger.available(purchase.member_id, timezone.now())


def limited(*, alone: int, daily: int = 5_000) -> None:
    ProgrammeSettings.objects.update(adjust_approval_above=alone, adjust_daily_limit=daily)


def client_of(user: User) -> Client:
    client = Client()
    client.force_login(user)
    return client


def test_many_points_come_back_only_once_a_second_person_approves() -> None:
    limited(alone=100)
    purchase, agent, approver = paid_with(101), make_user(Role.CUSTOMER_SERVICE), make_user(Role.APPROVER)
    desk, address = client_of(agent), reverse("loyalty:purchase-refund", args=[purchase.pk])
    form = {"key": "k", "way": "rest", "reason": "broken"}
    shown = desk.post(address, form | {"step": "show"}).content.decode()
    assert "So many points that come back take a second person" in shown
    for _ in range(2):
        assert "Asked for" in desk.post(address, form | {"step": "do"}).headers["HX-Trigger"]
    asked = Approval.objects.get()
    assert not Refund.objects.exists()
    page = client_of(approver).get(asked.get_absolute_url()).content.decode()
    for told in (f"Refund order {purchase.external_id}", "Points that come back", "101", "broken"):
        assert told in page
    with pytest.raises(approvals.OwnRequest):
        approvals.approve(asked, user=agent)
    approvals.approve(asked, user=approver)
    refund = Refund.objects.get()
    assert (refund.state, refund.reason, refund.created_by) == (Refund.State.APPLIED, "broken", agent)
    assert usable(purchase) == 101
    assert not DayUse.objects.exists()
    # The form that is sent again is the refund that was made.
    assert "refunded" in desk.post(address, form | {"step": "do"}).headers["HX-Trigger"]
    assert Refund.objects.count() == 1


def test_small_refunds_of_a_day_are_added_up() -> None:
    limited(alone=100, daily=200)
    agent, last = make_user(Role.CUSTOMER_SERVICE), paid_with(21)
    for place in range(2):
        purchase = paid_with(90)
        for _ in range(2):  # sent twice it counts once
            assert isinstance(refunding.refund(purchase, key=f"k{place}", user=agent), RecordedRefund)
    address, form = reverse("loyalty:purchase-refund", args=[last.pk]), {"key": "l", "way": "rest", "step": "do"}
    refused = client_of(agent).post(address, form).content.decode()
    assert "You may still give and take 20 of 200 points today." in refused
    assert usable(last) == 20


def test_what_a_purchase_earned_is_taken_back_without_a_limit() -> None:
    limited(alone=1, daily=1)
    purchase = paid_with(0)
    assert isinstance(refunding.refund(purchase, key="k", user=make_user(Role.CUSTOMER_SERVICE)), RecordedRefund)
    assert usable(purchase) == 0


def test_what_was_refunded_in_between_is_not_refunded_by_the_approval() -> None:
    limited(alone=100)
    purchase, approver = paid_with(101), make_user(Role.APPROVER)
    agent = make_user(Role.CUSTOMER_SERVICE)
    asked = refunding.refund(purchase, key="k", user=agent)
    assert isinstance(asked, Approval)
    with pytest.raises(RefundDiffers):
        refunding.refund(purchase, key="k", user=agent, amount=Decimal(19))
    limited(alone=1_000)
    refunding.refund(purchase, key="other", user=agent)
    assert "given back in full already" in client_of(approver).get(asked.get_absolute_url()).content.decode()
    with pytest.raises(approvals.CannotBeDone, match="given back in full already"):
        approvals.approve(asked, user=approver)
    assert usable(purchase) == 101


@pytest.mark.django_db(transaction=True)
def test_refunds_at_once_do_not_pass_the_days_limit() -> None:
    limited(alone=100, daily=300)
    agent = make_user(Role.CUSTOMER_SERVICE)
    purchases = [paid_with(90) for _ in range(6)]
    outcomes = at_once(
        *(lambda one=one: refunding.refund(one, key=f"k{one.pk}", user=agent) for one in [*purchases, purchases[0]])
    )
    assert outcomes["done"] in {3, 4}  # one of them is sent twice
    assert Refund.objects.count() == 3
    assert limits.left(limits.Limit.ADJUST, limits.counted_as(agent)) == 30
