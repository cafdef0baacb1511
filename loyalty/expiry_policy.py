"""When points expire: what a policy says for points that were earned at a moment. No database.

A policy is what a rule's version holds: ``{"type": "end_of_year", "n": 1}``. Its moment is the first at
which the points cannot be spent any more. Days, months and the ends of periods are those of the
programme's time zone, so a day on which the clocks change is a day like any other.
"""

from collections.abc import Callable, Mapping
from datetime import UTC, date, datetime
from typing import Any, Final

from django.utils import timezone

from loyalty.months import add_days, add_months, start_of_day

# The types in the order in which a form offers them.
TYPES: Final = ("never", "days", "months", "end_of_month", "end_of_quarter", "end_of_year", "idle_months")
IDLE: Final = "idle_months"
# In these ``n`` is at least one.
COUNTED: Final = {"days", "months", IDLE}
# A hundred years in days; in months, quarters and years far more than anybody promises.
MOST_DAYS: Final = 36_525
MOST_PERIODS: Final = 1_200


def expires_at(policy: Mapping[str, Any], earned_at: datetime) -> datetime | None:
    """The moment from which points earned at ``earned_at`` cannot be spent; None: they never expire.

    ``n`` counts days or months after the earning; at the end of a month, quarter or year it counts the
    further ones (0: the end of the one in which they were earned). ``idle_months`` counts from the
    earning here; activity moves it on (:func:`loyalty.ledger.prolong`). Raises ValueError for a policy
    that is none.
    """
    check(policy)
    if policy["type"] == "never":
        return None
    return _MOMENTS[policy["type"]](earned_at, int(policy.get("n", 0)))


def idle_months(policy: Mapping[str, Any]) -> int | None:
    """After how many months without activity the points expire; None where activity moves nothing."""
    return int(policy["n"]) if policy["type"] == IDLE else None


def check(policy: Mapping[str, Any]) -> None:
    """Raise ValueError, with the reason for a developer, where this is no policy."""
    kind, number = policy.get("type"), policy.get("n", 0)
    if kind not in TYPES:
        raise ValueError(f"unknown expiry {kind!r}")
    most = MOST_DAYS if kind == "days" else MOST_PERIODS
    if isinstance(number, bool) or not isinstance(number, int) or not (kind in COUNTED) <= number <= most:
        raise ValueError(f"expiry {kind!r} cannot count {number!r}")


def _end_of_period(earned_at: datetime, further: int, months: int) -> datetime:
    """The end of the period of so many months in which a moment lies, or of one so many further on."""
    local = earned_at.astimezone(timezone.get_default_timezone())
    after = (local.year * 12 + local.month - 1) // months * months + months * (further + 1)
    return start_of_day(date(after // 12, after % 12 + 1, 1)).astimezone(UTC)


_MOMENTS: Final[Mapping[str, Callable[[datetime, int], datetime]]] = {
    "days": add_days,
    "months": add_months,
    "end_of_month": lambda earned_at, n: _end_of_period(earned_at, n, 1),
    "end_of_quarter": lambda earned_at, n: _end_of_period(earned_at, n, 3),
    "end_of_year": lambda earned_at, n: _end_of_period(earned_at, n, 12),
    IDLE: add_months,
}
