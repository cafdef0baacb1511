"""Posting many spends at once, by sets."""

from typing import Final

from django.db.backends.utils import CursorWrapper
from psycopg import sql

from loyalty.ledger.bulk import lock_accounts, render
from loyalty.ledger.errors import InsufficientPoints
from loyalty.ledger.lots import usable_sql
from loyalty.ledger.movement import SPEND_HASH_SQL

# What the staging table of :func:`post_spends` must have. ``points`` is what is taken, above 0.
SPENDING_COLUMNS: Final = """
    member_id bigint PRIMARY KEY,
    points bigint NOT NULL CHECK (points > 0),
    key text NOT NULL,
    occurred_at timestamptz NOT NULL,
    redemption_id bigint,
    explanation jsonb NOT NULL
"""


def post_spends(cursor: CursorWrapper, staging: str) -> int:
    """Redeem every row of a temporary table (see :data:`SPENDING_COLUMNS`), one per member; return how many.

    Draws as :func:`~loyalty.ledger.spend` does: the lot that expires first pays first. Where one member
    has too few points it raises :class:`~loyalty.ledger.InsufficientPoints` and nothing is posted. A key
    that was posted before is refused by the unique key. Call it in a transaction.
    """
    table = sql.Identifier(staging)
    lock_accounts(cursor, sql.SQL("SELECT member_id FROM {}").format(table))
    cursor.execute("DROP TABLE IF EXISTS loyalty_spending")
    cursor.execute(render(_NUMBERED, sql.SQL(SPEND_HASH_SQL), table))
    cursor.execute(_SHARED_OUT)
    cursor.execute("ANALYZE loyalty_spending; ANALYZE loyalty_spending_draw")
    cursor.execute(_SHORT)
    if short := cursor.fetchone():
        raise InsufficientPoints(available=short[0], needed=short[1])
    cursor.execute(_INSERT_ENTRIES)
    posted: int = cursor.rowcount
    cursor.execute(_INSERT_DRAWS)
    cursor.execute(_MOVE_LOTS)
    cursor.execute(_MOVE_ACCOUNTS)
    cursor.execute("DROP TABLE loyalty_spending, loyalty_spending_draw")
    return posted


_NUMBERED = """
CREATE TEMPORARY TABLE loyalty_spending ON COMMIT DROP AS
SELECT nextval((SELECT pg_get_serial_sequence('loyalty_entry', 'id')::regclass)) AS entry_id, {} AS input_hash,
       staged.*, account.version + 1 AS seq, account.balance - staged.points AS balance_after,
       account.debt AS debt_after
  FROM {} AS staged JOIN loyalty_account account USING (member_id) ORDER BY member_id
"""

_USABLE: Final = usable_sql("staged.occurred_at")

_SHARED_OUT = f"""
CREATE TEMPORARY TABLE loyalty_spending_draw ON COMMIT DROP AS
SELECT entry_id, lot_id, least(remaining, points - before) AS points
  FROM (
    SELECT staged.entry_id, staged.points, lot.id AS lot_id, lot.remaining,
           sum(lot.remaining) OVER (PARTITION BY lot.member_id
               ORDER BY lot.expires_at NULLS LAST, lot.activates_at, lot.id) - lot.remaining AS before
      FROM loyalty_spending staged JOIN loyalty_lot lot ON lot.member_id = staged.member_id
     WHERE {_USABLE}) AS usable
 WHERE before < points
"""  # noqa: S608

_SHORT = """
SELECT coalesce(sum(draw.points), 0)::bigint, staged.points
  FROM loyalty_spending staged LEFT JOIN loyalty_spending_draw draw USING (entry_id)
 GROUP BY staged.entry_id, staged.points HAVING coalesce(sum(draw.points), 0) < staged.points LIMIT 1
"""

_INSERT_ENTRIES = """
INSERT INTO loyalty_entry (id, member_id, seq, kind, points, balance_after, debt_after, occurred_at, created_at,
                           idempotency_key, input_hash, redemption_id, explanation)
SELECT entry_id, member_id, seq, 'redeem', -points, balance_after, debt_after, occurred_at, now(),
       key, input_hash, redemption_id, explanation
  FROM loyalty_spending
"""

_INSERT_DRAWS = """
INSERT INTO loyalty_draw (entry_id, lot_id, points) SELECT entry_id, lot_id, points FROM loyalty_spending_draw
"""

_MOVE_LOTS = """
UPDATE loyalty_lot lot SET remaining = lot.remaining - draw.points
  FROM loyalty_spending_draw draw WHERE draw.lot_id = lot.id
"""

_MOVE_ACCOUNTS = """
UPDATE loyalty_account account SET balance = posted.balance_after, version = posted.seq
  FROM loyalty_spending posted WHERE account.member_id = posted.member_id
"""
