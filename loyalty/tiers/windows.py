"""When what counts ceases to count, and until when a tier is valid. Days are the programme's.

Each window is defined by one moment alone: when a fact of the moment ``at`` leaves it. "So many months before
now" would differ from that around 29 February.
"""

import calendar
from datetime import UTC, datetime, timedelta
from typing import Final

from django.utils import timezone

from loyalty.months import add_months
from loyalty.tier_models import TierScheme

Window = TierScheme.Window
YEARS: Final = (Window.CALENDAR_YEAR, Window.MEMBERSHIP_YEAR)
EVER: Final = datetime(1, 1, 2, tzinfo=UTC)
INSTANT: Final = timedelta(microseconds=1)

# ``anchor`` is the moment of the fact, ``joined_at`` that of joining. The same as :func:`leaves`.
LEAVES: Final[dict[str, str]] = {
    Window.ROLLING_MONTHS: """((anchor AT TIME ZONE %(zone)s) + make_interval(months => %(months)s::int))
              AT TIME ZONE %(zone)s""",
    Window.CALENDAR_YEAR: """(date_trunc('year', anchor AT TIME ZONE %(zone)s) + interval '1 year')
              AT TIME ZONE %(zone)s""",
    # The anniversary in the year of the fact, where that is still ahead of it; else the one after.
    Window.MEMBERSHIP_YEAR: """(SELECT (joined + make_interval(years => years + CASE
              WHEN joined + make_interval(years => years) > anchor AT TIME ZONE %(zone)s THEN 0 ELSE 1 END))
              AT TIME ZONE %(zone)s
         FROM (SELECT date_trunc('day', joined_at AT TIME ZONE %(zone)s) AS joined) AS day,
              LATERAL (SELECT (date_part('year', anchor AT TIME ZONE %(zone)s) - date_part('year', joined))::int
                              AS years) AS apart)""",
    Window.LIFETIME: "NULL::timestamptz",
}


def leaves(scheme: TierScheme, joined_at: datetime, anchor: datetime) -> datetime | None:
    """The same as :data:`LEAVES`, for one fact; None: never."""
    if scheme.window == Window.LIFETIME:
        return None
    if scheme.window == Window.ROLLING_MONTHS:
        return add_months(anchor, scheme.months)
    return year_end(scheme, joined_at, anchor)


def floor(scheme: TierScheme, start: datetime | None) -> datetime:
    """What happened before this has left the window by ``start``. A little early, for months differ."""
    if start is None or scheme.window == Window.LIFETIME:
        return EVER
    months = scheme.months if scheme.window == Window.ROLLING_MONTHS else 12
    return max(EVER, add_months(start, -months - 1)) if start.year > months // 12 + 2 else EVER


def year_end(scheme: TierScheme, joined_at: datetime, moment: datetime) -> datetime:
    """The first end of a year of the window after a moment (midnight in the programme's zone)."""
    local = moment.astimezone(timezone.get_default_timezone())
    if scheme.window == Window.CALENDAR_YEAR:
        return _midnight(local.year + 1, 1, 1)
    joined = joined_at.astimezone(timezone.get_default_timezone())
    this_year = _midnight(local.year, joined.month, joined.day)
    return this_year if this_year > moment else _midnight(local.year + 1, joined.month, joined.day)


def valid_until(scheme: TierScheme, joined_at: datetime, moment: datetime, *, renewed: bool = False) -> datetime | None:
    """Until when a tier that is reached at a moment is valid; None as long as it is earned, or for ever.

    In a window of years the months begin when the year ends: what is reached in 2025 and valid for 12
    months lasts through 2026. A renewal at the very end of a year is for the year that ends then.
    """
    if not scheme.valid_months or scheme.downgrade == TierScheme.Downgrade.NONE:
        return None
    if scheme.window in YEARS:
        moment = year_end(scheme, joined_at, moment - INSTANT if renewed else moment)
    return add_months(moment, scheme.valid_months)


def _midnight(year: int, month: int, day: int) -> datetime:
    zone = timezone.get_default_timezone()
    last = calendar.monthrange(year, month)[1]
    return max(datetime(year, month, min(day, last), fold=fold, tzinfo=zone).astimezone(UTC) for fold in (0, 1))
