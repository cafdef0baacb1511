"""The side bar: see staff/navigation.py."""

import pytest

from staff.models import User
from staff.navigation import NAVIGATION, address, side_bar
from staff.permissions import Role


def links(role: str, path: str = "/") -> dict[str, bool]:
    user = User(name="Lin Mei", email="lin@example.com", role=role)
    return {link.url: link.is_current for _label, group in side_bar(user, path) for link in group}


def test_nobody_sees_a_link_that_their_role_may_not_open() -> None:
    assert address("staff:people") not in links(Role.MARKETING_MANAGER)
    assert address("staff:people") in links(Role.ADMINISTRATOR)


def test_a_group_without_links_has_no_heading() -> None:
    user = User(name="Grace", email="grace@example.com", role=Role.EXECUTIVE)
    assert all(group for _label, group in side_bar(user, "/"))


def test_a_page_below_a_link_marks_that_link_and_no_other() -> None:
    shown = links(Role.ADMINISTRATOR, "/desk/jobs/17/")
    assert [url for url, is_current in shown.items() if is_current] == [address("staff:jobs")]


def test_home_is_current_only_at_home() -> None:
    assert links(Role.ADMINISTRATOR, "/")["/"]
    assert not links(Role.ADMINISTRATOR, "/look/")["/"]


@pytest.mark.parametrize("role", Role.values)
def test_every_role_has_somewhere_to_go(role: str) -> None:
    assert "/" in links(role)


def test_no_address_stands_twice() -> None:
    names = [item.url_name for group in NAVIGATION for item in group.items]
    assert len(names) == len(set(names))
