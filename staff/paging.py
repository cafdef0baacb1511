"""Pages of a list that stay fast at any length: the next page starts after the last row, not at an offset."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Generic, TypeVar

from django.db.models import Model, QuerySet
from django.http import QueryDict
from django.utils import timezone

M = TypeVar("M", bound=Model)

SIZE = 50


@dataclass(frozen=True)
class Page(Generic[M]):
    """One page, newest first. ``next_query`` and ``first_query`` keep the filters of the address."""

    rows: list[M]
    next_query: str | None
    first_query: str | None


def newest_first(rows: QuerySet[M], query: QueryDict, *, size: int = SIZE, by: str = "") -> Page[M]:
    """The page that ``?before=`` asks for: by descending primary key, or by a time (``by``) and then the key."""
    before = query.get("before", "")
    if by:
        if place := place_in_time(before):
            at, pk = place
            rows = rows.filter(**{f"{by}__lte": at}).exclude(**{by: at, "pk__gte": pk})
    elif before.isdecimal() and len(before) < 19:
        rows = rows.filter(pk__lt=int(before))
    found = list(rows.order_by(*([f"-{by}"] if by else []), "-pk")[: size + 1])
    has_more = len(found) > size
    found = found[:size]
    return Page(
        rows=found,
        next_query=_with(query, {"before": _place(found[-1], by)}) if has_more else None,
        first_query=_with(query, {}) if before else None,
    )


def place_in_time(text: str) -> tuple[datetime, int] | None:
    """Where a page of a list by time begins: the time and the key of the last row before it (``<iso>_<id>``)."""
    moment, _sign, pk = text.partition("_")
    try:
        at = datetime.fromisoformat(moment)
    except ValueError:
        return None
    return (at, int(pk)) if pk.isdecimal() and len(pk) < 19 and timezone.is_aware(at) else None


def _place(row: Model, by: str) -> str:
    return f"{getattr(row, by).isoformat()}_{row.pk}" if by else str(row.pk)


def _with(query: QueryDict, changes: Mapping[str, str]) -> str:
    """The address's query with another ``before``."""
    changed = query.copy()
    changed.pop("before", None)
    for name, value in changes.items():
        changed[name] = value
    return f"?{changed.urlencode()}"
