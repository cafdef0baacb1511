"""What the programme owes: points outstanding, by when they expire."""

from dataclasses import dataclass
from datetime import date, datetime
from typing import Final

from django.conf import settings
from django.db import connection


@dataclass(frozen=True, kw_only=True)
class Month:
    """Points that expire in one month of the programme's time zone; None: never."""

    month: date | None
    points: int
    members: int
    share: float


@dataclass(frozen=True, kw_only=True)
class Liability:
    """All points that members hold. ``usable`` can be spent now, ``pending`` not yet, ``overdue`` no more."""

    outstanding: int
    usable: int
    pending: int
    overdue: int
    members: int
    months: list[Month]


def liability(now: datetime) -> Liability:
    """Add up what is left in all lots, in one pass over the open ones."""
    with connection.cursor() as cursor:
        cursor.execute(_TOTALS, {"now": now})
        outstanding, usable, pending, overdue, members = cursor.fetchone()
        cursor.execute(_BY_MONTH, {"now": now, "zone": settings.TIME_ZONE})
        rows = cursor.fetchall()
    most = max((points for _month, points, _members in rows), default=0) or 1
    return Liability(
        outstanding=int(outstanding),
        usable=int(usable),
        pending=int(pending),
        overdue=int(overdue),
        members=members,
        months=[
            Month(month=month, points=int(points), members=number, share=float(points) / float(most))
            for month, points, number in rows
        ],
    )


_TOTALS: Final = """
SELECT coalesce(sum(remaining), 0),
       coalesce(sum(remaining) FILTER (WHERE activates_at <= %(now)s
                                         AND (expires_at IS NULL OR expires_at > %(now)s)), 0),
       coalesce(sum(remaining) FILTER (WHERE activates_at > %(now)s OR activates_at IS NULL), 0),
       coalesce(sum(remaining) FILTER (WHERE expires_at <= %(now)s), 0),
       count(DISTINCT member_id)
  FROM loyalty_lot WHERE remaining > 0
"""

_BY_MONTH: Final = """
SELECT date_trunc('month', expires_at AT TIME ZONE %(zone)s)::date AS month, sum(remaining), count(DISTINCT member_id)
  FROM loyalty_lot WHERE remaining > 0 AND (expires_at IS NULL OR expires_at > %(now)s)
 GROUP BY month ORDER BY month NULLS LAST
"""
