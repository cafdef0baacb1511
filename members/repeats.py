"""Whether what comes again under a key is what came first."""

from typing import Any


def same(first: Any, again: Any) -> bool:
    """Whether two values are equal as JSON has them: there ``true`` is not 1, as it is in Python.

    A number that was sent as a float may come back from PostgreSQL's jsonb as a whole one (``1e23``): then the floats
    are compared.
    """
    if isinstance(first, bool) or isinstance(again, bool):
        return first is again
    if isinstance(first, dict) and isinstance(again, dict):
        return first.keys() == again.keys() and all(same(value, again[name]) for name, value in first.items())
    if isinstance(first, list) and isinstance(again, list):
        return len(first) == len(again) and all(map(same, first, again))
    if {type(first), type(again)} == {int, float}:
        try:
            return float(first) == float(again)
        except OverflowError:
            return False
    return bool(first == again)
