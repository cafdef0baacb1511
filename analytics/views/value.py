"""Lifetime value: what members will probably spend, where it is, and how far the forecast can be trusted."""

from datetime import datetime, timedelta
from typing import Any

from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect, render
from django.utils import timezone
from django.views.decorators.http import require_POST, require_safe

from analytics import drilldown, valuing
from analytics.charts import value as charts
from analytics.measures import value
from analytics.metrics import METRICS
from analytics.models import ValueFit
from analytics.periods import Query, month_of, today
from analytics.readings import Reading
from analytics.tables import names, table
from analytics.views.page import csv_url
from analytics.wording import short_money
from staff.models import Job
from staff.permissions import Permission, requires
from staff.requests import DeskRequest

# Valued every night; when two were missed something hangs.
STALE_AFTER = timedelta(days=2)


@requires(Permission.ANALYTICS_VIEW)
@require_safe
def lifetime_value(request: DeskRequest) -> HttpResponse:
    """The last valuation by band and tier, with its forecast held against what was bought."""
    fit = value.last_fit()
    context: dict[str, Any] = {
        "fit": fit,
        "job": Job.objects.filter(kind=valuing.JOB, finished_at=None).order_by("pk").first(),
        "may_refresh": request.user.may(Permission.PROGRAMME_EDIT),
        "may_see_jobs": request.user.may(Permission.JOBS_VIEW),
    }
    return render(request, "analytics/value.html", context | (_told(fit) if fit else {}))


@requires(Permission.PROGRAMME_EDIT)
@require_POST
def refresh(request: HttpRequest) -> HttpResponse:
    """Value all members now, unless that is under way."""
    valuing.start(user=request.user)  # type: ignore[arg-type]
    return redirect("analytics:value")


def _told(fit: ValueFit) -> dict[str, Any]:
    query = Query(first=month_of(today()), last=month_of(today()), by="band")
    worth, trust = METRICS["lifetime-value"], METRICS["value-forecast"]
    by_band, by_tier = worth.compute(query), worth.compute(query.split("tier"))
    foretold = trust.compute(query.split("purchases"))
    top = next((row for row in by_band.rows if row.keys["band"] == "top"), None)

    def members_of(reading: Reading) -> str:
        return drilldown.url(worth.key, reading)

    return {
        "is_stale": timezone.now() - fit.as_of > STALE_AFTER,
        "worth": worth,
        "trust": trust,
        "total": by_band.total,
        "expected": short_money(by_band.total.numerator or 0),
        "all_url": members_of(by_band.total),
        "top": top,
        "top_share": _part(top, "value_share"),
        "top_url": members_of(top) if top else "",
        "active_share": _part(by_band.total, "active_share"),
        "hit": (foretold.total.value or 0) / 100 if foretold.total.value is not None else None,
        "foretold": foretold.total,
        "held_out": {name: datetime.fromisoformat(fit.holdout[name]) for name in ("since", "until") if fit.holdout},
        "bands": charts.shares_by_band(by_band.total, by_band.rows, names("band"), members_of),
        "bands_table": table(worth, by_band, "band"),
        "bands_csv": csv_url(worth.key, query, "band"),
        "tiers": charts.value_by_tier(by_tier.rows, names("tier"), members_of),
        "tiers_table": table(worth, by_tier, "tier"),
        "tiers_csv": csv_url(worth.key, query, "tier"),
        "forecast": charts.forecast(foretold.rows),
        "forecast_table": table(trust, foretold, "purchases"),
        "forecast_csv": csv_url(trust.key, query, "purchases"),
    }


def _part(reading: Reading | None, name: str) -> float | None:
    """A part in per cent as a share."""
    found = reading.parts[name] if reading else None
    return None if found is None else found / 100
