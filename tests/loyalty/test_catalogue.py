"""The catalogue: a new reward and another price are decided by a second person."""

from decimal import Decimal

import pytest
from django.test import Client
from django.urls import reverse

from loyalty.models import Reward
from staff import approvals
from staff.models import Approval, AuditEntry, User
from tests.factories import make_user

pytestmark = pytest.mark.django_db

FORM = {"name": "Cup", "name_zh": "杯", "points": "900", "cost": "12.50", "stock_change": "5", "active": "on"}


def client_of(user: User) -> Client:
    client = Client()
    client.force_login(user)
    return client


def make_reward() -> Reward:
    return Reward.objects.create(name="Cup", name_zh="杯", points=900, cost=Decimal("12.50"), stock=5)


def test_a_new_reward_is_decided_by_another_person() -> None:
    manager, approver = make_user("marketing_manager"), make_user("approver")
    for _ in range(2):  # the second time it is the same request
        client_of(manager).post(reverse("loyalty:reward-new"), FORM)
    asked = Approval.objects.get()
    assert not Reward.objects.exists()
    assert asked.get_absolute_url() in client_of(manager).get(reverse("loyalty:rewards")).text
    assert asked.get_absolute_url() not in client_of(make_user("executive")).get(reverse("loyalty:rewards")).text
    page = client_of(approver).get(asked.get_absolute_url()).text
    for line in ("New reward “Cup”: 900 points", "¥12.50"):
        assert line in page
    with pytest.raises(approvals.OwnRequest):
        approvals.approve(asked, user=manager)
    approvals.approve(asked, user=approver)
    cup = Reward.objects.get()
    assert (cup.name_zh, cup.points, cup.cost, cup.stock, cup.active) == ("杯", 900, Decimal("12.50"), 5, True)
    assert AuditEntry.objects.get(action="reward.create").actor == approver


def test_another_price_waits_while_all_else_is_saved() -> None:
    manager, approver, cup = make_user("marketing_manager"), make_user("approver"), make_reward()
    page = client_of(manager).get(reverse("loyalty:reward", args=[cup.pk])).text
    assert "A second person decides about it" in page
    client_of(manager).post(reverse("loyalty:reward", args=[cup.pk]), FORM | {"points": "1", "cost": "13"})
    assert "“Cup”: 900 → 1 point<" in client_of(manager).get(reverse("loyalty:reward", args=[cup.pk])).text
    assert "“Cup”: 900" not in client_of(manager).get(reverse("loyalty:reward-new")).text
    cup.refresh_from_db()
    assert (cup.points, cup.cost, cup.stock) == (900, 13, 10)
    asked = Approval.objects.get()
    assert "900 → 1" in client_of(approver).get(asked.get_absolute_url()).text
    approvals.approve(asked, user=approver)
    cup.refresh_from_db()
    assert (cup.points, cup.cost, cup.stock) == (1, 13, 10)


def test_all_but_the_price_is_changed_by_one_person() -> None:
    manager, _approver, cup = make_user("marketing_manager"), make_user("approver"), make_reward()
    client_of(manager).post(reverse("loyalty:reward", args=[cup.pk]), FORM | {"name": "Mug", "active": ""})
    cup.refresh_from_db()
    assert (cup.name, cup.active, Approval.objects.exists()) == ("Mug", False, False)


def test_a_price_or_a_name_that_is_another_by_then_is_not_overwritten() -> None:
    manager, approver, cup = make_user("marketing_manager"), make_user("approver"), make_reward()
    for points in ("800", "700"):
        client_of(manager).post(reverse("loyalty:reward", args=[cup.pk]), FORM | {"points": points})
    client_of(manager).post(reverse("loyalty:reward-new"), FORM | {"name": "Mug"})
    first, second, new = Approval.objects.order_by("pk")
    approvals.approve(second, user=approver)
    Reward.objects.create(name="Mug", points=1)
    for asked in (first, new):
        with pytest.raises(approvals.CannotBeDone):
            approvals.approve(asked, user=approver)
    cup.refresh_from_db()
    assert (cup.points, Reward.objects.count()) == (700, 2)


def test_where_nobody_else_decides_a_price_counts_at_once() -> None:
    only = make_user()
    client_of(only).post(reverse("loyalty:reward-new"), FORM)
    cup = Reward.objects.get()
    client_of(only).post(reverse("loyalty:reward", args=[cup.pk]), FORM | {"points": "800"})
    cup.refresh_from_db()
    assert (cup.points, Approval.objects.exists()) == (800, False)
