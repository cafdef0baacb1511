"""A job as the person who started it watches it."""

from collections.abc import Callable

from django.utils import timezone
from playwright.sync_api import expect

from staff.models import Job
from tests.browser.conftest import Desk


def test_a_job_moves_before_the_eyes_and_stops_when_asked(desk: Callable[..., Desk]) -> None:
    job = Job.objects.create(
        kind="import", title="Import a.csv", state="running", attempt=1, total=1000, started_at=timezone.now()
    )
    tab = desk()
    page = tab.open(job.get_absolute_url())
    Job.objects.filter(pk=job.pk).update(done=400, step="Copying rows")
    expect(page.get_by_text("400 of 1,000 · 40%")).to_be_visible()
    expect(page.get_by_text("Copying rows")).to_be_visible()
    page.get_by_role("button", name="Cancel").click()
    expect(page.get_by_role("button", name="Stopping…")).to_be_disabled()
    job.refresh_from_db()
    assert job.cancel_requested
    Job.objects.filter(pk=job.pk).update(state="cancelled", finished_at=timezone.now())
    expect(page.get_by_text("Cancelled after 400 of 1,000.")).to_be_visible()
    assert page.locator("[hx-get*='/desk/jobs/']").count() == 0, "it polls on after the end"


def test_the_list_of_jobs_follows_while_one_is_under_way(desk: Callable[..., Desk]) -> None:
    job = Job.objects.create(kind="import", title="Import a.csv", state="queued")
    page = desk().open("/desk/jobs/?state=")
    Job.objects.filter(pk=job.pk).update(
        state="done", finished_at=timezone.now(), result={"summary": "17,000 members added."}
    )
    expect(page.get_by_text("17,000 members added.")).to_be_visible()
