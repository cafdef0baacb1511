"""What a tier gives besides points: written down and taken away by people of the desk, and what it costs."""

from decimal import Decimal

from django.db import transaction

from loyalty.policies import settings_now
from loyalty.tier_models import TierBenefit
from staff import audit
from staff.models import User


@transaction.atomic
def add(benefit: TierBenefit, *, user: User | None) -> TierBenefit:
    """Write down something that a tier gives."""
    benefit.save(force_insert=True)
    audit.record(user, "tier-benefit.add", benefit.tier, detail={"benefit": benefit.text})
    return benefit


@transaction.atomic
def remove(benefit: TierBenefit, *, user: User) -> None:
    """Let the tier give it no more."""
    audit.record(user, "tier-benefit.remove", benefit.tier, detail={"benefit": benefit.text})
    benefit.delete()


def cost(benefit: TierBenefit, point_value: Decimal) -> Decimal | None:
    """What it costs per member and year (programme currency); None where it costs nothing.

    A gift that is handed out costs what its reward and its points do, once; anything else what was written beside it.
    """
    if benefit.reward or benefit.points:
        return (benefit.reward.cost if benefit.reward else Decimal(0)) + benefit.points * point_value
    return benefit.yearly_value


def costs_by_tier() -> dict[int, Decimal]:
    """What the benefits of each tier cost per member and year (programme currency), by tier id."""
    point_value = settings_now().point_value
    costs: dict[int, Decimal] = {}
    for benefit in TierBenefit.objects.order_by().select_related("reward"):
        costs[benefit.tier_id] = costs.get(benefit.tier_id, Decimal(0)) + (cost(benefit, point_value) or Decimal(0))
    return costs
