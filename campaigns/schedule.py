"""A time that a person chose, by the clock of a time zone, as a moment."""

from dataclasses import dataclass
from datetime import UTC, datetime
from zoneinfo import ZoneInfo

from django.utils.formats import date_format, time_format
from django.utils.translation import gettext as _


class NoSuchTime(Exception):
    """The clock skips this time; the text says so and names the next one."""


@dataclass(frozen=True)
class Chosen:
    """A moment in UTC. ``note`` says what to know about it, where the clock shows the time twice."""

    moment: datetime
    note: str = ""


def moment_of(local: datetime, zone_name: str) -> Chosen:
    """The moment of a wall-clock time (naive) in a zone; of a time that comes twice, the first.

    Raises :class:`NoSuchTime` for one in the hour that is skipped when summer time begins.
    """
    zone = ZoneInfo(zone_name)
    first = local.replace(tzinfo=zone, fold=0)
    second = local.replace(tzinfo=zone, fold=1)
    back = first.astimezone(UTC).astimezone(zone)
    words = {"day": date_format(local, "DATE_FORMAT"), "time": time_format(local, "H:i"), "zone": zone_name}
    if back.replace(tzinfo=None) != local:
        words["next"] = time_format(back, "H:i")
        raise NoSuchTime(
            _("On %(day)s the clocks in %(zone)s skip %(time)s. The time that comes instead is %(next)s.") % words
        )
    if first.utcoffset() != second.utcoffset():
        note = _("On %(day)s the clocks in %(zone)s show %(time)s twice; it is sent the first time.") % words
        return Chosen(first.astimezone(UTC), note)
    return Chosen(first.astimezone(UTC))
