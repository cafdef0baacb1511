"""Days and months in the programme's time zone, as PostgreSQL counts them."""

import calendar
from datetime import UTC, date, datetime, time, timedelta

from django.utils import timezone


def add_months(moment: datetime, months: int) -> datetime:
    """The same day and time of day so many months later (earlier if negative), in the programme's zone.

    Where the month is shorter it is its last day, as in PostgreSQL's ``timestamp + interval``. A time of
    day that the clocks skip is moved on by what they skip; of one that comes twice it is the later.
    """
    local = _wall_clock(moment)
    years, month = divmod(local.month - 1 + months, 12)
    year = local.year + years
    day = min(local.day, calendar.monthrange(year, month + 1)[1])
    return _on_the_clock(local.replace(year=year, month=month + 1, day=day), moment)


def add_days(moment: datetime, days: int) -> datetime:
    """The same time of day so many days later (earlier if negative), in the programme's zone.

    A day on which the clocks change is one day, though it has 23 or 25 hours. Times that are skipped or
    come twice are taken as by :func:`add_months`.
    """
    return _on_the_clock(_wall_clock(moment) + timedelta(days=days), moment)


def start_of_day(day: date) -> datetime:
    """The first moment of a day in the programme's zone, also where the clocks skip midnight or repeat it."""
    return datetime.combine(day, time(), tzinfo=timezone.get_default_timezone())


def month_of(moment: datetime) -> date:
    """The first day of the month in which a moment lies, in the programme's zone."""
    return _wall_clock(moment).date().replace(day=1)


def period_start(per: str, day: date) -> date:
    """The first day of the week (Monday) or month of a day, or the day itself; of "total" one day for ever."""
    if per == "week":
        return day - timedelta(days=day.weekday())
    if per == "month":
        return day.replace(day=1)
    return day if per == "day" else date(1970, 1, 1)


def months_after(month: date, months: int) -> date:
    """The first day of the month so many months after one (before it if negative)."""
    number = month.year * 12 + month.month - 1 + months
    return date(number // 12, number % 12 + 1, 1)


def _wall_clock(moment: datetime) -> datetime:
    """What the clocks of the programme show."""
    return moment.astimezone(timezone.get_default_timezone()).replace(tzinfo=None)


def _on_the_clock(shown: datetime, like: datetime) -> datetime:
    """The moment at which the clocks show this, in the zone of ``like``."""
    zone = timezone.get_default_timezone()
    offset = min(zone.utcoffset(shown.replace(fold=fold)) or timedelta() for fold in (0, 1))
    return (shown - offset).replace(tzinfo=UTC).astimezone(like.tzinfo)
