"""A campaign from its name to its run page, in a real browser."""

import os
import re
from collections.abc import Callable
from pathlib import Path

import pytest
from playwright.sync_api import expect

from campaigns import delivery, runs
from campaigns.models import Campaign
from staff.permissions import Role
from tests.browser.conftest import Desk
from tests.campaigns.campaigns import make_members
from tests.conftest import Mailbox
from tests.factories import make_purchase

pytestmark = pytest.mark.django_db(transaction=True)


def shoot(tab: Desk, name: str) -> None:
    """A picture, where somebody wants to look."""
    if folder := os.environ.get("PICTURES"):
        # With the caret left alone: hiding it leaves a style attribute behind, which the policy refuses.
        tab.page.screenshot(path=Path(folder) / f"{name}.png", full_page=True, caret="initial")


def test_a_campaign_is_written_reviewed_launched_and_watched(desk: Callable[..., Desk], mailbox: Mailbox) -> None:
    members = make_members(40, given_name="小雨", family_name="王")
    for member in members[::4]:
        make_purchase(member)
    tab = desk(Role.MARKETING_MANAGER)
    page = tab.open("/campaigns/")
    shoot(tab, "list-empty")
    page.get_by_role("link", name="New campaign").first.click()
    page.get_by_label("Name").fill("Win back before the year ends")
    page.get_by_role("button", name="Next: Audience").click()
    choose_active_members(tab)
    write_two_variants(tab)
    send_a_test(tab, mailbox)
    page.get_by_role("button", name="Next: Schedule & test").click()
    page.get_by_label("Holdout, %").fill("20")
    shoot(tab, "schedule")
    page.get_by_role("button", name="Next: Review").click()
    expect(page.locator("main")).to_contain_text("32 members get an e-mail as soon as you launch.")
    shoot(tab, "review")
    page.get_by_role("button", name=re.compile("Send to 32 members…")).click()
    shoot(tab, "launch")
    page.get_by_role("button", name="Send to 32 members", exact=True).click()
    watch(tab, mailbox)


def choose_active_members(tab: Desk) -> None:
    page = tab.page
    expect(page.locator("#reach")).to_contain_text("40")
    page.get_by_role("button", name="Condition").click()
    tab.settle()
    page.get_by_label("Line 1: what").select_option(label="Status")
    tab.settle()
    page.locator("[data-choices] summary").click()
    page.locator("[data-choices]").get_by_label("active", exact=True).check()
    page.locator("[data-choices] summary").click()
    tab.settle()
    expect(page.locator("#reach")).to_contain_text("match, 100.0% of all members")
    shoot(tab, "audience")
    page.get_by_role("button", name="Next: Content").click()


def write_two_variants(tab: Desk) -> None:
    page = tab.page
    page.locator("#id_A-subject").fill("Written, and copied at once")
    page.get_by_role("button", name="Add variant B as a copy").click()
    expect(page.locator("#id_A-subject")).to_have_value("Written, and copied at once")
    expect(page.locator("#id_B-subject")).to_have_value("Written, and copied at once")
    page.locator("#id_A-subject").fill("A present for {{ member.name }}")
    page.locator("#id_B-subject").fill("We miss you, {{ member.nam }}")
    ending = "\n\n[Shop now](https://shop.example/)"
    page.locator("#id_A-body").fill("Dear {{ member.name }},\n\nyou have {{ member.points }} points." + ending)
    page.locator("#id_B-body").fill("Dear {{ member.name }},\n\ncome back soon." + ending)
    expect(page.locator("#problems-B")).to_contain_text("Did you mean “member.name”?")
    expect(page.locator("#steps [aria-current]")).to_contain_text("to do")
    # Some browsers' tools leave a style on a field: htmx must not copy it, the policy would refuse.
    page.locator("#preview-member").evaluate("field => field.style.color = 'red'")
    expect(page.frame_locator("#preview iframe").locator("body")).to_contain_text("you have 0 points")
    shoot(tab, "content")
    page.locator("#id_B-subject").fill("We miss you, {{ member.name }}")
    expect(page.locator("#problems-B")).to_be_empty()
    expect(page.locator("#steps [aria-current]")).not_to_contain_text("to do")


def send_a_test(tab: Desk, mailbox: Mailbox) -> None:
    tab.settle()
    tab.page.get_by_role("button", name="Send me a test").click()
    tab.page.get_by_role("button", name="Send the test").click()
    tab.settle()
    assert [mail["Subject"] for mail in mailbox.messages] == ["[Test A] A present for 王小雨"]


def watch(tab: Desk, mailbox: Mailbox) -> None:
    """The page follows what the tick and the workers do, and each figure opens its members."""
    page = tab.page
    expect(page.locator("#run")).to_contain_text("Starts in a few seconds")
    runs.start_due()
    run = Campaign.objects.get().runs.get()
    expect(page.locator("#run")).to_contain_text("messages sent")
    shoot(tab, "running")
    delivery.deliver(run.pk)
    total = 40 - run.held_out
    expect(page.locator("#run")).to_contain_text(f"{total} of {total} messages sent.")
    shoot(tab, "done")
    assert len(mailbox.messages) == total + 1
    page.get_by_role("link", name="sent", exact=True).click()
    expect(page.locator("tbody tr")).to_have_count(total)
    shoot(tab, "messages")
    tab.open("/campaigns/")
    expect(page.locator("tbody")).to_contain_text("Win back before the year ends")
    tab.show("dark")
    shoot(tab, "list-dark")
