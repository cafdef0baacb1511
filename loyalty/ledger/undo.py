"""Taking back a whole batch of awards (docs/adr/0003)."""

from dataclasses import dataclass
from typing import Any, Final

from django.db.backends.utils import CursorWrapper
from django.utils import timezone
from psycopg import sql
from psycopg.types.json import Jsonb

from loyalty.ledger.bulk import append, lock_accounts, render, stage
from loyalty.ledger.errors import LedgerError


class AlreadySpent(LedgerError):
    """Members have fewer points left than the batch gave them; nothing was taken back."""

    def __init__(self, members: int) -> None:
        self.members = members
        super().__init__(f"{members} members have spent points of this batch and would fall below zero")


@dataclass(frozen=True, kw_only=True)
class BatchPreview:
    """What taking a batch back would do. ``short`` lists the first members who lack points, and how many."""

    entries: int
    points: int
    members: int
    spent_members: int
    short: list[tuple[int, int]]


def preview_batch(cursor: CursorWrapper, batch: str) -> BatchPreview:
    """Count what :func:`undo_batch` would do with a temporary table of ``entry_id``. Writes nothing."""
    cursor.execute(render(_COUNT, sql.Identifier(batch)))
    entries, points, members = cursor.fetchone()
    cursor.execute(render(_SHORT, sql.Identifier(batch)))
    short = cursor.fetchall()
    return BatchPreview(
        entries=entries,
        points=int(points),
        members=members,
        spent_members=short[0][2] if short else 0,
        short=[(member, int(lacking)) for member, lacking, _ in short],
    )


def undo_batch(cursor: CursorWrapper, batch: str, *, explanation: dict[str, Any]) -> int:
    """Reverse the awards of a temporary table of ``entry_id``; returns how many were reversed.

    Each is taken from its own lot first and then from the lots that expire first; a lot that expired
    meanwhile gets its points back first. Awards that were reversed before are passed over. Raises
    :class:`AlreadySpent` with nothing done. Call it in a transaction.
    """
    batch_table = sql.Identifier(batch)
    lock_accounts(
        cursor,
        sql.SQL("SELECT DISTINCT member_id FROM loyalty_entry JOIN {} AS batch ON batch.entry_id = id").format(
            batch_table
        ),
    )
    preview = preview_batch(cursor, batch)
    if preview.spent_members:
        raise AlreadySpent(preview.spent_members)
    params: dict[str, Any] = {"now": timezone.now(), "explanation": Jsonb(explanation)}
    _give_back_expired(cursor, batch_table, params)
    stage(cursor, "loyalty_undoing")
    cursor.execute(render(_STAGE_AWARDS, batch_table), params)
    undone: int = cursor.rowcount
    append(cursor, "loyalty_undoing")
    cursor.execute(_DRAW_FROM_LOTS)
    cursor.execute(_MOVE_LOTS)
    return undone


def _give_back_expired(cursor: CursorWrapper, batch: sql.Identifier, params: dict[str, Any]) -> None:
    stage(cursor, "loyalty_undoing")
    cursor.execute(render(_STAGE_EXPIRIES, batch), params)
    if cursor.rowcount:
        append(cursor, "loyalty_undoing")
        cursor.execute(
            "INSERT INTO loyalty_draw (entry_id, lot_id, points) SELECT entry_id, lot_id, -points FROM loyalty_posting"
        )
        cursor.execute(_MOVE_LOTS)


_NOT_REVERSED: Final = "NOT EXISTS (SELECT FROM loyalty_entry reversal WHERE reversal.reverses_id = entry.id)"

_COUNT: Final = f"""
SELECT count(*), coalesce(sum(points), 0), count(DISTINCT member_id)
  FROM {{}} AS batch JOIN loyalty_entry entry ON entry.id = batch.entry_id WHERE {_NOT_REVERSED}
"""  # noqa: S608

# What the batch gave, less what of it expired (which is given back first), against the balance.
_SHORT: Final = f"""
WITH wanted AS (
    SELECT entry.member_id,
           sum(entry.points - coalesce((
               SELECT sum(draw.points) FROM loyalty_draw draw JOIN loyalty_entry expiry ON expiry.id = draw.entry_id
                WHERE draw.lot_id = lot.id AND expiry.kind = 'expire'
                  AND NOT EXISTS (SELECT FROM loyalty_entry r WHERE r.reverses_id = expiry.id)), 0)) AS points
      FROM {{}} AS batch JOIN loyalty_entry entry ON entry.id = batch.entry_id
      JOIN loyalty_lot lot ON lot.entry_id = entry.id
     WHERE {_NOT_REVERSED} GROUP BY entry.member_id
)
SELECT member_id, wanted.points - account.balance, count(*) OVER ()
  FROM wanted JOIN loyalty_account account USING (member_id)
 WHERE wanted.points > account.balance ORDER BY 2 DESC, 1 LIMIT 20
"""  # noqa: S608

_STAGE_EXPIRIES: Final = """
INSERT INTO loyalty_undoing (member_id, kind, points, qualifying, key, occurred_at, reverses_id, lot_id, explanation,
                             place)
SELECT entry.member_id, 'reverse', -entry.points, 0, 'reverse:' || entry.id, %(now)s, entry.id, draw.lot_id,
       %(explanation)s, entry.seq
  FROM {} AS batch JOIN loyalty_lot lot ON lot.entry_id = batch.entry_id
  JOIN loyalty_draw draw ON draw.lot_id = lot.id
  JOIN loyalty_entry entry ON entry.id = draw.entry_id AND entry.kind = 'expire'
 WHERE NOT EXISTS (SELECT FROM loyalty_entry reversal WHERE reversal.reverses_id = entry.id)
"""

_STAGE_AWARDS: Final = f"""
INSERT INTO loyalty_undoing (member_id, kind, points, qualifying, counts_at, key, occurred_at, purchase_id,
                             rule_version_id, reverses_id, lot_id, explanation, place)
SELECT entry.member_id, 'reverse', -entry.points, -entry.qualifying, coalesce(entry.counts_at, entry.occurred_at),
       'reverse:' || entry.id, %(now)s, entry.purchase_id, entry.rule_version_id, entry.id, lot.id, %(explanation)s,
       entry.seq
  FROM {{}} AS batch JOIN loyalty_entry entry ON entry.id = batch.entry_id
  JOIN loyalty_lot lot ON lot.entry_id = entry.id
 WHERE {_NOT_REVERSED}
"""  # noqa: S608

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
    WINDOW in_order AS (PARTITION BY lot.member_id ORDER BY lot.expires_at NULLS LAST, lot.activates_at, lot.id)
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
