"""Choosing which points pay, releasing held ones and undoing a refund, as a person does it in a real browser."""

from collections.abc import Callable
from datetime import timedelta
from decimal import Decimal

from django.utils import timezone
from playwright.sync_api import expect

from loyalty import ledger, programme
from loyalty.intake import record_purchase, record_refund
from loyalty.models import Lot, Reward
from staff.permissions import Role
from tests.browser.conftest import Desk
from tests.factories import make_member


def test_what_fails_on_the_way_is_said_above_the_dialog_and_keeps_what_was_typed(
    desk: Callable[..., Desk],
) -> None:
    programme.ensure_defaults()
    member = make_member()
    tab = desk(Role.CUSTOMER_SERVICE)
    page = tab.open(f"/members/{member.number}/")
    dialog, toasts = page.get_by_role("dialog"), page.locator("#toasts")
    page.get_by_role("button", name="Give or take points…").click()
    dialog.get_by_label("Points", exact=True).fill("12")
    dialog.get_by_label("Comment").fill("Booked twice")

    for answer, said in (
        (lambda route: route.fulfill(status=404), "That did not work."),
        (lambda route: route.abort(), "The desk cannot be reached."),
    ):
        page.route("**/adjust/", answer)
        dialog.get_by_role("button", name="See what it does").click()
        expect(toasts).to_contain_text(said)
        assert tab.barriers() == []
        toasts.get_by_role("button", name="Close").click()  # only what is not under the backdrop can be clicked
        expect(toasts).to_be_empty()
        page.unroute("**/adjust/")
    tab.problems.clear()

    expect(dialog.get_by_label("Points", exact=True)).to_have_value("12")
    dialog.get_by_role("button", name="See what it does").click()
    dialog.get_by_role("button", name="Give 12 points").click()
    expect(toasts).to_contain_text("12 points given.")
    expect(dialog).to_be_hidden()


def test_points_are_chosen_released_and_brought_back(desk: Callable[..., Desk]) -> None:
    programme.ensure_defaults()
    member, now = make_member(), timezone.now()
    for points, days in ((150, 20), (120, 90)):
        ledger.award(
            member_id=member.pk,
            points=points,
            key=f"lot:{days}",
            occurred_at=now - timedelta(days=1),
            explanation={"text": f"Welcome {days}"},
            expires_at=now + timedelta(days=days),
        )
    ledger.award(member_id=member.pk, points=40, key="held", occurred_at=now, explanation={"text": "Review"}, held=True)
    record_purchase(member_id=member.pk, key="p", purchased_at=now, amount=Decimal(100), receipt="S-88213")
    record_refund(key="r", purchase_key="p", amount=Decimal(30))
    Reward.objects.create(name="Coffee", points=100)
    tab = desk(Role.CUSTOMER_SERVICE)
    page = tab.open(f"/members/{member.number}/")
    dialog = page.get_by_role("dialog")

    page.get_by_role("button", name="Redeem…").click()
    dialog.locator("summary").click()
    dialog.get_by_label("Welcome 90").check()
    assert tab.barriers() == []
    dialog.get_by_role("button", name="Redeem").click()
    expect(page.locator("#toasts")).to_contain_text("Coffee redeemed")
    expect(dialog).to_be_hidden()
    assert Lot.objects.get(entry__idempotency_key="lot:90").remaining == 20

    page.get_by_role("button", name="Release…").click()
    assert tab.barriers() == []
    dialog.get_by_role("button", name="Release").click()
    expect(page.locator("#toasts")).to_contain_text("40 points can be used now.")
    expect(dialog).to_be_hidden()

    page = tab.open("/programme/refunds/")
    page.get_by_role("button", name="Undo…").click()
    expect(dialog).to_contain_text("+30")
    assert tab.barriers() == []
    dialog.get_by_label("Comment").fill("wrong receipt")
    dialog.get_by_role("button", name="Undo the refund").click()
    expect(page.locator("table")).to_contain_text("undone")
