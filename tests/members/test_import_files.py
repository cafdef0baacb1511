"""What becomes of uploaded files: kept while they are needed, then deleted."""

import os
import time
from datetime import timedelta
from pathlib import Path

import pytest
from django.core.files.uploadedfile import SimpleUploadedFile
from django.utils import timezone

from members.importing import runs
from members.importing.options import Options
from members.importing.uploads import keep_upload
from members.models import ImportRun, Member
from tests.members.imports import silent

pytestmark = pytest.mark.django_db


def kept(text: str = "id\na1\n") -> Path:
    return keep_upload(SimpleUploadedFile("people.csv", text.encode()))


def uploaded(text: str = "id\na1\n") -> ImportRun:
    return runs.create(kind="members", path=kept(text), file_name="people.csv", options=Options(), user=None)


def test_a_file_is_deleted_once_its_rows_are_in() -> None:
    run = uploaded()
    path = Path(run.path)
    runs.perform(run, silent)
    run.refresh_from_db()
    assert (path.exists(), run.path, Member.objects.count()) == (False, "", 1)
    with pytest.raises(runs.Refused, match="run already"):
        runs.perform(run, silent)


def test_removing_a_run_removes_its_files() -> None:
    run = uploaded("id,email\na1,nobody\n")
    runs.check(run, silent)
    files = [Path(run.path), Path(run.error_path)]
    assert all(file.exists() for file in files)
    runs.remove(run, user=None)
    assert not any(file.exists() for file in files)
    assert not ImportRun.objects.exists()


def test_the_sweep_deletes_what_belongs_to_no_run_or_was_left_lying() -> None:
    needed, stale, fresh = uploaded(), uploaded(), kept()
    orphan = kept()
    ImportRun.objects.filter(pk=stale.pk).update(created_at=timezone.now() - timedelta(days=31))
    long_ago = time.time() - 2 * 24 * 3600
    for path in (needed.path, stale.path, str(orphan)):
        os.utime(path, (long_ago, long_ago))
    runs.sweep()
    assert Path(needed.path).exists()
    assert fresh.exists()
    assert not Path(stale.path).exists()
    assert not orphan.exists()
