"""Refunding a purchase on the member page, as a person does it in a real browser."""

from collections.abc import Callable
from decimal import Decimal

from django.utils import timezone
from playwright.sync_api import expect

from loyalty import ledger, programme
from loyalty.intake import LineInput, record_purchase
from members.models import Refund
from staff.permissions import Role
from tests.browser.conftest import Desk
from tests.factories import make_member


def test_a_line_is_refunded_after_the_dialog_has_said_what_that_does(desk: Callable[..., Desk]) -> None:
    programme.ensure_defaults()
    member, now = make_member(), timezone.now()
    lines = [
        LineInput(amount=Decimal(60), quantity=Decimal(3), product="Oat milk"),
        LineInput(amount=Decimal(40), product="Cup"),
    ]
    record_purchase(member_id=member.pk, key="p", purchased_at=now, amount=Decimal(100), receipt="S-88213", lines=lines)
    ledger.spend(member_id=member.pk, points=90, key="spent", occurred_at=now, explanation={"text": "mug"})
    tab = desk(Role.CUSTOMER_SERVICE)
    page = tab.open(f"/members/{member.number}/")
    page.get_by_role("button", name="Refund…").click()
    dialog = page.get_by_role("dialog")
    expect(dialog).to_contain_text("¥100.00 of ¥100.00 are left to give back.")
    dialog.get_by_label("Some of its lines").check()
    dialog.get_by_label("How many of Oat milk").fill("1")
    dialog.get_by_label("Reason").fill("sour")
    dialog.get_by_role("button", name="Show what it does…").click()
    expect(dialog).to_contain_text("10 of them are spent already and become debt")
    assert tab.barriers() == []
    dialog.get_by_role("button", name="Refund ¥20.00").click()
    expect(page.locator("#toasts")).to_contain_text("¥20.00 refunded, 20 points taken back.")
    expect(page.get_by_role("dialog")).to_be_hidden()
    page.reload()
    page.wait_for_load_state("networkidle")
    expect(page.locator("#timeline")).to_contain_text("Refund of order S-88213")
    tab.open("/programme/refunds/")
    assert Refund.objects.get().reason == "sour"
