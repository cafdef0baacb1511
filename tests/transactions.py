"""Transactions under way, without those of other test processes, which share the server."""

from django.db.backends.utils import CursorWrapper


def oldest_of_this_database(cursor: CursorWrapper) -> int | None:
    """The number of the oldest open transaction of this process's database; None where there is none.

    PostgreSQL's snapshots know the whole server only: a long test of another process holds them back.
    """
    cursor.execute(
        "SELECT min(held.transactionid::text::bigint)"
        "  FROM pg_locks held JOIN pg_stat_activity other USING (pid)"
        " WHERE held.locktype = 'transactionid' AND held.mode = 'ExclusiveLock' AND held.granted"
        "   AND other.datname = current_database()"
    )
    found: int | None = cursor.fetchone()[0]
    return found
