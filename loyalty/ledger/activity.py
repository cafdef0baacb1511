"""Sliding lots live on while their member is active: a purchase, a confirmed redemption or an interaction counts.

A reward that is only reserved does not: who reserves and cancels would keep points alive for ever.

Activity that came before a lot would have expired moves its expiry to its number of months after that
activity. One activity may bring a lot into the reach of the next, so this repeats until nothing moves. It
runs each night before points expire, and wherever history comes in late.
"""

from collections.abc import Iterator, Sequence
from datetime import datetime
from typing import Final

from django.conf import settings
from django.db import connection, transaction
from django.db.backends.utils import CursorWrapper

from loyalty.ledger.bulk import lock_members

# Members of one transaction.
CHUNK: Final = 5_000


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
        cursor.execute(_BY_ONE, params)
        prolonged: int = cursor.rowcount
    return prolonged


def prolong_by_activity(cursor: CursorWrapper, members: Sequence[int], now: datetime) -> int:
    """Move the sliding lots of these members, whose accounts are locked, on by what they did up to ``now``.

    Returns how many times a lot was moved. Points that were taken out stay so.
    """
    total = 0
    while True:
        cursor.execute(_BY_ALL, {"members": list(members), "now": now, "zone": settings.TIME_ZONE})
        if not cursor.rowcount:
            return total
        total += cursor.rowcount


def prolong_everybody(now: datetime) -> Iterator[int]:
    """The same for all members with sliding lots, chunk by chunk; yields how many moves each made."""
    last = 0
    while members := _next_members(last):
        with transaction.atomic(), connection.cursor() as cursor:
            lock_members(cursor, members)
            yield prolong_by_activity(cursor, members, now)
        last = members[-1]


def _next_members(after: int) -> list[int]:
    with connection.cursor() as cursor:
        cursor.execute(_MEMBERS, {"after": after, "chunk": CHUNK})
        return [row[0] for row in cursor.fetchall()]


_MEMBERS: Final = """
SELECT DISTINCT member_id FROM loyalty_lot
 WHERE remaining > 0 AND idle_months IS NOT NULL AND member_id > %(after)s ORDER BY member_id LIMIT %(chunk)s
"""

_ANY_SLIDES: Final = """
SELECT EXISTS (SELECT FROM loyalty_lot WHERE member_id = ANY(%(members)s) AND remaining > 0 AND idle_months IS NOT NULL)
"""

_PROLONG: Final = """
UPDATE loyalty_lot lot SET expires_at = moved.expires_at
  FROM (
    SELECT sliding.id,
           ((active.last_at AT TIME ZONE %(zone)s) + make_interval(months => sliding.idle_months))
               AT TIME ZONE %(zone)s AS expires_at
      FROM loyalty_lot sliding, LATERAL (SELECT {activity} AS last_at) active
     WHERE sliding.member_id = ANY(%(members)s) AND sliding.remaining > 0 AND sliding.idle_months IS NOT NULL
       AND active.last_at < sliding.expires_at
  ) AS moved
 WHERE lot.id = moved.id AND moved.expires_at > lot.expires_at
"""

_BY_ONE: Final = _PROLONG.replace("{activity}", "%(at)s::timestamptz")

# The last activity before the lot expires; what came after that was too late for it.
_BY_ALL: Final = _PROLONG.replace(
    "{activity}",
    """greatest(
              (SELECT max(purchased_at) FROM members_purchase
                WHERE member_id = sliding.member_id AND purchased_at < least(sliding.expires_at, %(now)s)),
              (SELECT max(redeemed_at) FROM loyalty_redemption
                WHERE member_id = sliding.member_id AND redeemed_at < least(sliding.expires_at, %(now)s)
                  AND state IN ('confirmed', 'fulfilled') AND points > 0),
              (SELECT max(occurred_at) FROM members_interaction
                WHERE member_id = sliding.member_id AND occurred_at < least(sliding.expires_at, %(now)s)))""",
)
