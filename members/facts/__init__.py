"""What members themselves answer for: profile, recency, spend, answers, interactions."""

from members.conditions import facts
from members.facts import engagement, profile, purchases
from members.facts.engagement import interaction_kinds
from members.facts.profile import MONTHS, attribute_names, segments
from members.facts.purchases import LIFECYCLE, RECENT_DAYS, YEAR_DAYS

__all__ = [
    "LIFECYCLE",
    "MONTHS",
    "RECENT_DAYS",
    "YEAR_DAYS",
    "attribute_names",
    "interaction_kinds",
    "register",
    "segments",
]


def register() -> None:
    """Make them known to conditions."""
    for fact in (*profile.FACTS, *purchases.FACTS, *engagement.FACTS):
        facts.register(fact)
