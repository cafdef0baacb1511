"""An earning rule from a starter to points, by two people in real browsers."""

import os
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path

import pytest
from playwright.sync_api import expect

from loyalty import programme
from loyalty.models import RuleVersion
from staff.permissions import Role
from tests.browser.conftest import Desk
from tests.factories import make_purchase

pytestmark = pytest.mark.django_db(transaction=True)


def shoot(tab: Desk, name: str) -> None:
    """A picture, where somebody wants to look."""
    if folder := os.environ.get("PICTURES"):
        tab.page.screenshot(path=Path(folder) / f"{name}.png", full_page=True, caret="initial")


def test_double_on_weekends_in_store_is_built_submitted_and_approved(desk: Callable[..., Desk]) -> None:
    programme.ensure_defaults()
    bought = make_purchase(channel="store", amount=100, purchased_at=datetime(2026, 6, 6, 4, 0, tzinfo=UTC))
    tab = desk(Role.MARKETING_MANAGER)
    page = tab.open("/programme/rules/")
    page.get_by_role("link", name="New rule").click()
    page.get_by_label("Member day: double points").check()
    page.get_by_label("Name of the rule").fill("Double on weekends in store")
    page.get_by_role("button", name="Write the draft").click()
    choose_weekends_in_store(tab)
    page.get_by_role("button", name="Save the draft").first.click()
    page.get_by_role("button", name="Submit for approval…").click()
    expect(page.get_by_role("dialog").get_by_role("textbox")).to_be_focused()
    page.get_by_role("dialog").get_by_role("button", name="Submit for approval").click()
    expect(page.locator("main")).to_contain_text("waits for a second person")
    second = desk(Role.APPROVER)
    second.open("/programme/rules/?state=in_review").get_by_role("link", name="Double on weekends in store").click()
    second.page.get_by_role("button", name="Approve…").click()
    second.page.get_by_role("dialog").get_by_role("button", name="Approve").click()
    expect(second.page.locator("main")).to_contain_text("Version 1 is approved.")
    page.reload()
    page.get_by_role("button", name="Activate…").click()
    expect(page.get_by_role("dialog").get_by_role("button", name="Cancel")).to_be_focused()
    page.get_by_role("dialog").get_by_role("button", name="Activate").click()
    expect(page.locator("main")).to_contain_text("Version 1 is active.")
    assert RuleVersion.objects.filter(state="active").count() == 2
    simulate_a_saturday(tab, bought.member.number)


def simulate_a_saturday(tab: Desk, number: str) -> None:
    """A made-up basket in store on a Saturday earns double, on a Monday it does not."""
    page = tab.open("/programme/rules/simulate/")
    result = page.locator("#simulation")
    expect(result).to_contain_text("Nothing to reckon yet")
    page.get_by_label("Member", exact=True).fill(number)
    expect(page.get_by_label("A purchase of")).to_be_visible()
    page.locator("#id_channel").fill("store")
    page.locator("#id_at").fill("2026-06-06T12:00")
    page.locator("#id_line1-category").fill("coffee")
    page.locator("#id_line1-amount").fill("70")
    page.locator("#id_line2-amount").fill("30")
    expect(result).to_contain_text("It earns 200 points.")
    shoot(tab, "simulation")
    page.locator("#id_at").fill("2026-06-08T12:00")
    expect(result).to_contain_text("It earns 100 points.")
    expect(result).to_contain_text("It is Monday.")


def choose_weekends_in_store(tab: Desk) -> None:
    """Two conditions, a limit that is first left empty, and the sentence that follows each change."""
    page, said = tab.page, tab.page.locator("#rule-said")
    expect(said).to_contain_text("the day of the month is exactly 8")
    page.get_by_label("Line 1: what").select_option(label="Weekday")
    tab.settle()
    tick(tab, 0, "Saturday", "Sunday")
    page.get_by_role("button", name="Condition").first.click()
    tab.settle()
    page.get_by_label("Line 2: what").select_option(label="Channel")
    tab.settle()
    tick(tab, 1, "store")
    expect(said).to_contain_text("the weekday is Saturday or Sunday, and the channel is store")
    page.get_by_role("button", name="Limit").click()
    tab.settle()
    expect(said).to_contain_text("1 thing is still missing")
    shoot(tab, "builder")
    page.get_by_label("Most", exact=True).fill("5,000")
    expect(said).to_contain_text("at most 5,000 points per member and day")
    expect(said).to_contain_text("Nothing is missing.")


def tick(tab: Desk, line: int, *values: str) -> None:
    """Choose values of a line, and close the list."""
    choices = tab.page.locator("[data-choices]").nth(line)
    choices.locator("summary").click()
    for value in values:
        choices.get_by_label(value, exact=True).check()
    choices.locator("summary").click()
    tab.settle()
