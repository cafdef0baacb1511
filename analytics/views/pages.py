"""Overview, retention, redemption, NPS and the dictionary."""

from typing import Any

from django.http import HttpRequest, HttpResponse
from django.shortcuts import render
from django.utils.translation import gettext as _

from analytics import answers, attention, drilldown, wording
from analytics.charts import nps as nps_charts
from analytics.charts import redemption as redemption_charts
from analytics.charts import retention as retention_charts
from analytics.charts import tiers as tier_charts
from analytics.measures import nps
from analytics.metrics import METRICS
from analytics.models import CohortKind
from analytics.periods import Query, month_of, month_text, today
from analytics.readings import Reading
from analytics.tables import names, table, tier_names
from analytics.views.page import asked, context, csv_url, explains_bad_queries, may_see_members
from staff.permissions import Permission, requires

CARDS = (
    "active-members",
    "retention-12m",
    "redemption-rate",
    "redeeming-members",
    "nps",
    "points-liability",
)


def _opens(key: str) -> Any:
    """Where a reading of this metric leads."""

    def url(reading: Reading, part: str = "numerator") -> str:
        return drilldown.url(key, reading, part)

    return url


def _answers(reading: Reading) -> str:
    return drilldown.url("nps", reading, "denominator")


def _running() -> str:
    return month_text(month_of(today()))


@requires(Permission.ANALYTICS_VIEW)
@explains_bad_queries
def overview(request: HttpRequest) -> HttpResponse:
    """How the programme is doing, on one page."""
    query = asked(request)
    cells = METRICS["retention"].compute(query.split("cohort"))
    points = METRICS["redemption-rate"].compute(query)
    scores = METRICS["nps"].compute(query)
    tiers = METRICS["members-by-tier"].compute(query.split("tier"))
    scale = redemption_charts.scale_of(points.rows)
    return render(
        request,
        "analytics/overview.html",
        context(
            request,
            query,
            cards=[_card(key, query) for key in CARDS],
            heat=retention_charts.heat_map(cells.rows, _running(), _opens("retention")),
            heat_table=table(METRICS["retention"], cells, "cohort"),
            heat_csv=csv_url("retention", query, "cohort"),
            points=redemption_charts.earned_and_redeemed(points.rows, _opens("redemption-rate")),
            points_unit=scale.name,
            points_table=table(METRICS["redemption-rate"], points, "month"),
            points_csv=csv_url("redemption-rate", query, "month"),
            nps=nps_charts.trend(scores.rows, _answers),
            nps_table=table(METRICS["nps"], scores, "month"),
            nps_csv=csv_url("nps", query, "month"),
            tiers_chart=tier_charts.members_by_tier(tiers.rows, tier_names(), _opens("members-by-tier")),
            tiers_table=table(METRICS["members-by-tier"], tiers, "tier"),
            tiers_csv=csv_url("members-by-tier", query, "tier"),
            needs=attention.what_needs_you(),
        ),
    )


def _card(key: str, query: Query) -> dict[str, Any]:
    """A card, and where its figure's members are listed."""
    card = wording.card(key, query)
    part = "denominator" if key == "nps" else "numerator"
    return {"card": card, "url": drilldown.url(key, card.total, part)}


@requires(Permission.ANALYTICS_VIEW)
@explains_bad_queries
def retention(request: HttpRequest) -> HttpResponse:
    """Cohorts as a heat map and as curves."""
    query = asked(request, "retention")
    metric = METRICS["retention"]
    cells, pooled = metric.compute(query.split("cohort")), metric.compute(query.split("age"))
    title = (
        _("Retention by month of enrolment")
        if query.kind == CohortKind.ENROLMENT
        else _("Retention by month of first purchase")
    )
    return render(
        request,
        "analytics/retention.html",
        context(
            request,
            query,
            title=title,
            metric=metric,
            heat=retention_charts.heat_map(cells.rows, _running(), _opens("retention")),
            heat_size=_heat_size(len({row.keys["cohort"] for row in cells.rows})),
            heat_table=table(metric, cells, "cohort"),
            heat_csv=csv_url("retention", query, "cohort"),
            curves=retention_charts.curves(cells.rows, pooled.rows, _running()),
            curves_table=table(metric, pooled, "age"),
            curves_csv=csv_url("retention", query, "age"),
            cards=[_card("retention-12m", query), _month_one(query)],
            year_csv=csv_url("retention-12m", query, "month"),
            year=redemption_charts.share_by_month(
                (year := METRICS["retention-12m"].compute(query)).rows,
                str(METRICS["retention-12m"].name),
                _opens("retention-12m"),
            ),
            year_table=table(METRICS["retention-12m"], year, "month"),
        ),
    )


def _heat_size(cohorts: int) -> str:
    return "medium" if cohorts <= 6 else "large" if cohorts <= 13 else "huge"


def _month_one(query: Query) -> dict[str, Any]:
    """The card of those who came back in the month after."""
    metric = METRICS["retention"]
    total = metric.compute(query.split("age")).total
    card = wording.Card(
        metric=metric,
        total=total,
        value=wording.value_text(metric.unit, total.value),
        change=wording.Change(),
        spark=[],
        note=wording.note(metric, metric.compute(query.split("age"))),
    )
    return {"card": card, "url": "", "label": _("Bought again in the month after")}


@requires(Permission.ANALYTICS_VIEW)
@explains_bad_queries
def redemption(request: HttpRequest) -> HttpResponse:
    """Points redeemed ÷ issued, and members who redeem, by month, tier and reward."""
    query = asked(request)
    rate, members = METRICS["redemption-rate"], METRICS["redeeming-members"]
    by_month, members_by_month = rate.compute(query), members.compute(query)
    by_tier = rate.compute(query.split("tier"))
    all_tiers = Query(first=query.first, last=query.last, by="reward", everything=query.everything)
    by_reward = rate.compute(all_tiers)
    rewards = names("reward")
    return render(
        request,
        "analytics/redemption.html",
        context(
            request,
            query,
            rate=rate,
            members=members,
            cards=[_card(key, query) for key in ("redemption-rate", "redeeming-members", "points-liability")],
            points=redemption_charts.earned_and_redeemed(by_month.rows, _opens(rate.key)),
            points_unit=redemption_charts.scale_of(by_month.rows).name,
            points_table=table(rate, by_month, "month"),
            points_csv=csv_url(rate.key, query, "month"),
            share=redemption_charts.share_by_month(members_by_month.rows, str(members.name), _opens(members.key)),
            share_table=table(members, members_by_month, "month"),
            share_csv=csv_url(members.key, query, "month"),
            tier_chart=redemption_charts.shares_by_name(by_tier.rows, "tier", tier_names(), _opens(rate.key)),
            tier_table=table(rate, by_tier, "tier"),
            tier_csv=csv_url(rate.key, query, "tier"),
            reward_chart=redemption_charts.shares_by_name(by_reward.rows, "reward", rewards, _opens(rate.key)),
            reward_table=table(rate, by_reward, "reward", rewards),
            reward_csv=csv_url(rate.key, query, "reward"),
        ),
    )


@requires(Permission.ANALYTICS_VIEW)
@explains_bad_queries
def net_promoter(request: HttpRequest) -> HttpResponse:
    """The score by month, how answers are spread, and the latest comments."""
    query = asked(request, "nps")
    metric = METRICS["nps"]
    by_month, by_score = metric.compute(query), metric.compute(query.split("score"))
    surveys = nps.surveys()
    return render(
        request,
        "analytics/nps.html",
        context(
            request,
            query,
            metric=metric,
            card=_card("nps", query),
            groups=_groups(by_month.total),
            surveys=[("", _("All surveys")), *((name, name) for name in surveys)] if len(surveys) > 1 else [],
            without_month=0 if query.everything else nps.without_month(query),
            trend=nps_charts.trend(by_month.rows, _answers),
            trend_table=table(metric, by_month, "month"),
            trend_csv=csv_url("nps", query, "month"),
            spread=nps_charts.distribution(by_score.rows, _answers),
            spread_csv=csv_url("nps", query, "score"),
            spread_table=table(metric, by_score, "score"),
            comments=answers.listed(by_month.total.keys).filter(comment__gt="")[:8],
            answers_url=_answers(by_month.total),
            shows_names=may_see_members(request),
        ),
    )


def _groups(total: Reading) -> list[dict[str, Any]]:
    """Promoters, passives and detractors with their shares."""
    words = {"promoters": _("Promoters, 9–10"), "passives": _("Passives, 7–8"), "detractors": _("Detractors, 0–6")}
    return [
        {
            "name": words[name],
            "answers": total.parts[name],
            "share": (total.parts[name] or 0) / total.denominator if total.denominator else None,
            "url": answers.url({**total.keys, "group": name}),
        }
        for name in nps.GROUPS
    ]


@requires(Permission.ANALYTICS_VIEW)
def metrics(request: HttpRequest) -> HttpResponse:
    """The dictionary: each metric as it is declared."""
    return render(request, "analytics/metrics.html", {"metrics": METRICS.values()})
