"""How far a member is from the next tier."""

from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal

from loyalty.models import Tier
from loyalty.tiers.ladder import ladder, spend_until


@dataclass(frozen=True, kw_only=True)
class Progress:
    """Where a member stands by what they bought in the last twelve months (programme currency)."""

    tier: Tier
    next_tier: Tier | None
    spend: Decimal
    missing: Decimal

    @property
    def percent(self) -> int:
        """How much of the way from this tier's threshold to the next is done, 0 to 100."""
        if self.next_tier is None:
            return 100
        way = self.next_tier.threshold - self.tier.threshold
        return max(0, min(100, int((self.spend - self.tier.threshold) * 100 / way)))


def progress(member_id: int, now: datetime) -> Progress:
    """The tier that the member's spend reaches now, the next one, and what is missing for it."""
    steps = ladder()
    spend = spend_until(member_id, now)
    rung = steps.at(spend)
    above = steps.above(rung)
    tiers = Tier.objects.in_bulk([rung.id] + ([above.id] if above else []))
    return Progress(
        tier=tiers[rung.id],
        next_tier=tiers[above.id] if above else None,
        spend=spend,
        missing=above.threshold - spend if above else Decimal(0),
    )
