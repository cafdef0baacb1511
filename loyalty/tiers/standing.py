"""Bringing standings and tier history up to date from purchases, set-based."""

from collections.abc import Sequence
from datetime import datetime
from typing import Final

from django.db.backends.utils import CursorWrapper

from loyalty.tiers.ladder import LEAVES_SQL, PLACE_SQL, Ladder


def evaluate(cursor: CursorWrapper, members: Sequence[int], *, ladder: Ladder, now: datetime) -> int:
    """Write down each move of these members since they were last looked at, and where they stand now.

    Every moment at which spend rose (a purchase) or fell (a purchase left the window) is looked at, so
    that an import of old purchases makes the history that the years would have made. What is written
    stays: a purchase that arrives late only counts from the last look on. Returns the number of moves.

    Call it in a transaction that has locked the members' accounts.
    """
    if not members:
        return 0
    cursor.execute(_EVALUATE, ladder.params() | {"members": list(members), "now": now})
    moves: int = cursor.fetchone()[0]
    return moves


def rewind(cursor: CursorWrapper, purchases: str, *, ladder: Ladder) -> None:
    """Forget what tiers did since the first of these purchases of each member, so that it is found anew.

    ``purchases`` is a temporary table with ``member_id`` and ``purchased_at``, of purchases about to be
    removed. Follow it by :func:`evaluate` once they are gone.
    """
    if not purchases.isidentifier():
        raise ValueError(purchases)
    for statement in (_FORGET_CHANGES, _STAND_AS_BEFORE):
        cursor.execute(statement.replace("{purchases}", purchases), ladder.params())


# One pass over the events, and joins only to tables by their keys: see the note in intake/earning.py.
_EVALUATE: Final = f"""
WITH sale AS (
    SELECT purchase.member_id, purchase.id, purchase.purchased_at, purchase.value, {LEAVES_SQL} AS leaves_at
      FROM members_purchase purchase LEFT JOIN loyalty_tierstanding standing USING (member_id)
     WHERE purchase.member_id = ANY(%(members)s) AND purchase.purchased_at <= %(now)s
       AND (standing.member_id IS NULL OR purchase.purchased_at > standing.evaluated_at - interval '13 months')
), event AS (
    SELECT member_id, purchased_at AS at, value AS delta, id AS purchase_id FROM sale
    UNION ALL
    SELECT member_id, leaves_at, -value, NULL FROM sale WHERE leaves_at <= %(now)s
    UNION ALL
    SELECT unnest(%(members)s::bigint[]), %(now)s, 0, NULL
), moment AS (
    SELECT member_id, at, max(purchase_id) AS purchase_id, bool_or(delta < 0) AS something_left,
           sum(sum(delta)) OVER (PARTITION BY member_id ORDER BY at) AS spend
      FROM event GROUP BY member_id, at
), placed AS (
    SELECT moment.*, {PLACE_SQL} AS place, standing.since,
           coalesce(array_position(%(tiers)s::bigint[], standing.tier_id), 1) AS stood_at
      FROM moment LEFT JOIN loyalty_tierstanding standing USING (member_id)
     WHERE standing.member_id IS NULL OR moment.at > standing.evaluated_at OR moment.at = %(now)s
), step AS (
    SELECT placed.*, coalesce(lag(place) OVER (PARTITION BY member_id ORDER BY at), stood_at) AS place_before
      FROM placed
), walked AS (
    SELECT step.*, max(at) FILTER (WHERE place <> place_before) OVER (PARTITION BY member_id) AS last_move_at
      FROM step
), move AS (
    INSERT INTO loyalty_tierchange (member_id, from_tier_id, to_tier_id, changed_at, created_at, evidence)
    SELECT walked.member_id, (%(tiers)s::bigint[])[place_before], (%(tiers)s::bigint[])[place], at, now(),
           jsonb_build_object(
               'cause', CASE WHEN purchase_id IS NOT NULL THEN 'purchase' WHEN something_left THEN 'window'
                             ELSE 'recalculated' END,
               'spend', spend::numeric(14, 2)::text,
               'threshold', ((%(thresholds)s::numeric[])[greatest(place, place_before)])::numeric(14, 2)::text,
               'purchase', purchase_id,
               'receipt', coalesce((SELECT external_id FROM members_purchase WHERE id = purchase_id), ''))
      FROM walked WHERE place <> place_before
    RETURNING member_id
), written AS (
    INSERT INTO loyalty_tierstanding AS standing (member_id, tier_id, since, spend_12m, evaluated_at)
    SELECT walked.member_id, (%(tiers)s::bigint[])[place],
           coalesce(last_move_at, walked.since,
                    (SELECT joined_at FROM members_member WHERE id = walked.member_id)), spend, %(now)s
      FROM walked WHERE walked.at = %(now)s
     ORDER BY walked.member_id
    ON CONFLICT (member_id) DO UPDATE
       SET tier_id = excluded.tier_id, since = excluded.since, spend_12m = excluded.spend_12m,
           evaluated_at = excluded.evaluated_at
)
SELECT count(*) FROM move
"""  # noqa: S608

_FORGET_CHANGES: Final = """
DELETE FROM loyalty_tierchange change
 USING (SELECT member_id, min(purchased_at) AS since FROM {purchases} GROUP BY member_id) gone
 WHERE change.member_id = gone.member_id AND change.changed_at >= gone.since
"""

_STAND_AS_BEFORE: Final = """
UPDATE loyalty_tierstanding standing
   SET tier_id = coalesce(last.to_tier_id, (%(tiers)s::bigint[])[1]),
       since = coalesce(last.changed_at, member.joined_at),
       evaluated_at = gone.since - interval '1 microsecond'
  FROM (SELECT member_id, min(purchased_at) AS since FROM {purchases} GROUP BY member_id) gone
  JOIN members_member member ON member.id = gone.member_id
  LEFT JOIN LATERAL (
      SELECT to_tier_id, changed_at FROM loyalty_tierchange change
       WHERE change.member_id = gone.member_id ORDER BY changed_at DESC, id DESC LIMIT 1) last ON true
 WHERE standing.member_id = gone.member_id
"""
