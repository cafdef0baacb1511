"""What charts of every room share: month axes, the unit that points are shown in, words for months."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date
from typing import Any

from django.utils.formats import date_format
from django.utils.translation import get_language
from django.utils.translation import gettext as _

from staff.figures import counts_in_ten_thousands, number

# Up to this many months each has its own tick.
MONTHS_WITH_TICKS = 13


def month_axis(months: Sequence[str]) -> dict[str, Any]:
    """A time axis with a tick per month, or fewer where they would not fit."""
    if len(months) <= MONTHS_WITH_TICKS:
        return {"type": "date", "tickformat": "%b", "dtick": "M1", "hoverformat": "%b %Y"}
    return {"type": "date", "tickformat": "%b %Y", "hoverformat": "%b %Y", "nticks": 8}


def month_words(text: str) -> str:
    """``2026-11`` as a reader says it: "Nov 2026", "2026年11月"."""
    form = "YEAR_MONTH_FORMAT" if (get_language() or "").startswith("zh") else "M Y"
    return date_format(date.fromisoformat(f"{text}-01"), form)


@dataclass(frozen=True)
class Scale:
    """A unit that keeps the numbers of an axis short."""

    divisor: int
    name: str

    def of(self, value: float | None) -> float | None:
        """The value in this unit."""
        return None if value is None else round(value / self.divisor, 4)

    def text(self, value: float) -> str:
        """The value in this unit, written."""
        return number(value / self.divisor, 0 if self.divisor == 1 else 1)


def points_scale(largest: float) -> Scale:
    """Points, thousands or millions of them, by the largest to be shown and how the reader counts."""
    if counts_in_ten_thousands() and largest >= 20_000:
        return Scale(10_000, _("ten thousand points"))
    if largest >= 2_000_000:
        return Scale(1_000_000, _("million points"))
    if largest >= 20_000:
        return Scale(1_000, _("thousand points"))
    return Scale(1, _("points"))
