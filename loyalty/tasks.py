"""Doors for the Celery workers."""

from celery import shared_task
from django.utils import timezone
from django.utils.translation import gettext as _

from loyalty import gifts, rules
from loyalty.ledger import expiry, sealing
from loyalty.tiers import recalculation
from staff import jobs


@shared_task
def expire_points() -> None:
    """Nightly: take out points whose expiry has passed."""
    jobs.start(expiry.JOB, title=_("Expire points"), payload={}, user=None)


@shared_task
def recalculate_tiers() -> None:
    """Nightly: find members whose tier ends or changes without their doing anything."""
    jobs.start(recalculation.JOB, title=_("Look at all tiers"), payload={}, user=None)


@shared_task
def seal_ledger() -> None:
    """Every few minutes: seal the entries whose transactions are over."""
    sealing.seal()


@shared_task
def start_rules() -> None:
    """Every minute: activate approved versions of rules whose start has come, retire those whose end has."""
    rules.start_due(timezone.now())


@shared_task
def hand_out_gifts() -> None:
    """Every minute, and after each move that earned one: hand out the gifts of tiers that can be had."""
    gifts.hand_out_due()
