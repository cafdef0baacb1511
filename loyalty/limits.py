"""How many points may be moved by hand in a day of the programme without a second person.

A limit counts one person, with all the API keys they own, or the member who gives. The day's row is taken after the
accounts and in one conditional statement, so that no two requests at once pass the limit together. What a second
person approved does not count: it was not done alone.
"""

from datetime import date, datetime

from django.db.models import F
from django.utils import timezone

from loyalty.models import DayUse
from loyalty.policies import settings_now
from staff.models import User

Limit = DayUse.Limit


class DayLimitReached(Exception):
    """Fewer points are left for today than are asked for."""

    def __init__(self, *, left: int, limit: int) -> None:
        self.left = left
        self.limit = limit
        super().__init__(f"{left} of {limit} points are left for today")


def counted_as(user: User | None, machine: str = "") -> str:
    """Under which name a day is counted: the person who acts or owns the key; a key that nobody owns names itself."""
    return f"user:{user.pk}" if user else machine


def take(limit: Limit, who: str, points: int, *, at: datetime) -> None:
    """Count points towards the day of ``who``; :class:`DayLimitReached` where there are too many."""
    if not points:
        return
    most, day = daily(limit), _day(at)
    today = DayUse.objects.filter(limit=limit, who=who, day=day)
    DayUse.objects.bulk_create([DayUse(limit=limit, who=who, day=day)], ignore_conflicts=True)
    if not today.filter(points__lte=most - points).update(points=F("points") + points):
        raise DayLimitReached(left=max(0, most - today.get().points), limit=most)


def left(limit: Limit, who: str, *, at: datetime | None = None) -> int:
    """How many points are left on this day."""
    today = DayUse.objects.filter(limit=limit, who=who, day=_day(at or timezone.now()))
    used = today.values_list("points", flat=True).first() or 0
    return max(0, daily(limit) - used)


def take_alone(limit: Limit, who: str, points: int, *, at: datetime) -> bool:
    """The same where a second person decides of what goes above: False, and nothing counted, if these do."""
    try:
        if fits := points <= at_once(limit):
            take(limit, who, points, at=at)
    except DayLimitReached:
        return False
    return fits


def alone(limit: Limit, who: str, *, at: datetime | None = None) -> int:
    """How many points may still be moved at once without a second person."""
    return min(at_once(limit), left(limit, who, at=at))


def daily(limit: Limit) -> int:
    """The points of a day."""
    told = settings_now()
    return {
        Limit.ADJUST: told.adjust_daily_limit,
        Limit.TRANSFER: told.transfer_daily_limit,
        Limit.GIVEN: told.giver_daily_limit,
        Limit.JOINED: told.household_approval_above,
    }[limit]


def at_once(limit: Limit) -> int:
    """The points at once above which a second person decides."""
    told = settings_now()
    return {
        Limit.ADJUST: told.adjust_approval_above,
        Limit.TRANSFER: told.transfer_approval_above,
        Limit.GIVEN: told.transfer_approval_above,
        Limit.JOINED: told.household_approval_above,
    }[limit]


def approval_above() -> int:
    """The points given or taken at once above which a second person decides."""
    return at_once(Limit.ADJUST)


def needs_second_person(points: int) -> bool:
    """Whether so many points given or taken at once are above what one person decides."""
    return points > approval_above()


def _day(at: datetime) -> date:
    return timezone.localdate(at, timezone.get_default_timezone())
