"""Readings as the axes of charts: their months, their values."""

from collections.abc import Sequence

from analytics.readings import Reading


def first_days(rows: Sequence[Reading]) -> list[str]:
    """The months of readings as days, for a time axis."""
    return [f"{row.keys['month']}-01" for row in rows]


def values(rows: Sequence[Reading], places: int = 4) -> list[float | None]:
    """The values, rounded so that the page does not carry digits that nobody sees."""
    return [None if row.value is None else round(row.value, places) for row in rows]
