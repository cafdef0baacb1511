"""A/B results: all campaigns with their result in one line, and each one in full."""

from typing import Any

from django.conf import settings
from django.core.paginator import Paginator
from django.http import HttpRequest, HttpResponse
from django.shortcuts import get_object_or_404, render
from django.utils.translation import gettext as _

from analytics import conclusions, drilldown
from analytics.charts import experiments as charts
from analytics.freshness import freshness
from analytics.measures.experiments import Arm, Result, results
from analytics.metrics import METRICS
from analytics.periods import Query, month_of, today
from analytics.statistics import Comparison, p_text
from campaigns.models import Campaign
from campaigns.timeline import event_in_words
from staff.figures import SYMBOLS, money, number, percent, signed
from staff.permissions import Permission, requires

PAGE = 25
# Events drawn beside "bought": more bars would not be read.
EVENTS_DRAWN = 4
TONES = {
    Campaign.State.RUNNING: "accent",
    Campaign.State.DONE: "good",
    Campaign.State.PAUSED: "look",
    Campaign.State.CANCELLED: "bad",
}


@requires(Permission.ANALYTICS_VIEW)
def ab(request: HttpRequest) -> HttpResponse:
    """Every campaign that reached anybody, newest first."""
    campaigns = Campaign.objects.exclude(state__in=[Campaign.State.DRAFT, Campaign.State.SCHEDULED])
    if text := request.GET.get("q", "").replace("\0", "").strip():
        campaigns = campaigns.filter(name__icontains=text)
    origin = request.GET.get("origin", "")
    if origin in {"own", "imported"}:
        campaigns = campaigns.filter(imported=origin == "imported")
    page = Paginator(campaigns.select_related("experiment").order_by("-pk"), PAGE).get_page(request.GET.get("page"))
    return render(
        request,
        "analytics/ab.html",
        {
            "fresh": freshness(),
            "page": page,
            "rows": [_line(result) for result in results(page.object_list)],
            "origins": [("", _("All campaigns")), ("own", _("Ours")), ("imported", _("Imported"))],
        },
    )


def _line(result: Result) -> dict[str, Any]:
    return {
        "result": result,
        "conclusion": conclusions.conclude(result),
        "tone": TONES.get(Campaign.State(result.campaign.state), "idle"),
        "variants": len(result.variants),
    }


@requires(Permission.ANALYTICS_VIEW)
def ab_result(request: HttpRequest, pk: int) -> HttpResponse:
    """One campaign: health first, the conclusion, each arm against the holdout, lift."""
    campaign = get_object_or_404(Campaign.objects.select_related("experiment", "created_by"), pk=pk)
    [result] = results([campaign])
    query = Query(first=month_of(today()), last=month_of(today()), by="arm", campaign=pk)
    names = {arm.key: conclusions.arm_name(arm) for arm in result.arms}
    measured = [arm for arm in result.variants if arm.key in result.lifts]
    labels = [names[arm.key] for arm in measured]
    symbol = SYMBOLS.get(settings.PROGRAMME_CURRENCY, settings.PROGRAMME_CURRENCY)
    return render(
        request,
        "analytics/ab_result.html",
        {
            "fresh": freshness(),
            "campaign": campaign,
            "result": result,
            "tone": TONES.get(Campaign.State(campaign.state), "idle"),
            "checks": conclusions.checks(result),
            "conclusion": conclusions.conclude(result),
            "rows": _rows(result, query),
            "event_names": [event_in_words(event) for event in result.event_names],
            "event_rows": _event_rows(result),
            "conversion_lift": charts.lifts(
                labels,
                [result.lifts[arm.key].conversion for arm in measured],
                scale=100,
                unit=_("percentage points"),
            ),
            "revenue_lift": charts.lifts(
                labels,
                [result.lifts[arm.key].revenue for arm in measured],
                scale=1,
                unit=_("%(currency)s per member") % {"currency": symbol},
            ),
            "rates": charts.rates(
                result.arms,
                names,
                [(event, event_in_words(event)) for event in result.event_names[:EVENTS_DRAWN]],
                _("bought"),
            ),
        },
    )


def _rows(result: Result, query: Query) -> list[dict[str, Any]]:
    """The table of arms; every count opens its members."""
    conversion = {row.keys["arm"]: row for row in METRICS["campaign-conversion"].compute(query).rows}
    revenue = {row.keys["arm"]: row for row in METRICS["campaign-revenue"].compute(query).rows}
    best = _best(result)
    return [
        {
            "arm": arm,
            "name": conclusions.arm_name(arm),
            "is_best": arm.key == best,
            "planned": "" if arm.share is None else f"{arm.share}%",
            "members": number(arm.members),
            "members_url": drilldown.url("campaign-conversion", conversion[arm.key], "denominator"),
            "bought": number(arm.conversions),
            "bought_url": drilldown.url("campaign-conversion", conversion[arm.key]),
            "rate": percent(arm.conversion.rate, 2) if arm.conversion.rate is not None else "–",
            "revenue": money(arm.revenue_sample.mean) if arm.revenue_sample.mean is not None else "–",
            "revenue_url": drilldown.url("campaign-revenue", revenue[arm.key]),
            "conversion_lift": _lift(result, arm, "conversion"),
            "revenue_lift": _lift(result, arm, "revenue"),
        }
        for arm in result.arms
    ]


def _best(result: Result) -> str:
    """The variant that wins for certain; none while days are open, shares are off or nothing is proven."""
    if result.days_to_go or (result.ratio is not None and result.ratio.is_mismatch):
        return ""
    proven = [
        arm
        for arm in result.variants
        if arm.key in result.lifts
        and result.lifts[arm.key].conversion.is_significant
        and (result.lifts[arm.key].conversion.difference or 0) > 0
    ]
    return max(proven, key=lambda arm: arm.conversion.rate or 0).key if proven else ""


def _lift(result: Result, arm: Arm, what: str) -> dict[str, str]:
    """A lift with interval and p, written; empty for the holdout."""
    lift = result.lifts.get(arm.key)
    if lift is None:
        return {}
    found: Comparison = getattr(lift, what)
    if found.difference is None:
        return {}
    scale = 100 if what == "conversion" else 1
    unit = _("%(lift)s pt") if what == "conversion" else "%(lift)s"
    interval = found.interval
    return {
        "lift": unit % {"lift": signed(found.difference * scale, 2)},
        "interval": f"{signed(interval.low * scale, 2)} … {signed(interval.high * scale, 2)}" if interval else "–",
        "p": p_text(found.p),
        "strength": "strong" if found.is_significant else "",
    }


def _event_rows(result: Result) -> list[dict[str, Any]]:
    """Events by arm: how often, and to what share of its members."""
    return [
        {
            "name": conclusions.arm_name(arm),
            "members": arm.members,
            "cells": [_event_cell(arm, name) for name in result.event_names],
        }
        for arm in result.arms
    ]


def _event_cell(arm: Arm, name: str) -> dict[str, Any]:
    events, members = arm.events.get(name, (0, 0))
    return {"events": events, "members": members, "share": members / arm.members if arm.members else None}
