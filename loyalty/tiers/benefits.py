"""What a tier gives besides points: written down and taken away by people of the desk."""

from django.db import transaction

from loyalty.tier_models import TierBenefit
from staff import audit
from staff.models import User


@transaction.atomic
def add(benefit: TierBenefit, *, user: User) -> TierBenefit:
    """Write down something that a tier gives."""
    benefit.save(force_insert=True)
    audit.record(user, "tier-benefit.add", benefit.tier, detail={"benefit": benefit.text})
    return benefit


@transaction.atomic
def remove(benefit: TierBenefit, *, user: User) -> None:
    """Let the tier give it no more."""
    audit.record(user, "tier-benefit.remove", benefit.tier, detail={"benefit": benefit.text})
    benefit.delete()
