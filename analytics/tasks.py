"""Celery's doors into this room."""

from celery import shared_task

from analytics import collect


@shared_task
def collect_facts() -> None:
    """Bring the figures up to date. Repeatable; a second one at the same time finds the lock taken."""
    collect.collect()
