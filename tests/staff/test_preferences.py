"""Language and theme: see staff/preferences.py."""

import pytest
from django.test import Client

from staff.permissions import Role
from tests.factories import make_user

pytestmark = pytest.mark.django_db


def test_a_signed_out_browser_keeps_theme_and_language_in_cookies(client: Client) -> None:
    client.post("/preferences/theme/", {"theme": "dark"})
    client.post("/preferences/language/", {"language": "zh-hans"})
    page = client.get("/accounts/login/").content.decode()
    assert 'lang="zh-hans"' in page
    assert 'data-theme="dark"' in page


def test_the_choice_of_a_person_follows_them_to_another_browser(client: Client) -> None:
    user = make_user(Role.EXECUTIVE)
    client.force_login(user)
    client.post("/preferences/theme/", {"theme": "dark"})
    client.post("/preferences/language/", {"language": "zh-hans"})
    elsewhere = Client()
    elsewhere.force_login(user)
    page = elsewhere.get("/look/").content.decode()
    assert 'lang="zh-hans"' in page
    assert 'data-theme="dark"' in page


@pytest.mark.parametrize(("what", "value"), [("theme", "pink"), ("language", "xx"), ("theme", "")])
def test_an_unknown_choice_is_refused(client: Client, what: str, value: str) -> None:
    assert client.post(f"/preferences/{what}/", {what: value}).status_code == 400


@pytest.mark.parametrize("target", ["https://evil.example/", "//evil.example/", "javascript:alert(1)"])
def test_the_way_back_never_leaves_the_desk(client: Client, target: str) -> None:
    assert client.post("/preferences/theme/", {"theme": "dark", "next": target}).headers["Location"] == "/"
