"""A job on the way it takes in production: committed, announced by the broker, done in another process."""

from django.db import transaction

from members.importing import background
from staff import jobs
from staff.models import Job
from tests.conftest import Worker, wait_until
from tests.factories import make_user


def test_a_worker_takes_the_job_after_the_commit_and_tells_the_person_what_went_wrong(worker: Worker) -> None:
    with transaction.atomic():
        job = jobs.start(background.CHECK, title="Check a file", payload={"run": 0}, user=make_user())
        assert job.state == Job.State.QUEUED

    def is_over() -> bool:
        job.refresh_from_db()
        return job.is_over

    wait_until(is_over)
    assert (job.state, job.attempt) == (Job.State.FAILED, 1)
    reference = job.error.split("reference ")[1][:8]
    wait_until(lambda: reference in worker.log.read_text())  # the row is there before the line
