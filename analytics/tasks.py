"""Celery's doors into this room."""

from celery import shared_task

from analytics import collect, valuing


@shared_task
def collect_facts() -> None:
    """Bring the figures up to date. Repeatable; a second one at the same time finds the lock taken."""
    collect.collect()


@shared_task
def value_members() -> None:
    """Nightly: say of every member what they will probably spend in the next 12 months."""
    valuing.start(user=None)
