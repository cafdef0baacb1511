"""The moves that are written down: reading what they say of a moment, and putting down new ones."""

import json
from collections.abc import Iterable, Sequence
from datetime import datetime
from typing import Any, Final, NamedTuple

from django.db.backends.utils import CursorWrapper

from loyalty.months import add_months
from loyalty.tier_models import TierScheme
from loyalty.tiers import gifts, windows
from loyalty.tiers.ladder import Ladder
from loyalty.tiers.walk import Grant, Move, State
from loyalty.tiers.windows import EVER


class Told(NamedTuple):
    """What a look found of a member after ``start``; ``is_anew`` where something is written there already."""

    member_id: int
    start: datetime | None
    is_anew: bool
    moves: Sequence[Move]


def write(cursor: CursorWrapper, told: Iterable[Told], ladder: Ladder) -> None:
    """Put down the moves, and the gifts of those upwards.

    What was found before and is found again stays as it is; what is no more is removed, and with it a gift that
    nobody has yet.
    """
    rows, gone, earned = [], [], []
    for found in told:
        moves = list(found.moves)
        if found.is_anew:
            for change_id, at, before, after in _after(cursor, found):
                same = next((move for move in moves if (move.at, _ids(move, ladder)) == (at, (before, after))), None)
                if same:
                    moves.remove(same)
                else:
                    gone.append(change_id)
        rows += [(found.member_id, *_ids(move, ladder), move.at, json.dumps(move.evidence)) for move in moves]
        earned += [
            gifts.Earned(found.member_id, rung.id, move.at, is_passed=rung is not ladder.rungs[move.after])
            for move in moves
            if move.evidence["cause"] not in gifts.NOT_EARNED
            for rung in ladder.rungs[move.before + 1 : move.after + 1]
        ]
    if gone:
        cursor.execute(_REMOVE, [gone])
    if rows:
        cursor.execute(_INSERT, [list(column) for column in zip(*rows, strict=True)])
    if earned:
        gifts.promise(cursor, earned, ladder.scheme)


def tier_at(cursor: CursorWrapper, member_id: int, at: datetime) -> int | None:
    """The id of the tier in which a member stood just before a moment that was looked at already."""
    cursor.execute(_TIER_AT, {"member": member_id, "at": at})
    row = cursor.fetchone()
    return row[0] if row else None


def grants(cursor: CursorWrapper, members: Sequence[int], ladder: Ladder) -> dict[int, list[Grant]]:
    """What was given by hand, by member."""
    found: dict[int, list[Grant]] = {}
    if members:
        cursor.execute(_GRANTS, [list(members)])
        for member_id, starts_at, ends_at, tier_id, reason in cursor.fetchall():
            found.setdefault(member_id, []).append(Grant(starts_at, ends_at, ladder.place_of(tier_id), reason))
    return found


def state_at(cursor: CursorWrapper, member_id: int, joined_at: datetime, at: datetime, ladder: Ladder) -> State:
    """What was earned at a moment, as the last move before it says."""
    cursor.execute(_LAST, [member_id, at])
    last = cursor.fetchone()
    if last is None:
        return State(ladder.place_of(tier_at(cursor, member_id, at)))
    tier_id, _changed_at, told_json = last
    evidence = json.loads(told_json)
    keys = {rung.key: place for place, rung in enumerate(ladder.rungs)}
    place = keys.get(evidence.get("earned"), ladder.place_of(tier_id))
    told = evidence.get("valid_until")
    return State(place, valid_at(ladder.scheme, joined_at, datetime.fromisoformat(told) if told else None, at))


def valid_at(scheme: TierScheme, joined_at: datetime, told: datetime | None, at: datetime) -> datetime | None:
    """Until when a tier was valid at a moment, from what is known of an earlier or a later one.

    That the tier stood then says that it was renewed whenever it had to be.
    """
    latest = windows.valid_until(scheme, joined_at, at)
    if told is None or latest is None:
        return None
    while told <= at:
        renewed = windows.valid_until(scheme, joined_at, told, renewed=True)
        if renewed is None or renewed <= told:
            return latest
        told = renewed
    while told > latest:
        told = add_months(told, -scheme.valid_months)
    return told if told > at else latest


def last_change_at(cursor: CursorWrapper, member_id: int, start: datetime | None) -> datetime | None:
    """When the member last moved before the start of a look."""
    cursor.execute(_LAST, [member_id, start or EVER])
    row = cursor.fetchone()
    return row[1] if row else None


def _after(cursor: CursorWrapper, found: Told) -> list[tuple[Any, ...]]:
    cursor.execute(_AFTER, [found.member_id, found.start or EVER])
    return list(cursor.fetchall())


def _ids(move: Move, ladder: Ladder) -> tuple[int, int]:
    return ladder.rungs[move.before].id, ladder.rungs[move.after].id


_REMOVE: Final = """
WITH gone AS (
    DELETE FROM loyalty_tierchange WHERE id = ANY(%s) RETURNING member_id, from_tier_id, to_tier_id, changed_at)
DELETE FROM loyalty_tiergift gift USING gone, loyalty_tier before, loyalty_tier after, loyalty_tier tier
 WHERE before.id = gone.from_tier_id AND after.id = gone.to_tier_id
   AND gift.member_id = gone.member_id AND gift.reached_at = gone.changed_at AND gift.given_at IS NULL
   AND tier.id = gift.tier_id AND tier.rank > before.rank AND tier.rank <= after.rank
"""

_INSERT: Final = """
INSERT INTO loyalty_tierchange (member_id, from_tier_id, to_tier_id, changed_at, evidence, created_at)
SELECT member_id, from_tier_id, to_tier_id, changed_at, evidence, now()
  FROM unnest(%s::bigint[], %s::bigint[], %s::bigint[], %s::timestamptz[], %s::jsonb[])
       WITH ORDINALITY AS told(member_id, from_tier_id, to_tier_id, changed_at, evidence, place)
 ORDER BY place
"""

_AFTER: Final = """
SELECT id, changed_at, from_tier_id, to_tier_id FROM loyalty_tierchange
 WHERE member_id = %s AND changed_at > %s ORDER BY changed_at, id
"""

_LAST: Final = """
SELECT to_tier_id, changed_at, evidence FROM loyalty_tierchange
 WHERE member_id = %s AND changed_at <= %s ORDER BY changed_at DESC, id DESC LIMIT 1
"""

_TIER_AT: Final = """
SELECT coalesce(
    (SELECT to_tier_id FROM loyalty_tierchange WHERE member_id = %(member)s AND changed_at < %(at)s
      ORDER BY changed_at DESC, id DESC LIMIT 1),
    (SELECT from_tier_id FROM loyalty_tierchange WHERE member_id = %(member)s AND changed_at >= %(at)s
      ORDER BY changed_at, id LIMIT 1),
    (SELECT tier_id FROM loyalty_tierstanding WHERE member_id = %(member)s))
"""

_GRANTS: Final = """
SELECT member_id, starts_at, ends_at, tier_id, reason FROM loyalty_tiergrant
 WHERE member_id = ANY(%s) AND ends_at > starts_at ORDER BY starts_at, id
"""
