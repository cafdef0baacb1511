"""Who would move if the thresholds were others, counted before anything is saved."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from typing import Final

from django.db import connection

from loyalty.models import Tier
from loyalty.tiers.ladder import LEAVES_SQL, PLACE_SQL, Ladder, Rung, ladder


@dataclass(frozen=True, kw_only=True)
class Move:
    """So many members would go from one tier to another."""

    from_tier: Tier
    to_tier: Tier
    members: int

    @property
    def is_upgrade(self) -> bool:
        """Whether it is for the better."""
        return self.to_tier.rank > self.from_tier.rank


def preview_moves(thresholds: Mapping[int, Decimal], *, now: datetime) -> list[Move]:
    """What new thresholds (tier id → spend) would do to today's standings, downgrades first."""
    rungs = [
        Rung(id=rung.id, key=rung.key, threshold=thresholds.get(rung.id, rung.threshold), multiplier=rung.multiplier)
        for rung in ladder().rungs
    ]
    proposed = Ladder(sorted(rungs, key=lambda rung: rung.threshold))
    tiers = {tier.pk: tier for tier in Tier.objects.all()}
    lowest = min(tiers.values(), key=lambda tier: tier.rank)
    with connection.cursor() as cursor:
        cursor.execute(_MOVES, proposed.params() | {"now": now, "lowest": lowest.pk})
        moves = [Move(from_tier=tiers[old], to_tier=tiers[new], members=count) for old, new, count in cursor.fetchall()]
    return sorted(moves, key=lambda move: (move.is_upgrade, move.from_tier.rank, move.to_tier.rank))


_MOVES: Final = f"""
SELECT stood, reached, count(*) FROM (
    SELECT coalesce(standing.tier_id, %(lowest)s) AS stood, (%(tiers)s::bigint[])[{PLACE_SQL}] AS reached
      FROM loyalty_tierstanding standing
      FULL JOIN (
        SELECT member_id, sum(value) AS total FROM members_purchase
         WHERE purchased_at <= %(now)s AND purchased_at > %(now)s - interval '13 months' AND {LEAVES_SQL} > %(now)s
         GROUP BY member_id) bought USING (member_id)
      CROSS JOIN LATERAL (SELECT coalesce(bought.total, 0) AS spend) counted
    ) AS standings
 WHERE stood <> reached GROUP BY stood, reached
"""  # noqa: S608
