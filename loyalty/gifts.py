"""Handing out the gifts of tiers: each in its own transaction, once, as soon as it can be had (docs/adr/0019)."""

import logging
from typing import Any

from django.db import transaction
from django.db.models import Count, Q, QuerySet
from django.utils import timezone

from loyalty import ledger, rewards
from loyalty.models import Reward, TierGift
from loyalty.months import add_months
from loyalty.policies import settings_now
from members.models import Member

logger = logging.getLogger(__name__)

IN_STOCK = Q(reward=None) | Q(reward__stock=None) | Q(reward__stock__gt=0)


def due() -> QuerySet[TierGift]:
    """What is promised and not handed out yet, the oldest first."""
    return TierGift.objects.filter(given_at=None).order_by("pk")


def without_stock() -> list[tuple[Reward, int]]:
    """The rewards of which nothing is left while gifts of them are due, and how many of these."""
    waiting = dict(due().filter(reward__stock=0).order_by().values_list("reward").annotate(Count("pk")))
    return [(reward, waiting[reward.pk]) for reward in Reward.objects.filter(pk__in=waiting).order_by("name")]


def hand_out_due() -> int:
    """Hand out what can be had now; return how many. What lacks stock, or whose member is not active, stays due."""
    able = due().filter(IN_STOCK, member__status=Member.Status.ACTIVE)
    return sum(_tried(pk) for pk in list(able.values_list("pk", flat=True)))


def _tried(gift_id: int) -> bool:
    """Hand one out; what goes wrong with it must not keep the others waiting."""
    try:
        return hand_out(gift_id)
    except Exception:
        logger.exception("Gift %s could not be handed out; it stays due", gift_id)
        return False


def hand_out(gift_id: int) -> bool:
    """Hand out one gift: the reward for no points, bonus points through the ledger, or both together.

    False where it was handed out before, is not due any more, or cannot be had now; nothing is written then.
    """
    try:
        with transaction.atomic():
            return _give(gift_id)
    except rewards.OutOfStock:
        return False


def _give(gift_id: int) -> bool:
    member_id = TierGift.objects.filter(pk=gift_id).values_list("member_id", flat=True).first()
    if member_id is None:
        return False
    # Whoever hands out, or writes the history of the tier, holds the account: what is read now stays so.
    ledger.lock(member_id)
    able = due().filter(pk=gift_id, member__status=Member.Status.ACTIVE)
    gift = able.select_related("tier", "reward").first()
    if gift is None:
        return False
    now, key = timezone.now(), f"gift:{gift.pk}"
    if gift.points:
        months = settings_now().adjust_expires_after_months
        ledger.award(
            member_id=member_id,
            points=gift.points,
            qualifying=0,  # a gift for a tier does not reach the next one
            key=key,
            occurred_at=now,
            explanation=_explanation(gift),
            expires_at=add_months(now, months) if months else None,
        )
    # The reward's row last, because it is the one that everybody waits for.
    redemption = rewards.give(member_id=member_id, reward=gift.reward, key=key) if gift.reward else None
    given = TierGift.objects.filter(pk=gift.pk, given_at=None).update(given_at=now, redemption=redemption)
    return bool(given)


def _explanation(gift: TierGift) -> dict[str, Any]:
    return {
        "gift": gift.pk,
        "tier": gift.tier.key,
        "tier_name": gift.tier.name,
        "tier_name_zh": gift.tier.name_zh,
        "benefit": gift.text,
        "benefit_zh": gift.text_zh,
        "reached_at": gift.reached_at.isoformat(),
    }
