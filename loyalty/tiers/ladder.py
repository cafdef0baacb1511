"""The tiers in order, as the rest of the room computes with them."""

from bisect import bisect_right
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from typing import Any, Final

from django.conf import settings
from django.db import connection

from loyalty.models import Tier
from loyalty.months import add_months

WINDOW_MONTHS: Final = 12


@dataclass(frozen=True, kw_only=True)
class Rung:
    """One tier: from which spend it is reached, and what it multiplies points by."""

    id: int
    key: str
    threshold: Decimal
    multiplier: Decimal


@dataclass(frozen=True)
class Ladder:
    """All tiers, the lowest (from a spend of nothing) first."""

    rungs: Sequence[Rung]

    def at(self, spend: Decimal) -> Rung:
        """The highest tier that a spend reaches."""
        return self.rungs[max(bisect_right([rung.threshold for rung in self.rungs], spend) - 1, 0)]

    def above(self, rung: Rung) -> Rung | None:
        """The next tier; None for the highest."""
        place = list(self.rungs).index(rung) + 1
        return self.rungs[place] if place < len(self.rungs) else None

    def params(self) -> dict[str, Any]:
        """Arrays for SQL, in order: ``(%(tiers)s::bigint[])[place]`` with the place of :data:`PLACE_SQL`."""
        return {
            "tiers": [rung.id for rung in self.rungs],
            "tier_keys": [rung.key for rung in self.rungs],
            "thresholds": [rung.threshold for rung in self.rungs],
            "multipliers": [rung.multiplier for rung in self.rungs],
            "zone": settings.TIME_ZONE,
        }


# When a purchase ceases to count: twelve months after it, in the programme's time zone. The window is
# defined by this moment alone; "twelve months before now" would differ from it around 29 February.
LEAVES_SQL: Final = "((purchased_at AT TIME ZONE %(zone)s) + interval '12 months') AT TIME ZONE %(zone)s"

# The place of the tier that a column ``spend`` reaches, 1 for the lowest: the same as :meth:`Ladder.at`.
PLACE_SQL: Final = "greatest(width_bucket(spend, %(thresholds)s::numeric[]), 1)"


class NoTiers(Exception):
    """The programme was not started yet (``programme.ensure_defaults``)."""


def ladder() -> Ladder:
    """The tiers as they stand now. Raises :class:`NoTiers` where a programme has none."""
    rungs = [
        Rung(id=tier.pk, key=tier.key, threshold=tier.threshold, multiplier=tier.multiplier)
        for tier in Tier.objects.order_by("threshold")
    ]
    if not rungs:
        raise NoTiers
    return Ladder(rungs)


def spend_before(member_id: int, at: datetime) -> Decimal:
    """What counts for the tier of a purchase at a moment: what was bought before it and still counts."""
    return _spend("purchased_at < %(at)s", member_id, at)


def spend_until(member_id: int, at: datetime) -> Decimal:
    """What counts for the tier at a moment, what was bought at that very moment included."""
    return _spend("purchased_at <= %(at)s", member_id, at)


def _spend(until: str, member_id: int, at: datetime) -> Decimal:
    with connection.cursor() as cursor:
        cursor.execute(
            f"SELECT coalesce(sum(value), 0) FROM members_purchase WHERE member_id = %(member)s AND {until}"  # noqa: S608
            f" AND purchased_at > %(floor)s AND {LEAVES_SQL} > %(at)s",
            {"member": member_id, "at": at, "floor": add_months(at, -WINDOW_MONTHS - 1), "zone": settings.TIME_ZONE},
        )
        spend: Decimal = cursor.fetchone()[0]
    return spend
