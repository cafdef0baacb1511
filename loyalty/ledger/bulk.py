"""Posting many entries at once, by sets."""

from collections.abc import Sequence
from typing import Final

from django.conf import settings
from django.db import connection
from django.db.backends.utils import CursorWrapper
from psycopg import sql

from loyalty.ledger.errors import KeyReused
from loyalty.ledger.movement import INPUT_HASH_SQL

# From so many rows on, the statistics are taken anew before what was written is checked.
MANY_ROWS: Final = 5_000

# What a staging table must have. ``place`` orders the entries of one member at the same moment. Without
# ``qualifying`` as many points count for tiers as are given; ``debt`` is set by what posts the rows.
STAGING_COLUMNS: Final = """
    member_id bigint NOT NULL,
    kind text NOT NULL DEFAULT 'earn',
    points bigint NOT NULL,
    key text NOT NULL,
    occurred_at timestamptz NOT NULL,
    activates_at timestamptz,
    expires_at timestamptz,
    purchase_id bigint,
    redemption_id bigint,
    rule_version_id bigint,
    reverses_id bigint,
    award_id bigint,
    lot_id bigint,
    qualifying bigint,
    counts_at timestamptz,
    held boolean NOT NULL DEFAULT false,
    idle_months smallint,
    debt bigint NOT NULL DEFAULT 0,
    explanation jsonb NOT NULL,
    place bigint NOT NULL
"""


def post_awards(cursor: CursorWrapper, staging: str) -> int:
    """Award every row of a temporary table (see :data:`STAGING_COLUMNS`) and return how many were new.

    Per member, entries follow ``occurred_at`` and then ``place``; the first of them pay what the member
    owes. Rows whose key was posted before are taken out; with other input they raise
    :class:`~loyalty.ledger.KeyReused`, and nothing is posted. Call it in a transaction; it locks the
    accounts in member order.
    """
    table = sql.Identifier(staging)
    lock_accounts(cursor, sql.SQL("SELECT DISTINCT member_id FROM {}").format(table))
    _refuse_reused_keys(cursor, table)
    cursor.execute(render(_PAY_DEBT, table, table))
    in_debt = cursor.rowcount > 0
    posted = append(cursor, staging, lots=True)
    if in_debt:
        cursor.execute(_DRAW_DEBT)
        cursor.execute(_LESSEN_LOTS)
    return posted


def append(cursor: CursorWrapper, staging: str, *, lots: bool = False) -> int:
    """Write the entries of a staging table, with their lots if told so, and move their accounts, which must be locked.

    Leaves the temporary table ``loyalty_posting``: the rows with their ``entry_id``, for lots and draws.
    """
    cursor.execute("DROP TABLE IF EXISTS pg_temp.loyalty_posting")
    cursor.execute(render(_NUMBERED, sql.SQL(INPUT_HASH_SQL), sql.Identifier(staging)))
    # Only what it is joined by: the planner's picture of the rest is of no use to anybody.
    cursor.execute("ANALYZE loyalty_posting (entry_id, member_id, lot_id)")
    cursor.execute(_INSERT_ENTRIES_AND_LOTS if lots else _INSERT_ENTRIES, {"zone": settings.TIME_ZONE})
    posted: int = cursor.rowcount
    cursor.execute(_MOVE_ACCOUNTS)
    refresh_plans(cursor, posted)
    return posted


def stage(cursor: CursorWrapper, name: str) -> None:
    """Make an empty staging table, which ends with the transaction."""
    cursor.execute(render("DROP TABLE IF EXISTS pg_temp.{}", sql.Identifier(name)))
    cursor.execute(
        render("CREATE TEMPORARY TABLE {} ({}) ON COMMIT DROP", sql.Identifier(name), sql.SQL(STAGING_COLUMNS))
    )


def lock_members(cursor: CursorWrapper, members: Sequence[int]) -> int:
    """Open missing accounts of these members and lock all of them, in member order."""
    return lock_accounts(
        cursor, sql.SQL("SELECT DISTINCT unnest({}::bigint[]) AS member_id").format(sql.Literal(list(members)))
    )


def lock_accounts(cursor: CursorWrapper, members: sql.Composable) -> int:
    """The same for the members of a query that selects distinct ``member_id``."""
    lock = render(_LOCK, members)
    cursor.execute(lock)
    wanted, locked = cursor.fetchone()
    if locked < wanted:
        cursor.execute(render(_OPEN, members))
        cursor.execute(lock)
        wanted, locked = cursor.fetchone()
    count: int = locked
    return count


def refresh_plans(cursor: CursorWrapper, rows: int) -> None:
    """Make the session plan anew after many rows were written to the ledger.

    The foreign keys' own checks keep their plans for the whole session. One that was made while a table
    was nearly empty reads that table from end to end, once for each row that is written now. A table that
    was counted when it held a quarter of what it holds now is left as it is, and so is one that another
    transaction counts: waiting for it would last until that one ends.
    """
    if rows < MANY_ROWS:
        return
    cursor.execute(_OUTGROWN)
    if grown := [row[0] for row in cursor.fetchall()]:
        cursor.execute(
            sql.SQL("ANALYZE (SKIP_LOCKED) {}").format(sql.SQL(", ").join(map(sql.Identifier, grown))).as_string()
        )


def render(statement: str, *parts: sql.Composable) -> str:
    """Put identifiers and constant SQL into a statement; percent signs stay for the parameters."""
    return sql.SQL(statement).format(*parts).as_string(connection.connection)


def _refuse_reused_keys(cursor: CursorWrapper, table: sql.Identifier) -> None:
    """Drop the rows that were posted before; refuse keys that stand for something else now."""
    cursor.execute(render(_POSTED_BEFORE, sql.SQL(INPUT_HASH_SQL), table))
    row = cursor.fetchone()
    if row is None:
        return
    key, is_other = row
    if is_other:
        raise KeyReused(key)
    cursor.execute(
        render("DELETE FROM {} AS staged USING loyalty_entry entry WHERE entry.idempotency_key = staged.key", table)
    )


# One row that was posted before, with other input where there is such a one.
_POSTED_BEFORE: Final = """
SELECT staged.key, entry.input_hash <> (SELECT {} FROM (SELECT staged.*) AS input) AS is_other
  FROM {} AS staged JOIN loyalty_entry entry ON entry.idempotency_key = staged.key
 ORDER BY is_other DESC LIMIT 1
"""

# What is so much larger than when it was counted that the planner's picture of it is no longer right.
_OUTGROWN: Final = """
SELECT relname FROM pg_class
 WHERE oid = ANY(ARRAY['members_member', 'members_purchase', 'loyalty_account', 'loyalty_entry',
                       'loyalty_lot', 'loyalty_draw']::regclass[])
   AND pg_relation_size(oid) > 4 * relpages * current_setting('block_size')::bigint
 ORDER BY relname
"""

# The rows of each posting are looked up one by one, by their key (LATERAL with OFFSET 0, or = ANY of one): a join
# reads the accounts or lots from the first one on, and so for each chunk of a long run once more.
_LOCK: Final = """
WITH wanted AS MATERIALIZED (SELECT member_id FROM ({}) AS members ORDER BY member_id)
SELECT count(*), count(account.member_id)
  FROM wanted LEFT JOIN LATERAL (
      SELECT member_id FROM loyalty_account WHERE member_id = wanted.member_id OFFSET 0 FOR UPDATE) account ON true
"""

_OPEN: Final = """
INSERT INTO loyalty_account (member_id, balance, version)
SELECT member_id, 0, 0 FROM ({}) AS wanted ORDER BY member_id ON CONFLICT DO NOTHING
"""

# Entry ids are drawn ahead, so that lots and draws need no join to find theirs; their sequence is looked up once.
_NUMBERED: Final = """
CREATE TEMPORARY TABLE loyalty_posting ON COMMIT DROP AS
SELECT nextval((SELECT pg_get_serial_sequence('loyalty_entry', 'id')::regclass)) AS entry_id, numbered.*
  FROM (
    SELECT staged.*, {} AS input_hash,
           account.version + row_number() OVER in_order AS seq,
           account.balance + (sum(points) OVER in_order)::bigint AS balance_after,
           account.debt + (sum(staged.debt) OVER in_order)::bigint AS debt_after,
           lead(place) OVER in_order IS NULL AS is_last
      FROM {} AS staged, LATERAL (
          SELECT version, balance, debt FROM loyalty_account WHERE member_id = staged.member_id OFFSET 0) account
    WINDOW in_order AS (PARTITION BY member_id ORDER BY occurred_at, place
                        ROWS BETWEEN UNBOUNDED PRECEDING AND CURRENT ROW)
    ORDER BY member_id, occurred_at, place) AS numbered
"""

_INSERT_ENTRIES: Final = """
INSERT INTO loyalty_entry (id, member_id, seq, kind, points, balance_after, qualifying, counts_at, debt, debt_after,
                           occurred_at, created_at, idempotency_key, input_hash, purchase_id, redemption_id,
                           rule_version_id, reverses_id, award_id, explanation)
SELECT entry_id, member_id, seq, kind, points, balance_after, coalesce(qualifying, points), counts_at, debt, debt_after,
       occurred_at, now(), key, input_hash, purchase_id, redemption_id,
       rule_version_id, reverses_id, award_id, explanation
  FROM loyalty_posting
"""

_INSERT_LOTS: Final = """
INSERT INTO loyalty_lot (entry_id, member_id, points, remaining, activates_at, expires_at, idle_months)
SELECT entry_id, member_id, points, points, CASE WHEN NOT held THEN coalesce(activates_at, occurred_at) END,
       CASE WHEN expires_at IS NULL AND idle_months IS NOT NULL
            THEN ((occurred_at AT TIME ZONE %(zone)s) + make_interval(months => idle_months::int)) AT TIME ZONE %(zone)s
            ELSE expires_at END, idle_months
  FROM loyalty_posting WHERE points > 0
"""

# In one statement: the guard of the entries then sees their lots, and leaves nothing of them for the commit.
_INSERT_ENTRIES_AND_LOTS: Final = f"WITH lots AS ({_INSERT_LOTS}) {_INSERT_ENTRIES}"

# The accounts in debt are few and have an index of their own: where none is, the staged rows are not read.
_PAY_DEBT: Final = """
WITH debtor AS MATERIALIZED (SELECT member_id, debt FROM loyalty_account WHERE debt > 0), due AS (
    SELECT staged.member_id, staged.key, debtor.debt, staged.points,
           sum(staged.points) OVER (PARTITION BY staged.member_id ORDER BY occurred_at, place
                                    ROWS BETWEEN UNBOUNDED PRECEDING AND CURRENT ROW) AS given
      FROM {} AS staged JOIN debtor USING (member_id))
UPDATE {} AS staged SET debt = -(least(due.debt, due.given) - least(due.debt, due.given - due.points))
  FROM due WHERE due.key = staged.key AND due.debt > due.given - due.points AND due.points > 0
"""

_DRAW_DEBT: Final = """
INSERT INTO loyalty_draw (entry_id, lot_id, points)
SELECT posting.entry_id, lot.id, -posting.debt
  FROM loyalty_posting posting JOIN loyalty_lot lot ON lot.entry_id = posting.entry_id WHERE posting.debt < 0
"""

_LESSEN_LOTS: Final = """
UPDATE loyalty_lot lot SET remaining = lot.remaining + posting.debt
  FROM loyalty_posting posting WHERE posting.entry_id = lot.entry_id AND posting.debt < 0
"""

_MOVE_ACCOUNTS: Final = """
UPDATE loyalty_account account SET balance = last.balance_after, debt = last.debt_after, version = last.seq
  FROM loyalty_posting last
 WHERE account.member_id = ANY(ARRAY[last.member_id]) AND last.is_last
"""
