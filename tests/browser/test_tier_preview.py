"""Who would move under other thresholds, asked for in the form of the tiers."""

from collections.abc import Callable
from decimal import Decimal

from django.utils import timezone
from playwright.sync_api import expect

from loyalty import programme
from loyalty.intake import record_purchase
from loyalty.models import Tier
from loyalty.tiers import preview
from staff import jobs
from staff.models import Job
from staff.permissions import Role
from tests.browser.conftest import Desk
from tests.factories import make_member


def test_a_changed_threshold_is_counted_below_the_form_and_survives_the_way_back(desk: Callable[..., Desk]) -> None:
    programme.ensure_defaults()
    record_purchase(member_id=make_member().pk, key="k", purchased_at=timezone.now(), amount=Decimal(8_500))
    page = desk(Role.MARKETING_MANAGER).open("/programme/tiers/")
    threshold = page.locator(f"[name=spend_{Tier.objects.get(key='gold').pk}]")
    asked: list[str] = []
    page.on("request", lambda request: asked.append(request.url))
    threshold.fill("9001")
    threshold.blur()
    expect(page.locator("#tier-moves")).to_contain_text("waiting for a worker")
    jobs.run_inline(Job.objects.get(kind=preview.JOB))
    moved = page.get_by_text("1 member would lose Gold and be Silver.")
    expect(moved).to_be_visible()
    assert not [url for url in asked if "csrf" in url or "spend_" in url]
    moved.click()
    page.wait_for_url("**/members/**")
    page.go_back()
    expect(threshold).to_have_value("9001")
    expect(moved).to_be_visible()
