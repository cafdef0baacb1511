"""The frame of every page and the components, used by hand and by keyboard in a real browser."""

from collections.abc import Callable

from playwright.sync_api import expect

from staff.models import User
from staff.permissions import Role
from tests.browser.conftest import Desk
from tests.factories import make_member

DeskOf = Callable[..., Desk]


def test_the_components_are_readable_in_chinese(desk: DeskOf) -> None:
    tab = desk(Role.EXECUTIVE, language="zh-hans")
    page = tab.open("/look/")
    assert page.evaluate("document.documentElement.lang") == "zh-hans"
    assert tab.barriers() == []


def test_the_theme_is_switched_at_once_and_kept_for_the_person(desk: DeskOf) -> None:
    tab = desk(Role.EXECUTIVE)
    page = tab.open("/look/")
    background = "getComputedStyle(document.documentElement).backgroundColor"
    before = page.evaluate(background)
    page.get_by_label("Theme").click()
    with page.expect_response("**/preferences/theme/"):
        page.get_by_role("button", name="Dark").click()
    assert page.evaluate(background) != before
    assert User.objects.get(pk=tab.user.pk).theme == "dark"  # type: ignore[union-attr]
    page.reload()
    assert page.evaluate("document.documentElement.dataset.theme") == "dark"


def test_charts_are_drawn_anew_in_the_colours_of_the_theme(desk: DeskOf) -> None:
    tab = desk(Role.EXECUTIVE)
    page = tab.open("/look/")
    tick = page.locator("[data-chart] .ytick text").first
    light = tick.evaluate("text => getComputedStyle(text).fill")
    tab.show("dark")
    expect(tick).not_to_have_css("fill", light)


def test_the_language_is_switched_and_kept_for_the_person(desk: DeskOf) -> None:
    tab = desk(Role.EXECUTIVE)
    page = tab.open("/look/?tier=gold")
    page.get_by_role("button", name="简体中文").click()
    page.wait_for_url("**/look/?tier=gold")
    assert page.evaluate("document.documentElement.lang") == "zh-hans"
    assert User.objects.get(pk=tab.user.pk).language == "zh-hans"  # type: ignore[union-attr]


def test_a_dialog_opens_from_its_button_and_closes_with_escape(desk: DeskOf) -> None:
    page = desk(Role.EXECUTIVE).open("/look/")
    page.get_by_role("button", name="Confirm…").click()
    dialog = page.get_by_role("dialog", name="Undo the import of members.csv?")
    expect(dialog).to_be_visible()
    expect(dialog.get_by_role("button", name="Cancel")).to_be_focused()
    page.keyboard.press("Escape")
    expect(dialog).to_be_hidden()


def test_the_table_behind_a_chart_is_one_click_away(desk: DeskOf) -> None:
    page = desk(Role.EXECUTIVE).open("/look/")
    rows = page.get_by_role("region", name="Retention by month of first purchase")
    expect(rows).to_be_hidden()
    page.get_by_role("button", name="Table").first.click()
    expect(rows).to_be_visible()


def test_the_first_tab_stop_skips_to_the_content(desk: DeskOf) -> None:
    page = desk(Role.EXECUTIVE).open("/look/")
    page.keyboard.press("Tab")
    expect(page.get_by_role("link", name="Skip to the content")).to_be_focused()
    page.keyboard.press("Enter")
    expect(page.locator("main")).to_be_focused()


def test_on_a_tablet_the_side_bar_is_a_drawer(desk: DeskOf) -> None:
    page = desk(Role.ADMINISTRATOR).open("/look/")
    page.set_viewport_size({"width": 768, "height": 1024})
    side = page.get_by_role("navigation", name="Main")
    expect(side).to_be_hidden()
    page.get_by_role("button", name="Open the navigation").click()
    expect(side).to_be_visible()
    page.keyboard.press("Escape")
    expect(side).to_be_hidden()


def test_somebody_without_the_permission_is_told_which_one_is_missing(desk: DeskOf) -> None:
    page = desk(Role.EXECUTIVE).open("/desk/health/")
    expect(
        page.get_by_text("It takes a role that may see the health of the system. Yours is “Executive”.")
    ).to_be_visible()


def test_a_slash_finds_a_member_from_anywhere_with_the_keyboard_alone(desk: DeskOf) -> None:
    member = make_member(family_name="Zhao", given_name="Lan")
    page = desk(Role.CUSTOMER_SERVICE).open("/look/")
    page.keyboard.press("/")
    search = page.get_by_role("searchbox", name="Find a member")
    expect(search).to_be_focused()
    page.keyboard.type(member.number)
    suggestion = page.locator("#suggestions a").first
    expect(suggestion).to_contain_text(member.number)
    page.keyboard.press("Escape")
    expect(page.locator("#suggestions a")).to_have_count(0)
    expect(search).to_be_focused()
    page.keyboard.press("ArrowDown")
    expect(suggestion).to_be_visible()
    page.keyboard.press("ArrowDown")
    expect(suggestion).to_be_focused()
    page.keyboard.press("Enter")
    page.wait_for_url(f"**/members/{member.number}/")


def test_a_slash_typed_into_a_field_stays_there(desk: DeskOf) -> None:
    page = desk(Role.CUSTOMER_SERVICE).open("/look/")
    field = page.get_by_label("Note").first
    field.click()
    page.keyboard.type("a/b")
    expect(field).to_have_value("a/b")
