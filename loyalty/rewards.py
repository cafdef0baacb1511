"""The catalogue, and redeeming from it: reserved, then confirmed and fulfilled, or cancelled."""

from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime, timedelta

from django.db import transaction
from django.db.models import F, Q
from django.utils import timezone

from loyalty import ledger, pools
from loyalty.ledger import KeyReused
from loyalty.models import Entry, Lot, Redemption, Reward
from loyalty.policies import settings_now
from members.models import Member, Purchase
from staff import audit
from staff.models import User

State = Redemption.State


class RedemptionError(Exception):
    """A redemption was refused; nothing was written."""


class NotOffered(RedemptionError):
    """The reward is not in the catalogue now."""


class NotEligible(RedemptionError):
    """The member is blocked, or has left."""


class PriceChanged(RedemptionError):
    """The reward costs something else by now than the person was shown."""


class OutOfStock(RedemptionError):
    """Nothing is left of the reward."""


class LotRefused(RedemptionError):
    """A chosen lot cannot pay: ``reason`` is ``not_theirs`` or ``not_usable`` (pending, held, expired, spent)."""

    def __init__(self, lot_id: int, reason: str) -> None:
        self.lot_id, self.reason = lot_id, reason
        super().__init__(f"lot {lot_id} cannot pay: {reason}")


class NotTheirs(RedemptionError):
    """A redemption cannot have paid for a purchase: another member's, cancelled, handed over, or paying for another."""

    def __init__(self, redemption_id: int) -> None:
        self.redemption_id = redemption_id
        super().__init__(f"redemption {redemption_id} does not pay for this purchase")


class WrongState(RedemptionError):
    """The redemption is past the state that this step starts from."""

    def __init__(self, redemption: Redemption) -> None:
        self.state = redemption.state
        super().__init__(f"redemption {redemption.pk} is {redemption.state}")


@transaction.atomic
def redeem(
    *,
    member_id: int,
    reward_id: int,
    key: str,
    user: User | None,
    price: int | None = None,
    lots: Sequence[int] = (),
) -> Redemption:
    """Reserve a reward: its points and one of its stock are taken together.

    In a household all its members pay, each with an entry of their own (``loyalty.pools``). With ``lots``, ids of
    lots of the member's own, these alone pay, in this order; what cannot pay raises :class:`LotRefused`.
    ``price`` is what the person was shown; a reward that costs anything else by now is refused.

    The same key for the same member, reward and lots returns the first redemption. Raises
    :class:`~loyalty.ledger.InsufficientPoints`, :class:`~loyalty.ledger.KeyReused`,
    :class:`NotOffered`, :class:`NotEligible`, :class:`PriceChanged` and :class:`OutOfStock`.
    """
    payers = pools.lock(member_id)
    if before := Redemption.objects.filter(idempotency_key=key).first():
        return _same(before, member_id, reward_id, lots)
    reward = _offered(reward_id, member_id, price)
    now = timezone.now()
    available = _worth(lots, member_id, now) if lots else pools.available(payers, now)
    if available < reward.points:
        raise ledger.InsufficientPoints(available=available, needed=reward.points)
    redemption, made = Redemption.objects.get_or_create(
        idempotency_key=key,
        defaults={
            "member_id": member_id,
            "reward": reward,
            "points": reward.points,
            "state": State.RESERVED,
            "created_by": user,
            "redeemed_at": now,
        },
    )
    if not made:  # taken meanwhile by a request for another member, whose account is another lock
        return _same(redemption, member_id, reward_id, lots)
    _pay(redemption, {member_id: reward.points} if lots else pools.shares(payers, reward.points, now), lots)
    # Last, because the reward's row is the one that everybody waits for.
    _take_from_stock(reward)
    audit.record(user, "redemption.reserve", redemption, detail={"member": member_id, "points": reward.points})
    return redemption


@transaction.atomic
def give(*, member_id: int, reward: Reward, key: str) -> Redemption:
    """Promise a member a reward for no points, whether or not the catalogue offers it: one of its stock is taken.

    It is confirmed from the start, and is no activity of the member. The same key for the same member and reward
    returns the first. Raises :class:`OutOfStock` and :class:`~loyalty.ledger.KeyReused`.
    """
    now = timezone.now()
    redemption, made = Redemption.objects.get_or_create(
        idempotency_key=key,
        defaults={
            "member_id": member_id,
            "reward": reward,
            "points": 0,
            "state": State.CONFIRMED,
            "redeemed_at": now,
            "confirmed_at": now,
        },
    )
    if not made:
        return _same(redemption, member_id, reward.pk, ())
    _take_from_stock(reward)
    audit.record(None, "redemption.give", redemption, detail={"member": member_id})
    return redemption


@transaction.atomic
def confirm(redemption: Redemption, *, user: User | None) -> Redemption:
    """Promise a reserved reward for good. Confirming twice changes nothing.

    Only now has the member been active: points that lapse in idleness live on from the day it was reserved.
    """
    if Redemption.objects.filter(pk=redemption.pk, state=State.RESERVED).exists():
        ledger.prolong([redemption.member_id], redemption.redeemed_at)
    return _step(redemption, State.RESERVED, State.CONFIRMED, user, confirmed_at=timezone.now())


def fulfil(redemption: Redemption, *, user: User | None) -> Redemption:
    """Record that the member has the reward. Fulfilling twice changes nothing."""
    return _step(redemption, State.CONFIRMED, State.FULFILLED, user)


@transaction.atomic
def cancel(redemption: Redemption, *, user: User | None) -> Redemption:
    """Give the points back to the lots they came from, and the reward back to its stock.

    What a refund has given back of them already is not given twice. Not after it is fulfilled
    (:class:`WrongState`). Cancelling twice changes nothing.
    """
    paid = list(redemption.entries.filter(reverses__isnull=True).order_by("member_id"))
    for entry in paid:
        ledger.lock(entry.member_id)
    now = timezone.now()
    cancelled = Redemption.objects.filter(pk=redemption.pk, state__in=[State.RESERVED, State.CONFIRMED]).update(
        state=State.CANCELLED, cancelled_at=now
    )
    redemption.refresh_from_db()
    if not cancelled:
        if redemption.state == State.CANCELLED:
            return redemption
        raise WrongState(redemption)
    for entry in paid:
        _give_back(entry, redemption, now)
    Reward.objects.filter(pk=redemption.reward_id, stock__isnull=False).update(stock=F("stock") + 1)
    audit.record(user, "redemption.cancel", redemption, detail={"points": redemption.points})
    return redemption


def payers(redemption_ids: Iterable[int]) -> set[int]:
    """The members who paid for these redemptions."""
    paid = Entry.objects.filter(redemption__in=list(redemption_ids), reverses__isnull=True)
    return set(paid.values_list("member_id", flat=True))


def pays(redemption_ids: Iterable[int], purchase: Purchase) -> None:
    """Note that these redemptions paid a part of a purchase, so that its refund gives their points back.

    Raises :class:`NotTheirs` where one is another member's, is cancelled, pays for another purchase, or was
    handed over already: who has the reward cannot get its points back as well.
    """
    is_open = Q(purchase=None, state__in=[State.RESERVED, State.CONFIRMED])
    for pk in sorted(set(redemption_ids)):
        theirs = Redemption.objects.filter(pk=pk, member_id=purchase.member_id).exclude(state=State.CANCELLED)
        if not theirs.filter(is_open | Q(purchase=purchase)).update(purchase=purchase):
            raise NotTheirs(pk)


def _offered(reward_id: int, member_id: int, price: int | None) -> Reward:
    """The reward as this member may have it now, at the price that they were shown."""
    reward = Reward.objects.get(pk=reward_id)
    if not reward.active:
        raise NotOffered
    if not Member.objects.filter(pk=member_id, status=Member.Status.ACTIVE).exists():
        raise NotEligible
    if price is not None and price != reward.points:
        raise PriceChanged
    return reward


def _pay(redemption: Redemption, shares: Mapping[int, int], lots: Sequence[int]) -> None:
    """Take the points, from each member who pays their share."""
    chosen = {"chosen_lots": list(dict.fromkeys(lots))} if lots else {}
    for payer, share in shares.items():
        is_buyer = payer == redemption.member_id
        ledger.spend(
            member_id=payer,
            points=share,
            key=f"redeem:{redemption.pk}" if is_buyer else f"redeem:{redemption.pk}:{payer}",
            occurred_at=redemption.redeemed_at,
            explanation=_explanation(redemption) | chosen | ({} if is_buyer else {"for": redemption.member.number}),
            redemption=redemption,
            lots=lots or None,
        )


def _give_back(entry: Entry, redemption: Redemption, now: datetime) -> None:
    """What is left to give back of what one member paid: all of it by a reversal, a rest by a part."""
    before = ledger.returned(entry)
    if not before:
        ledger.reverse(entry, explanation=_explanation(redemption), occurred_at=now)
    elif rest := -entry.points - before:
        ledger.give_back(
            entry,
            points=rest,
            key=f"cancel:{entry.pk}",
            occurred_at=now,
            explanation=_explanation(redemption),
            grace_until=now + timedelta(days=settings_now().grace_days),
        )


def _worth(lots: Sequence[int], member_id: int, now: datetime) -> int:
    """What these lots can pay together. Raises :class:`LotRefused`."""
    theirs = set(Lot.objects.filter(pk__in=lots, member_id=member_id).values_list("pk", flat=True))
    usable = {lot.pk: lot.remaining for lot in ledger.usable_lots([member_id], now).filter(pk__in=lots)}
    for pk in lots:
        if pk not in usable:
            raise LotRefused(pk, "not_usable" if pk in theirs else "not_theirs")
    return sum(usable.values())


def _same(redemption: Redemption, member_id: int, reward_id: int, lots: Sequence[int]) -> Redemption:
    paid = redemption.entries.filter(idempotency_key=f"redeem:{redemption.pk}").first()
    chosen = paid.explanation.get("chosen_lots", []) if paid else []
    known = (redemption.member_id, redemption.reward_id, chosen)
    if known != (member_id, reward_id, list(dict.fromkeys(lots))):
        raise KeyReused(redemption.idempotency_key)
    return redemption


def _take_from_stock(reward: Reward) -> None:
    """One less, in one conditional statement: the row count says whether there was one."""
    if reward.stock is None:
        return
    if not Reward.objects.filter(pk=reward.pk, stock__gt=0).update(stock=F("stock") - 1):
        raise OutOfStock


@transaction.atomic
def _step(redemption: Redemption, before: str, after: str, user: User | None, **fields: datetime | None) -> Redemption:
    moved = Redemption.objects.filter(pk=redemption.pk, state=before).update(state=after, **fields)
    redemption.refresh_from_db()
    if not moved and redemption.state != after:
        raise WrongState(redemption)
    if moved:
        audit.record(user, f"redemption.{after}", redemption)
    return redemption


def _explanation(redemption: Redemption) -> dict[str, object]:
    return {
        "reward": redemption.reward.name,
        "reward_zh": redemption.reward.name_zh,
        "redemption": redemption.pk,
        "points": redemption.points,
    }
