"""Would they recommend us: promoters minus detractors."""

from collections import defaultdict
from collections.abc import Hashable
from datetime import date

from django.db.models import Max, Min, Q, QuerySet, Sum

from analytics.models import NpsMonth
from analytics.periods import Query, Span, month_text
from analytics.readings import Figures, Reading
from analytics.statistics import NetPromoter

UNKNOWN = "unknown"
GROUPS = {"promoters": range(9, 11), "passives": range(7, 9), "detractors": range(7)}


def span() -> Span | None:
    """The first and last month with an answer."""
    found = NpsMonth.objects.aggregate(first=Min("month"), last=Max("month"))
    return (found["first"], found["last"]) if found["first"] else None


def surveys() -> list[str]:
    """The surveys that have answers with a score."""
    return list(NpsMonth.objects.order_by("survey").values_list("survey", flat=True).distinct())


def net_promoter(query: Query) -> Figures:
    """The score with its 95% interval, by month, survey, or (as shares of all answers) by score."""
    rows = _asked_for(query)
    by_score = {row["score"]: row["n"] for row in rows.values("score").annotate(n=Sum("answers"))}
    total = _reading(_keys(query), by_score)
    if query.by == "score":
        return Figures(total=total, rows=_distribution(query, by_score))
    key = "survey" if query.by == "survey" else "month"
    cut: dict[Hashable, dict[int, int]] = defaultdict(dict)
    for row in rows.values(key, "score").annotate(n=Sum("answers")):
        cut[row[key]][row["score"]] = row["n"]
    if key == "survey":
        names: list[Hashable] = sorted(cut, key=str)
    else:
        names = [*query.months, *([None] if None in cut else [])]
    readings = [_reading(_keys(query) | {key: _text(name)}, cut.get(name, {})) for name in names]
    return Figures(total=total, rows=readings)


def without_month(query: Query) -> int:
    """How many answers have a score but no day, and so stand in no month."""
    rows = NpsMonth.objects.filter(month=None)
    if query.survey:
        rows = rows.filter(survey=query.survey)
    return int(rows.aggregate(n=Sum("answers", default=0))["n"])


def _asked_for(query: Query) -> QuerySet[NpsMonth]:
    months = Q(month__range=(query.first, query.last))
    rows = NpsMonth.objects.filter(months | Q(month=None) if query.everything else months)
    return rows.filter(survey=query.survey) if query.survey else rows


def _keys(query: Query) -> dict[str, str]:
    keys = {"period": "all"} if query.everything else {"from": month_text(query.first), "to": month_text(query.last)}
    return keys | ({"survey": query.survey} if query.survey else {})


def _text(name: Hashable) -> str:
    return month_text(name) if isinstance(name, date) else UNKNOWN if name is None else str(name)


def _reading(keys: dict[str, str], by_score: dict[int, int]) -> Reading:
    groups = {name: sum(by_score.get(score, 0) for score in scores) for name, scores in GROUPS.items()}
    counted = NetPromoter(**groups)
    return Reading(
        keys=keys,
        value=counted.score,
        numerator=counted.promoters - counted.detractors,
        denominator=counted.n,
        interval=counted.interval(),
        parts=dict(groups),
    )


def _distribution(query: Query, by_score: dict[int, int]) -> list[Reading]:
    """Each score's share of all answers, in per cent."""
    answers = sum(by_score.values())
    return [
        Reading(
            keys=_keys(query) | {"score": str(score)},
            value=100 * by_score.get(score, 0) / answers if answers else None,
            numerator=by_score.get(score, 0),
            denominator=answers,
        )
        for score in range(11)
    ]
