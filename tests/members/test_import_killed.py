"""The power fails in the middle of an import."""

import os
import signal
import subprocess
import sys
from datetime import timedelta
from pathlib import Path
from typing import Any
from urllib.parse import quote

import psycopg
import pytest
from django.db import connection
from django.utils import timezone

from members.models import ImportRun, Interaction
from staff import jobs
from staff.models import Job
from tests.conftest import CHECKOUT, wait_until
from tests.factories import make_member
from tests.members.imports import written

BLOCKED = """
    SELECT pid FROM pg_stat_activity
    WHERE datname = current_database() AND wait_event_type = 'Lock'
        AND query ILIKE '%%INSERT INTO members_interaction%%'
"""


@pytest.fixture
def onlooker(transactional_db: None) -> Any:
    """A second connection to the test's database."""
    with psycopg.connect(**connection.get_connection_params()) as second:
        yield second


def start_import(path: Path, media: Path, settings: Any) -> "subprocess.Popen[bytes]":
    """The command, in a process of its own, on the test's database."""
    database = connection.settings_dict
    login = f"{quote(database['USER'])}:{quote(database['PASSWORD'] or '')}"
    return subprocess.Popen(
        [sys.executable, "manage.py", "import", "interactions", str(path)],
        cwd=CHECKOUT,
        env=os.environ
        | {
            "STEADFAST_MODE": "test",
            "DJANGO_SETTINGS_MODULE": "config.settings",
            "DATABASE_URL": f"postgresql://{login}@{database['HOST']}:{database['PORT']}/{quote(str(database['NAME']))}",
            "REDIS_URL": settings.REDIS_URL,
            "SECRET_KEY": settings.SECRET_KEY,
            "MEDIA_ROOT": str(media),
        },
    )


def test_a_killed_import_leaves_nothing_half_written_and_can_be_run_again(
    onlooker: "psycopg.Connection[Any]", tmp_path: Path, settings: Any
) -> None:
    member = make_member(external_id="m1")
    rows = "".join(f"m1,visit,2024-01-01T00:{n // 60:02}:{n % 60:02}Z\n" for n in range(3_000))
    path = written(tmp_path, "person,event,time\n" + rows)
    # Others may read; the import comes as far as its first INSERT and no further.
    onlooker.execute("LOCK TABLE members_interaction IN SHARE MODE")
    process = start_import(path, tmp_path / "media", settings)

    wait_until(lambda: ImportRun.objects.filter(state=ImportRun.State.RUNNING).exists())
    with psycopg.connect(**connection.get_connection_params(), autocommit=True) as third:
        wait_until(lambda: third.execute(BLOCKED).fetchone())
        os.kill(process.pid, signal.SIGKILL)
        process.wait()
        onlooker.rollback()
        wait_until(lambda: not third.execute(BLOCKED).fetchone())
        tables = "SELECT count(*) FROM pg_class WHERE relname IN ('import_raw', 'import_rows')"
        wait_until(lambda: third.execute(tables).fetchone() == (0,))

    run = ImportRun.objects.get()
    assert run.state == ImportRun.State.RUNNING
    assert not Interaction.objects.exists()

    # A minute later the beat finds that its worker is silent, and another one takes the job.
    Job.objects.update(heartbeat_at=timezone.now() - timedelta(minutes=5))
    assert run.job is not None
    again = jobs.run(run.job.pk)

    assert again is not None
    assert again.state == Job.State.DONE
    run.refresh_from_db()
    assert (run.state, run.rows_added) == (ImportRun.State.DONE, 3_000)
    assert Interaction.objects.filter(member=member).count() == 3_000
