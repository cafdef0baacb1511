"""Held points: they wait until they are released."""

from collections.abc import Sequence
from datetime import datetime
from typing import Final

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


_HOLDERS: Final = """
SELECT DISTINCT member_id FROM loyalty_lot WHERE entry_id = ANY(%(entries)s) AND activates_at IS NULL ORDER BY member_id
"""

_RELEASE: Final = """
UPDATE loyalty_lot SET activates_at = %(at)s WHERE entry_id = ANY(%(entries)s) AND activates_at IS NULL
"""
