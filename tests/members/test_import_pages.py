"""The import pages, by the test client: the same steps as a person takes."""

from pathlib import Path
from typing import Any

import pytest
from django.core.files.uploadedfile import SimpleUploadedFile
from django.test import Client
from django.urls import reverse
from django.utils import translation
from pytest_django import DjangoCaptureOnCommitCallbacks

from campaigns import acts as campaigns_acts
from loyalty import acts as loyalty_acts
from members import acts
from members.importing import withdrawal
from members.models import ImportRun, Member
from staff import jobs
from staff.models import AuditEntry, Job
from tests.factories import make_member, make_user

pytestmark = pytest.mark.django_db

PEOPLE = "id,joined,age\na1,20240229,118\nb2,20240301,40\n"


@pytest.fixture(autouse=True)
def _media(settings: Any, tmp_path: Path) -> None:
    settings.MEDIA_ROOT = tmp_path / "media"


@pytest.fixture
def desk(client: Client) -> Client:
    """A marketing manager's browser."""
    client.force_login(make_user("marketing_manager"))
    return client


def upload(desk: Client, content: str, *, kind: str = "members", name: str = "people.csv") -> Any:
    file = SimpleUploadedFile(name, content.encode())
    return desk.post(reverse("members:import_new"), {"kind": kind, "file": file})


def do_job(run: ImportRun) -> Job:
    run.refresh_from_db()
    assert run.job is not None
    jobs.run(run.job.pk)
    run.refresh_from_db()
    return Job.objects.get(pk=run.job.pk)


def post_columns(desk: Client, run: ImportRun, **changes: str) -> Any:
    """Fill in the form of the columns as the page shows it, with some changes."""
    page = desk.get(reverse("members:import_columns", args=[run.pk]))
    data: dict[str, str] = {}
    for form, _samples in page.context["rows"]:
        data |= {form.add_prefix(name): form[name].value() or "" for name in form.fields}
    return desk.post(reverse("members:import_columns", args=[run.pk]), data | changes)


def test_a_file_is_chosen_mapped_checked_brought_in_and_taken_back(
    desk: Client, django_capture_on_commit_callbacks: DjangoCaptureOnCommitCallbacks
) -> None:
    upload(desk, PEOPLE)
    run = ImportRun.objects.get()
    page = desk.get(reverse("members:import_columns", args=[run.pk]))
    assert "20240229 is not a date or time in the form ISO 8601" in " ".join(page.content.decode().split())

    live = desk.post(
        reverse("members:import_columns", args=[run.pk]),
        {"c1-target": "external_id", "c2-target": "joined_at", "c2-date_format": "YYYYMMDD", "c3-target": "+"},
        headers={"hx-request": "true"},
    )
    assert "29 Feb 2024" in live.content.decode() or "Feb" in live.content.decode()
    assert "is not a date or time" not in live.content.decode()

    post_columns(desk, run, **{"c2-date_format": "YYYYMMDD", "c3-translations": "118 ="})
    assert do_job(run).state == "done"
    assert (run.state, run.rows_added) == ("checked", 2)
    assert "2 rows to add" in desk.get(reverse("members:import", args=[run.pk])).content.decode()
    assert not Member.objects.exists()

    desk.post(reverse("members:import_start", args=[run.pk]))
    assert do_job(run).state == "done"
    assert (run.state, run.path) == ("done", "")
    assert Member.objects.get(external_id="a1").attributes == {}
    assert Member.objects.get(external_id="b2").attributes == {"age": 40}

    question = desk.get(reverse("members:import_undo", args=[run.pk])).content.decode()
    assert "members are removed" in question
    desk.post(reverse("members:import_undo", args=[run.pk]))
    assert do_job(run).state == "done"
    assert run.state == "undone"
    assert not Member.objects.exists()
    acts = list(AuditEntry.objects.filter(action__startswith="import.").order_by("id").values_list("action", flat=True))
    assert acts == ["import.start", "import.done", "import.undo"]


def test_bad_rows_are_shown_offered_as_a_file_and_left_out_only_on_request(desk: Client) -> None:
    upload(desk, "id,email\na1,=cmd()\nb2,b@example.com\n")
    run = ImportRun.objects.get()
    post_columns(desk, run)
    do_job(run)
    page = desk.get(reverse("members:import", args=[run.pk])).content.decode()
    assert "is not an e-mail address" in page
    assert "Import the good rows only" in page
    file = b"".join(desk.get(reverse("members:import_errors", args=[run.pk])).streaming_content).decode("utf-8-sig")
    assert file.splitlines() == [
        "row,column,reason,value,id,email",
        "2,email,is not an e-mail address,'=cmd(),a1,'=cmd()",
    ]
    desk.post(reverse("members:import_start", args=[run.pk]), {"keep_good_rows": "on"})
    do_job(run)
    assert (run.state, run.rows_added, run.rows_refused) == ("done", 1, 1)


def test_what_is_no_table_is_refused_at_the_upload(desk: Client, settings: Any) -> None:
    settings.IMPORT_MAX_BYTES = 1000
    assert "The file has no header" in upload(desk, " ").content.decode()
    assert "stands twice" in upload(desk, "id,id\n1,2\n").content.decode()
    assert "The file is larger than" in upload(desk, "id\n" + "1\n" * 1000).content.decode()
    assert not ImportRun.objects.exists()
    assert not list((Path(settings.MEDIA_ROOT) / "imports").iterdir())


def test_an_import_that_others_have_built_on_says_what_stays(desk: Client) -> None:
    upload(desk, PEOPLE)
    run = ImportRun.objects.get()
    post_columns(desk, run, **{"c2-date_format": "YYYYMMDD"})
    do_job(run)
    desk.post(reverse("members:import_start", args=[run.pk]))
    do_job(run)
    from tests.factories import make_purchase

    make_purchase(Member.objects.get(external_id="a1"))
    make_purchase(make_member())
    question = " ".join(desk.get(reverse("members:import_undo", args=[run.pk])).content.decode().split())
    assert "<dt>members are removed</dt><dd>1</dd>" in question
    assert "<dt>members stay, because they have gained something since</dt><dd>1</dd>" in question
    assert "<dt>purchases</dt><dd>1</dd>" in question
    desk.post(reverse("members:import_undo", args=[run.pk]))
    do_job(run)
    assert Member.objects.filter(external_id="a1").exists()
    assert not Member.objects.filter(external_id="b2").exists()


def test_what_keeps_members_is_named_in_words_that_can_be_translated() -> None:
    known = {*acts.NAMES, *loyalty_acts.NAMES, *campaigns_acts.NAMES}
    with translation.override("en"):
        assert {str(one.words) for one in withdrawal._relations() if not one.is_history} <= known
