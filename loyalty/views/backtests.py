"""Backtests of earning rules: start one, watch it, and read what it would have given beside what was given."""

from datetime import datetime
from decimal import Decimal
from typing import Any

from django import forms
from django.http import Http404, HttpResponse
from django.http.response import HttpResponseBase
from django.shortcuts import get_object_or_404, redirect, render
from django.utils.formats import date_format
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy, pgettext
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_http_methods, require_safe

from loyalty import charts, words
from loyalty.models import RuleVersion, Tier
from loyalty.rules import backtest, sentences
from members.conditions.facts import choices_kept
from staff.exports import csv_response
from staff.models import Job
from staff.permissions import Permission, requires
from staff.requests import DeskRequest

State = RuleVersion.State
SHOWN = 20
MONTHS = (1, 3, 6, 12, 24)
TONES = {Job.State.DONE: "good", Job.State.FAILED: "bad", Job.State.RUNNING: "accent"}


class BacktestForm(forms.Form):
    """Which version, over how many months."""

    version = forms.TypedChoiceField(label=gettext_lazy("Version"), coerce=int)
    months = forms.TypedChoiceField(label=gettext_lazy("Over the last"), coerce=int, initial=3)

    def __init__(self, *args: Any, **more: Any) -> None:
        super().__init__(*args, **more)
        pattern = _("%(rule)s, version %(version)d (%(state)s)")
        versions = RuleVersion.objects.exclude(state=State.RETIRED).select_related("rule")
        self.fields["version"].choices = [  # type: ignore[attr-defined]
            (one.pk, pattern % {"rule": one.rule.name, "version": one.version, "state": one.get_state_display()})
            for one in versions.order_by("rule__name", "-version")[:500]
        ]
        self.fields["months"].choices = [  # type: ignore[attr-defined]
            (months, _("1 month") if months == 1 else _("%(months)d months") % {"months": months}) for months in MONTHS
        ]


@requires(Permission.PROGRAMME_EDIT)
@require_http_methods(["GET", "HEAD", "POST"])
def backtest_list(request: DeskRequest) -> HttpResponse:
    """The newest backtests and the form for another; posted, it starts one."""
    form = BacktestForm(request.POST or None, initial={"version": request.GET.get("version"), "months": 3})
    if request.method == "POST" and form.is_valid():
        version = RuleVersion.objects.select_related("rule").get(pk=form.cleaned_data["version"])
        job = backtest.start(version, form.cleaned_data["months"], request.user)
        return redirect("loyalty:rules-backtest", pk=job.pk)
    found = Job.objects.filter(kind=backtest.JOB).select_related("created_by").order_by("-pk")[:SHOWN]
    tested = RuleVersion.objects.select_related("rule").in_bulk([job.payload["version"] for job in found])
    rows = [
        (_titled(job, tested.get(job.payload["version"])), TONES.get(Job.State(job.state), "idle")) for job in found
    ]
    context = {"form": form, "rows": rows, "has_versions": bool(form.fields["version"].choices)}  # type: ignore[attr-defined]
    return render(request, "loyalty/rules/backtests.html", context, status=422 if form.errors else 200)


@requires(Permission.PROGRAMME_EDIT)
@require_safe
@never_cache
def result(request: DeskRequest, pk: int) -> HttpResponse:
    """How far a backtest is; once it is done, what came of it."""
    job = get_object_or_404(Job.objects.select_related("created_by"), pk=pk, kind=backtest.JOB)
    version = _version(job)
    context: dict[str, Any] = {"job": _titled(job, version), "version": version}
    if job.state == Job.State.DONE:
        with choices_kept():
            context |= _result(job.result["detail"])
            context["sentence"] = sentences.sentence(version.definition) if version else ""
    template = "loyalty/rules/_backtest.html" if request.htmx.target == "backtest" else "loyalty/rules/backtest.html"
    return render(request, template, context)


@requires(Permission.PROGRAMME_EDIT)
@require_safe
def result_csv(request: DeskRequest, pk: int) -> HttpResponseBase:
    """The rows by month and by tier as a CSV file."""
    job = get_object_or_404(Job, pk=pk, kind=backtest.JOB)
    if job.state != Job.State.DONE:
        raise Http404
    found = job.result["detail"]
    names = ["events", "would", "really", "all_would", "all_really", "cost_change"]
    names += ["liability_would", "liability_really"]
    rows = [
        [by, value, *(sums.get(name, "") for name in names)]
        for by, part in (("month", found["by_month"]), ("tier", found["by_tier"]))
        for value, sums in part.items()
    ]
    return csv_response("backtest", ["by", "value", *names], rows)


def _version(job: Job) -> RuleVersion | None:
    return RuleVersion.objects.filter(pk=job.payload.get("version")).select_related("rule").first()


def _titled(job: Job, version: RuleVersion | None) -> Job:
    """The job with its title in the reader's language; the one it is stored with is in that of who started it."""
    if version:
        job.title = backtest.title(version)
    return job


def _result(found: dict[str, Any]) -> dict[str, Any]:
    total, months = found["total"], found["by_month"]
    names = {tier.key: words.tier_name(tier) for tier in Tier.objects.order_by("rank")}
    order = [*names, *(key for key in found["by_tier"] if key not in names)]
    return {
        "found": found,
        "total": total,
        "change": total["all_would"] - total["all_really"],
        "cost_change": Decimal(total["cost_change"]),
        "liability": _liability(total),
        "since": datetime.fromisoformat(found["since"]),
        "until": datetime.fromisoformat(found["until"]),
        "months": [(_month(key), _with_cost(sums)) for key, sums in months.items()],
        "tiers": [
            (names.get(key) or pgettext("tier", "none"), _with_cost(found["by_tier"][key]))
            for key in order
            if key in found["by_tier"]
        ],
        "chart": charts.backtest(
            [f"{month}-01" for month in months],
            [sums["all_would"] for sums in months.values()],
            [sums["all_really"] for sums in months.values()],
        ),
    }


def _with_cost(sums: dict[str, Any]) -> dict[str, Any]:
    return sums | {"cost": Decimal(sums["cost_change"]), "liability": _liability(sums)}


def _liability(sums: dict[str, Any]) -> dict[str, Decimal]:
    """What would be owed and what is; nothing for backtests from before it was reckoned."""
    return {name: Decimal(sums[f"liability_{name}"]) for name in ("would", "really") if f"liability_{name}" in sums}


def _month(key: str) -> str:
    return str(date_format(datetime.strptime(f"{key}-01", "%Y-%m-%d").date(), "YEAR_MONTH_FORMAT"))  # noqa: DTZ007
