"""Doors for the Celery workers."""

from celery import shared_task

from staff import idempotency, jobs


@shared_task
def run_job(job_id: int) -> None:
    """Do one job."""
    jobs.run(job_id)


@shared_task
def revive_jobs() -> None:
    """Bring back the jobs of dead workers."""
    jobs.revive()


@shared_task
def forget_requests() -> None:
    """Remove the answers that nobody will ask for again."""
    idempotency.forget()
