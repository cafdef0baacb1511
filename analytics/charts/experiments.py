"""Lift with its interval, and the rates of variants that have no holdout."""

from collections.abc import Mapping, Sequence

from analytics.charts import Figure
from analytics.measures.experiments import Arm
from analytics.statistics import Comparison


def lifts(labels: Sequence[str], comparisons: Sequence[Comparison], *, scale: int, unit: str) -> Figure | None:
    """One dot with its 95% interval per arm, against the line of no difference. Grey where it could be none."""
    drawn = [
        (label, found.difference * scale, found.interval.low * scale, found.interval.high * scale)
        for label, found in zip(labels, comparisons, strict=True)
        if found.difference is not None and found.interval is not None
    ]
    if not drawn:
        return None
    return {
        "data": [
            {
                "type": "scatter",
                "mode": "markers",
                "orientation": "h",
                "x": [round(middle, 4) for _label, middle, _low, _high in drawn],
                "y": [label for label, *_rest in drawn],
                "error_x": {
                    "type": "data",
                    "symmetric": False,
                    "array": [round(high - middle, 4) for _label, middle, _low, high in drawn],
                    "arrayminus": [round(middle - low, 4) for _label, middle, low, _high in drawn],
                    "thickness": 1.5,
                    "width": 0,
                    "color": "@quiet",
                },
                "marker": {
                    "size": 9,
                    "color": ["@1" if low > 0 else "@bad" if high < 0 else "@idle" for *_rest, low, high in drawn],
                },
                "customdata": [f"{low:+,.2f} … {high:+,.2f}" for *_rest, low, high in drawn],
                "hovertemplate": "%{y}: %{x:+,.2f} " + unit + " (%{customdata})<extra></extra>",
            }
        ],
        "layout": {
            "xaxis": {"zeroline": True, "rangemode": "tozero", "tickformat": "+,~g", "title": unit},
            "yaxis": {"autorange": "reversed", "type": "category"},
            "hovermode": "closest",
        },
    }


def rates(
    arms: Sequence[Arm], names: Mapping[str, str], events: Sequence[tuple[str, str]], bought: str
) -> Figure | None:
    """Share of each variant's members to whom each event happened, and who bought: per cent."""
    drawn = [arm for arm in arms if arm.members]
    if not drawn:
        return None
    labels = [names[arm.key] for arm in drawn]
    series = [(label, [100 * arm.reached(event) / arm.members for arm in drawn]) for event, label in events]
    series.append((bought, [100 * arm.conversions / arm.members for arm in drawn]))
    return {
        "data": [
            {
                "type": "bar",
                "x": labels,
                "y": [round(value, 2) for value in values],
                "name": label,
                "marker": {"color": f"@{place % 6 + 1}"},
                "hovertemplate": "%{y:.1f}%",
            }
            for place, (label, values) in enumerate(series)
        ],
        "layout": {"xaxis": {"type": "category"}, "yaxis": {"ticksuffix": "%", "rangemode": "tozero"}},
    }
