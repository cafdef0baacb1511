"""Members whose points are about to expire: how many, who, and how much of it."""

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from typing import Any, Final

from django.db import connection
from django.utils import timezone

from loyalty.months import add_days, months_after, start_of_day
from members.models import Member

# Within how many days a warning is given, unless a page says otherwise.
WARN_DAYS: Final = 30
CHUNK: Final = 2_000


@dataclass(frozen=True, kw_only=True)
class Window:
    """Points that expire after ``after``, up to and including ``until``."""

    after: datetime
    until: datetime

    def count(self) -> tuple[int, int]:
        """How many members hold such points, and how many points."""
        with connection.cursor() as cursor:
            cursor.execute(_COUNT, self._bounds())
            members, points = cursor.fetchone()
            return members, int(points)

    def page(self, place: "Place | None", size: int) -> "list[Expiring]":
        """The members with the most such points after a place in the list."""
        found = list(self._rows(place, size))
        members = Member.objects.in_bulk([row[0] for row in found])
        return [
            Expiring(member_id=pk, member=members.get(pk), points=int(points), first_at=first_at)
            for pk, points, first_at in found
        ]

    def all(self) -> "Iterator[Expiring]":
        """Everybody, for a file."""
        place: Place | None = None
        while rows := self.page(place, CHUNK):
            yield from rows
            place = Place(rows[-1].points, rows[-1].member_id)

    def _rows(self, place: "Place | None", size: int) -> list[tuple[Any, ...]]:
        points, member_id = (place.points, place.member_id) if place else (None, None)
        with connection.cursor() as cursor:
            cursor.execute(_PAGE, self._bounds() | {"points": points, "member": member_id, "size": size})
            return list(cursor.fetchall())

    def _bounds(self) -> dict[str, Any]:
        return {"after": self.after, "until": self.until}


@dataclass(frozen=True)
class Place:
    """After whom a page of the list begins."""

    points: int
    member_id: int

    @classmethod
    def read(cls, text: str) -> "Place | None":
        """From an address; None where it makes no sense."""
        points, _separator, member = text.partition("_")
        readable = all(part.isdecimal() and len(part) < 19 for part in (points, member))
        return cls(int(points), int(member)) if readable else None

    def __str__(self) -> str:
        return f"{self.points}_{self.member_id}"


@dataclass(frozen=True, kw_only=True)
class Expiring:
    """One member's points that expire, and the moment of the first of them."""

    member_id: int
    member: Member | None
    points: int
    first_at: datetime

    @property
    def place(self) -> Place:
        """Where the next page begins if this is the last of one."""
        return Place(self.points, self.member_id)


def within_days(now: datetime, days: int) -> Window:
    """What expires within so many days of the programme's calendar."""
    return Window(after=now, until=add_days(now, days))


def in_month(now: datetime, month: date) -> Window:
    """What expires in a month of the programme's zone; of this month only what is still to expire."""
    first = start_of_day(month) - timedelta(microseconds=1)
    last = start_of_day(months_after(month, 1)) - timedelta(microseconds=1)
    return Window(after=max(first, now), until=last)


def of_member(member_id: int, now: datetime, days: int = WARN_DAYS) -> tuple[int, datetime] | None:
    """A member's points that expire within so many days, and when the first do; None: none do."""
    window = within_days(now, days)
    with connection.cursor() as cursor:
        cursor.execute(_OF_MEMBER, {"member": member_id, "after": window.after, "until": window.until})
        points, first_at = cursor.fetchone()
    return (int(points), timezone.localtime(first_at)) if points else None


_COUNT: Final = """
SELECT count(DISTINCT member_id), coalesce(sum(remaining), 0) FROM loyalty_lot
 WHERE remaining > 0 AND expires_at > %(after)s AND expires_at <= %(until)s
"""

_PAGE: Final = """
SELECT member_id, sum(remaining) AS points, min(expires_at) FROM loyalty_lot
 WHERE remaining > 0 AND expires_at > %(after)s AND expires_at <= %(until)s
 GROUP BY member_id
HAVING %(points)s::bigint IS NULL OR (sum(remaining), -member_id) < (%(points)s::bigint, -%(member)s::bigint)
 ORDER BY points DESC, member_id LIMIT %(size)s
"""

_OF_MEMBER: Final = """
SELECT coalesce(sum(remaining), 0), min(expires_at) FROM loyalty_lot
 WHERE member_id = %(member)s AND remaining > 0 AND expires_at > %(after)s AND expires_at <= %(until)s
"""
