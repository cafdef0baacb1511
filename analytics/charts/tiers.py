"""How many members are in each tier, and how that changed."""

from collections.abc import Callable, Mapping, Sequence

from analytics.charts import Figure
from analytics.readings import Reading
from staff.figures import number, signed

# The highest tier is the strongest: tints of one colour, as the tiers are steps of one ladder.
TINTS = ["@1", "@1/78", "@1/56", "@1/36", "@1/24"]


def members_by_tier(rows: Sequence[Reading], names: Mapping[str, str], url: Callable[[Reading], str]) -> Figure | None:
    """Bars across, the highest tier on top, each with its count and its change in a year."""
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
                "text": [_text(row) for row in drawn],
                "textposition": "outside",
                "cliponaxis": False,
                "width": 0.7,
                "marker": {"color": [TINTS[min(place, len(TINTS) - 1)] for place in range(len(drawn))]},
                "customdata": [url(row) for row in drawn],
                "hovertemplate": "%{y}: %{text}<extra></extra>",
            }
        ],
        "layout": {
            "xaxis": {"visible": False, "range": [0, 1.4 * largest]},
            "yaxis": {"autorange": "reversed", "type": "category"},
            "hovermode": "closest",
        },
    }


def _text(row: Reading) -> str:
    before, now = row.parts.get("before") or 0, row.value or 0
    change = f" {signed(100 * (now - before) / before)}%" if before else ""
    return f"{number(now)}{change}"
