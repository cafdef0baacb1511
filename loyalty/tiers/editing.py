"""Saving new thresholds and multipliers."""

from collections.abc import Mapping
from typing import Any

from django.db import transaction
from django.utils.translation import gettext as _

from loyalty.models import Tier
from loyalty.tiers.recalculation import JOB
from staff import audit, jobs
from staff.models import Job, User


@transaction.atomic
def save(changes: Mapping[int, Mapping[str, Any]], *, user: User) -> Job | None:
    """Write what is new of each tier (id → field → value).

    New thresholds start a job that moves the members; it is returned. Members' past is not judged by them.
    """
    thresholds_moved = False
    for tier in Tier.objects.select_for_update().order_by("pk"):
        new = dict(changes.get(tier.pk, {}))
        fields = [name for name, value in new.items() if getattr(tier, name) != value]
        if not fields:
            continue
        thresholds_moved = thresholds_moved or "threshold" in fields
        before = {name: str(getattr(tier, name)) for name in fields}
        for name in fields:
            setattr(tier, name, new[name])
        audit.record(
            user, "tier.change", tier, detail={"before": before, "after": {name: str(new[name]) for name in fields}}
        )
        tier.save(update_fields=fields)
    if not thresholds_moved:
        return None
    return jobs.start(JOB, title=_("Move members to their tiers"), payload={"everyone": True}, user=user)
