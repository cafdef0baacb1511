"""Doors for the Celery workers. Everything here may be called twice, at once, or not at all for a while."""

from celery import shared_task
from django.conf import settings
from django.utils import timezone

from campaigns import delivery, runs

# A delivery task that nobody took by then is not needed: the next tick asks again.
EXPIRES_SECONDS = 6


@shared_task
def tick() -> None:
    """Every few seconds: begin what is due, find what dead workers left, call workers to open runs."""
    delivery.sweep()
    runs.start_due()
    runs.skip_the_rest_of_cancelled()
    for run_id in delivery.due_runs(timezone.now()):
        for _place in range(settings.CAMPAIGN_WORKERS_PER_RUN):
            deliver.apply_async((run_id,), expires=EXPIRES_SECONDS)
    delivery.finish_all()


@shared_task
def deliver(run_id: int) -> None:
    """Deliver one run for a while."""
    delivery.deliver(run_id)
