"""The rows behind a chart: for the table under it and for its CSV file, from the same readings."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from django.utils.translation import gettext as _

from analytics import drilldown
from analytics.metrics import Metric, Unit
from analytics.readings import Figures, Reading
from analytics.statistics import Interval
from analytics.wording import value_text
from loyalty.models import Reward, Tier
from loyalty.words import reward_name, tier_name
from staff.axes import month_words
from staff.figures import number

# Rows with fewer behind them are greyed: the figure is there, but says little.
SMALL = 30
# Keys that say where a list opens, not what the row is.
CONTEXT = {"from", "to", "day", "kind", "period", "campaign"}


@dataclass(frozen=True)
class Cell:
    """One cell: its text, where it leads (or nowhere), whether it is a number, whether it says little."""

    text: str
    url: str = ""
    is_number: bool = False
    is_faint: bool = False


@dataclass(frozen=True)
class Table:
    """Heads (text, is a number) and rows."""

    caption: str
    heads: list[tuple[str, bool]]
    rows: list[list[Cell]]


def key_words() -> dict[str, str]:
    """What keys of readings are called."""
    return {
        "month": _("Month"),
        "tier": _("Tier"),
        "reward": _("Reward"),
        "cohort": _("Cohort"),
        "age": _("Months since"),
        "score": _("Score"),
        "survey": _("Survey"),
        "arm": _("Arm"),
        "band": _("Band"),
        "purchases": _("Purchase days before"),
    }


def names(by: str) -> Mapping[str, str]:
    """Words for the values of a key that are ids or keys of rows: tiers and rewards."""
    if by == "tier":
        return tier_names()
    if by == "band":
        return {"top": _("Top 10%"), "high": _("Next 20%"), "middle": _("Next 30%"), "low": _("Other 40%")}
    if by == "reward":
        return {str(reward.pk): reward_name(reward) for reward in Reward.objects.all()}
    return {}


def tier_names() -> dict[str, str]:
    """The tiers by key, in the reader's language."""
    return {tier.key: tier_name(tier) for tier in Tier.objects.all()} | {"": _("No tier")}


def table(metric: Metric, figures: Figures, by: str, words: Mapping[str, str] | None = None) -> Table:
    """The readings of a metric as a table; numbers open the members they count."""
    words = names(by) if words is None else words
    keys = _keys(figures.rows)
    has_interval = any(row.interval for row in figures.rows)
    has_parts = metric.unit is not Unit.MEMBERS
    heads = [(key_words().get(key, key), False) for key in keys]
    heads.append((str(metric.name), True))
    if has_interval:
        # The % is itself, xgettext:no-python-format
        heads.append((_("95% interval"), True))
    if has_parts:
        heads.append((str(metric.numerator).capitalize(), True))
        if metric.denominator:
            heads.append((str(metric.denominator).capitalize(), True))
    return Table(
        caption=str(metric.name),
        heads=heads,
        rows=[
            _cells(metric, row, keys=keys, words=words, has_interval=has_interval, has_parts=has_parts)
            for row in figures.rows
        ],
    )


def _keys(rows: Sequence[Reading]) -> list[str]:
    return [key for key in (rows[0].keys if rows else ()) if key not in CONTEXT]


def _cells(
    metric: Metric, row: Reading, *, keys: Iterable[str], words: Mapping[str, str], has_interval: bool, has_parts: bool
) -> list[Cell]:
    cells = [Cell(key_text(key, row.keys[key], words)) for key in keys]
    is_small = row.denominator is not None and row.denominator < SMALL
    url = drilldown.url(metric.key, row) if not has_parts else ""
    cells.append(Cell(value_text(metric.unit, row.value), url, is_number=True, is_faint=is_small))
    if has_interval:
        cells.append(Cell(interval_text(row.interval), is_number=True, is_faint=True))
    if has_parts:
        cells.append(Cell(number(row.numerator or 0), drilldown.url(metric.key, row), is_number=True))
        if metric.denominator:
            url = drilldown.url(metric.key, row, "denominator")
            cells.append(Cell(number(row.denominator or 0), url, is_number=True))
    return cells


def interval_text(interval: Interval | None, places: int = 1) -> str:
    """``38.6 to 45.0``."""
    if interval is None:
        return ""
    return _("%(low)s to %(high)s") % {"low": number(interval.low, places), "high": number(interval.high, places)}


def key_text(key: str, value: str, words: Mapping[str, str]) -> str:
    """A key's value in words."""
    if value == "unknown":
        return _("unknown")
    if key in {"month", "cohort"}:
        return month_words(value)
    return words.get(value, value)


def csv_rows(metric: Metric, figures: Figures) -> tuple[list[str], list[list[object]]]:
    """Heads and rows of the file: keys as they stand in addresses, numbers unrounded."""
    rows = figures.rows or [figures.total]
    keys = list(dict.fromkeys(key for row in rows for key in row.keys))
    parts = list(dict.fromkeys(name for row in rows for name in row.parts))
    head = [*keys, metric.key, "unit", "numerator", "denominator", "low_95", "high_95", *parts]
    return head, [_csv_row(metric, row, keys, parts) for row in rows]


def _csv_row(metric: Metric, row: Reading, keys: Iterable[str], parts: Iterable[str]) -> list[object]:
    return [
        *(row.keys.get(key) for key in keys),
        row.value,
        str(metric.unit),
        row.numerator,
        row.denominator,
        row.interval.low if row.interval else None,
        row.interval.high if row.interval else None,
        *(row.parts.get(name) for name in parts),
    ]
