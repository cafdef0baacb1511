"""Who would move under another scheme, and what that would cost, counted before anything is saved."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from decimal import Decimal
from typing import Final

from django.db import connection, transaction

from loyalty.tier_models import Tier, TierBenefit
from loyalty.tiers import counting, history
from loyalty.tiers.ladder import Ladder
from loyalty.tiers.recalculation import count, movable
from loyalty.tiers.walk import State, Walk
from loyalty.tiers.windows import INSTANT

YEAR: Final = timedelta(days=365)


@dataclass(frozen=True, kw_only=True)
class Move:
    """Members who would go from one tier to another, and what that changes in a year.

    ``benefits`` is money (programme currency); ``points`` are those that the new multiplier would add to, or
    take from, what these members earned in the last 365 days.
    """

    from_tier: Tier
    to_tier: Tier
    member_ids: Sequence[int]
    benefits: Decimal
    points: int

    @property
    def members(self) -> int:
        """How many they are."""
        return len(self.member_ids)

    @property
    def is_upgrade(self) -> bool:
        """Whether it is for the better."""
        return self.to_tier.rank > self.from_tier.rank


def preview_moves(proposed: Ladder, *, now: datetime) -> list[Move]:
    """What saving a scheme and its thresholds would do to today's standings at once, downgrades first."""
    found = _moved(proposed, now)
    tiers = Tier.objects.in_bulk([rung.id for rung in proposed.rungs])
    worth = benefits_by_tier()
    moves = []
    for (before, after), members in found.items():
        old, new = proposed.rungs[before], proposed.rungs[after]
        gains = worth.get(new.id, Decimal(0)) - worth.get(old.id, Decimal(0))
        moves.append(
            Move(
                from_tier=tiers[old.id],
                to_tier=tiers[new.id],
                member_ids=members,
                benefits=gains * len(members),
                points=int(_earned(members, now) * (new.multiplier / old.multiplier - 1)),
            )
        )
    return sorted(moves, key=lambda move: (move.is_upgrade, move.from_tier.rank, move.to_tier.rank))


def benefits_by_tier() -> dict[int, Decimal]:
    """What the benefits of each tier cost per member and year (programme currency), by tier id."""
    worth: dict[int, Decimal] = {}
    for tier_id, value in TierBenefit.objects.order_by().values_list("tier_id", "yearly_value"):
        worth[tier_id] = worth.get(tier_id, Decimal(0)) + (value or Decimal(0))
    return worth


@transaction.atomic
def _moved(proposed: Ladder, now: datetime) -> dict[tuple[int, int], list[int]]:
    """Members by the places between which they would move: what a recalculation of everybody would do at once."""
    with connection.cursor() as cursor:
        cursor.execute("SELECT coalesce(min(id), 0), coalesce(max(id), 0) FROM members_member")
        params = counting.params(proposed, now, *cursor.fetchone())
        count(cursor, proposed, params)
        members = movable(cursor, proposed, params)
        cursor.execute(_STANDINGS, [members])
        rows = cursor.fetchall()
        grants = history.grants(cursor, members, proposed)
    found: dict[tuple[int, int], list[int]] = {}
    for member_id, joined_at, tier_id, earned_id, valid_until, grace_until, net, held in rows:
        state = State(proposed.place_of(earned_id or tier_id), valid_until, grace_until)
        walk = Walk(proposed, joined_at=joined_at, start=now - INSTANT, state=state, grants=grants.get(member_id, ()))
        if net:
            walk.values.preset(net, held)
        before = proposed.place_of(tier_id)
        walk.look(now)
        if walk.place != before:
            found.setdefault((before, walk.place), []).append(member_id)
    return found


def _earned(members: Sequence[int], now: datetime) -> Decimal:
    with connection.cursor() as cursor:
        cursor.execute(_EARNED, [list(members), now - YEAR, now])
        points: int = cursor.fetchone()[0]
    return Decimal(points)


_STANDINGS: Final = """
SELECT member.id, joined_at, tier_id, earned_tier_id, valid_until, grace_until, net, held
  FROM members_member member
  LEFT JOIN loyalty_counted counted ON counted.member_id = member.id
  LEFT JOIN loyalty_tierstanding standing ON standing.member_id = member.id
 WHERE member.id = ANY(%s) ORDER BY member.id
"""

_EARNED: Final = """
SELECT coalesce(sum(points), 0)::bigint FROM loyalty_entry entry
 WHERE member_id = ANY(%s) AND kind = 'earn' AND occurred_at > %s AND occurred_at <= %s
   AND NOT EXISTS (SELECT FROM loyalty_entry reversal WHERE reversal.reverses_id = entry.id)
"""
