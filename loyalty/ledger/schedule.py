"""When points can be used: held points are released, and those that lapse in idleness live on with each activity."""

from collections.abc import Sequence
from datetime import datetime
from typing import Final

from django.conf import settings
from django.db import connection, transaction

from loyalty.ledger.bulk import lock_members


@transaction.atomic
def release(entry_ids: Sequence[int], *, at: datetime) -> int:
    """Let the held points of these awards be used from ``at`` on; returns how many awards were held until now."""
    with connection.cursor() as cursor:
        cursor.execute(_HOLDERS, {"entries": list(entry_ids)})
        lock_members(cursor, [row[0] for row in cursor.fetchall()])
        cursor.execute(_RELEASE, {"entries": list(entry_ids), "at": at})
        released: int = cursor.rowcount
    return released


@transaction.atomic
def prolong(member_ids: Sequence[int], active_at: datetime) -> int:
    """Move the expiry of sliding lots on, because these members were active; returns how many lots.

    Each lot lives its own number of months from ``active_at``, in the programme's time zone, and never
    shorter than before. What had expired by then stays expired.
    """
    if not member_ids:
        return 0
    params = {"members": list(member_ids), "at": active_at, "zone": settings.TIME_ZONE}
    with connection.cursor() as cursor:
        # Most programmes have no such lots: ask before any account is locked.
        cursor.execute(_ANY_SLIDES, params)
        if not cursor.fetchone()[0]:
            return 0
        lock_members(cursor, member_ids)
        cursor.execute(_PROLONG, params)
        prolonged: int = cursor.rowcount
    return prolonged


_HOLDERS: Final = """
SELECT DISTINCT member_id FROM loyalty_lot WHERE entry_id = ANY(%(entries)s) AND activates_at IS NULL ORDER BY member_id
"""

_RELEASE: Final = """
UPDATE loyalty_lot SET activates_at = %(at)s WHERE entry_id = ANY(%(entries)s) AND activates_at IS NULL
"""

_ANY_SLIDES: Final = """
SELECT EXISTS (SELECT FROM loyalty_lot WHERE member_id = ANY(%(members)s) AND remaining > 0 AND idle_months IS NOT NULL)
"""

_PROLONG: Final = """
UPDATE loyalty_lot lot SET expires_at = moved.expires_at
  FROM (SELECT id, ((%(at)s AT TIME ZONE %(zone)s) + make_interval(months => idle_months)) AT TIME ZONE %(zone)s
               AS expires_at
          FROM loyalty_lot
         WHERE member_id = ANY(%(members)s) AND remaining > 0 AND idle_months IS NOT NULL AND expires_at > %(at)s
       ) AS moved
 WHERE lot.id = moved.id AND moved.expires_at > lot.expires_at
"""
