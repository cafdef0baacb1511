"""Downgrades ahead: who loses a tier soon if nothing more is done."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from django.db.models import Count, QuerySet

from loyalty.tier_models import Tier, TierStanding, scheme


@dataclass(frozen=True, kw_only=True)
class Falling:
    """So many members go from one tier to another within the days in which they are warned."""

    from_tier: Tier
    to_tier: Tier
    members: int


def standings(now: datetime, *, days: int | None = None) -> QuerySet[TierStanding]:
    """Members who fall within so many days (default: those of the scheme), whoever is first."""
    until = now + timedelta(days=scheme().warn_days if days is None else days)
    found = TierStanding.objects.filter(falls_at__gt=now, falls_at__lte=until)
    return found.order_by("falls_at", "member_id")


def falling(now: datetime) -> list[Falling]:
    """The same counted, by the tiers between which they go."""
    counted = standings(now).order_by().values("tier_id", "falls_to_id").annotate(members=Count("pk"))
    tiers: Mapping[Any, Tier] = Tier.objects.in_bulk()
    found = [
        Falling(from_tier=tiers[row["tier_id"]], to_tier=tiers[row["falls_to_id"]], members=row["members"])
        for row in counted
    ]
    return sorted(found, key=lambda one: (-one.from_tier.rank, -one.to_tier.rank))
