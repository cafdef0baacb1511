"""Who would move under another scheme, and what that would cost, counted before anything is saved."""

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from decimal import Decimal
from typing import Final

from django.db import connection, transaction

from loyalty.tier_models import Tier, TierBenefit
from loyalty.tiers import counting, history
from loyalty.tiers.ladder import Ladder
from loyalty.tiers.recalculation import CHUNK, count, movable
from loyalty.tiers.walk import State, Walk
from loyalty.tiers.windows import INSTANT

YEAR: Final = timedelta(days=365)

# Members by the places of the ladder between which they would move.
Moved = dict[tuple[int, int], list[int]]


@dataclass(frozen=True, kw_only=True)
class Move:
    """How many members would go from one tier to another, and what that changes in a year.

    ``benefits`` is money (programme currency); ``points`` are those that the new multiplier would add to, or
    take from, what these members earned in the last 365 days.
    """

    from_tier: Tier
    to_tier: Tier
    members: int
    benefits: Decimal
    points: int

    @property
    def is_upgrade(self) -> bool:
        """Whether it is for the better."""
        return self.to_tier.rank > self.from_tier.rank


def preview_moves(proposed: Ladder, *, now: datetime) -> list[Move]:
    """What saving a scheme and its thresholds would do to today's standings at once, downgrades first."""
    numbers: Counter[tuple[int, int]] = Counter()
    earned: Counter[tuple[int, int]] = Counter()
    for moved in _moved(proposed, now):
        for between, members in moved.items():
            numbers[between] += len(members)
            earned[between] += _earned(members, now)
    tiers = Tier.objects.in_bulk([rung.id for rung in proposed.rungs])
    worth = benefits_by_tier()
    moves = []
    for (before, after), number in numbers.items():
        old, new = proposed.rungs[before], proposed.rungs[after]
        gains = worth.get(new.id, Decimal(0)) - worth.get(old.id, Decimal(0))
        moves.append(
            Move(
                from_tier=tiers[old.id],
                to_tier=tiers[new.id],
                members=number,
                benefits=gains * number,
                points=int(earned[before, after] * (new.multiplier / old.multiplier - 1)),
            )
        )
    return sorted(moves, key=lambda move: (move.is_upgrade, move.from_tier.rank, move.to_tier.rank))


def preview_members(
    proposed: Ladder, from_tier: Tier, to_tier: Tier, *, now: datetime, after: int, limit: int
) -> list[int]:
    """The first members with an id above ``after`` who would move from one tier to another, at most ``limit``.

    Counts members only until it has found so many: a page costs what is on it, not the whole preview again.
    """
    between = (proposed.place_of(from_tier.pk), proposed.place_of(to_tier.pk))
    found: list[int] = []
    for moved in _moved(proposed, now, after=after):
        found += moved.get(between, [])
        if len(found) >= limit:
            break
    return found[:limit]


def benefits_by_tier() -> dict[int, Decimal]:
    """What the benefits of each tier cost per member and year (programme currency), by tier id."""
    worth: dict[int, Decimal] = {}
    for tier_id, value in TierBenefit.objects.order_by().values_list("tier_id", "yearly_value"):
        worth[tier_id] = worth.get(tier_id, Decimal(0)) + (value or Decimal(0))
    return worth


def _moved(proposed: Ladder, now: datetime, *, after: int = 0) -> Iterator[Moved]:
    """What a recalculation of everybody would do at once, by ranges of members with ids above ``after``."""
    with connection.cursor() as cursor:
        cursor.execute("SELECT min(id), max(id) FROM members_member WHERE id > %s", [after])
        least, last = cursor.fetchone()
    for first in range(least, last + 1, CHUNK) if last else ():
        yield _moved_within(proposed, now, first, first + CHUNK - 1)


@transaction.atomic
def _moved_within(proposed: Ladder, now: datetime, first: int, last: int) -> Moved:
    with connection.cursor() as cursor:
        params = counting.params(proposed, now, first, last)
        count(cursor, proposed, params)
        members = movable(cursor, proposed, params)
        cursor.execute(_STANDINGS, [members])
        rows = cursor.fetchall()
        grants = history.grants(cursor, members, proposed)
    found: Moved = {}
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


def _earned(members: Sequence[int], now: datetime) -> int:
    with connection.cursor() as cursor:
        cursor.execute(_EARNED, [list(members), now - YEAR, now])
        points: int = cursor.fetchone()[0]
    return points


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
