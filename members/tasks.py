"""Doors for the Celery workers."""

from celery import shared_task
from django.utils import timezone

from members import segments
from members.importing import runs


@shared_task
def sweep_imports() -> None:
    """Delete files of imports that nobody needs any more."""
    runs.sweep()


@shared_task
def build_segments() -> None:
    """Every few minutes: build the segments whose hour or day has come."""
    segments.start_due(timezone.now())
