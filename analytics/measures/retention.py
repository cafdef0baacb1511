"""Who comes back: monthly cohorts by first purchase or by enrolment."""

from collections import defaultdict
from datetime import date

from django.db.models import Max, Min

from analytics.models import CohortMonth, CohortSize
from analytics.periods import Query, Span, add_months, month_of, month_text, months_between, today
from analytics.readings import Figures, Reading, share


def span() -> Span | None:
    """The first month with a cohort, and the last in which one of its members bought."""
    first = CohortSize.objects.aggregate(first=Min("cohort"))["first"]
    last = CohortMonth.objects.aggregate(last=Max("month"))["last"]
    return (first, last or first) if first else None


def retention(query: Query) -> Figures:
    """Share of each cohort that bought in each month from its own on; pooled over cohorts by age.

    The total is the share that bought in the month after. Pooled figures leave the running month out: it
    is not over, and would pull the newest cohorts down.
    """
    sizes = dict(
        CohortSize.objects.filter(kind=query.kind, cohort__range=(query.first, query.last))
        .order_by("cohort")
        .values_list("cohort", "members")
    )
    bought: dict[tuple[date, date], int] = {
        (cohort, month): members
        for cohort, month, members in CohortMonth.objects.filter(
            kind=query.kind, cohort__range=(query.first, query.last), month__lte=query.last
        ).values_list("cohort", "month", "members")
    }
    cells = [
        _cell(query, cohort, size, month, bought) for cohort, size in sizes.items() for month in _months(query, cohort)
    ]
    by_age = _pooled(query, cells)
    after_one = next((row for row in by_age if row.keys["age"] == "1"), None)
    total = after_one or Reading(keys=_keys(query) | {"age": "1"}, value=None, numerator=0, denominator=0)
    return Figures(total=total, rows=by_age if query.by == "age" else cells)


def _keys(query: Query) -> dict[str, str]:
    return {"kind": str(query.kind), "from": month_text(query.first), "to": month_text(query.last)}


def _months(query: Query, cohort: date) -> list[date]:
    last = min(query.last, month_of(today()))
    return [add_months(cohort, age) for age in range(months_between(cohort, last) + 1)]


def _cell(query: Query, cohort: date, size: int, month: date, bought: dict[tuple[date, date], int]) -> Reading:
    members = bought.get((cohort, month), 0)
    return Reading(
        keys={
            "kind": str(query.kind),
            "cohort": month_text(cohort),
            "month": month_text(month),
            "age": str(months_between(cohort, month)),
        },
        value=share(members, size),
        numerator=members,
        denominator=size,
    )


def _pooled(query: Query, cells: list[Reading]) -> list[Reading]:
    """All cohorts together, by months since the cohort's own."""
    running = month_text(month_of(today()))
    members: dict[int, float] = defaultdict(float)
    sizes: dict[int, float] = defaultdict(float)
    for cell in cells:
        if cell.keys["month"] != running:
            age = int(cell.keys["age"])
            members[age] += cell.numerator or 0
            sizes[age] += cell.denominator or 0
    return [
        Reading(
            keys=_keys(query) | {"age": str(age)},
            value=share(members[age], sizes[age]),
            numerator=members[age],
            denominator=sizes[age],
        )
        for age in sorted(sizes)
    ]
