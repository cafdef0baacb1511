"""Sums of the ledger by month: what pages read, so that they cost months and not entries.

Sealed entries never change, so each block adds its sums once, in the transaction that seals it. What came
after the last block is counted when it is asked for. ``manage.py verify`` recounts all of it.

Months are those of the programme's zone. Where there are no sums in it yet, because it was changed, the next
sealing counts them anew, and until then pages count the entries themselves.
"""

from dataclasses import dataclass
from datetime import date
from typing import Final

from django.conf import settings
from django.db import connection
from django.db.backends.utils import CursorWrapper


@dataclass(frozen=True, kw_only=True)
class EntryMonth:
    """Entries of one kind that happened in one month: their points (signed) and the change of debt."""

    month: date
    kind: str
    points: int
    debt: int
    entries: int


@dataclass(frozen=True, kw_only=True)
class LotMonth:
    """How points that came in month ``issued``, to expire in month ``expires`` (None: never), moved in ``month``.

    Points whose expiry activity moves on (``slides``) have no ``expires`` here. ``kind`` is "issue" for the lots
    themselves, "return" for what was given back to them, else the kind of the entry that drew from them
    (negative). All moves of an issue month add up to what is left of it.
    """

    issued: date
    expires: date | None
    slides: bool
    month: date
    kind: str
    points: int


def entry_months() -> list[EntryMonth]:
    """All entries by the month in which they happened, and kind; in order of months."""
    with connection.cursor() as cursor:
        cursor.execute(_READ_ENTRIES, {"zone": settings.TIME_ZONE})
        return [
            EntryMonth(month=month, kind=kind, points=int(points), debt=int(debt), entries=int(entries))
            for month, kind, points, debt, entries in cursor.fetchall()
        ]


def lot_months() -> list[LotMonth]:
    """All moves of lots by the month in which their points came, the month of the move, and kind."""
    with connection.cursor() as cursor:
        cursor.execute(_READ_LOTS, {"zone": settings.TIME_ZONE})
        return [
            LotMonth(issued=issued, expires=expires, slides=slides, month=month, kind=kind, points=int(points))
            for issued, expires, slides, month, kind, points in cursor.fetchall()
        ]


def is_there(cursor: CursorWrapper) -> bool:
    """Whether there are sums in the programme's zone."""
    cursor.execute("SELECT EXISTS (SELECT FROM loyalty_entrymonth WHERE zone = %s)", [settings.TIME_ZONE])
    return bool(cursor.fetchone()[0])


def add(cursor: CursorWrapper, after: int, up_to: int) -> None:
    """Add the entries of a block, those above the first id up to the second; all sealed ones in a new zone."""
    zone = settings.TIME_ZONE
    if not is_there(cursor):
        cursor.execute("DELETE FROM loyalty_entrymonth")
        cursor.execute("DELETE FROM loyalty_lotmonth")
        after = 0
    bounds = {"zone": zone, "after": after, "up_to": up_to}
    cursor.execute(_ADD_ENTRIES, bounds)
    cursor.execute(_ADD_LOTS, bounds)


# Of entries above bounds.after up to bounds.up_to.
_ENTRY_MONTHS: Final = """
SELECT date_trunc('month', entry.occurred_at AT TIME ZONE bounds.zone)::date AS month, entry.kind,
       sum(entry.points) AS points, sum(entry.debt) AS debt, count(*) AS entries
  FROM bounds JOIN loyalty_entry entry ON entry.id > bounds.after AND entry.id <= bounds.up_to
 GROUP BY 1, 2
"""
_LOT_MONTHS: Final = """
SELECT date_trunc('month', moved.issued_at AT TIME ZONE moved.zone)::date AS issued,
       CASE WHEN moved.idle_months IS NULL
            THEN date_trunc('month', moved.expires_at AT TIME ZONE moved.zone)::date END AS expires,
       moved.idle_months IS NOT NULL AS slides,
       date_trunc('month', moved.occurred_at AT TIME ZONE moved.zone)::date AS month, moved.kind,
       sum(moved.points) AS points
  FROM (
    SELECT bounds.zone, entry.occurred_at AS issued_at, lot.expires_at, lot.idle_months, entry.occurred_at,
           'issue' AS kind, lot.points
      FROM bounds JOIN loyalty_entry entry ON entry.id > bounds.after AND entry.id <= bounds.up_to
      JOIN loyalty_lot lot ON lot.entry_id = entry.id
       AND lot.entry_id > bounds.after AND lot.entry_id <= bounds.up_to
    UNION ALL
    SELECT bounds.zone, source.occurred_at, lot.expires_at, lot.idle_months, entry.occurred_at,
           CASE WHEN draw.points < 0 THEN 'return' ELSE entry.kind END, -draw.points
      FROM bounds JOIN loyalty_entry entry ON entry.id > bounds.after AND entry.id <= bounds.up_to
      JOIN loyalty_draw draw ON draw.entry_id = entry.id
       AND draw.entry_id > bounds.after AND draw.entry_id <= bounds.up_to
      JOIN loyalty_lot lot ON lot.id = draw.lot_id
      JOIN loyalty_entry source ON source.id = lot.entry_id) moved
 GROUP BY 1, 2, 3, 4, 5
"""
# What a block drew from is looked up by key, one by one: a join reads every lot and entry for each block anew.
_LOT_MONTHS_OF_A_BLOCK: Final = _LOT_MONTHS.replace(
    "JOIN loyalty_lot lot ON lot.id = draw.lot_id",
    "CROSS JOIN LATERAL (SELECT * FROM loyalty_lot WHERE id = draw.lot_id OFFSET 0) lot",
).replace(
    "JOIN loyalty_entry source ON source.id = lot.entry_id",
    "CROSS JOIN LATERAL (SELECT occurred_at FROM loyalty_entry WHERE id = lot.entry_id OFFSET 0) source",
)

# Inlined, though it is named twice: the planner then knows how few entries a block has.
_BLOCK: Final = """
bounds AS NOT MATERIALIZED (SELECT %(zone)s::text AS zone, %(after)s::bigint AS after, %(up_to)s::bigint AS up_to)
"""

_ADD_ENTRIES: Final = f"""
WITH {_BLOCK}
INSERT INTO loyalty_entrymonth AS held (zone, month, kind, points, debt, entries)
SELECT %(zone)s, counted.* FROM ({_ENTRY_MONTHS}) counted
ON CONFLICT (month, kind) DO UPDATE
   SET points = held.points + excluded.points, debt = held.debt + excluded.debt,
       entries = held.entries + excluded.entries
"""  # noqa: S608

_ADD_LOTS: Final = f"""
WITH {_BLOCK}
INSERT INTO loyalty_lotmonth AS held (issued, expires, slides, month, kind, points)
SELECT counted.* FROM ({_LOT_MONTHS_OF_A_BLOCK}) counted
ON CONFLICT (issued, expires, slides, month, kind) DO UPDATE SET points = held.points + excluded.points
"""  # noqa: S608

# What the sums do not hold: everything, where they are of another zone. One statement, so that a block that is
# sealed meanwhile is counted once.
_TAIL: Final = """
bounds AS (SELECT %(zone)s::text AS zone,
                  CASE WHEN EXISTS (SELECT FROM loyalty_entrymonth WHERE zone = %(zone)s)
                       THEN (SELECT max(last_entry) FROM loyalty_block) ELSE 0 END AS after,
                  9223372036854775807 AS up_to)
"""

_READ_ENTRIES: Final = f"""
WITH {_TAIL}
SELECT month, kind, sum(points), sum(debt), sum(entries) FROM (
    SELECT month, kind, points, debt, entries FROM loyalty_entrymonth WHERE zone = %(zone)s
    UNION ALL {_ENTRY_MONTHS}) counted
 GROUP BY month, kind ORDER BY month, kind
"""  # noqa: S608

_READ_LOTS: Final = f"""
WITH {_TAIL}
SELECT issued, expires, slides, month, kind, sum(points) FROM (
    SELECT issued, expires, slides, month, kind, points FROM loyalty_lotmonth, bounds WHERE bounds.after > 0
    UNION ALL {_LOT_MONTHS}) counted
 GROUP BY issued, expires, slides, month, kind ORDER BY issued, month, kind, expires
"""  # noqa: S608

_SEALED: Final = """
bounds AS (SELECT zone, 0 AS after, (SELECT max(last_entry) FROM loyalty_block) AS up_to
             FROM loyalty_entrymonth LIMIT 1)
"""

# Sums that are not what the sealed entries, lots and draws come to.
CHECK: Final = f"""
WITH {_SEALED}, entries AS ({_ENTRY_MONTHS}), lots AS ({_LOT_MONTHS})
SELECT month, kind, NULL::date AS issued, held.points AS held, entries.points AS counted
  FROM loyalty_entrymonth held FULL JOIN entries USING (month, kind)
 WHERE held.points IS DISTINCT FROM entries.points OR held.debt IS DISTINCT FROM entries.debt
    OR held.entries IS DISTINCT FROM entries.entries
UNION ALL
SELECT coalesce(held.month, lots.month), coalesce(held.kind, lots.kind), coalesce(held.issued, lots.issued),
       held.points, lots.points
  FROM loyalty_lotmonth held
  FULL JOIN (SELECT *, coalesce(expires, 'infinity') AS until FROM lots) lots
       ON (held.issued, coalesce(held.expires, 'infinity'), held.slides, held.month, held.kind)
          = (lots.issued, lots.until, lots.slides, lots.month, lots.kind)
 WHERE held.points IS DISTINCT FROM lots.points
"""  # noqa: S608
