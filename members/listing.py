"""The list of members: filters, three orders, pages that start after the last row and so stay fast."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from decimal import Decimal
from typing import Any

from django.db import connection
from django.db.models import BooleanField, QuerySet
from django.db.models.expressions import RawSQL
from django.utils import timezone
from django.utils.dateparse import parse_datetime

from members.folding import fold
from members.models import Member

SIZE = 50
COUNTED_UP_TO = 10_000

# The expression of the index members_member_by_name, to the letter.
NAME = 'members_fold(members_member.family_name || members_member.given_name) COLLATE "C"'

# Sort keys of the address to the columns of an index; the first is shown when the address names none.
ORDERS: dict[str, tuple[str, ...]] = {
    "joined": ("members_member.joined_at", "members_member.id"),
    "name": (NAME, "members_member.id"),
    "number": ("members_member.number",),
}
NEWEST = "-joined"


@dataclass(frozen=True, kw_only=True)
class Filters:
    """Which members. Days are of the programme's zone, both included."""

    status: str = ""
    gender: str = ""
    joined_from: date | None = None
    joined_to: date | None = None

    def __bool__(self) -> bool:
        return self != Filters()

    def members(self) -> QuerySet[Member]:
        """The matching members, in no order."""
        found = Member.objects.all()
        if self.status:
            found = found.filter(status=self.status)
        if self.gender:
            found = found.filter(gender="" if self.gender == "unknown" else self.gender)
        if self.joined_from:
            found = found.filter(joined_at__gte=_midnight(self.joined_from))
        if self.joined_to:
            found = found.filter(joined_at__lt=_midnight(self.joined_to + timedelta(days=1)))
        return found

    def count(self) -> tuple[int, bool]:
        """How many there are, and whether that is all; counting ends at ``COUNTED_UP_TO``."""
        found = self.members().values("pk")[: COUNTED_UP_TO + 1].count()
        return min(found, COUNTED_UP_TO), found <= COUNTED_UP_TO


@dataclass(frozen=True)
class Page:
    """One page; the cursors are what ``after`` and ``before`` of the neighbouring pages are."""

    rows: list[Member]
    after: str | None
    before: str | None


def page(filters: Filters, *, sort: str = NEWEST, after: str = "", before: str = "", size: int = SIZE) -> Page:
    """The page after a row, or the page before one. A cursor that makes no sense is passed over."""
    sort, key = (sort, sort.lstrip("-")) if sort.lstrip("-") in ORDERS else (NEWEST, "joined")
    backwards = bool(before)
    descending = sort.startswith("-") != backwards
    start = _cursor_values(key, before or after)
    rows = list(_ordered(filters.members(), key, descending=descending, start=start)[: size + 1])
    has_more = len(rows) > size
    rows = rows[:size]
    if backwards:
        rows.reverse()
    has_next, has_previous = (bool(start), has_more) if backwards else (has_more, bool(start))
    return Page(
        rows=rows,
        after=_cursor(key, rows[-1]) if rows and has_next else None,
        before=_cursor(key, rows[0]) if rows and has_previous else None,
    )


def _ordered(
    members: QuerySet[Member], key: str, *, descending: bool, start: tuple[Any, ...] | None
) -> QuerySet[Member]:
    columns = ORDERS[key]
    if start:
        marks = ", ".join(["%s"] * len(columns))
        test = f"({', '.join(columns)}) {'<' if descending else '>'} ({marks})"
        members = members.filter(RawSQL(test, start, output_field=BooleanField()))  # noqa: S611 (columns are our own)
    order = [RawSQL(column, ()) for column in columns]  # noqa: S611 (columns are our own)
    return members.order_by(*(expression.desc() if descending else expression.asc() for expression in order))


def _cursor(key: str, member: Member) -> str:
    if key == "number":
        return member.number
    if key == "name":
        return f"{member.pk}~{fold(member.family_name + member.given_name)}"
    return f"{member.pk}~{member.joined_at.isoformat()}"


def _cursor_values(key: str, cursor: str) -> tuple[Any, ...] | None:
    if not cursor or "\0" in cursor:
        return None
    if key == "number":
        return (cursor,)
    pk, _mark, value = cursor.partition("~")
    if not pk.isdecimal() or len(pk) > 18:
        return None
    if key == "name":
        return value, int(pk)
    try:
        moment = parse_datetime(value)
    except ValueError:
        return None
    return (moment, int(pk)) if moment and timezone.is_aware(moment) else None


def _midnight(day: date) -> datetime:
    return datetime(day.year, day.month, day.day, tzinfo=timezone.get_default_timezone())


@dataclass(frozen=True)
class Activity:
    """What a member bought in the last 365 days, and when they last did."""

    spend: Decimal
    orders: int
    last_at: datetime | None


def activity(members: list[Member]) -> Mapping[int, Activity]:
    """The purchases of these members, by member id: one query for a page of them."""
    if not members:
        return {}
    since = timezone.now() - timedelta(days=365)
    with connection.cursor() as cursor:
        cursor.execute(
            """
            SELECT m.id, coalesce(sum(p.value), 0), count(p.value),
                (SELECT max(l.purchased_at) FROM members_net_purchase l WHERE l.member_id = m.id)
            FROM unnest(%s::bigint[]) AS m(id)
            LEFT JOIN members_net_purchase p ON p.member_id = m.id AND p.purchased_at >= %s
            GROUP BY m.id
            """,
            [[member.pk for member in members], since],
        )
        return {pk: Activity(spend, orders, last) for pk, spend, orders, last in cursor.fetchall()}


def in_chunks(filters: Filters, *, sort: str = NEWEST, size: int = 2000) -> Iterator[Member]:
    """Every matching member in order, page by page, for an export of any size."""
    found = page(filters, sort=sort, size=size)
    while True:
        yield from found.rows
        if found.after is None:
            return
        found = page(filters, sort=sort, after=found.after, size=size)
