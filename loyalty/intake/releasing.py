"""Letting points be used that wait for an event: the delivery of a purchase, the end of its right of return."""

from django.db import transaction
from django.utils import timezone

from loyalty import ledger
from loyalty.models import Entry
from members.models import Purchase


@transaction.atomic
def release_points(purchase: Purchase) -> int:
    """Let the held points of a purchase be used from now on; returns how many awards were held until now.

    Releasing twice changes nothing.
    """
    awards = Entry.objects.filter(purchase=purchase, kind=Entry.Kind.EARN)
    return ledger.release(list(awards.values_list("pk", flat=True)), at=timezone.now())
