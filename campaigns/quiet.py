"""Quiet hours: when a member is not written to, by the clock where the member is."""

from datetime import datetime, time, timedelta
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from django.conf import settings


def until(now: datetime, time_zone: str) -> datetime | None:
    """When the member's quiet hours end, if it is in them; None when they may be written to.

    A member whose time zone is unknown is written to at the time that was chosen for the campaign.
    """
    start, end = settings.CAMPAIGN_QUIET_HOURS
    if not time_zone or start == end:
        return None
    try:
        zone = ZoneInfo(time_zone)
    except (ZoneInfoNotFoundError, ValueError):
        return None
    local = now.astimezone(zone)
    hour = local.hour
    is_quiet = (start <= hour or hour < end) if start > end else start <= hour < end
    if not is_quiet:
        return None
    day = local.date() + timedelta(days=1) if hour >= end else local.date()
    return datetime.combine(day, time(end), zone)
