"""The heat map of cohorts, and the curves of the same."""

from collections.abc import Callable, Sequence

from django.utils.translation import gettext as _

from analytics.charts import Figure
from analytics.charts.axes import values
from analytics.readings import Reading
from staff.axes import month_words
from staff.figures import number, percent

# Cohorts with fewer members are drawn, but their cells carry no colour that could mislead.
SMALL = 30


def heat_map(cells: Sequence[Reading], running: str, url: Callable[[Reading], str]) -> Figure | None:
    """Cohorts down, months since across, share that bought in per cent. ``running``: the month not yet over."""
    cohorts = sorted({cell.keys["cohort"] for cell in cells})
    if not cohorts:
        return None
    by_place = {(cell.keys["cohort"], int(cell.keys["age"])): cell for cell in cells}
    ages = range(max(age for _cohort, age in by_place) + 1)
    sizes = {cell.keys["cohort"]: int(cell.denominator or 0) for cell in cells}
    grid = [[by_place.get((cohort, age)) for age in ages] for cohort in cohorts]
    later = [cell.value or 0 for cell in cells if cell.keys["age"] != "0" and (cell.denominator or 0) >= SMALL]
    top = min(100.0, max(10.0, 1.5 * max(later, default=60.0)))
    return {
        "data": [
            {
                "type": "heatmap",
                "z": [[cell and _colour(cell) for cell in row] for row in grid],
                "x": [_("Month 0") if age == 0 else str(age) for age in ages],
                "y": [f"{month_words(cohort)} · {number(sizes[cohort])}" for cohort in cohorts],
                "text": [[_text(cell, running) for cell in row] for row in grid],
                "hovertext": [[_hover(cell, running) for cell in row] for row in grid],
                "customdata": [[url(cell) if cell else "" for cell in row] for row in grid],
                "texttemplate": "%{text}",
                "textfont": {"size": 11},
                "hovertemplate": "%{hovertext}<extra></extra>",
                "hoverongaps": False,
                "colorscale": [[0, "@low"], [1, "@1"]],
                "showscale": False,
                "xgap": 2,
                "ygap": 2,
                "zmin": 0,
                "zmax": top,
            }
        ],
        "layout": {
            "xaxis": {"side": "top", "type": "category", "showgrid": False},
            "yaxis": {"autorange": "reversed", "type": "category", "showgrid": False},
            "hovermode": "closest",
        },
    }


def _colour(cell: Reading) -> float:
    """Small cohorts are pale whatever they did: one member of three is no 33%."""
    return round(cell.value or 0, 2) if (cell.denominator or 0) >= SMALL else 0.0


def _text(cell: Reading | None, running: str) -> str:
    if cell is None or cell.value is None:
        return ""
    text = number(cell.value)
    return f"{text}…" if cell.keys["month"] == running else text


def _hover(cell: Reading | None, running: str) -> str:
    if cell is None or cell.value is None:
        return ""
    words = _("%(month)s: %(members)s of %(size)s members, %(share)s") % {
        "month": month_words(cell.keys["month"]),
        "members": number(cell.numerator or 0),
        "size": number(cell.denominator or 0),
        "share": percent(cell.value / 100),
    }
    if cell.keys["month"] == running:
        words += "<br>" + _("this month is not over")
    if (cell.denominator or 0) < SMALL:
        words += "<br>" + _("a small cohort: read with care")
    return words


def curves(cells: Sequence[Reading], pooled: Sequence[Reading], running: str) -> Figure | None:
    """A thin line per cohort and a strong one for all of them together; the running month is left out."""
    if len(pooled) < 2:
        return None
    lines: dict[str, list[Reading]] = {}
    for cell in cells:
        if cell.keys["month"] != running and (cell.denominator or 0) >= SMALL:
            lines.setdefault(cell.keys["cohort"], []).append(cell)
    traces = [
        {
            "type": "scatter",
            "mode": "lines",
            "x": [int(cell.keys["age"]) for cell in line],
            "y": values(line, 2),
            "name": month_words(cohort),
            "line": {"color": "@idle", "width": 1},
            "opacity": 0.45,
            "showlegend": False,
            "hovertemplate": "%{fullData.name}: %{y:.1f}%<extra></extra>",
        }
        for cohort, line in lines.items()
        if len(line) > 1
    ]
    traces.append(
        {
            "type": "scatter",
            "mode": "lines+markers",
            "x": [int(row.keys["age"]) for row in pooled],
            "y": values(pooled, 2),
            "name": _("All cohorts"),
            "line": {"color": "@1", "width": 2.5},
            "marker": {"size": 6},
            "showlegend": False,
            "hovertemplate": "%{fullData.name}: %{y:.1f}%<extra></extra>",
        }
    )
    return {
        "data": traces,
        "layout": {
            "xaxis": {"title": _("months since the cohort's own"), "dtick": 1 if len(pooled) < 16 else 3},
            "yaxis": {"ticksuffix": "%", "rangemode": "tozero"},
            "hovermode": "closest",
        },
    }
