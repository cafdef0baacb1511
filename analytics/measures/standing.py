"""Figures of a state on a day: who is active, who stayed a year, who is in which tier, what is owed."""

from collections.abc import Iterable
from datetime import date, timedelta

from django.db import connection
from django.db.models import Max, Min, Sum

from analytics.facts import TIER_PREFIX
from analytics.models import PointsMonth
from analytics.periods import Query, Span, month_end, month_text
from analytics.readings import Figures, Reading, iso_day, share
from loyalty.models import Tier
from loyalty.policies import settings_now

YEAR = timedelta(days=365)

COUNTS = """
SELECT s.state, d.day, sum(s.change)
  FROM unnest(%(days)s::date[]) AS d (day)
  JOIN analytics_spanday s ON s.day <= d.day AND s.state = ANY(%(states)s)
 GROUP BY 1, 2
"""


def span() -> Span | None:
    """The first and last month in which anybody bought, earned or redeemed."""
    found = PointsMonth.objects.aggregate(first=Min("month"), last=Max("month"))
    return (found["first"], found["last"]) if found["first"] else None


def counts(states: Iterable[str], days: Iterable[date]) -> dict[tuple[str, date], int]:
    """How many members were in each state on each day."""
    with connection.cursor() as cursor:
        cursor.execute(COUNTS, {"states": list(states), "days": sorted(set(days))})
        return {(state, day): int(size) for state, day, size in cursor.fetchall()}


def active_members(query: Query) -> Figures:
    """Members who bought or redeemed in the 90 days up to the end of each month."""
    ends = [month_end(month) for month in query.months]
    found = counts(["active"], ends)
    rows = [_counted(month, found.get(("active", end), 0), end) for month, end in zip(query.months, ends, strict=True)]
    return Figures(total=_counted(query.last, found.get(("active", query.day), 0), query.day), rows=rows)


def _counted(month: date, members: int, day: date) -> Reading:
    return Reading(keys={"month": month_text(month), "day": iso_day(day)}, value=members, numerator=members)


def year_retention(query: Query) -> Figures:
    """Of those who bought in the year before last, who bought again in the last year, at each month's end."""
    ends = [month_end(month) for month in query.months]
    found = counts(["kept_year", "bought_year"], [*ends, *(end - YEAR for end in ends)])

    def reading(month: date) -> Reading:
        end = month_end(month)
        kept, bought = found.get(("kept_year", end), 0), found.get(("bought_year", end - YEAR), 0)
        return Reading(
            keys={"month": month_text(month), "day": iso_day(end)},
            value=share(kept, bought),
            numerator=kept,
            denominator=bought,
        )

    return Figures(total=reading(query.last), rows=[reading(month) for month in query.months])


def members_by_tier(query: Query) -> Figures:
    """Members in each tier at the end of the last month, and (``before``) a year earlier."""
    day = query.day
    tiers = list(Tier.objects.order_by("rank"))
    before = day - YEAR
    found = counts([TIER_PREFIX + tier.key for tier in tiers], [day, before])
    rows = [
        Reading(
            keys={"tier": tier.key, "day": iso_day(day)},
            value=(now := found.get((TIER_PREFIX + tier.key, day), 0)),
            numerator=now,
            parts={"before": found.get((TIER_PREFIX + tier.key, before), 0)},
        )
        for tier in tiers
        if not query.tier or tier.key == query.tier
    ]
    members = sum(row.value or 0 for row in rows)
    keys = {"day": iso_day(day)} | ({"tier": query.tier} if query.tier else {})
    earlier = sum(row.parts["before"] or 0 for row in rows)
    return Figures(total=Reading(keys=keys, value=members, numerator=members, parts={"before": earlier}), rows=rows)


def points_liability(query: Query) -> Figures:
    """What the outstanding points are worth at the end of each month, in the programme's currency."""
    value = settings_now().point_value
    moved = PointsMonth.objects.filter(month__lte=query.last).values("month").annotate(net=Sum("net"))
    net = {row["month"]: row["net"] for row in moved}
    outstanding = sum(points for month, points in net.items() if month < query.first)
    rows = []
    for month in query.months:
        outstanding += net.get(month, 0)
        rows.append(Reading(keys={"month": month_text(month)}, value=float(outstanding * value), numerator=outstanding))
    return Figures(total=rows[-1], rows=rows)
