"""Lifetime value: how it is spread over bands and tiers, and what was foretold beside what was bought."""

from collections.abc import Callable, Mapping, Sequence

from django.utils.translation import gettext as _

from analytics.charts import Figure
from analytics.readings import Reading
from staff.figures import money, number

Url = Callable[[Reading], str]


def shares_by_band(total: Reading, rows: Sequence[Reading], names: Mapping[str, str], url: Url) -> Figure | None:
    """Of each band its share of members beside its share of what is expected, in per cent."""
    if not rows or not total.denominator:
        return None
    everybody = total.denominator
    bars = [
        (_("Share of members"), [100 * (row.denominator or 0) / everybody for row in rows], "@1/36"),
        (_("Share of expected spend"), [row.parts["value_share"] or 0 for row in rows], "@1"),
    ]
    return {
        "data": [
            {
                "type": "bar",
                "x": [names.get(row.keys["band"], row.keys["band"]) for row in rows],
                "y": [round(share, 2) for share in shares],
                "name": name,
                "marker": {"color": colour},
                "customdata": [url(row) for row in rows],
                "hovertemplate": "%{y:.1f}%",
            }
            for name, shares, colour in bars
        ],
        "layout": {
            "xaxis": {"type": "category"},
            "yaxis": {"ticksuffix": "%", "rangemode": "tozero"},
            "barmode": "group",
        },
    }


def value_by_tier(rows: Sequence[Reading], names: Mapping[str, str], url: Url) -> Figure | None:
    """Bars across of what a member of each tier will spend on average, the highest tier on top."""
    drawn = list(reversed(rows))
    largest = max((row.value or 0 for row in drawn), default=0)
    if not largest:
        return None
    return {
        "data": [
            {
                "type": "bar",
                "orientation": "h",
                "x": [row.value for row in drawn],
                "y": [names.get(row.keys["tier"], row.keys["tier"]) for row in drawn],
                "text": [f"{money(row.value or 0, places=0)} × {number(row.denominator or 0)}" for row in drawn],
                "textposition": "outside",
                "cliponaxis": False,
                "marker": {"color": "@1"},
                "width": 0.6,
                "customdata": [url(row) for row in drawn],
                "hovertemplate": "%{y}: %{text}<extra></extra>",
            }
        ],
        "layout": {
            "xaxis": {"visible": False, "range": [0, 1.5 * largest]},
            "yaxis": {"autorange": "reversed", "type": "category"},
            "hovermode": "closest",
        },
    }


def forecast(rows: Sequence[Reading]) -> Figure | None:
    """Purchase days of a member on average, foretold and real, by how many there were before."""
    drawn = [row for row in rows if row.parts["members"]]
    if not drawn:
        return None
    bars = [
        (_("Foretold"), [row.denominator or 0 for row in drawn], "@1/36"),
        (_("Bought"), [row.numerator or 0 for row in drawn], "@1"),
    ]
    return {
        "data": [
            {
                "type": "bar",
                "x": [row.keys["purchases"] for row in drawn],
                "y": [round(n / (row.parts["members"] or 1), 3) for n, row in zip(sums, drawn, strict=True)],
                "name": name,
                "marker": {"color": colour},
                "hovertemplate": "%{y:.2f}",
            }
            for name, sums, colour in bars
        ],
        "layout": {
            "xaxis": {"type": "category", "title": _("purchase days before")},
            "yaxis": {"rangemode": "tozero"},
            "barmode": "group",
        },
    }
