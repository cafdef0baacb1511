"""Posting one entry: award, spend, reverse."""

from collections.abc import Iterable
from datetime import datetime
from typing import Any

from django.db import IntegrityError, transaction
from django.db.models import F, Q, QuerySet, Sum
from django.utils import timezone

from loyalty.ledger.errors import AlreadyReversed, InsufficientPoints, KeyReused, NotReversible
from loyalty.ledger.movement import Movement
from loyalty.models import Account, Draw, Entry, Lot, Redemption, RuleVersion
from members.models import Purchase

# A lot, and how much to take from it (negative: to give back to it).
Portion = tuple[Lot, int]


def award(
    *,
    member_id: int,
    points: int,
    key: str,
    occurred_at: datetime,
    explanation: dict[str, Any],
    purchase: Purchase | None = None,
    rule_version: RuleVersion | None = None,
    expires_at: datetime | None = None,
    activates_at: datetime | None = None,
    kind: str = Entry.Kind.EARN,
) -> Entry:
    """Give whole points (more than none), usable from ``activates_at`` (empty: from ``occurred_at``).

    The same key with the same input returns the first entry; with other input it raises
    :class:`~loyalty.ledger.KeyReused`.
    """
    if points <= 0:
        raise ValueError(f"an award gives points, not {points}")
    movement = Movement(
        member_id=member_id,
        kind=kind,
        points=points,
        qualifying=points,
        key=key,
        occurred_at=occurred_at,
        explanation=explanation,
        purchase_id=purchase.pk if purchase else None,
        rule_version_id=rule_version.pk if rule_version else None,
    )
    with transaction.atomic():
        account = lock(member_id)
        if before := movement.written_before():
            return before
        entry = _write(account, movement)
        Lot.objects.create(
            entry=entry,
            member_id=member_id,
            points=points,
            remaining=points,
            activates_at=activates_at or occurred_at,
            expires_at=expires_at,
        )
        return entry


def spend(
    *,
    member_id: int,
    points: int,
    key: str,
    occurred_at: datetime,
    explanation: dict[str, Any],
    redemption: Redemption | None = None,
    kind: str = Entry.Kind.REDEEM,
) -> Entry:
    """Take whole points from the lots that expire first, then from the oldest.

    Only lots that are active and not expired at ``occurred_at`` count. Raises
    :class:`~loyalty.ledger.InsufficientPoints` and :class:`~loyalty.ledger.KeyReused`.
    """
    if points <= 0:
        raise ValueError(f"a spend takes points, not {points}")
    movement = Movement(
        member_id=member_id,
        kind=kind,
        points=-points,
        key=key,
        occurred_at=occurred_at,
        explanation=explanation,
        redemption_id=redemption.pk if redemption else None,
    )
    with transaction.atomic():
        account = lock(member_id)
        if before := movement.written_before():
            return before
        portions = _portions(usable_lots(member_id, occurred_at), points)
        entry = _write(account, movement)
        _draw(entry, portions)
        return entry


def reverse(
    entry: Entry,
    *,
    explanation: dict[str, Any],
    occurred_at: datetime | None = None,
    key: str | None = None,
) -> Entry:
    """Take an entry back by a second one; at most once, and never twice for the same key.

    Points that the entry took go back to the lots they came from, with the expiry they had. Points
    that it brought are taken from its own lot first, then from the lots that expire first; where the
    member has fewer left it raises :class:`~loyalty.ledger.InsufficientPoints`.
    """
    if entry.kind == Entry.Kind.REVERSE:
        raise NotReversible
    movement = Movement(
        member_id=entry.member_id,
        kind=Entry.Kind.REVERSE,
        points=-entry.points,
        qualifying=-entry.qualifying,
        counts_at=(entry.counts_at or entry.occurred_at) if entry.qualifying else None,
        key=key or f"reverse:{entry.pk}",
        occurred_at=occurred_at or timezone.now(),
        explanation=explanation,
        purchase_id=entry.purchase_id,
        redemption_id=entry.redemption_id,
        rule_version_id=entry.rule_version_id,
        reverses_id=entry.pk,
    )
    with transaction.atomic():
        account = lock(entry.member_id)
        if before := movement.written_before():
            return before
        if Entry.objects.filter(reverses=entry).exists():
            raise AlreadyReversed(entry.pk)
        if entry.points < 0:
            portions = [(draw.lot, -draw.points) for draw in Draw.objects.filter(entry=entry).select_related("lot")]
        else:
            portions = _portions(_own_lot_first(entry), entry.points)
        reversal = _write(account, movement)
        _draw(reversal, portions)
        return reversal


def lock(member_id: int) -> Account:
    """Open the member's account where there is none, and lock it until the transaction ends."""
    accounts = Account.objects.select_for_update()
    account = accounts.filter(member_id=member_id).first()
    if account is None:
        Account.objects.bulk_create([Account(member_id=member_id)], ignore_conflicts=True)
        account = accounts.get(member_id=member_id)
    return account


def usable_lots(member_id: int, at: datetime) -> QuerySet[Lot]:
    """The lots that can be spent at a moment: those that expire first come first, then the oldest."""
    return (
        Lot.objects.filter(member_id=member_id, remaining__gt=0, activates_at__lte=at)
        .filter(Q(expires_at__isnull=True) | Q(expires_at__gt=at))
        .order_by(F("expires_at").asc(nulls_last=True), "activates_at", "id")
    )


def available(member_id: int, at: datetime) -> int:
    """The points that a member can spend at a moment."""
    return usable_lots(member_id, at).aggregate(points=Sum("remaining"))["points"] or 0


def available_to(member_ids: Iterable[int], at: datetime) -> dict[int, int]:
    """The points that each of these members can spend at a moment; those without any are left out."""
    lots = Lot.objects.filter(member__in=list(member_ids), remaining__gt=0, activates_at__lte=at)
    lots = lots.filter(Q(expires_at__isnull=True) | Q(expires_at__gt=at))
    return dict(lots.values_list("member_id").annotate(points=Sum("remaining")))


def _own_lot_first(entry: Entry) -> list[Lot]:
    lots = Lot.objects.filter(member_id=entry.member_id)
    others = lots.filter(remaining__gt=0).exclude(entry=entry)
    # Read anew: what the entry object remembers of its lot may be from before the account was locked.
    return [lots.get(entry=entry), *others.order_by(F("expires_at").asc(nulls_last=True), "activates_at", "id")]


def _portions(lots: Iterable[Lot], points: int) -> list[Portion]:
    """How much to take from each lot, in the order given, to come to ``points``."""
    portions: list[Portion] = []
    missing = points
    for lot in lots:
        if not missing:
            break
        taken = min(lot.remaining, missing)
        if taken:
            portions.append((lot, taken))
            missing -= taken
    if missing:
        raise InsufficientPoints(available=points - missing, needed=points)
    return portions


def _write(account: Account, movement: Movement) -> Entry:
    """Append the entry and move the account. The account is locked."""
    try:
        entry = Entry.objects.create(
            member_id=movement.member_id,
            seq=account.version + 1,
            kind=movement.kind,
            points=movement.points,
            balance_after=account.balance + movement.points,
            qualifying=movement.qualifying,
            counts_at=movement.counts_at,
            debt=movement.debt,
            debt_after=account.debt + movement.debt,
            occurred_at=movement.occurred_at,
            idempotency_key=movement.key,
            input_hash=movement.input_hash,
            purchase_id=movement.purchase_id,
            redemption_id=movement.redemption_id,
            rule_version_id=movement.rule_version_id,
            reverses_id=movement.reverses_id,
            award_id=movement.award_id,
            explanation=movement.explanation,
        )
    except IntegrityError as error:
        # Another member's request took the same key in the meantime: this one's input is another.
        if "idempotency_key" in str(error):
            raise KeyReused(movement.key) from error
        raise
    Account.objects.filter(pk=account.pk).update(balance=entry.balance_after, debt=entry.debt_after, version=entry.seq)
    return entry


def _draw(entry: Entry, portions: list[Portion]) -> None:
    """Move points between an entry and lots. The account is locked, and so are its lots by that."""
    Draw.objects.bulk_create(Draw(entry=entry, lot=lot, points=points) for lot, points in portions)
    for lot, points in portions:
        Lot.objects.filter(pk=lot.pk).update(remaining=F("remaining") - points)
