"""Keeping the catalogue: rewards and their stock."""

from django.db import transaction
from django.db.models import F, Value
from django.db.models.functions import Coalesce

from loyalty.models import Reward
from staff import audit
from staff.models import User

# A stock of so many or fewer wants somebody to order more.
LOW_STOCK = 10


class StockGone(Exception):
    """More was to be taken from a stock than is left of it."""


@transaction.atomic
def save(reward: Reward, *, unlimited: bool, stock_change: int, user: User) -> Reward:
    """Write a reward. Its stock is changed by ``stock_change``, so that what is redeemed meanwhile counts."""
    is_new = reward.pk is None
    if is_new:
        reward.stock = None if unlimited else stock_change
        reward.save()
    else:
        reward.save(update_fields=["name", "name_zh", "points", "cost", "active"])
        _change_stock(reward, unlimited=unlimited, stock_change=stock_change)
    audit.record(user, "reward.create" if is_new else "reward.change", reward, detail={"points": reward.points})
    return reward


def _change_stock(reward: Reward, *, unlimited: bool, stock_change: int) -> None:
    rewards = Reward.objects.filter(pk=reward.pk)
    if unlimited:
        rewards.update(stock=None)
    elif (
        not rewards.annotate(left=Coalesce(F("stock"), Value(0)) + stock_change)
        .filter(left__gte=0)
        .update(stock=Coalesce(F("stock"), Value(0)) + stock_change)
    ):
        raise StockGone
    reward.refresh_from_db(fields=["stock"])
