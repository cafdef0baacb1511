"""Doors for the Celery workers."""

from celery import shared_task

from config import health


@shared_task
def heartbeat() -> None:
    """Note that beat and a worker are alive."""
    health.note_heartbeat()
