"""Up to when the figures of a page stand, and whether something is wrong with that."""

from dataclasses import dataclass
from datetime import datetime, timedelta

from django.conf import settings
from django.utils import timezone
from django.utils.formats import time_format
from django.utils.translation import gettext as _

from analytics import collect
from analytics.models import Collection
from staff.figures import duration, number, when

# Collected every minute; after so long without an end something hangs.
STALE_AFTER = timedelta(minutes=5)


@dataclass(frozen=True)
class Freshness:
    """The moment the figures stand for, a quiet note of it, and a warning to show above charts (or none)."""

    as_of: datetime | None
    note: str
    warning: str = ""


def freshness() -> Freshness:
    """How fresh the collected figures are."""
    collection = Collection.objects.filter(key=collect.KEY).first()
    if collection is None or collection.as_of is None:
        waiting = collect.pending() if collection else 0
        return Freshness(None, _("Not collected yet"), _never(waiting))
    age = timezone.now() - collection.as_of
    note = _("Collected %(time)s (%(zone)s), %(age)s ago") % {
        "time": time_format(timezone.localtime(collection.as_of, timezone.get_default_timezone()), "H:i"),
        "zone": settings.TIME_ZONE,
        "age": duration(max(age, timedelta())),
    }
    if age > timedelta(hours=20):
        note = _("Collected %(when)s") % {"when": when(collection.as_of)}
    return Freshness(collection.as_of, note, _stale(collection, age) if age > STALE_AFTER else "")


def _never(waiting: int) -> str:
    if waiting:
        return _("The figures are being collected for the first time: %(members)s members to go.") % {
            "members": number(waiting)
        }
    return _("Nothing has been collected yet. The worker does it every minute; “manage.py collect” does it now.")


def _stale(collection: Collection, age: timedelta) -> str:
    words = {"age": duration(age), "members": number(collect.pending())}
    if collection.state == Collection.State.STARTED:
        return _("These figures are %(age)s old. A collection is under way: %(members)s members to go.") % words
    return _("These figures are %(age)s old: nothing was collected since. Is the worker running?") % words
