"""What a preview of other tiers finds, by the job that a person starts."""

from datetime import datetime
from typing import Any

import time_machine

from loyalty import tiers
from loyalty.models import ForeseenMove
from loyalty.tiers import preview
from staff import jobs
from tests.factories import make_user


def foresee(proposed: tiers.Ladder, now: datetime) -> tuple[list[dict[str, Any]], dict[tuple[str, str], list[int]]]:
    """The moves as told, and who they are, by keys of tiers."""
    with time_machine.travel(now, tick=False):
        job = jobs.run_inline(preview.start(proposed, form="", user=make_user()))
    assert job.error == ""
    members: dict[tuple[str, str], list[int]] = {}
    for move in ForeseenMove.objects.filter(job=job).order_by("member_id").select_related("from_tier", "to_tier"):
        members.setdefault((move.from_tier.key, move.to_tier.key), []).append(move.member_id)
    return job.result["detail"]["moves"], members
