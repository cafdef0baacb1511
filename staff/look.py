"""``/look/``: every component in every state, for those who build pages. Not in production."""

from datetime import timedelta
from typing import Any

from django import forms
from django.core.paginator import Paginator
from django.http import HttpRequest, HttpResponse
from django.shortcuts import render
from django.utils import timezone

from staff.models import Job
from staff.permissions import Permission, requires


class SampleForm(forms.Form):
    """One field of each kind."""

    name = forms.CharField(help_text="As it stands on the card.")
    tier = forms.ChoiceField(choices=[("", "Choose…"), ("silver", "Silver"), ("gold", "Gold")])
    starts = forms.DateField(widget=forms.DateInput(attrs={"type": "date"}))
    spend = forms.DecimalField(label="Spend of at least", required=False)
    note = forms.CharField(widget=forms.Textarea(attrs={"rows": 3}), required=False)
    file = forms.FileField(help_text="CSV in UTF-8 or GB18030, or XLSX.", required=False)
    late = forms.ChoiceField(
        label="When the run is late",
        choices=[("skip", "Skip it"), ("send", "Send anyway"), ("ask", "Ask me")],
        widget=forms.RadioSelect,
    )
    agree = forms.BooleanField(label="Keep the good rows", help_text="Bad rows go to an error file.", required=False)


@requires(Permission.DESK_USE)
def page(request: HttpRequest) -> HttpResponse:
    """Show them all."""
    bad = SampleForm(
        {"name": "", "tier": "bronze", "starts": "31.12.2026", "spend": "many", "late": "never"}, auto_id="bad_%s"
    )
    return render(
        request,
        "staff/look.html",
        {
            "form": SampleForm(initial={"name": "Wang Xiaoyu", "tier": "gold", "late": "ask"}),
            "bad_form": bad,
            "spark": [12, 13, 13, 15, 14, 16, 18, 17, 19, 21, 20, 24],
            "gap": [12, 13, None, 15, 14, 12, 11, 11, 9, None, 8, 7],
            "jobs": _jobs(),
            "figures": {"trend": _trend(), "bars": _bars(), "heat": _heat(), "forest": _forest()},
            "page_of": Paginator(range(12_408), 50).get_page(request.GET.get("page")),
            "tiers": [("", "All tiers"), ("silver", "Silver"), ("gold", "Gold")],
            "arms": [("A", 40), ("B", 40), ("Holdout", 20)],
            "many_arms": [("A", 30), ("B", 30), ("C", 25), ("D", 10), ("control", 5)],
            "now": timezone.now(),
        },
    )


def _jobs() -> list[Job]:
    now = timezone.now()
    started = now - timedelta(seconds=40)
    common: dict[str, Any] = {"kind": "sample", "created_at": started, "started_at": started}
    return [
        Job(pk=1, title="Import of members.csv", state="queued", kind="sample", created_at=now),
        Job(
            pk=2,
            title="Import of purchases.csv",
            state="running",
            step="Checking rows",
            done=412_000,
            total=1_200_000,
            **common,
        ),
        Job(pk=3, title="Recalculating tiers", state="running", step="Counting", **common),
        Job(
            pk=4,
            title="Import of members.csv",
            state="done",
            finished_at=now,
            result={"added": 17_000, "updated": 0, "rejected": 12},
            **common,
        ),
        Job(
            pk=5,
            title="Import of answers.csv",
            state="failed",
            finished_at=now,
            error="Row 214, column “score”: “eleven” is not a whole number from 0 to 10.",
            **common,
        ),
        Job(
            pk=6,
            title="Export of members",
            state="cancelled",
            done=4_000,
            total=17_000,
            finished_at=now,
            **common,
        ),
    ]


MONTHS = ["2025-12", *[f"2026-{month:02d}" for month in range(1, 12)]]


def _trend() -> dict[str, Any]:
    nps = [38.0, 36.7, 38.6, 38.4, 37.9, 39.0, 39.5, 39.3, 41.1, 41.3, 41.9, 41.3]
    months = [f"{month}-01" for month in MONTHS]
    line = {"type": "scatter", "mode": "lines", "x": months, "line": {"width": 0}, "hoverinfo": "skip"}
    return {
        "data": [
            {**line, "y": [value + 3 for value in nps], "showlegend": False},
            {**line, "y": [value - 3 for value in nps], "showlegend": False, "fill": "tonexty", "fillcolor": "@1/13"},
            {"type": "scatter", "mode": "lines", "x": months, "y": nps, "name": "NPS", "line": {"color": "@1"}},
        ],
        "layout": {"xaxis": {"tickformat": "%b", "dtick": "M1"}},
    }


def _bars() -> dict[str, Any]:
    months = [f"{month}-01" for month in MONTHS]
    earned = [29.3, 24.4, 22.8, 23.5, 25.5, 22.1, 26.6, 26.5, 24.1, 28.3, 26.6, 28.5]
    redeemed = [6.4, 8.9, 9.2, 9.3, 8.1, 8.4, 8.8, 9.8, 11.0, 9.2, 12.0, 11.4]
    rate = [0.40, 0.404, 0.40, 0.383, 0.395, 0.388, 0.4, 0.392, 0.4, 0.402, 0.385, 0.405]
    line = {"type": "scatter", "mode": "lines+markers", "line": {"color": "@3"}, "marker": {"size": 6}}
    return {
        "data": [
            {"type": "bar", "x": months, "y": earned, "name": "Earned", "marker": {"color": "@1"}},
            {"type": "bar", "x": months, "y": redeemed, "name": "Redeemed", "marker": {"color": "@2"}},
            {**line, "x": months, "y": rate, "yaxis": "y2", "name": "Redemption rate"},
        ],
        "layout": {
            "xaxis": {"tickformat": "%b", "dtick": "M1"},
            "yaxis": {"title": "million points"},
            "yaxis2": {
                "overlaying": "y",
                "side": "right",
                "tickformat": ".0%",
                "range": [0, 0.6],
                "showgrid": False,
                "title": "redeemed ÷ earned",
            },
        },
    }


def _heat() -> dict[str, Any]:
    rows = [[100, *[max(20, 48 + start % 4 - 2 * age) for age in range(1, 13 - start)]] for start in range(12)]
    return {
        "data": [
            {
                "type": "heatmap",
                "z": [row + [None] * (13 - len(row)) for row in rows],
                "y": [f"{month} · {8000 + 311 * index:,}" for index, month in enumerate(MONTHS)],
                "text": [[str(value) for value in row] + [""] * (13 - len(row)) for row in rows],
                "texttemplate": "%{text}",
                "textfont": {"size": 11},
                "colorscale": [[0, "@low"], [1, "@1"]],
                "showscale": False,
                "xgap": 2,
                "ygap": 2,
                "zmin": 0,
                "zmax": 100,
                "hovertemplate": "%{y}, month %{x}: %{z}%<extra></extra>",
            }
        ],
        "layout": {
            "xaxis": {"side": "top", "dtick": 1, "showgrid": False},
            "yaxis": {"autorange": "reversed", "showgrid": False},
            "hovermode": "closest",
        },
    }


def _forest() -> dict[str, Any]:
    return {
        "data": [
            {
                "type": "scatter",
                "mode": "markers",
                "orientation": "h",
                "x": [0.38, 0.38, 0.18, 0.31, -0.02],
                "y": ["Bought", "Revenue / member", "Points redeemed", "Visited", "Unsubscribed"],
                "error_x": {"type": "data", "array": [0.14, 0.19, 0.11, 0.07, 0.09], "thickness": 1.5, "width": 0},
                "marker": {"color": ["@1", "@1", "@1", "@1", "@idle"], "size": 8},
                "name": "Lift",
            }
        ],
        "layout": {
            "xaxis": {"tickformat": "+.0%", "zeroline": True},
            "yaxis": {"autorange": "reversed"},
            "hovermode": "closest",
        },
    }
