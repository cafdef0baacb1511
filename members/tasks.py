"""Doors for the Celery workers."""

from celery import shared_task

from members.importing import runs


@shared_task
def sweep_imports() -> None:
    """Delete files of imports that nobody needs any more."""
    runs.sweep()
