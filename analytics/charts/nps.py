"""The score by month with its band, and how answers are spread."""

from collections.abc import Callable, Sequence

from django.utils.translation import gettext as _

from analytics.charts import Figure
from analytics.charts.axes import first_days, values
from analytics.measures.nps import GROUPS
from analytics.readings import Reading
from staff.axes import month_axis
from staff.figures import number

# A month with fewer answers shows its point hollow: its interval says nothing.
SMALL = 30
COLOURS = {"promoters": "@good", "passives": "@idle", "detractors": "@bad"}


def trend(rows: Sequence[Reading], url: Callable[[Reading], str]) -> Figure | None:
    """The score of each month that has answers, over the band of its 95% interval."""
    drawn = [row for row in rows if row.value is not None and row.interval and row.keys["month"] != "unknown"]
    if not drawn:
        return None
    months = first_days(drawn)
    edge = {"type": "scatter", "mode": "lines", "x": months, "line": {"width": 0}, "showlegend": False}
    return {
        "data": [
            {**edge, "y": [round(row.interval.high, 2) for row in drawn if row.interval], "hoverinfo": "skip"},
            {
                **edge,
                "y": [round(row.interval.low, 2) for row in drawn if row.interval],
                "fill": "tonexty",
                "fillcolor": "@1/13",
                "hoverinfo": "skip",
            },
            {
                "type": "scatter",
                "mode": "lines+markers",
                "x": months,
                "y": values(drawn, 2),
                "name": _("NPS"),
                "line": {"color": "@1", "width": 2},
                "marker": {
                    "size": 6,
                    "color": ["@1" if (row.denominator or 0) >= SMALL else "@card" for row in drawn],
                    "line": {"color": "@1", "width": 1.5},
                },
                "text": [_band(row) for row in drawn],
                "customdata": [url(row) for row in drawn],
                "hovertemplate": "%{y:.1f} · %{text}<extra></extra>",
                "showlegend": False,
            },
        ],
        "layout": {"xaxis": month_axis(months), "yaxis": {"title": _("promoters − detractors, points")}},
    }


def _band(row: Reading) -> str:
    assert row.interval is not None  # noqa: S101 (only drawn with one)
    return _("95%% %(low)s to %(high)s · %(n)s answers") % {
        "low": number(row.interval.low),
        "high": number(row.interval.high),
        "n": number(row.denominator or 0),
    }


def distribution(rows: Sequence[Reading], url: Callable[[Reading], str]) -> Figure | None:
    """Share of answers by score, coloured by what the score counts as."""
    if not any(row.numerator for row in rows):
        return None
    colours = [
        next(COLOURS[name] for name, scores in GROUPS.items() if int(row.keys["score"]) in scores) for row in rows
    ]
    return {
        "data": [
            {
                "type": "bar",
                "x": [row.keys["score"] for row in rows],
                "y": values(rows, 2),
                "marker": {"color": colours},
                "text": [f"{number(row.value or 0)}%" for row in rows],
                "textposition": "outside",
                "cliponaxis": False,
                "customdata": [url(row) for row in rows],
                "hovertext": [_("%(n)s answers") % {"n": number(row.numerator or 0)} for row in rows],
                "hovertemplate": "%{x}: %{hovertext}<extra></extra>",
            }
        ],
        "layout": {
            "xaxis": {"type": "category", "title": _("score")},
            "yaxis": {"visible": False, "range": [0, 1.18 * max(row.value or 0 for row in rows)]},
            "bargap": 0.2,
            "hovermode": "closest",
        },
    }
