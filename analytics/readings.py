"""One number with what it was made of: what every figure on a page, in a file or from the API is."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import date

from analytics.statistics import Interval


@dataclass(frozen=True, kw_only=True)
class Reading:
    """A value and what it was made of.

    ``keys`` say which one it is (``{"month": "2026-11"}``), in the words of the address that opens its
    members. ``value`` is in the metric's unit; None where there is nothing to divide by. ``parts`` are
    further counts by name.
    """

    keys: Mapping[str, str]
    value: float | None
    numerator: float | None = None
    denominator: float | None = None
    interval: Interval | None = None
    parts: Mapping[str, float | None] = field(default_factory=dict)


@dataclass(frozen=True, kw_only=True)
class Figures:
    """What a metric says: one total for all that was asked for, and the rows it was cut into."""

    total: Reading
    rows: list[Reading]


def share(numerator: float, denominator: float) -> float | None:
    """Per cent; None of nothing."""
    return 100 * numerator / denominator if denominator else None


def iso_day(day: date) -> str:
    """How days stand in keys."""
    return day.isoformat()
