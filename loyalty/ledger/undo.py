"""Taking back a whole batch of awards (docs/adr/0003)."""

from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final

from django.db.backends.utils import CursorWrapper
from django.utils import timezone
from psycopg import sql
from psycopg.types.json import Jsonb

from loyalty.ledger.bulk import append, lock_accounts, post_awards, render, stage
from loyalty.ledger.errors import LedgerError
from loyalty.ledger.expiry import expire_members
from loyalty.ledger.taking import reverse, standing_parts
from loyalty.models import Policy


class AlreadySpent(LedgerError):
    """Members have fewer points left than the batch gave them; nothing was taken back."""

    def __init__(self, members: int) -> None:
        self.members = members
        super().__init__(f"{members} members have spent points of this batch and would fall below zero")


@dataclass(frozen=True, kw_only=True)
class BatchPreview:
    """What taking a batch back would do. Points and members are counts.

    ``spent`` is what the batch gave and is no longer in its own lots; ``spent_members`` hold too little in
    all their lots together, by ``debt`` points. ``short`` lists the first of them, and how many they lack.
    """

    entries: int
    points: int
    members: int
    spent: int
    spent_members: int
    debt: int
    short: list[tuple[int, int]]


def preview_batch(cursor: CursorWrapper, batch: str) -> BatchPreview:
    """Count what :func:`undo_batch` would do with a temporary table of ``entry_id``.

    Leaves what it means for each member in the temporary table ``loyalty_undo_plan``; writes nothing.
    """
    cursor.execute("DROP TABLE IF EXISTS pg_temp.loyalty_undo_plan")
    cursor.execute(render(_PLAN, sql.Identifier(batch), sql.Identifier(batch)), {"now": timezone.now()})
    cursor.execute(_TOTALS)
    entries, points, members, spent, spent_members, debt = map(int, cursor.fetchone())
    cursor.execute(_SHORT)
    return BatchPreview(
        entries=entries,
        points=points,
        members=members,
        spent=spent,
        spent_members=spent_members,
        debt=debt,
        short=[(member, int(lacking)) for member, lacking in cursor.fetchall()],
    )


def undo_batch(cursor: CursorWrapper, batch: str, *, explanation: dict[str, Any], policy: str = Policy.REFUSE) -> int:
    """Reverse the awards of a temporary table of ``entry_id``; returns how many were reversed.

    What was taken of them before (clawbacks, expiry) comes back first. Then each is taken from its own lot
    and from those that expire first; what is missing ``policy`` decides, as for
    :func:`~loyalty.ledger.reverse`. Awards that were reversed before are passed over. Raises
    :class:`AlreadySpent` with nothing done. Call it in a transaction.
    """
    batch_table = sql.Identifier(batch)
    members = sql.SQL("SELECT DISTINCT member_id FROM loyalty_entry JOIN {} AS batch ON batch.entry_id = id")
    lock_accounts(cursor, members.format(batch_table))
    preview = preview_batch(cursor, batch)
    if preview.spent_members and policy == Policy.REFUSE:
        raise AlreadySpent(preview.spent_members)
    now = timezone.now()
    params: dict[str, Any] = {"now": now, "explanation": Jsonb(explanation)}
    _restore(cursor, batch_table, params, explanation)
    stage(cursor, "loyalty_undoing")
    cursor.execute(render(_STAGE_AWARDS, batch_table), params)
    undone: int = cursor.rowcount
    if preview.spent_members:
        cursor.execute(_OWE_WHAT_IS_MISSING)
    append(cursor, "loyalty_undoing")
    cursor.execute(_DRAW_FROM_LOTS, params)
    cursor.execute(_MOVE_LOTS)
    if preview.spent_members and policy == Policy.TAKE:
        stage(cursor, "loyalty_letting_go")
        cursor.execute(_STAGE_LET_GO, params)
        post_awards(cursor, "loyalty_letting_go")
    # A lot that came back may hold points of other awards too: these have still expired.
    _expire(cursor, now)
    return undone


def _expire(cursor: CursorWrapper, now: datetime) -> None:
    """Take out what has expired of the members of the plan, whose accounts are locked."""
    cursor.execute(_MEMBERS_DUE, {"now": now})
    if due := [row[0] for row in cursor.fetchall()]:
        expire_members(cursor, due, now)


def _restore(cursor: CursorWrapper, batch: sql.Identifier, params: dict[str, Any], explanation: dict[str, Any]) -> None:
    """Give back what was taken of these awards before, by clawbacks one by one and by expiry in one go."""
    _expire(cursor, params["now"])
    cursor.execute(render(_WITH_PARTS, batch))
    for part in standing_parts([row[0] for row in cursor.fetchall()]):
        reverse(part, explanation=explanation, occurred_at=params["now"])
    stage(cursor, "loyalty_undoing")
    cursor.execute(render(_STAGE_EXPIRIES, batch, batch), params)
    if cursor.rowcount:
        append(cursor, "loyalty_undoing")
        cursor.execute(
            "INSERT INTO loyalty_draw (entry_id, lot_id, points) SELECT entry_id, lot_id, -points FROM loyalty_posting"
        )
        cursor.execute(_MOVE_LOTS)


_NOT_REVERSED: Final = "NOT EXISTS (SELECT FROM loyalty_entry reversal WHERE reversal.reverses_id = entry.id)"

_EXPIRED: Final = """
coalesce((SELECT sum(draw.points) FROM loyalty_draw draw JOIN loyalty_entry expiry ON expiry.id = draw.entry_id
           WHERE draw.lot_id = lot.id AND expiry.kind = 'expire'
             AND NOT EXISTS (SELECT FROM loyalty_entry r WHERE r.reverses_id = expiry.id)), 0)
"""

# What the batch gave, against what is in lots then: all that has not expired, and what was taken of the batch before
# by expiry and by clawbacks, which come back first (and first pay what is owed: who owes holds no points). A lot in
# which points of it came back may hold those of other awards too; its expiry is taken back as a whole.
_PLAN: Final = f"""
CREATE TEMPORARY TABLE loyalty_undo_plan ON COMMIT DROP AS
WITH given AS (
    SELECT entry.id AS award_id, entry.member_id, entry.points, coalesce(lot.remaining, 0) AS remaining,
           {_EXPIRED} AS expired,
           coalesce((SELECT -sum(part.points) FROM loyalty_entry part
                      WHERE part.award_id = entry.id AND part.kind = 'clawback'
                        AND NOT EXISTS (SELECT FROM loyalty_entry r WHERE r.reverses_id = part.id)), 0) AS clawed
      FROM {{}} AS batch JOIN loyalty_entry entry ON entry.id = batch.entry_id
      LEFT JOIN loyalty_lot lot ON lot.entry_id = entry.id
     WHERE {_NOT_REVERSED}
), came_back AS (
    SELECT given.award_id, source.points, lot.id AS lot_id, lot.member_id, lot.remaining, {_EXPIRED} AS expired
      FROM given JOIN loyalty_lotsource source USING (award_id) JOIN loyalty_lot lot ON lot.id = source.lot_id
), wanted AS (
    SELECT member_id, count(*) AS entries, sum(points) AS points, sum(expired) AS expired, sum(clawed) AS clawed,
           sum(greatest(points - remaining - expired - clawed
                        - coalesce((SELECT sum(least(points, remaining + expired)) FROM came_back
                                     WHERE came_back.award_id = given.award_id), 0), 0)) AS spent
      FROM given GROUP BY member_id
), expired_later AS (
    SELECT member_id, sum(expired) AS points
      FROM (SELECT DISTINCT member_id, lot_id, expired FROM came_back) AS lots GROUP BY member_id
), held AS (
    SELECT lot.member_id, sum(lot.remaining) AS points
      FROM loyalty_lot lot JOIN wanted USING (member_id)
     WHERE lot.remaining > 0 AND (lot.expires_at IS NULL OR lot.expires_at > %(now)s
                                  OR lot.entry_id IN (SELECT entry_id FROM {{}})
                                  OR lot.id IN (SELECT lot_id FROM came_back))
     GROUP BY lot.member_id
)
SELECT member_id, entries, wanted.points - wanted.clawed AS points, spent,
       greatest(wanted.points - coalesce(held.points, 0) - expired - coalesce(expired_later.points, 0)
                - greatest(clawed - account.debt, 0), 0) AS lacking
  FROM wanted JOIN loyalty_account account USING (member_id)
  LEFT JOIN held USING (member_id) LEFT JOIN expired_later USING (member_id)
"""  # noqa: S608

_TOTALS: Final = """
SELECT coalesce(sum(entries), 0), coalesce(sum(points), 0), count(*), coalesce(sum(spent), 0),
       count(*) FILTER (WHERE lacking > 0), coalesce(sum(lacking), 0) FROM loyalty_undo_plan
"""

_SHORT: Final = """
SELECT member_id, lacking FROM loyalty_undo_plan WHERE lacking > 0 ORDER BY lacking DESC, member_id LIMIT 20
"""

_MEMBERS_DUE: Final = """
SELECT DISTINCT member_id FROM loyalty_lot JOIN loyalty_undo_plan USING (member_id)
 WHERE remaining > 0 AND expires_at <= %(now)s ORDER BY member_id
"""

_WITH_PARTS: Final = """
SELECT DISTINCT part.award_id FROM {} AS batch JOIN loyalty_entry part ON part.award_id = batch.entry_id
 WHERE part.kind = 'clawback'
"""

_STAGE_EXPIRIES: Final = f"""
INSERT INTO loyalty_undoing (member_id, kind, points, qualifying, key, occurred_at, reverses_id, lot_id, explanation,
                             place)
SELECT entry.member_id, 'reverse', -entry.points, 0, 'reverse:' || entry.id, %(now)s, entry.id, draw.lot_id,
       %(explanation)s, entry.seq
  FROM (SELECT lot.id FROM {{}} AS batch JOIN loyalty_lot lot ON lot.entry_id = batch.entry_id
         UNION
        SELECT source.lot_id FROM {{}} AS batch JOIN loyalty_entry entry ON entry.id = batch.entry_id
          JOIN loyalty_lotsource source ON source.award_id = entry.id WHERE {_NOT_REVERSED}) lot
  JOIN loyalty_draw draw ON draw.lot_id = lot.id
  JOIN loyalty_entry entry ON entry.id = draw.entry_id AND entry.kind = 'expire'
 WHERE {_NOT_REVERSED}
"""  # noqa: S608

_STAGE_AWARDS: Final = f"""
INSERT INTO loyalty_undoing (member_id, kind, points, qualifying, counts_at, key, occurred_at, purchase_id,
                             rule_version_id, reverses_id, lot_id, explanation, place)
SELECT entry.member_id, 'reverse', -entry.points, -entry.qualifying, coalesce(entry.counts_at, entry.occurred_at),
       'reverse:' || entry.id, %(now)s, entry.purchase_id, entry.rule_version_id, entry.id, lot.id, %(explanation)s,
       entry.seq
  FROM {{}} AS batch JOIN loyalty_entry entry ON entry.id = batch.entry_id
  LEFT JOIN loyalty_lot lot ON lot.entry_id = entry.id
 WHERE {_NOT_REVERSED}
"""  # noqa: S608

# The debt comes with the awards for which the member's lots last no more, in the order in which those are drawn.
_OWE_WHAT_IS_MISSING: Final = """
WITH own AS (
    SELECT staged.member_id, staged.place, staged.key, -staged.points - coalesce(lot.remaining, 0) AS lacking
      FROM loyalty_undoing staged JOIN loyalty_undo_plan plan ON plan.member_id = staged.member_id AND plan.lacking > 0
      LEFT JOIN loyalty_lot lot ON lot.id = staged.lot_id
), demand AS (
    SELECT own.*, sum(lacking) OVER (PARTITION BY member_id ORDER BY place) AS stop FROM own
), supply AS (
    SELECT lot.member_id, sum(lot.remaining) AS points
      FROM loyalty_lot lot JOIN loyalty_undo_plan plan ON plan.member_id = lot.member_id AND plan.lacking > 0
     WHERE lot.remaining > 0 AND NOT EXISTS (SELECT FROM loyalty_undoing staged WHERE staged.lot_id = lot.id)
     GROUP BY lot.member_id
)
UPDATE loyalty_undoing staged
   SET debt = greatest(demand.stop - coalesce(supply.points, 0), 0)
            - greatest(demand.stop - demand.lacking - coalesce(supply.points, 0), 0)
  FROM demand LEFT JOIN supply ON supply.member_id = demand.member_id
 WHERE staged.key = demand.key
"""

_STAGE_LET_GO: Final = """
INSERT INTO loyalty_letting_go (member_id, kind, points, qualifying, key, occurred_at, explanation, place)
SELECT member_id, 'adjust', debt, 0, 'let-go:' || entry_id, %(now)s,
       jsonb_build_object('let_go', debt, 'reversal', entry_id), seq
  FROM loyalty_posting WHERE debt > 0
"""

# Each award takes what its own lot still has. What is lacking, added up award by award, is laid over
# what the member's other lots have, added up lot by lot in the order of spending: where the two
# stretches overlap, that lot pays for that award.
_DRAW_FROM_LOTS: Final = """
INSERT INTO loyalty_draw (entry_id, lot_id, points)
WITH own AS (
    SELECT posting.entry_id, posting.member_id, posting.seq, lot.id AS lot_id, lot.remaining,
           -posting.points - lot.remaining AS lacking
      FROM loyalty_posting posting JOIN loyalty_lot lot ON lot.id = posting.lot_id
), demand AS (
    SELECT entry_id, member_id,
           sum(lacking) OVER in_order - lacking AS start, sum(lacking) OVER in_order AS stop
      FROM own WHERE lacking > 0 WINDOW in_order AS (PARTITION BY member_id ORDER BY seq)
), supply AS (
    SELECT lot.id AS lot_id, lot.member_id,
           sum(lot.remaining) OVER in_order - lot.remaining AS start, sum(lot.remaining) OVER in_order AS stop
      FROM loyalty_lot lot
     WHERE lot.remaining > 0 AND lot.member_id IN (SELECT member_id FROM demand)
       AND NOT EXISTS (SELECT FROM loyalty_posting posting WHERE posting.lot_id = lot.id)
    WINDOW in_order AS (PARTITION BY lot.member_id ORDER BY (lot.activates_at > %(now)s) IS NOT FALSE,
                        lot.expires_at NULLS LAST, lot.activates_at, lot.id)
)
SELECT entry_id, lot_id, remaining FROM own WHERE remaining > 0
UNION ALL
SELECT demand.entry_id, supply.lot_id, least(demand.stop, supply.stop) - greatest(demand.start, supply.start)
  FROM demand JOIN supply USING (member_id)
 WHERE demand.start < supply.stop AND supply.start < demand.stop
"""

_MOVE_LOTS: Final = """
UPDATE loyalty_lot lot SET remaining = lot.remaining - drawn.points
  FROM (SELECT draw.lot_id, sum(draw.points) AS points
          FROM loyalty_draw draw JOIN loyalty_posting posting ON posting.entry_id = draw.entry_id
         GROUP BY draw.lot_id) AS drawn
 WHERE lot.id = drawn.lot_id
"""
