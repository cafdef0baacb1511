"""One list of everything that happened to a member, fed by every room.

A room registers a source in its ``apps.py``; the member page merges them by time. A source returns
its newest items before a moment, so the list is paged by time and stays fast for a busy member.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from heapq import merge
from typing import Literal

from django.utils.functional import Promise

from members.models import Member
from staff.permissions import Permission

Tone = Literal["good", "look", "bad", "idle", "accent"]

PAGE = 25
# More things than this never happened to one member in one moment.
LARGEST_PAGE = 2000


@dataclass(frozen=True)
class Act:
    """Something that can be done about a line: its words, the address of its dialog, the permission it needs."""

    label: str
    url: str
    permission: Permission


@dataclass(frozen=True, kw_only=True)
class TimelineItem:
    """One line of the timeline. ``title`` and ``details`` are plain text in the reader's language.

    Two items of one moment with the same ``about`` ("purchase:88213") tell of the same thing and are shown as
    one: the source that is first in order gives the title, the others add their details, points and balance.
    """

    at: datetime
    kind: str
    label: str
    tone: Tone
    title: str
    details: Sequence[str] = ()
    points: int | None = None
    balance: int | None = None
    about: str = ""
    acts: Sequence[Act] = ()


# (member, before, limit) -> at most ``limit`` items older than ``before``, newest first.
TimelineSource = Callable[[Member, datetime, int], Sequence[TimelineItem]]

_sources: dict[str, TimelineSource] = {}
_filters: dict[str, tuple[int, str | Promise]] = {}


@dataclass(frozen=True)
class Page:
    """Some items, newest first. ``older_than`` is where the next page begins; None at the end."""

    items: list[TimelineItem]
    older_than: datetime | None


def register(kind: str, source: TimelineSource, *, label: str | Promise = "", order: int = 100) -> None:
    """Add a source under the filter name ``kind``, with its words and place among the filters."""
    _sources[kind] = source
    _filters[kind] = (order, label or kind.capitalize())


def kinds() -> list[tuple[str, str | Promise]]:
    """The filter names and their words, in order."""
    return [(kind, label) for kind, (_order, label) in sorted(_filters.items(), key=lambda found: found[1][0])]


def page(member: Member, *, before: datetime, kind: str | None = None, limit: int = PAGE) -> Page:
    """The member's newest items before a moment, of one kind or of all.

    A page never ends between items of the same moment, for the next one begins strictly before its last.
    """
    sources = [_sources[kind]] if kind else list(_sources.values())
    while True:
        found = [list(source(member, before, limit)) for source in sources]
        merged = list(merge(*found, key=lambda item: item.at, reverse=True))
        if len(merged) <= limit and all(len(items) < limit for items in found):
            return Page(_joined(merged), None)
        # Beyond the limit a source may hold more than it gave, so only what is newer than the cut is whole.
        cut = merged[min(limit, len(merged)) - 1].at
        whole = [item for item in merged if item.at > cut]
        if whole or limit >= LARGEST_PAGE:
            items = whole or merged
            return Page(_joined(items), items[-1].at)
        limit *= 2


def _joined(items: list[TimelineItem]) -> list[TimelineItem]:
    """Items that are about the same thing become one, where the first of them stands."""
    order = {kind: place for kind, (place, _label) in _filters.items()}
    joined: dict[object, TimelineItem] = {}
    for item in items:
        key: object = (item.about, item.at) if item.about else id(item)
        other = joined.get(key)
        joined[key] = item if other is None else _one(other, item, order)
    return list(joined.values())


def _one(first: TimelineItem, second: TimelineItem, order: dict[str, int]) -> TimelineItem:
    if order.get(first.kind, 0) > order.get(second.kind, 0):
        first, second = second, first
    gained = [points for points in (first.points, second.points) if points is not None]
    return replace(
        first,
        details=[*first.details, *second.details],
        # The same thing to do is named by whoever knows more of it.
        acts=list({act.url: act for act in (*first.acts, *second.acts)}.values()),
        points=sum(gained) if gained else None,
        balance=first.balance if second.balance is None else second.balance,
    )
