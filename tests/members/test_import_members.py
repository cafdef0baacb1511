from pathlib import Path

import pytest
from django.utils import timezone

from loyalty.models import Tier, TierStanding
from loyalty.programme import ensure_defaults
from members.importing import runs
from members.importing.options import Options
from members.models import ImportRun, Member
from tests.members.imports import (
    bring_in,
    refused,
    tried,
    written,
)

pytestmark = pytest.mark.django_db


def test_a_changed_row_updates_its_member_and_an_undo_gives_back_what_was(tmp_path: Path) -> None:
    header = "id,email,mobile,City,email opt in\n"
    bring_in("members", written(tmp_path, header + "a1,Li@Example.com,138 0013 8000,Xi'an,yes\nb2,,,,\n"))
    member = Member.objects.get(external_id="a1")
    assert (member.email, member.phone, member.attributes) == ("li@example.com", "+8613800138000", {"City": "Xi'an"})
    assert member.consents.get().granted is True

    change = bring_in("members", written(tmp_path, header + "a1,new@example.com,,Wuhan,no\nb2,,,,\n"))

    assert (change.rows_updated, change.rows_unchanged) == (1, 1)
    member.refresh_from_db()
    assert (member.email, member.phone, member.attributes["City"]) == ("new@example.com", "+8613800138000", "Wuhan")
    assert member.consents.get().granted is False
    runs.undo(change, user=None)
    member.refresh_from_db()
    assert (member.email, member.attributes["City"]) == ("li@example.com", "Xi'an")
    assert member.consents.get().granted is True


def test_bad_rows_are_named_and_nothing_is_written_unless_good_rows_are_kept(tmp_path: Path) -> None:
    path = written(
        tmp_path,
        "id,e-mail,birthday,gender,time zone\n"
        "a,a@example.com,1990-02-30,F,\n"
        "b,not-an-address,1990-02-28,female,\n"
        "c,c@example.com,1990-02-28,whale,Mars/Base\n"
        "d,d@example.com,1990-02-28,女,Asia/Shanghai\n"
        "d,other@example.com,1990-02-28,女,\n",
    )
    sentence, errors = refused("members", path)

    assert sentence == "4 of 5 rows are not right. Nothing was written."
    assert not Member.objects.exists()
    assert [(error["row"], error["column"], error["value"]) for error in errors] == [
        (2, "birthday", "1990-02-30"),
        (3, "e-mail", "not-an-address"),
        (4, "gender", "whale"),
        (4, "time zone", "Mars/Base"),
        (6, "id", "d"),
    ]
    assert errors[0]["reason"] == "is not a date in the form ISO 8601 (2026-11-22)"
    kept = bring_in("members", path, Options(keep_good_rows=True))
    assert (kept.rows_added, kept.rows_refused) == (1, 4)
    assert Member.objects.get().external_id == "d"
    assert kept.state == ImportRun.State.DONE


def test_a_dry_run_counts_and_writes_nothing(tmp_path: Path) -> None:
    findings = tried("members", written(tmp_path, "会员号,手机号\nA-1,13800138000\nA-1,13800138000\n"))
    assert (findings.rows, findings.added, findings.unchanged) == (2, 1, 1)
    assert findings.columns == {"会员号": "number", "手机号": "phone"}
    assert not Member.objects.exists()


def test_a_tier_that_was_only_derived_keeps_nobody_from_being_taken_back(tmp_path: Path) -> None:
    ensure_defaults()
    run = bring_in("members", written(tmp_path, "id\na1\n"))
    member = Member.objects.get()
    TierStanding.objects.create(
        member=member, tier=Tier.objects.first(), since=timezone.now(), evaluated_at=timezone.now()
    )
    runs.undo(run, user=None)
    assert not Member.objects.exists()
