"""A real browser on the real pages: one Chromium for all tests of a process, a fresh context for each."""

import os
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any

import pytest
from axe_playwright_python.sync_playwright import Axe
from django.conf import settings
from django.contrib.auth import BACKEND_SESSION_KEY, HASH_SESSION_KEY, SESSION_KEY
from django.contrib.sessions.backends.db import SessionStore
from playwright.sync_api import Browser, ConsoleMessage, Page, expect, sync_playwright

from staff.models import User
from staff.permissions import Role
from tests.browser import chromium
from tests.factories import make_user

# Playwright's own event loop runs in this thread; the tests talk to the database between its steps.
os.environ["DJANGO_ALLOW_ASYNC_UNSAFE"] = "true"

SERIOUS = {"serious", "critical"}
PATIENCE = 15_000  # milliseconds: a slow machine that runs other tests beside this one

expect.set_options(timeout=PATIENCE)


@dataclass
class Desk:
    """The desk in a browser tab, signed in or not, and what went wrong in it."""

    page: Page
    base: str
    user: User | None = None
    problems: list[str] = field(default_factory=list)

    def open(self, path: str) -> Page:
        """Go to a page and wait until it is quiet and its charts stand."""
        self.page.goto(self.base + path)
        self.settle()
        return self.page

    def settle(self) -> None:
        """Wait for partials in flight and for charts."""
        expect(self.page.locator(".htmx-request")).to_have_count(0)
        expect(self.page.locator("[data-chart]:not([data-drawn])")).to_have_count(0)

    def show(self, theme: str) -> None:
        """Switch to light or dark without loading the page again."""
        self.page.evaluate(
            "theme => { document.documentElement.dataset.theme = theme;"
            " document.dispatchEvent(new CustomEvent('theme:change')); }",
            theme,
        )
        self.settle()

    def barriers(self) -> list[str]:
        """What axe finds serious or critical, each with the elements it concerns."""
        found = Axe().run(self.page, options={"resultTypes": ["violations"]}).response["violations"]
        return [
            f"{rule['id']} ({rule['impact']}): {node['html'][:160]} {' '.join((node['failureSummary'] or '').split())}"
            for rule in found
            if rule["impact"] in SERIOUS
            for node in rule["nodes"]
        ]

    def overflow(self, width: int) -> str | None:
        """What sticks out at the right of a window of this width, if anything does."""
        self.page.set_viewport_size({"width": width, "height": 900})
        wide = self.page.evaluate("document.documentElement.scrollWidth")
        if wide <= width:
            return None
        culprit = self.page.evaluate(
            """width => [...document.querySelectorAll('body *')]
                .filter(element => element.getBoundingClientRect().right > width + 1)
                .map(element => element.outerHTML.slice(0, 160)).at(-1)""",
            width,
        )
        return f"{wide} px wide in a window of {width}: {culprit}"


@pytest.fixture(scope="session")
def browser() -> Iterator[Browser]:
    """One Chromium for this process."""
    path = chromium.find()
    if path is None:
        pytest.skip(chromium.MISSING)
    with sync_playwright() as playwright:
        running = playwright.chromium.launch(executable_path=path, args=chromium.FLAGS)
        yield running
        running.close()


@pytest.fixture
def desk(browser: Browser, live_server: Any) -> Iterator[Callable[..., Desk]]:
    """``desk(role)`` is a tab in which somebody of that role is signed in; ``desk(None)`` nobody.

    The test fails when a page raised an error or broke the content security policy.
    """
    opened: list[Desk] = []

    def open_tab(role: str | None = Role.ADMINISTRATOR, *, user: User | None = None, language: str = "en") -> Desk:
        context = browser.new_context(
            viewport={"width": 1280, "height": 900}, color_scheme="light", reduced_motion="reduce"
        )
        context.set_default_timeout(PATIENCE)
        tab = Desk(context.new_page(), live_server.url)
        tab.page.on("console", lambda message: _note(tab, message))
        tab.page.on("pageerror", lambda error: tab.problems.append(f"{tab.page.url}: {error}"))
        if role is not None or user is not None:
            tab.user = user or make_user(role or Role.ADMINISTRATOR, language=language)
            cookie = {"name": settings.SESSION_COOKIE_NAME, "value": session_of(tab.user), "url": live_server.url}
            context.add_cookies([cookie])  # type: ignore[list-item]
        opened.append(tab)
        return tab

    yield open_tab
    for tab in opened:
        tab.page.context.close()
    assert [problem for tab in opened for problem in tab.problems] == []


@pytest.fixture
def signed_in_page(desk: Callable[..., Desk]) -> Callable[[str], Page]:
    """``signed_in_page(role)`` is the bare Playwright page of ``desk(role)``."""
    return lambda role: desk(role).page


def session_of(user: User) -> str:
    """A session in which this person is signed in; the sign-in page has tests of its own."""
    session = SessionStore()
    session[SESSION_KEY] = str(user.pk)
    session[BACKEND_SESSION_KEY] = settings.AUTHENTICATION_BACKENDS[0]
    session[HASH_SESSION_KEY] = user.get_session_auth_hash()
    session.create()
    return str(session.session_key)


def _note(tab: Desk, message: ConsoleMessage) -> None:
    """Keep errors of scripts and of the policy; a refused request (404, 403) is the page's own business."""
    if message.type == "error" and "Failed to load resource" not in message.text:
        tab.problems.append(f"{tab.page.url}: {message.text}")
