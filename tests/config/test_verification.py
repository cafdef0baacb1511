"""``manage.py verify`` and the health page tell the same: what holds, and the rows that break what does not."""

import json
from io import StringIO
from typing import Any

import pytest
from django.core.management import call_command
from django.db import connection
from django.test import Client

from config import verification
from staff import jobs
from staff.permissions import Role
from tests.factories import make_member, make_user


class EveryMemberHasAPhone:
    """A check that can be broken without going behind the database's back."""

    key, invariant, name = "phone", 1, "Every member has a phone"

    def offending(self) -> list[dict[str, Any]]:
        with connection.cursor() as cursor:
            cursor.execute("SELECT number, joined_at FROM members_member WHERE phone = ''")
            return [{"number": number, "joined_at": joined} for number, joined in cursor.fetchall()]


@pytest.fixture
def one_check(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(verification, "checks", lambda: [EveryMemberHasAPhone()])


def verify(*options: str) -> tuple[int, str]:
    out = StringIO()
    try:
        call_command("verify", *options, stdout=out)
    except SystemExit as end:
        return int(end.code or 0), out.getvalue()
    return 0, out.getvalue()


@pytest.mark.django_db
def test_every_check_of_the_rooms_holds_over_an_empty_programme():
    code, said = verify("--json")
    assert code == 0
    assert all(check["ok"] for check in json.loads(said)["checks"])


@pytest.mark.django_db
def test_a_broken_check_exits_1_and_names_the_rows(one_check: None):
    make_member()
    assert verify()[0] == 0
    make_member(number="M-1", phone="")
    code, said = verify()
    assert code == 1
    assert "BROKEN  Every member has a phone\n        number=M-1, joined_at=2022-01-03" in said
    code, said = verify("--json")
    assert code == 1
    assert [row["number"] for row in json.loads(said)["checks"][0]["offending"]] == ["M-1"]


@pytest.mark.django_db
def test_the_health_page_shows_what_the_last_verification_found(client: Client, one_check: None):
    client.force_login(make_user(Role.ADMINISTRATOR))
    assert "The data was not verified yet" in client.get("/desk/health/").text
    make_member(number="M-1", phone="")
    verify()
    page = client.get("/desk/health/").text
    assert "1 check does not hold." in page
    assert "M-1" in page


@pytest.mark.django_db
def test_verify_now_starts_one_job_and_shows_it_until_it_is_over(client: Client, one_check: None):
    client.force_login(make_user(Role.ADMINISTRATOR))
    first = client.post("/desk/health/verification/").text
    client.post("/desk/health/verification/")
    job = verification.running()
    assert job is not None
    assert 'hx-trigger="every 1s"' in first
    jobs.run(job.pk)
    assert verification.running() is None
    after = client.get("/desk/health/verification/").text
    assert "The one check holds." in after
    assert "hx-trigger" not in after
