"""Redeeming on the member page and changing tiers, as a person does it in a real browser."""

from collections.abc import Callable
from decimal import Decimal

from django.utils import timezone
from playwright.sync_api import expect

from loyalty import programme
from loyalty.intake import record_purchase
from loyalty.models import Redemption, Reward, TierThreshold
from staff.permissions import Role
from tests.browser.conftest import Desk
from tests.factories import make_member

DeskOf = Callable[..., Desk]


def test_a_reward_is_redeemed_and_the_balance_moves_before_ones_eyes(desk: DeskOf) -> None:
    programme.ensure_defaults()
    member = make_member()
    record_purchase(member_id=member.pk, key="k", purchased_at=timezone.now(), amount=Decimal(8_420), receipt="S-7")
    Reward.objects.create(name="Coffee set", points=2_000, stock=1)
    Reward.objects.create(name="Barista class", points=90_000)
    page = desk(Role.CUSTOMER_SERVICE).open(f"/members/{member.number}/")
    points = page.locator(".kpi-strip .kpi-value").first
    expect(points).to_have_text("8,420")
    expect(page.locator(".heading-badges")).to_contain_text("Gold")
    page.get_by_role("button", name="Redeem…").click()
    dialog = page.get_by_role("dialog")
    expect(dialog.get_by_label("Coffee set")).to_be_checked()
    expect(dialog).to_contain_text("6,420 left after it")
    expect(dialog.get_by_label("Barista class")).to_be_disabled()
    dialog.get_by_role("button", name="Redeem").click()
    expect(page.locator("#toasts")).to_contain_text("Coffee set redeemed for 2,000 points.")
    expect(dialog).to_be_hidden()
    expect(points).to_have_text("6,420")
    expect(page.locator("#timeline")).to_contain_text("−2,000")
    assert Redemption.objects.get().state == Redemption.State.CONFIRMED
    # Nothing is left now, and the dialog says so.
    page.get_by_role("button", name="Redeem…").click()
    expect(page.get_by_role("dialog")).to_contain_text("out of stock")


def test_thresholds_that_do_not_rise_are_refused_before_and_on_saving(desk: DeskOf) -> None:
    programme.ensure_defaults()
    page = desk(Role.MARKETING_MANAGER).open("/programme/tiers/")
    moves = page.locator("#tier-moves")
    expect(moves).to_have_text("Change something to see who would move.")
    page.get_by_label("Silver: spend").fill("9000")
    page.get_by_label("Silver: spend").blur()
    expect(moves).to_contain_text("Thresholds must rise")
    page.get_by_role("button", name="Save the tiers").click()
    expect(page.get_by_text("must be more than for Silver")).to_be_visible()
    assert TierThreshold.objects.get(tier__key="silver").value == 2_000
