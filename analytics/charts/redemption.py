"""Points given out and taken, and the members who take them."""

from collections.abc import Callable, Mapping, Sequence

from django.utils.translation import gettext as _

from analytics.charts import Figure
from analytics.charts.axes import first_days, values
from analytics.readings import Reading
from staff.axes import Scale, month_axis, points_scale
from staff.figures import number

Url = Callable[[Reading, str], str]


def scale_of(rows: Sequence[Reading]) -> Scale:
    """The unit that the chart of these rows is drawn in."""
    return points_scale(max((max(row.numerator or 0, row.denominator or 0) for row in rows), default=0))


def earned_and_redeemed(rows: Sequence[Reading], url: Url) -> Figure | None:
    """Bars of points earned and redeemed by month, and the rate of the two on an axis of its own."""
    if not any(row.numerator or row.denominator for row in rows):
        return None
    months, scale = first_days(rows), scale_of(rows)
    rates = values(rows, 2)
    top = max(10.0, 1.15 * max((rate for rate in rates if rate is not None), default=50.0))
    bars = [
        ("denominator", [row.denominator for row in rows], _("Earned"), "@1"),
        ("numerator", [row.numerator for row in rows], _("Redeemed"), "@2"),
    ]
    return {
        "data": [
            *(
                {
                    "type": "bar",
                    "x": months,
                    "y": [scale.of(points) for points in amounts],
                    "name": name,
                    "marker": {"color": colour},
                    "customdata": [url(row, part) for row in rows],
                    "hovertemplate": "%{y:,.1f}" if scale.divisor > 1 else "%{y:,}",
                }
                for part, amounts, name, colour in bars
            ),
            {
                "type": "scatter",
                "mode": "lines+markers",
                "x": months,
                "y": rates,
                "yaxis": "y2",
                "name": _("Redemption rate"),
                "line": {"color": "@3"},
                "marker": {"size": 6},
                "hovertemplate": "%{y:.1f}%",
            },
        ],
        "layout": {
            "xaxis": month_axis(months),
            "yaxis": {"title": scale.name, "rangemode": "tozero"},
            "yaxis2": {
                "overlaying": "y",
                "side": "right",
                "ticksuffix": "%",
                "range": [0, top],
                "showgrid": False,
                "title": _("redeemed ÷ earned"),
            },
        },
    }


def share_by_month(rows: Sequence[Reading], name: str, url: Url) -> Figure | None:
    """A line of shares in per cent by month."""
    if not any(row.denominator for row in rows):
        return None
    months = first_days(rows)
    return {
        "data": [
            {
                "type": "scatter",
                "mode": "lines+markers",
                "x": months,
                "y": values(rows, 2),
                "name": name,
                "line": {"color": "@1", "width": 2},
                "marker": {"size": 6},
                "customdata": [url(row, "numerator") for row in rows],
                "hovertemplate": "%{y:.1f}%",
                "showlegend": False,
            }
        ],
        "layout": {"xaxis": month_axis(months), "yaxis": {"ticksuffix": "%", "rangemode": "tozero"}},
    }


def shares_by_name(rows: Sequence[Reading], key: str, names: Mapping[str, str], url: Url) -> Figure | None:
    """Bars across of shares in per cent, one for each tier or reward, with what they are made of."""
    drawn = [row for row in rows if row.denominator][:12]
    if not any(row.value for row in drawn):
        return None
    return {
        "data": [
            {
                "type": "bar",
                "orientation": "h",
                "x": values(drawn, 2),
                "y": [names.get(row.keys[key], row.keys[key] or _("No tier")) for row in drawn],
                "text": [_bar_text(row) for row in drawn],
                "textposition": "outside",
                "cliponaxis": False,
                "marker": {"color": "@1"},
                "width": 0.45,
                "customdata": [url(row, "numerator") for row in drawn],
                "hovertemplate": "%{y}: %{text}<extra></extra>",
            }
        ],
        "layout": {
            "xaxis": {"visible": False, "range": [0, 1.45 * max(row.value or 0 for row in drawn)]},
            "yaxis": {"autorange": "reversed", "type": "category"},
            "hovermode": "closest",
        },
    }


def _bar_text(row: Reading) -> str:
    return f"{number(row.value or 0, 1)}% · {number(row.numerator or 0)}"
