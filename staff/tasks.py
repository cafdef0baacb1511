"""Doors for the Celery workers."""

from celery import shared_task

from staff import jobs


@shared_task
def run_job(job_id: int) -> None:
    """Do one job."""
    jobs.run(job_id)


@shared_task
def revive_jobs() -> None:
    """Bring back the jobs of dead workers."""
    jobs.revive()
