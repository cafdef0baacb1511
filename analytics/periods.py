"""Months and days of the programme, and what a reader asked for: which months, tier, cohort, split by what."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from datetime import date, timedelta

from django.utils import timezone
from django.utils.translation import gettext as _

from analytics.models import CohortKind

DEFAULT_MONTHS = 12
# As far as the oldest row that a company may bring along.
MOST_MONTHS = 1200
EARLIEST, LATEST = date(1900, 1, 1), date(2199, 12, 1)


class BadQuery(ValueError):
    """A parameter that cannot be answered; ``parameter`` names it, the text says why."""

    def __init__(self, parameter: str, text: str) -> None:
        super().__init__(text)
        self.parameter = parameter


def today() -> date:
    """The day it is in the programme's zone."""
    return timezone.localdate(timezone=timezone.get_default_timezone())


def month_of(day: date) -> date:
    """The first day of its month."""
    return day.replace(day=1)


def add_months(month: date, months: int) -> date:
    """The first day of the month that comes so many months later (or earlier)."""
    index = month.year * 12 + month.month - 1 + months
    return date(index // 12, index % 12 + 1, 1)


def months_between(first: date, last: date) -> int:
    """How many months from one to the other."""
    return (last.year - first.year) * 12 + last.month - first.month


def month_end(month: date) -> date:
    """The last day of a month that is over; today in the month that is not."""
    return min(add_months(month, 1) - timedelta(days=1), today())


def month_text(month: date) -> str:
    """``2026-11``: how months stand in addresses and files."""
    return f"{month:%Y-%m}"


@dataclass(frozen=True, kw_only=True)
class Query:
    """What figures are asked for: months ``first`` to ``last`` (both counted), and how they are cut.

    ``everything`` says that all that was ever collected is asked for, also what has no month.
    """

    first: date
    last: date
    by: str = "month"
    tier: str = ""
    reward: int | None = None
    kind: str = CohortKind.FIRST_PURCHASE
    survey: str = ""
    campaign: int | None = None
    everything: bool = False

    @property
    def months(self) -> list[date]:
        """Every month that is asked for, oldest first."""
        return list(self._each_month())

    def _each_month(self) -> Iterator[date]:
        month = self.first
        while month <= self.last:
            yield month
            month = add_months(month, 1)

    @property
    def day(self) -> date:
        """The day that figures of a state stand for: the end of the last month, or today."""
        return month_end(self.last)

    def year_before(self) -> "Query":
        """The same months a year earlier."""
        return replace(self, first=add_months(self.first, -12), last=add_months(self.last, -12))

    def split(self, by: str) -> "Query":
        """The same, cut by something else."""
        return replace(self, by=by)


Span = tuple[date, date]


def read_query(parameters: Mapping[str, str], *, by: str = "month", span: Span | None = None) -> Query:
    """Read ``period`` (a number of months, or ``all``) or ``from`` and ``to``, and the cuts.

    Without any of them it is the last twelve months, or everything where ``span`` (the first and last month
    that hold something) ended before those. Raises :class:`BadQuery`.
    """
    first, last, everything = _read_months(parameters, span)
    if first > last:
        texts = {"first": month_text(first), "last": month_text(last)}
        raise BadQuery("from", _("“from” (%(first)s) is later than “to” (%(last)s).") % texts)
    if months_between(first, last) >= MOST_MONTHS:
        raise BadQuery("from", _("These are more than %(most)s months.") % {"most": MOST_MONTHS})
    kind = parameters.get("kind") or CohortKind.FIRST_PURCHASE
    if kind not in CohortKind.values:
        raise BadQuery("kind", _("“kind” is one of: %(known)s.") % {"known": ", ".join(CohortKind.values)})
    return Query(
        first=first,
        last=last,
        by=parameters.get("by") or by,
        tier=parameters.get("tier", ""),
        reward=_read_number(parameters, "reward"),
        kind=kind,
        survey=parameters.get("survey", ""),
        campaign=_read_number(parameters, "campaign"),
        everything=everything,
    )


def _read_months(parameters: Mapping[str, str], span: Span | None) -> tuple[date, date, bool]:
    """First and last month, and whether they are all there are."""
    this = month_of(today())
    period = parameters.get("period", "")
    first, last = _read_month(parameters, "from"), _read_month(parameters, "to")
    if (first or last) and not period:
        last = last or this
        return first or add_months(last, 1 - DEFAULT_MONTHS), last, False
    recent = add_months(this, 1 - DEFAULT_MONTHS)
    if period == "all" or (not period and span and span[1] < recent):
        return (span[0], max(this, span[1]) if span[1] >= recent else span[1], True) if span else (recent, this, True)
    if period and (not period.isascii() or not period.isdigit() or not 1 <= int(period[:5]) <= MOST_MONTHS):
        raise BadQuery("period", _("“period” is a number of months or “all”, not “%s”.") % period[:40])
    return add_months(this, 1 - int(period or DEFAULT_MONTHS)), this, False


def _read_month(parameters: Mapping[str, str], name: str) -> date | None:
    """A month written as 2026-11, or as a day in it."""
    text = parameters.get(name, "")
    if not text:
        return None
    try:
        month = month_of(date.fromisoformat(text if len(text) > 7 else f"{text}-01"))
        # Months and days are reckoned from it in both directions, which the calendar must still hold.
        if not EARLIEST <= month <= LATEST:
            raise ValueError
        return month
    except ValueError:
        raise BadQuery(
            name, _("“%(name)s” is a month such as 2026-11, not “%(text)s”.") % {"name": name, "text": text[:40]}
        ) from None


def _read_number(parameters: Mapping[str, str], name: str) -> int | None:
    """A whole number."""
    text = parameters.get(name, "")
    if not text:
        return None
    if not text.isascii() or not text.isdigit() or len(text) > 18:
        raise BadQuery(name, _("“%(name)s” is a whole number, not “%(text)s”.") % {"name": name, "text": text[:40]})
    return int(text)
