"""Finding a member, their page and the condition builder, as a person uses them: by keyboard, in a real browser."""

import json
import re
from collections.abc import Callable
from datetime import timedelta

from django.utils import timezone
from playwright.sync_api import Page, expect

from staff.models import AuditEntry
from staff.permissions import Role
from tests.browser.conftest import Desk
from tests.factories import make_interaction, make_member, make_purchase

DeskOf = Callable[..., Desk]


def test_a_member_is_found_from_any_page_by_keyboard_alone(desk: DeskOf) -> None:
    make_member(given_name="Mei", family_name="Wang")
    member = make_member(given_name="Xiaoyu", family_name="Wang")
    page = desk(Role.CUSTOMER_SERVICE).open("/")
    page.keyboard.press("/")
    page.keyboard.type("wang")
    links = page.locator("#suggestions a")
    expect(links).to_have_count(2)
    page.keyboard.press("ArrowDown")
    page.keyboard.press("ArrowDown")
    expect(links.nth(1)).to_be_focused()
    page.keyboard.press("Enter")
    page.wait_for_url(f"**/members/{member.number}/")
    expect(page.get_by_role("heading", level=1)).to_contain_text("Xiaoyu Wang")


def test_the_find_page_searches_while_one_types_and_keeps_the_search_in_the_address(desk: DeskOf) -> None:
    make_member(given_name="小雨", family_name="王")
    make_member(given_name="Mei", family_name="Lin")
    page = desk(Role.CUSTOMER_SERVICE).open("/members/")
    rows = page.locator("#found tbody tr")
    expect(rows).to_have_count(2)
    page.locator("#search").press_sequentially("王小")
    expect(rows).to_have_count(1)
    expect(page).to_have_url(re.compile(r"\?q="))


def test_the_timeline_is_filtered_and_read_to_its_end(desk: DeskOf) -> None:
    member = make_member()
    for day in range(60):
        make_purchase(member, external_id=f"S-{day}", purchased_at=timezone.now() - timedelta(days=day, minutes=5))
    make_interaction(member)
    page = desk(Role.CUSTOMER_SERVICE).open(f"/members/{member.number}/")
    page.locator("#kind-purchases").click()
    page.wait_for_url("**?kind=purchases")
    lines = page.locator("#timeline tr.timeline")
    for _ in range(3):
        before = lines.count()
        older = page.get_by_role("link", name="Older")
        if not older.count():
            break
        older.click()
        expect(lines.nth(before)).to_be_visible()
    expect(lines).to_have_count(60)
    expect(page.get_by_text("Order S-59")).to_be_visible()


def test_a_phone_is_revealed_for_this_view_only(desk: DeskOf) -> None:
    member = make_member(phone="+8613800004471")
    page = desk(Role.CUSTOMER_SERVICE).open(f"/members/{member.number}/")
    page.get_by_role("button", name="Reveal").click()
    expect(page.get_by_text("+86 138 0000 4471")).to_be_visible()
    assert AuditEntry.objects.filter(action="member.reveal", subject_id=str(member.pk)).count() == 1
    page.reload()
    expect(page.get_by_text("+86 138 •••• 4471")).to_be_visible()
    expect(page.get_by_text("+86 138 0000 4471")).to_have_count(0)


def tree(page: Page) -> object:
    return json.loads(page.locator("#conditions-who [data-tree]").input_value())


def test_conditions_are_built_by_keyboard_counted_and_read_back(desk: DeskOf) -> None:
    for gender in "FFM":
        make_member(gender=gender)
    tab = desk(Role.MARKETING_MANAGER)
    page = tab.open("/look/")
    builder = page.locator("#conditions-who")
    expect(builder.locator("#who-count-1")).to_have_text("2")
    expect(builder).to_contain_text("line 3.2: fill in a number")
    builder.get_by_role("button", name="Remove group 3").click()
    expect(builder.locator("#who-all-add")).to_be_focused()
    builder.get_by_role("button", name="Remove line 2").click()
    expect(builder.locator("[data-line]")).to_have_count(1)
    expect(builder.locator("#who-count-all")).to_have_text("2 members")

    builder.locator("#who-all-add").press("Enter")
    expect(builder.locator("#who-2-fact")).to_be_focused()
    builder.locator("#who-2-fact").select_option("member.attribute")
    expect(builder.locator("#who-2-parameter")).to_have_value("city")
    # The button is pressed while the value that was just typed is still on its way.
    builder.locator("#who-2-value-1").press_sequentially("Köln")
    builder.locator("#who-all-add").click()
    expect(builder.locator("[data-line]")).to_have_count(3)
    builder.get_by_role("button", name="Remove line 3").click()
    expect(builder).to_contain_text("and have city “Köln”.")
    assert tree(page) == {
        "all": [
            {"fact": "member.gender", "op": "in", "value": ["F", "O"]},
            {"fact": "member.attribute", "name": "city", "op": "eq", "value": "Köln"},
        ]
    }

    # Several are ticked in one go, by their words too; the builder is drawn anew when the menu closes.
    choices = builder.locator("#who-1-value")
    choices.click()
    for line in ("male", "other"):
        label = builder.locator("label").filter(has_text=re.compile(rf"^\s*{line}\s*$"))
        label.click(position={"x": 100, "y": 12})
    expect(builder.get_by_label("male", exact=True)).to_be_checked()
    expect(builder.get_by_label("other", exact=True)).not_to_be_checked()
    page.keyboard.press("Escape")
    expect(choices).to_have_text("female, male")
    expect(builder.locator("#who-count-1")).to_have_text("3")
    assert tab.barriers() == []
