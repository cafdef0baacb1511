#!/usr/bin/env python
"""Take a picture of one page of a running demo, signed in as one of its accounts::

    .venv/bin/python tests/browser/shoot.py /analytics/overview/ overview.png --role executive --dark

Prints what the page said on its console: there should be nothing.
"""

import argparse
import sys
from pathlib import Path
from urllib.parse import urljoin

from playwright.sync_api import Page, expect, sync_playwright

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

from tests.browser import chromium

PASSWORD = "steadfast-demo"
ACCOUNTS = {
    "administrator": "admin@steadfast.example",
    "marketing_manager": "marketing@steadfast.example",
    "customer_service": "service@steadfast.example",
    "executive": "executive@steadfast.example",
    "approver": "approver@steadfast.example",
}


def main() -> None:
    """Read the command line and take the picture."""
    options = arguments()
    path = chromium.find()
    if path is None:
        sys.exit(chromium.MISSING)
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=path, args=chromium.FLAGS)
        context = browser.new_context(viewport={"width": options.width, "height": options.height})
        page = context.new_page()
        page.on("console", lambda message: print(f"{message.type}: {message.text}"))
        page.on("pageerror", lambda error: print(f"error: {error}"))
        sign_in(page, options.base, options.role)
        prefer(page, options.base, theme="dark" if options.dark else "light", language=options.lang)
        page.goto(urljoin(options.base, options.url))
        page.wait_for_load_state("networkidle")
        expect(page.locator("[data-chart]:not([data-drawn])")).to_have_count(0)
        if options.click:
            page.locator(options.click).first.click()
            page.wait_for_load_state("networkidle")
        page.wait_for_timeout(300)
        page.screenshot(path=options.out, full_page=not options.fold)
        browser.close()


def arguments() -> argparse.Namespace:
    """What to take a picture of, and how."""
    parser = argparse.ArgumentParser(description="Take a picture of one page of a running demo.")
    parser.add_argument("url", help="the page's address on the desk: /members/")
    parser.add_argument("out", help="the PNG file")
    parser.add_argument("--width", type=int, default=1440)
    parser.add_argument("--height", type=int, default=1000)
    parser.add_argument("--fold", action="store_true", help="only what shows without scrolling")
    parser.add_argument("--dark", action="store_true")
    parser.add_argument("--lang", default="en", choices=["en", "zh-hans"])
    parser.add_argument("--role", default="marketing_manager", choices=[*ACCOUNTS, "nobody"])
    parser.add_argument("--base", default="http://127.0.0.1:8000")
    parser.add_argument("--click", help="a CSS selector to click first")
    return parser.parse_args()


def sign_in(page: Page, base: str, role: str) -> None:
    """Sign in with the demo's account of this role, through the page that people use."""
    if role == "nobody":
        return
    page.goto(urljoin(base, "/accounts/login/"))
    page.fill("[name=login]", ACCOUNTS[role])
    page.fill("[name=password]", PASSWORD)
    page.locator("main button").first.click()
    page.wait_for_url(lambda url: "/login" not in url)


def prefer(page: Page, base: str, *, theme: str, language: str) -> None:
    """Choose theme and language as the person would, for this account."""
    page.goto(urljoin(base, "/accounts/login/" if "login" in page.url or page.url == "about:blank" else "/"))
    token = page.locator("[name=csrfmiddlewaretoken]").first.get_attribute("value") or ""
    for name, value in (("theme", theme), ("language", language)):
        form = {name: value, "csrfmiddlewaretoken": token, "next": "/healthz"}
        page.request.post(urljoin(base, f"/preferences/{name}/"), form=form, headers={"Referer": base})


if __name__ == "__main__":
    main()
