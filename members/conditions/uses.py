"""Who uses a condition: every place where a room keeps trees, or anything else in JSON that names a fact.

A room tells where it keeps them in its ``apps.py``; what a condition names (a segment) is not deleted while
one of these uses it.
"""

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any

from django.utils.functional import Promise

from staff.permissions import Permission


@dataclass(frozen=True)
class Use:
    """One thing that may use it: what it is ("Campaign"), its name, its page and who may open it, and what it keeps."""

    what: str | Promise
    name: str
    url: str
    permission: Permission
    kept: Any


# Gives what a room keeps that may name the fact of this key. It may give too much, never too little.
Keeper = Callable[[str], Iterable[Use]]
_keepers: list[Keeper] = []


def register(keeper: Keeper) -> None:
    """Make known where a room keeps conditions."""
    _keepers.append(keeper)


def of_choice(key: str, value: str) -> list[Use]:
    """Who uses this value of a choice: in a condition, or as what a coefficient goes by."""
    return [use for keeper in _keepers for use in keeper(key) if value in values_of(use.kept, key)]


def values_of(kept: Any, key: str) -> set[str]:
    """Every value of a choice that the JSON names."""
    if isinstance(kept, list):
        return {value for item in kept for value in values_of(item, key)}
    if not isinstance(kept, dict):
        return set()
    found = {value for item in kept.values() for value in values_of(item, key)}
    if kept.get("fact") == key:
        for named in (kept.get("value"), kept.get("factors")):
            if isinstance(named, list | dict):
                found |= {value for value in named if isinstance(value, str)}
    return found
