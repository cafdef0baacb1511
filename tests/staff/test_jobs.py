"""Background jobs on a real database: who takes them, what is seen of them, and how they end."""

import threading
from collections.abc import Iterator
from datetime import timedelta
from io import StringIO
from typing import Any

import psycopg
import pytest
from django.db import connection, transaction
from django.utils import timezone
from pytest_django import DjangoCaptureOnCommitCallbacks

from staff import jobs, progress
from staff.models import Job
from staff.progress import Progress
from staff.terminal import ProgressLine
from tests.factories import make_user

KIND = "test-job"


@pytest.fixture
def do(monkeypatch: pytest.MonkeyPatch) -> Iterator[Any]:
    """Registers a handler for one test."""

    def register(function: jobs.Handler) -> None:
        monkeypatch.setitem(jobs._handlers, KIND, function)

    return register


def make_job(**fields: Any) -> Job:
    return Job.objects.create(**({"kind": KIND, "title": "Count the sheep"} | fields))


def nothing(job: Job, progress: Progress) -> dict[str, Any]:
    return {"summary": "4 sheep counted."}


@pytest.fixture
def onlooker(transactional_db: None) -> Iterator[psycopg.Connection[Any]]:
    """A second pair of eyes on the database: another web process."""
    with psycopg.connect(**connection.get_connection_params(), autocommit=True) as second:
        yield second


def test_a_job_ends_with_its_result(db: None, do: Any) -> None:
    do(nothing)
    job = jobs.run(make_job().pk)
    assert job is not None
    assert (job.state, job.result, job.attempt) == ("done", {"summary": "4 sheep counted."}, 1)
    assert job.started_at <= job.finished_at


def test_a_job_is_announced_only_when_its_transaction_is_committed(
    db: None, do: Any, django_capture_on_commit_callbacks: DjangoCaptureOnCommitCallbacks
) -> None:
    do(nothing)
    with django_capture_on_commit_callbacks() as callbacks:
        jobs.start(KIND, title="Count", payload={"a": 1}, user=make_user())
    assert len(callbacks) == 1


def test_a_job_of_an_unknown_kind_is_refused_at_the_start(db: None) -> None:
    with pytest.raises(LookupError, match="no-such-kind"):
        jobs.start("no-such-kind", title="x", payload={}, user=None)


def test_two_workers_never_do_one_job(transactional_db: None, do: Any) -> None:
    done: list[int] = []
    together = threading.Barrier(2)

    def handler(job: Job, progress: Progress) -> dict[str, Any]:
        done.append(job.pk)
        return {}

    do(handler)
    job = make_job()

    def worker() -> None:
        together.wait()
        jobs.run(job.pk)
        connection.close()

    workers = [threading.Thread(target=worker) for _ in range(2)]
    for thread in workers:
        thread.start()
    for thread in workers:
        thread.join()
    assert done == [job.pk]


def test_a_running_job_is_left_alone_until_its_worker_is_silent(db: None, do: Any) -> None:
    do(nothing)
    job = make_job(state="running", attempt=1, heartbeat_at=timezone.now() - timedelta(seconds=20))
    assert jobs.run(job.pk) is None
    Job.objects.filter(pk=job.pk).update(heartbeat_at=timezone.now() - timedelta(minutes=2))
    again = jobs.run(job.pk)
    assert again is not None
    assert (again.state, again.attempt) == ("done", 2)


def test_progress_shows_while_the_transaction_of_the_handler_is_open(
    onlooker: psycopg.Connection[Any], do: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen: list[Any] = []

    def handler(job: Job, progress: Progress) -> dict[str, Any]:
        with transaction.atomic():
            make_user()
            progress.update(250, total=1000, step="Copying rows")
            seen.extend(onlooker.execute("SELECT done, total, step FROM staff_job").fetchall())
            seen.extend(onlooker.execute("SELECT count(*) FROM staff_user").fetchone())
        return {}

    do(handler)
    jobs.run(make_job().pk)
    assert seen == [(250, 1000, "Copying rows"), 0]


def test_progress_may_be_reported_for_every_row_and_is_written_twice_a_second(
    onlooker: psycopg.Connection[Any], do: Any
) -> None:
    def handler(job: Job, progress: Progress) -> dict[str, Any]:
        progress.update(0, total=10_000, step="Rows")
        for row in range(10_001):
            progress.update(row)
        return {"seen": onlooker.execute("SELECT done FROM staff_job").fetchone()[0]}

    do(handler)
    job = jobs.run(make_job().pk)
    assert job is not None
    assert job.result["seen"] < 10_000
    assert (job.done, job.percent) == (10_000, 100)


def test_a_cancelled_job_stops_at_its_next_report_and_keeps_nothing(onlooker: psycopg.Connection[Any], do: Any) -> None:
    def handler(job: Job, progress: Progress) -> dict[str, Any]:
        with transaction.atomic():
            make_user()
            onlooker.execute("UPDATE staff_job SET cancel_requested = true")
            progress.update(1, step="Next")
        return {}

    do(handler)
    job = jobs.run(make_job().pk)
    assert job is not None
    assert (job.state, job.error) == ("cancelled", "")
    assert onlooker.execute("SELECT count(*) FROM staff_user").fetchone() == (0,)


def test_a_cancel_stops_a_long_statement_where_the_handler_allows_it(
    onlooker: psycopg.Connection[Any], do: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(progress, "HEARTBEAT_SECONDS", 0.05)

    def handler(job: Job, progress: Progress) -> dict[str, Any]:
        onlooker.execute("UPDATE staff_job SET cancel_requested = true")
        with progress.interruptible(), transaction.atomic(), connection.cursor() as cursor:
            cursor.execute("SELECT pg_sleep(60)")
        return {}

    do(handler)
    job = jobs.run(make_job().pk)
    assert job is not None
    assert job.state == "cancelled"
    assert job.duration < timedelta(seconds=10)


def test_the_heart_beats_during_a_long_statement(
    onlooker: psycopg.Connection[Any], do: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(progress, "HEARTBEAT_SECONDS", 0.05)

    def handler(job: Job, progress: Progress) -> dict[str, Any]:
        with connection.cursor() as cursor:
            cursor.execute("SELECT pg_sleep(0.5)")
        beat = onlooker.execute("SELECT heartbeat_at FROM staff_job").fetchone()[0]
        return {"beats": beat > job.heartbeat_at}

    do(handler)
    job = jobs.run(make_job().pk)
    assert job is not None
    assert job.result == {"beats": True}


def test_a_worker_that_comes_back_after_its_job_was_taken_writes_nothing(
    onlooker: psycopg.Connection[Any], do: Any
) -> None:
    def handler(job: Job, progress: Progress) -> dict[str, Any]:
        onlooker.execute("UPDATE staff_job SET attempt = attempt + 1, done = 7")  # another worker took it
        progress.update(1, step="Late")
        return {"late": True}

    do(handler)
    job = make_job()
    jobs.run(job.pk)
    job.refresh_from_db()
    assert (job.state, job.done, job.step, job.result) == ("running", 7, "", {})


def test_a_failure_is_shown_in_its_own_words(db: None, do: Any) -> None:
    def handler(job: Job, progress: Progress) -> dict[str, Any]:
        raise jobs.Failed("Row 12: “31.02.2024” is not a date.")

    do(handler)
    job = jobs.run(make_job().pk)
    assert job is not None
    assert (job.state, job.error) == ("failed", "Row 12: “31.02.2024” is not a date.")


def test_an_unexpected_error_is_logged_and_shown_only_by_its_reference(
    db: None, do: Any, caplog: pytest.LogCaptureFixture
) -> None:
    def handler(job: Job, progress: Progress) -> dict[str, Any]:
        raise RuntimeError("password=hunter2")

    do(handler)
    job = jobs.run(make_job().pk)
    assert job is not None
    reference = job.error.split("reference ")[1][:8]
    assert "hunter2" not in job.error
    assert reference in caplog.text
    assert "hunter2" in caplog.text


def test_a_waiting_job_is_cancelled_at_once_and_an_ended_one_not_at_all(db: None) -> None:
    waiting, over = make_job(), make_job(state="done", finished_at=timezone.now())
    assert jobs.cancel(waiting)
    assert not jobs.cancel(over)
    waiting.refresh_from_db()
    assert waiting.state == "cancelled"
    assert jobs.run(waiting.pk) is None


def test_jobs_of_dead_workers_are_handed_out_again_and_given_up_after_three_times(db: None) -> None:
    silent = timezone.now() - timedelta(minutes=5)
    alive = make_job(state="running", attempt=1, heartbeat_at=timezone.now())
    dead = make_job(state="running", attempt=1, heartbeat_at=silent)
    deadly = make_job(state="running", attempt=3, heartbeat_at=silent)
    lost = make_job(queued_at=timezone.now() - timedelta(minutes=6))
    waiting = make_job()
    assert jobs.revive() == 2
    assert jobs.revive() == 0
    states = {job.pk: job.state for job in Job.objects.all()}
    assert states == {
        alive.pk: "running",
        dead.pk: "queued",
        deadly.pk: "failed",
        lost.pk: "queued",
        waiting.pk: "queued",
    }


def test_ctrl_c_cancels_a_job_of_the_command_line(db: None, do: Any) -> None:
    def handler(job: Job, progress: Progress) -> dict[str, Any]:
        raise KeyboardInterrupt

    do(handler)
    assert jobs.run_inline(jobs.create(KIND, title="Count", payload={}, user=None)).state == "cancelled"


def test_the_terminal_gets_a_line_per_step_with_figures(db: None, do: Any) -> None:
    def handler(job: Job, progress: Progress) -> dict[str, Any]:
        progress.update(0, total=2000, step="Copying rows")
        progress.update(1020, step="Adding members")
        return {}

    do(handler)
    out = StringIO()
    jobs.run_inline(jobs.create(KIND, title="Count", payload={}, user=None), echo=ProgressLine(out))
    lines = out.getvalue().splitlines()
    assert lines[-2] == "Adding members  [############            ]  51%  1,020 of 2,000"
    assert lines[-1].startswith("done")
