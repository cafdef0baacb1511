"""Readings as a person reads them: values with their unit, changes against the year before, intervals."""

from dataclasses import dataclass, replace
from datetime import date

from django.conf import settings
from django.utils.translation import gettext as _

from analytics.metrics import METRICS, Good, Metric, Unit
from analytics.periods import Query
from analytics.readings import Figures, Reading
from loyalty.policies import settings_now
from staff.figures import MINUS, SYMBOLS, counts_in_ten_thousands, day, money, number, percent, signed

NOTHING = "–"


def value_text(unit: Unit, value: float | None) -> str:
    """A value with its unit."""
    if value is None:
        return NOTHING
    if unit is Unit.PERCENT:
        return percent(value / 100)
    if unit is Unit.SCORE:
        return signed(value, 1)
    if unit is Unit.MONEY:
        return money(value)
    return number(value)


def short_money(value: float) -> str:
    """Money for a card: ¥3.42m (¥342.1 万) rather than ¥3,421,034.20."""
    symbol = SYMBOLS.get(settings.PROGRAMME_CURRENCY, settings.PROGRAMME_CURRENCY + " ")
    sign, size = (MINUS if value < 0 else ""), abs(value)
    if counts_in_ten_thousands() and size >= 100_000_000:
        return sign + _("%(symbol)s%(amount)s hundred million") % {
            "symbol": symbol,
            "amount": number(size / 100_000_000, 2),
        }
    if counts_in_ten_thousands() and size >= 10_000:
        return sign + _("%(symbol)s%(amount)s ten thousand") % {"symbol": symbol, "amount": number(size / 10_000, 1)}
    if size >= 1_000_000:
        return sign + _("%(symbol)s%(amount)sm") % {"symbol": symbol, "amount": number(size / 1_000_000, 2)}
    if size >= 10_000:
        return sign + _("%(symbol)s%(amount)sk") % {"symbol": symbol, "amount": number(size / 1_000, 1)}
    return money(value)


@dataclass(frozen=True)
class Change:
    """A change as the card shows it."""

    text: str = ""
    direction: str = "even"
    good: str = ""


def change(metric: Metric, now: float | None, before: float | None) -> Change:
    """A value against the same a year before: relative for counts and money, in points for shares and scores."""
    if now is None or before is None:
        return Change()
    difference = now - before
    if metric.unit is Unit.PERCENT:
        text = _("%(points)s pt") % {"points": number(abs(difference), 1)}
        is_even = round(difference, 1) == 0
    elif metric.unit is Unit.SCORE:
        text, is_even = number(abs(difference), 1), round(difference, 1) == 0
    elif not before:
        return Change()
    else:
        text, is_even = percent(abs(difference) / abs(before)), round(difference / before, 3) == 0
    if is_even:
        return Change(text)
    direction = "up" if difference > 0 else "down"
    good = "" if metric.good is Good.NEITHER else "yes" if direction == metric.good.value else "no"
    return Change(text, direction, good)


@dataclass(frozen=True)
class Card:
    """All that a KPI card shows."""

    metric: Metric
    total: Reading
    value: str
    change: Change
    spark: list[float | None]
    note: str


def card(key: str, query: Query) -> Card:
    """One metric over the months asked for, with its change against the same months a year before."""
    metric = METRICS[key]
    by_month = query.split("month")
    figures = metric.compute(by_month)
    before = Change() if query.everything else change(metric, figures.total.value, _before(metric, by_month))
    value = value_text(metric.unit, figures.total.value)
    if metric.unit is Unit.MONEY and figures.total.value is not None:
        value = short_money(figures.total.value)
    if metric.unit is Unit.SCORE and figures.total.value is not None:
        value = signed(figures.total.value, 1)
    return Card(
        metric=metric,
        total=figures.total,
        value=value,
        change=before,
        spark=[row.value for row in figures.rows if row.keys.get("month") != "unknown"],
        note=note(metric, figures),
    )


def _before(metric: Metric, query: Query) -> float | None:
    """The value a year earlier; None where the figures do not reach back that far."""
    earlier = query.year_before()
    span = metric.span()
    if span is None or span[0] > earlier.last:
        return None
    return metric.compute(replace(earlier, everything=False)).total.value


def note(metric: Metric, figures: Figures) -> str:
    """The quiet line of a card: what the figure is made of."""
    total = figures.total
    if metric.unit is Unit.SCORE:
        return _score_note(total)
    if metric.unit is Unit.MONEY and not total.denominator:
        return _("%(points)s points × %(value)s") % {
            "points": number(total.numerator or 0),
            "value": money(settings_now().point_value),
        }
    if metric.unit is Unit.PERCENT:
        return _share_note(metric, total)
    return _("on %(day)s") % {"day": day(date.fromisoformat(total.keys["day"]))} if "day" in total.keys else ""


def _score_note(total: Reading) -> str:
    if total.interval is None:
        return _("No answers in these months")
    return _("95%% %(low)s to %(high)s · %(n)s answers") % {
        "low": number(total.interval.low),
        "high": number(total.interval.high),
        "n": number(total.denominator or 0),
    }


def _share_note(metric: Metric, total: Reading) -> str:
    if not total.denominator:
        return _("Needs a year of purchases before the last") if metric.key == "retention-12m" else _("No data yet")
    return _("%(numerator)s of %(denominator)s") % {
        "numerator": number(total.numerator or 0),
        "denominator": number(total.denominator),
    }
