"""Whether what comes again under a key is what came first."""

from typing import Any


def same(first: Any, again: Any) -> bool:
    """Whether two values are equal as JSON has them: there ``true`` is not 1, as it is in Python."""
    if isinstance(first, bool) or isinstance(again, bool):
        return first is again
    if isinstance(first, dict) and isinstance(again, dict):
        return first.keys() == again.keys() and all(same(value, again[name]) for name, value in first.items())
    if isinstance(first, list) and isinstance(again, list):
        return len(first) == len(again) and all(map(same, first, again))
    return bool(first == again)
