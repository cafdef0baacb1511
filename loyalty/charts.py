"""Charts of this room: pure functions to Plotly figures (plain dicts). Colours are names of the theme."""

from collections.abc import Sequence
from typing import Any

from django.utils.translation import gettext as _

from loyalty.liability import Expiry, Movement
from staff.axes import month_axis, points_scale

Figure = dict[str, Any]


def outstanding(movements: Sequence[Movement]) -> Figure | None:
    """Points outstanding at the end of each month."""
    if not any(movement.closing for movement in movements):
        return None
    months = [movement.month.isoformat() for movement in movements]
    scale = points_scale(max(movement.closing for movement in movements))
    return {
        "data": [
            {
                "type": "scatter",
                "mode": "lines",
                "x": months,
                "y": [scale.of(movement.closing) for movement in movements],
                "name": _("Points outstanding"),
                "line": {"color": "@1"},
                "fill": "tozeroy",
                "fillcolor": "@1/13",
                "hovertemplate": "%{y:,.1f}" if scale.divisor > 1 else "%{y:,}",
            }
        ],
        "layout": {
            # In a narrow card.
            "xaxis": month_axis(months) | ({"nticks": 4} if len(months) > 4 else {}),
            "yaxis": {"title": scale.name, "rangemode": "tozero"},
            "showlegend": False,
        },
    }


def expiries(rows: Sequence[Expiry], urls: Sequence[str]) -> Figure | None:
    """Bars of the points that expire in each month; a second series says how many are expected to be unspent then."""
    if not any(row.points for row in rows):
        return None
    months = [row.month.isoformat() for row in rows if row.month]
    scale = points_scale(max(row.points for row in rows))
    series: list[tuple[str, str, list[float | None]]] = [
        (_("Expire unless spent"), "@1", [scale.of(row.points) for row in rows])
    ]
    if any(row.unspent is not None for row in rows):
        series.append((_("Expected to be unspent"), "@3", [scale.of(row.unspent) for row in rows]))
    return {
        "data": [
            {
                "type": "bar",
                "x": months,
                "y": values,
                "name": name,
                "marker": {"color": colour},
                "customdata": list(urls),
                "hovertemplate": "%{y:,.1f}" if scale.divisor > 1 else "%{y:,.0f}",
            }
            for name, colour, values in series
        ],
        "layout": {
            "xaxis": month_axis(months),
            "yaxis": {"title": scale.name, "rangemode": "tozero"},
            "barmode": "group",
            "showlegend": len(series) > 1,
        },
    }


def backtest(months: Sequence[str], would: Sequence[int], really: Sequence[int]) -> Figure | None:
    """Bars by month (first days): points that all rules would have given with a draft, beside what they gave."""
    if not any([*would, *really]):
        return None
    scale = points_scale(max([*would, *really]))
    series = ((_("Really given"), "@idle", really), (_("With this version"), "@1", would))
    return {
        "data": [
            {
                "type": "bar",
                "x": list(months),
                "y": [scale.of(value) for value in values],
                "name": name,
                "marker": {"color": colour},
                "hovertemplate": "%{y:,.1f}" if scale.divisor > 1 else "%{y:,.0f}",
            }
            for name, colour, values in series
        ],
        "layout": {
            "xaxis": month_axis(list(months)),
            "yaxis": {"title": scale.name, "rangemode": "tozero"},
            "barmode": "group",
            "showlegend": True,
        },
    }
