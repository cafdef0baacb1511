"""Months in the programme's time zone, as PostgreSQL counts them."""

import calendar
from datetime import datetime

from django.utils import timezone


def add_months(moment: datetime, months: int) -> datetime:
    """The same day and time of day so many months later (earlier if negative), in the programme's zone.

    Where the month is shorter it is its last day, as in PostgreSQL's ``timestamp + interval``. A time of
    day that the clocks skip is moved on by what they skip; of one that comes twice it is the later.
    """
    zone = timezone.get_default_timezone()
    local = moment.astimezone(zone).replace(tzinfo=None)
    years, month = divmod(local.month - 1 + months, 12)
    year = local.year + years
    day = min(local.day, calendar.monthrange(year, month + 1)[1])
    moved = local.replace(year=year, month=month + 1, day=day, tzinfo=zone)
    return max(moved.replace(fold=fold).astimezone(moment.tzinfo) for fold in (0, 1))
