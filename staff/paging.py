"""Pages of a list that stay fast at any length: the next page starts after the last row, not at an offset."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Generic, TypeVar

from django.db.models import Model, QuerySet
from django.http import QueryDict
from django.utils import timezone

M = TypeVar("M", bound=Model)
T = TypeVar("T")

SIZE = 50


@dataclass(frozen=True)
class Page(Generic[T]):
    """One page. ``next_query`` and ``first_query`` keep the filters of the address."""

    rows: list[T]
    next_query: str | None
    first_query: str | None


def page_of(
    found: Sequence[T], query: QueryDict, place: Callable[[T], object], *, size: int, name: str = "after"
) -> Page[T]:
    """A page of what was read from the place on that the address names, one row more than fits.

    ``place`` of the last row is where the next page begins; ``name`` is what the address calls it.
    """
    rows = list(found[:size])
    return Page(
        rows=rows,
        next_query=_with(query, name, place(rows[-1])) if len(found) > size else None,
        first_query=_with(query, name, None) if query.get(name) else None,
    )


def newest_first(rows: QuerySet[M], query: QueryDict, *, size: int = SIZE, by: str = "", key: str = "pk") -> Page[M]:
    """The page that ``?before=`` asks for: by a descending unique key, or by a time (``by``) and then the key."""
    before = query.get("before", "")
    if by:
        if place := place_in_time(before):
            at, last = place
            rows = rows.filter(**{f"{by}__lte": at}).exclude(**{by: at, f"{key}__gte": last})
    elif last := key_in(before):
        rows = rows.filter(**{f"{key}__lt": last})

    def place_of(row: M) -> str:
        return f"{getattr(row, by).isoformat()}_{getattr(row, key)}" if by else str(getattr(row, key))

    found = rows.order_by(*([f"-{by}"] if by else []), f"-{key}")[: size + 1]
    return page_of(list(found), query, place_of, name="before", size=size)


def key_in(text: str) -> int:
    """The key after which a page begins; 0 on the first page, and where the address makes no sense."""
    return int(text) if text.isdecimal() and len(text) < 19 else 0


def place_in_time(text: str) -> tuple[datetime, int] | None:
    """Where a page of a list by time begins: the time and the key of the last row before it (``<iso>_<id>``)."""
    moment, _sign, key = text.partition("_")
    at = moment_in(moment)
    return (at, int(key)) if at and key.isdecimal() and len(key) < 19 else None


def moment_in(text: str) -> datetime | None:
    """A moment of an address in UTC, whose offset PostgreSQL knows whatever was written; None where it is none."""
    try:
        at = datetime.fromisoformat(text)
        return at.astimezone(UTC) if timezone.is_aware(at) else None
    except (ValueError, OverflowError):
        return None


def _with(query: QueryDict, name: str, place: object) -> str:
    """The address's query with another place, or with none."""
    changed = query.copy()
    changed.pop(name, None)
    if place is not None:
        changed[name] = str(place)
    return f"?{changed.urlencode()}"
