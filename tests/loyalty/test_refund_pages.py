"""Refunding on the member's page: said in numbers first, then done once."""

import json
import re
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

import pytest
import time_machine
from django.test import Client
from django.urls import reverse
from pytest_django import DjangoAssertNumQueries

from loyalty import ledger, programme, refund_words
from loyalty.intake import LineInput, RefundLineInput, record_purchase, record_refund
from loyalty.models import Account
from members import timeline
from members.models import Member, Purchase, Refund
from staff.models import AuditEntry
from staff.permissions import Role
from tests.factories import make_member, make_user

pytestmark = pytest.mark.django_db

NOW = datetime(2026, 6, 1, 4, 0, tzinfo=UTC)


@pytest.fixture(autouse=True)
def _now() -> object:
    with time_machine.travel(NOW, tick=False):
        yield


@pytest.fixture
def member() -> Member:
    programme.ensure_defaults()
    return make_member()


@pytest.fixture
def purchase(member: Member) -> Purchase:
    lines = [
        LineInput(amount=Decimal(60), quantity=Decimal(3), product="Oat milk"),
        LineInput(amount=Decimal(40), product="Cup"),
    ]
    return record_purchase(
        member_id=member.pk, key="p", purchased_at=NOW, amount=Decimal(100), receipt="S-1", lines=lines
    ).purchase


@pytest.fixture
def desk(client: Client) -> Client:
    client.force_login(make_user(Role.CUSTOMER_SERVICE))
    return client


def dialog(desk: Client, purchase: Purchase, **posted: str) -> tuple[str, dict[str, str]]:
    """The dialog as it answers, and what its form holds."""
    url = reverse("loyalty:purchase-refund", args=[purchase.pk])
    response = desk.post(url, posted) if posted else desk.get(url)
    text = response.content.decode()
    events = response.headers.get("HX-Trigger")
    return events or text, dict(re.findall(r'name="(\w+)" value="([^"]*)"', text))


def test_a_refund_says_in_numbers_what_it_will_do_and_then_does_it_once(desk: Client, purchase: Purchase) -> None:
    ledger.spend(member_id=purchase.member_id, points=90, key="spent", occurred_at=NOW, explanation={"text": "mug"})
    page, form = dialog(desk, purchase)
    assert "¥100.00 of ¥100.00 are left to give back" in page
    asked = {"key": form["key"], "way": "lines", "quantity_1": "1", "reason": "sour", "step": "show"}
    page, form = dialog(desk, purchase, **asked)
    assert "¥20.00 go back to the member" in page
    assert "20 points that it earned are taken back." in page
    assert "10 of them are spent already and become debt" in page
    assert "The balance goes from 10 to -10 points." in page.replace("−", "-")
    assert not Refund.objects.exists()
    for _ in range(2):
        events, _form = dialog(desk, purchase, **form | {"step": "do"})
        assert json.loads(events)["toast"]["text"] == "¥20.00 refunded, 20 points taken back."
    refund = Refund.objects.get()
    assert (refund.amount, refund.reason, Account.objects.get(member=purchase.member_id).balance) == (20, "sour", -10)
    assert AuditEntry.objects.filter(action="refund.record").count() == 1
    page, _form = dialog(desk, purchase)
    assert "¥80.00 of ¥100.00 are left" in page
    assert "sour" in page


@pytest.mark.parametrize(
    ("posted", "words"),
    [
        ({"way": "amount"}, "How much?"),
        ({"way": "amount", "amount": "100.01"}, "Amount is more than the 100.00 that are left"),
        ({"way": "lines"}, "Say how many of at least one line."),
        ({"way": "lines", "quantity_1": "4"}, "Only 3 are left."),
    ],
)
def test_what_cannot_be_refunded_is_said_in_the_dialog(
    desk: Client, purchase: Purchase, posted: dict[str, str], words: str
) -> None:
    page, _form = dialog(desk, purchase, key="k", step="do", **posted)
    assert words in page
    assert not Refund.objects.exists()


def test_a_purchase_that_was_given_back_in_full_offers_nothing_more(desk: Client, purchase: Purchase) -> None:
    dialog(desk, purchase, key="k", way="rest", step="do")
    page, _form = dialog(desk, purchase)
    assert 'name="step"' not in page
    page, _form = dialog(desk, purchase, key="k2", way="rest", step="do")
    assert "has been given back in full already" in page


def test_the_timeline_shows_a_refund_with_its_lines_and_points(desk: Client, purchase: Purchase) -> None:
    dialog(desk, purchase, key="k", way="lines", quantity_1="2", reason="sour", step="do")
    items = timeline.page(purchase.member, before=NOW.replace(year=2027), limit=20).items
    refund = next(item for item in items if item.label == "Refund")
    assert (refund.title, refund.points) == ("Refund of order S-1 · ¥40.00", -40)
    assert refund.details[:2] == ["2 × Oat milk ¥40.00", "sour"]
    assert "¥40.00 of ¥100.00 refunded: 40 of 100 points taken back" in refund.details
    bought = next(item for item in items if item.about == f"purchase:{purchase.pk}")
    assert "¥40.00 of it given back" in bought.details


def test_the_list_of_purchases_pages_and_asks_few_queries(
    desk: Client, member: Member, django_assert_max_num_queries: DjangoAssertNumQueries
) -> None:
    for n in range(7):
        record_purchase(member_id=member.pk, key=f"p{n}", purchased_at=NOW, amount=Decimal(n + 1), receipt=f"S-{n}")
    url = reverse("loyalty:member-purchases", args=[member.number])
    with django_assert_max_num_queries(5):
        page = desk.get(url).content.decode()
    assert ("S-6" in page, "S-2" in page, "S-1" in page) == (True, True, False)
    older = desk.get(url, {"from": "5"}).content.decode()
    assert ("S-1" in older, "S-2" in older) == (True, False)


def test_who_may_not_adjust_points_sees_no_button(client: Client, purchase: Purchase) -> None:
    client.force_login(make_user(Role.APPROVER))
    page = client.get(reverse("loyalty:member-purchases", args=[purchase.member.number])).content.decode()
    assert "S-1" in page
    assert "Refund…" not in page


@pytest.mark.parametrize(
    ("asked", "words"),
    [
        ({}, "all that is left"),
        ({"amount": Decimal("86.5")}, "86.50"),
        ({"amount": Decimal(5), "currency": "USD"}, "$5.00"),
        ({"lines": [RefundLineInput(line_no=2, quantity=Decimal(1))]}, "1 line"),
    ],
)
def test_a_refund_that_waits_says_what_it_asks_for(asked: dict[str, Any], words: str) -> None:
    waiting = record_refund(key="early", purchase_key="nowhere", refunded_at=NOW, **asked).refund
    assert refund_words.amount(waiting) == words


def test_the_list_of_refunds_shows_what_waits_and_why_one_was_refused(
    desk: Client, member: Member, django_assert_max_num_queries: DjangoAssertNumQueries
) -> None:
    for key, amount, of in (("early", 5, "nowhere"), ("greedy", 999, "p")):
        record_refund(key=key, purchase_key=of, refunded_at=NOW, amount=Decimal(amount))
    record_purchase(member_id=member.pk, key="p", purchased_at=NOW, amount=Decimal(100))
    for n in range(60):
        record_refund(key=f"r{n}", purchase_key="p", refunded_at=NOW, amount=Decimal(1))
    url = reverse("loyalty:refunds")
    with django_assert_max_num_queries(5):
        page = desk.get(url).content.decode()
    assert page.count("¥1.00") == 50
    assert "before=" in page
    waiting = desk.get(url, {"state": "waiting"}).content.decode()
    assert ("nowhere" in waiting, "¥1.00" in waiting) == (True, False)
    assert '<td class="num">5.00' in waiting
    refused = desk.get(url, {"q": "greedy"}).content.decode()
    assert "asks for more than was left" in refused
    assert member.number in refused
