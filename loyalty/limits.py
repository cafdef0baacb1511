"""How many points one person (or one key) may move by hand in a day of the programme.

The day's row is taken after the accounts and in one conditional statement, so that no two requests at once pass
the limit together. What a second person approved does not count: it was not done alone.
"""

from datetime import date, datetime

from django.db.models import F
from django.utils import timezone

from loyalty.models import AdjustDay
from loyalty.programme import settings_now
from staff.models import User


class DayLimitReached(Exception):
    """The person has fewer points left to move today than they ask for."""

    def __init__(self, *, left: int, limit: int) -> None:
        self.left = left
        self.limit = limit
        super().__init__(f"{left} of {limit} points are left for today")


def agent_of(user: User) -> str:
    """Under which name a person's day is counted; a machine's caller names itself, e.g. ``key:12``."""
    return f"user:{user.pk}"


def take(agent: str, points: int, *, at: datetime) -> None:
    """Count points (given or taken, more than none) towards the agent's day; :class:`DayLimitReached` if too many."""
    limit = settings_now().adjust_daily_limit
    today = AdjustDay.objects.filter(agent=agent, day=_day(at))
    AdjustDay.objects.bulk_create([AdjustDay(agent=agent, day=_day(at))], ignore_conflicts=True)
    if not today.filter(points__lte=limit - points).update(points=F("points") + points):
        raise DayLimitReached(left=max(0, limit - today.get().points), limit=limit)


def left(agent: str, *, at: datetime | None = None) -> int:
    """How many points the agent may still move on this day."""
    today = AdjustDay.objects.filter(agent=agent, day=_day(at or timezone.now()))
    used = today.values_list("points", flat=True).first() or 0
    return max(0, settings_now().adjust_daily_limit - used)


def approval_above() -> int:
    """The points at once above which a second person decides."""
    return settings_now().adjust_approval_above


def needs_second_person(points: int) -> bool:
    """Whether so many points at once are above what one person decides."""
    return points > approval_above()


def _day(at: datetime) -> date:
    return timezone.localdate(at, timezone.get_default_timezone())
