"""Keeping the catalogue: rewards and their stock.

Who sets a price alone could sell all for one point: a new reward, and another price, are asked for by one person and
decided by another, where there is one (docs/adr/0013).
"""

from decimal import Decimal
from typing import Any, Final

from django.db import transaction
from django.db.models import F, Value
from django.db.models.functions import Coalesce
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy

from loyalty.models import Reward
from loyalty.rules import sentences
from staff import approvals, audit, figures
from staff.models import Approval, User
from staff.permissions import Permission

# A stock of so many or fewer wants somebody to order more.
LOW_STOCK = 10
KIND: Final = "reward.price"
ABOUT: Final = "programme:rewards"


class StockGone(Exception):
    """More was to be taken from a stock than is left of it."""


@transaction.atomic
def save(reward: Reward, *, unlimited: bool, stock_change: int, user: User) -> Approval | None:
    """Write a reward. Its stock is changed by ``stock_change``, so that what is redeemed meanwhile counts.

    A new reward, or another price, is asked for where somebody else could decide: returns the request, the same while
    it waits. All else of a reward that there is is written at once.
    """
    alone = not approvals.others_may_decide(KIND, user)
    if reward.pk is None:
        reward.stock = None if unlimited else stock_change
        if not alone:
            return _ask(_payload(reward), user)
        reward.save()
        audit.record(user, "reward.create", reward, detail={"points": reward.points})
        return None
    price, stands = reward.points, Reward.objects.select_for_update().get(pk=reward.pk)
    asks = price != stands.points and not alone
    if asks:
        reward.points = stands.points
    reward.save(update_fields=["name", "name_zh", "points", "cost", "active"])
    _change_stock(reward, unlimited=unlimited, stock_change=stock_change)
    audit.record(user, "reward.change", reward, detail={"points": reward.points})
    change = {"reward": reward.pk, "name": reward.name, "before": stands.points, "points": price}
    return _ask(change, user) if asks else None


def register() -> None:
    """Let new rewards and other prices be approved."""
    approvals.register(
        KIND,
        gettext_lazy("Prices of rewards"),
        Permission.APPROVALS_DECIDE,
        _carry_out,
        outlook=_outlook,
        title=_title,
    )


def _payload(reward: Reward) -> dict[str, Any]:
    return {
        "reward": None,
        "name": reward.name,
        "name_zh": reward.name_zh,
        "points": reward.points,
        "cost": str(reward.cost),
        "active": reward.active,
        "stock": reward.stock,
    }


def _ask(payload: dict[str, Any], user: User) -> Approval:
    for asked in approvals.waiting_about(ABOUT, kind=KIND):
        if asked.payload == payload:
            return asked
    subject = f"{payload['name']}: {payload['points']:,}"
    return approvals.request(KIND, subject=subject, payload=payload, user=user, about=ABOUT)


def _carry_out(approval: Approval) -> None:
    payload = approval.payload
    if problem := _problem(payload):
        raise approvals.CannotBeDone(problem)
    if payload["reward"] is None:
        new = {name: payload[name] for name in ("name", "name_zh", "points", "active", "stock")}
        reward = Reward.objects.create(**new, cost=Decimal(payload["cost"]))
    else:
        reward = Reward.objects.select_for_update().get(pk=payload["reward"])
        if not Reward.objects.filter(pk=reward.pk, points=payload["before"]).update(points=payload["points"]):
            raise approvals.CannotBeDone(_moved())
    act = "reward.create" if payload["reward"] is None else "reward.change"
    audit.record(approval.decided_by, act, reward, detail={"points": payload["points"]})


def _problem(payload: dict[str, Any]) -> str:
    """Why it could not be done now; empty where it could."""
    if payload["reward"] is None:
        taken = Reward.objects.filter(name=payload["name"]).exists()
        return _("There is a reward of this name by now.") if taken else ""
    return "" if Reward.objects.get(pk=payload["reward"]).points == payload["before"] else _moved()


def _moved() -> str:
    return _("The price was changed since this was asked for. It has to be asked for again.")


def _outlook(approval: Approval) -> approvals.Outlook:
    payload = approval.payload
    points = figures.number(payload["points"])
    if payload["reward"] is None:
        stock = _("without end") if payload["stock"] is None else figures.number(payload["stock"])
        cost, lines = Decimal(payload["cost"]), [(_("Points"), points), (_("Stock"), stock)]
    else:
        cost = Reward.objects.get(pk=payload["reward"]).cost
        lines = [(_("Points"), f"{figures.number(payload['before'])} → {points}")]
    lines = [(_("Reward"), payload["name"]), *lines, (_("Cost to us"), figures.money(cost))]
    return approvals.Outlook(lines, _problem(payload))


def _title(approval: Approval) -> str:
    payload = approval.payload
    told = {"name": payload["name"], "points": sentences.points(payload["points"])}
    if payload["reward"] is None:
        return _("New reward “%(name)s”: %(points)s") % told
    return _("“%(name)s”: %(before)s → %(points)s") % (told | {"before": figures.number(payload["before"])})


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
