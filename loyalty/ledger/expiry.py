"""Taking expired points out, lot by lot and set-based."""

from collections.abc import Iterator, Sequence
from datetime import datetime
from typing import Any, Final

from django.db import connection, transaction
from django.db.backends.utils import CursorWrapper
from django.utils import timezone
from django.utils.translation import gettext as _

from loyalty.ledger.activity import prolong_by_activity, prolong_everybody
from loyalty.ledger.bulk import append, lock_members, stage
from loyalty.models import Account, Lot
from staff import jobs
from staff.models import Job

JOB: Final = "expire-points"
# About so many lots of one transaction. A killed run has kept what it committed, and the next one finds the rest.
CHUNK: Final = 20_000


@jobs.handler(JOB)
def run(job: Job, progress: jobs.Progress) -> dict[str, Any]:
    """Let sliding lots of active members live on, then take out everything whose expiry has passed, in chunks."""
    now = timezone.now()
    prolonged = sum(prolong_everybody(now))
    ranges = _ranges_due(now)
    progress.update(0, total=sum(due for _first, _last, due in ranges), step=_("expiring points"))
    lots = points = 0
    for some_lots, some_points in _expire_ranges(now, ranges):
        lots, points = lots + some_lots, points + some_points
        progress.update(lots)
    return {"lots": lots, "points": points, "prolonged": prolonged}


def expire_due(now: datetime) -> tuple[int, int]:
    """Take out all that expired by a moment, in chunks of members; returns how many lots and points.

    Sliding lots are taken as they stand: :mod:`loyalty.ledger.activity` moves them on before.
    """
    chunks = list(_expire_ranges(now, _ranges_due(now)))
    return sum(lots for lots, _points in chunks), sum(points for _lots, points in chunks)


def _ranges_due(now: datetime) -> list[tuple[int, int, int]]:
    """The first and last id of members who have about :data:`CHUNK` expired lots together, and how many these are.

    By member and not by time: what stands near each other in the tables and indexes is then written together, and
    not each page of them anew in each chunk.
    """
    with connection.cursor() as cursor:
        cursor.execute(_RANGES, {"now": now, "chunk": CHUNK})
        return [(first, last, due) for first, last, due in cursor.fetchall()]


def _expire_ranges(now: datetime, ranges: Sequence[tuple[int, int, int]]) -> Iterator[tuple[int, int]]:
    """Take out what expired of each range, in a transaction of its own; yields how many lots and points."""
    for first, last, _due in ranges:
        with transaction.atomic(), connection.cursor() as cursor:
            cursor.execute(_MEMBERS_DUE, {"now": now, "first": first, "last": last})
            members = [row[0] for row in cursor.fetchall()]
            lock_members(cursor, members)
            expired = _expire(cursor, now, members)
        yield expired


def expire_members(cursor: CursorWrapper, members: Sequence[int], now: datetime) -> int:
    """Take out the expired points of these members, whose accounts are locked; returns how many lots."""
    prolong_by_activity(cursor, members, now)
    return _expire(cursor, now, members)[0]


def expire_if_due(account: Account, at: datetime) -> None:
    """Take out what has expired of one member by then; the account is locked, and brought up to date."""
    if not Lot.objects.filter(member_id=account.pk, remaining__gt=0, expires_at__lte=at).exists():
        return
    with connection.cursor() as cursor:
        expire_members(cursor, [account.pk], at)
    account.refresh_from_db()


def _expire(cursor: CursorWrapper, now: datetime, members: Sequence[int]) -> tuple[int, int]:
    stage(cursor, "loyalty_expiring")
    # Read under the locks: what was spent meanwhile does not expire as well.
    cursor.execute(_STAGE_DUE, {"now": now, "members": list(members)})
    lots: int = cursor.rowcount
    if not lots:
        return 0, 0
    append(cursor, "loyalty_expiring")
    cursor.execute(_DRAW_ALL)
    cursor.execute(_EMPTY_LOTS)
    cursor.execute("SELECT coalesce(sum(-points), 0) FROM loyalty_posting")
    points: int = cursor.fetchone()[0]
    return lots, int(points)


_RANGES: Final = """
SELECT min(member_id), max(member_id), sum(due)::bigint
  FROM (SELECT member_id, count(*) AS due, div(sum(count(*)) OVER (ORDER BY member_id) - 1, %(chunk)s) AS part
          FROM loyalty_lot WHERE remaining > 0 AND expires_at <= %(now)s GROUP BY member_id) AS counted
 GROUP BY part ORDER BY part
"""

_MEMBERS_DUE: Final = """
SELECT DISTINCT member_id FROM loyalty_lot
 WHERE member_id BETWEEN %(first)s AND %(last)s AND remaining > 0 AND expires_at <= %(now)s
 ORDER BY member_id
"""

# The number of draws makes the key: points that a cancelled redemption gives back to an expired lot
# expire again, under another key.
_STAGE_DUE: Final = """
INSERT INTO loyalty_expiring (member_id, kind, points, qualifying, key, occurred_at, lot_id, explanation, place)
SELECT lot.member_id, 'expire', -lot.remaining, 0,
       'expire:' || lot.id || ':' || (SELECT count(*) FROM loyalty_draw draw WHERE draw.lot_id = lot.id),
       lot.expires_at, lot.id,
       jsonb_build_object('lot', lot.id, 'of', lot.points, 'earned_at', entry.occurred_at), lot.id
  FROM loyalty_lot lot, LATERAL (SELECT occurred_at FROM loyalty_entry WHERE id = lot.entry_id OFFSET 0) entry
 WHERE lot.member_id = ANY(%(members)s) AND lot.remaining > 0 AND lot.expires_at <= %(now)s
"""

_DRAW_ALL: Final = """
INSERT INTO loyalty_draw (entry_id, lot_id, points) SELECT entry_id, lot_id, -points FROM loyalty_posting
"""

_EMPTY_LOTS: Final = """
UPDATE loyalty_lot lot SET remaining = 0 FROM loyalty_posting posting WHERE lot.id = ANY(ARRAY[posting.lot_id])
"""
