"""Taking a whole entry back by its reversal (docs/adr/0008); a part of an award: :mod:`loyalty.ledger.clawbacks`."""

from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any
from uuid import uuid4

from django.db import transaction
from django.db.models import F
from django.utils import timezone

from loyalty.ledger.clawbacks import own_first
from loyalty.ledger.errors import AlreadyReversed, InsufficientPoints, NotReversible
from loyalty.ledger.expiry import expire_if_due
from loyalty.ledger.lots import Portion, portions_of
from loyalty.ledger.movement import Movement
from loyalty.ledger.posting import award, draw, lock, write
from loyalty.ledger.returning import returned
from loyalty.ledger.sources import awards_of, bring_back, lots_of
from loyalty.models import Account, Draw, Entry, Lot, Policy


def reverse(
    entry: Entry,
    *,
    explanation: dict[str, Any],
    policy: str = Policy.REFUSE,
    grace_until: datetime | None = None,
    occurred_at: datetime | None = None,
    key: str | None = None,
) -> Entry:
    """Take an entry back by a second one; at most once, and never twice for the same key.

    Points that the entry took first pay what the member owes, then go back to the lots they came from. Where
    a lot has expired meanwhile they become a lot of their own that expires at ``grace_until`` (empty: they
    go back to that lot, and expire with it).

    Points that it brought are taken from its own lot first, then from the lots that expire first. What was
    taken of them before (clawbacks, expiry) comes back first, so that nothing is taken twice. What is
    missing then ``policy`` decides: :class:`~loyalty.ledger.InsufficientPoints`, let go, or debt.

    Raises :class:`~loyalty.ledger.AlreadyReversed`, and :class:`~loyalty.ledger.NotReversible` for a
    reversal, for a transfer (which is transferred back), for an expiry that counts as given back, and for a
    redemption of which a part was given back (its rest is given back by :func:`~loyalty.ledger.give_back`).
    """
    if entry.kind in (Entry.Kind.REVERSE, Entry.Kind.TRANSFER):
        raise NotReversible
    movement = _reversal(entry, explanation, occurred_at or timezone.now(), key)
    with transaction.atomic():
        account = lock(entry.member_id)
        if before := movement.written_before():
            return before
        if Entry.objects.filter(reverses=entry).exists():
            raise AlreadyReversed(entry.pk)
        if counts_as_given_back(entry) or (entry.kind == Entry.Kind.REDEEM and returned(entry)):
            raise NotReversible
        if entry.points < 0 or entry.kind == Entry.Kind.CLAWBACK:
            return _give_back(account, entry, movement, grace_until)
        expire_if_due(account, movement.occurred_at)
        expired_at = _restore(account, entry, movement)
        portions, missing = portions_of(entry.points, _own_lot_first(entry, movement.occurred_at))
        reversal = _take(account, movement, portions, missing, policy)
        if expired_at:
            # A lot that came back may hold points of other awards too: these have still expired.
            expire_if_due(account, max(expired_at, movement.occurred_at))
        if missing and policy == Policy.TAKE:
            _let_go(reversal, missing)
        return reversal


@dataclass(frozen=True, kw_only=True)
class ReversalPreview:
    """What a reversal does, in points of the entry that it takes back; its policy aside.

    Of points that the entry brought, ``gone`` were taken back or expired before, ``own`` come from the lots in which
    they are, ``others`` from the member's other lots, and ``missing`` are nowhere. Of points that it took,
    ``pays_debt`` pay what the member owes and ``in_grace`` become a lot of their own.
    """

    gone: int = 0
    own: int = 0
    others: int = 0
    missing: int = 0
    pays_debt: int = 0
    in_grace: int = 0


def preview_reversal(entry: Entry, *, occurred_at: datetime, grace_until: datetime | None = None) -> ReversalPreview:
    """What :func:`reverse` would do; raises what it raises. It is done and rolled back: nothing is left of it."""
    with transaction.atomic():
        account = lock(entry.member_id)
        expire_if_due(account, occurred_at)
        own, others, debt = _what_is_there(account, lots_of([entry.pk])[entry.pk])
        reversal = reverse(
            entry,
            key=f"preview:{uuid4().hex}",
            explanation={},
            policy=Policy.DEBT,
            occurred_at=occurred_at,
            grace_until=grace_until,
        )
        account.refresh_from_db()
        own_left, others_left, owed = _what_is_there(account, lots_of([entry.pk])[entry.pk])
        in_grace = Lot.objects.filter(entry=reversal).values_list("points", flat=True).first() or 0
        transaction.set_rollback(True)
    if entry.points < 0:
        return ReversalPreview(pays_debt=debt - owed, in_grace=in_grace)
    taken, also, missing = own - own_left, others - others_left, owed - debt
    gone = entry.points - taken - also - missing
    return ReversalPreview(gone=gone, own=taken, others=also, missing=missing)


def _what_is_there(account: Account, own: list[int]) -> tuple[int, int, int]:
    """What is left in these lots, in the member's others, and what they owe."""
    left = dict(Lot.objects.filter(member_id=account.pk, remaining__gt=0).values_list("pk", "remaining"))
    there = sum(points for pk, points in left.items() if pk in own)
    return there, sum(left.values()) - there, account.debt


def counts_as_given_back(expiry: Entry) -> bool:
    """Whether points that expired have stood for points that a refund took: the member would have them for nothing."""
    if expiry.kind != Entry.Kind.EXPIRE:
        return False
    awards = awards_of(list(expiry.draws.values_list("lot", flat=True)))
    parts = Entry.objects.filter(award__in=awards, kind=Entry.Kind.CLAWBACK, reversed_by__isnull=True)
    return parts.filter(explanation__has_key="expired").exists()


def _counted_at(entry: Entry) -> datetime | None:
    """When the qualifying points of an entry count, for the one that takes them back."""
    return (entry.counts_at or entry.occurred_at) if entry.qualifying else None


def _reversal(entry: Entry, explanation: dict[str, Any], at: datetime, key: str | None = None) -> Movement:
    return Movement(
        member_id=entry.member_id,
        kind=Entry.Kind.REVERSE,
        points=-entry.points,
        qualifying=-entry.qualifying,
        counts_at=_counted_at(entry),
        key=key or f"reverse:{entry.pk}",
        occurred_at=at,
        explanation=explanation,
        purchase_id=entry.purchase_id,
        redemption_id=entry.redemption_id,
        rule_version_id=entry.rule_version_id,
        reverses_id=entry.pk,
    )


def standing_parts(entry_ids: list[int]) -> list[Entry]:
    """The clawbacks of these awards that were not taken back themselves."""
    parts = Entry.objects.filter(award__in=entry_ids, kind=Entry.Kind.CLAWBACK, reversed_by__isnull=True)
    return list(parts.order_by("member_id", "seq"))


def _restore(account: Account, entry: Entry, movement: Movement) -> datetime | None:
    """Give back what was taken of an award before, so that the whole of it can be taken once.

    Returns until when lots were good whose expiry was taken back.
    """
    expired_at = None
    for part in standing_parts([entry.pk]):
        _give_back(account, part, _reversal(part, movement.explanation, movement.occurred_at), None)
    expiries = Entry.objects.filter(
        draws__lot__in=lots_of([entry.pk])[entry.pk], kind=Entry.Kind.EXPIRE, reversed_by__isnull=True
    )
    for expiry in expiries.order_by("seq"):
        # Into its own lot whatever the member owes: the reversal takes it from there at once.
        reversal = write(account, _reversal(expiry, movement.explanation, movement.occurred_at))
        draw(reversal, [(each.lot, -each.points) for each in expiry.draws.select_related("lot")])
        expired_at = max(expired_at or expiry.occurred_at, expiry.occurred_at)
    return expired_at


def _give_back(account: Account, entry: Entry, movement: Movement, grace_until: datetime | None) -> Entry:
    """Reverse an entry that took points: they pay what is owed, and the rest goes back to lots."""
    paid = min(account.debt, movement.points)
    rest = movement.points - paid
    draws = Draw.objects.filter(entry=entry, points__gt=0).select_related("lot")
    portions: list[Portion] = []
    own: list[Portion] = []
    until = None
    for each in draws.order_by(F("lot__expires_at").desc(nulls_first=True), "-lot_id"):
        if back := min(each.points, rest):
            rest -= back
            if grace_until and each.lot.expires_at and each.lot.expires_at <= movement.occurred_at:
                own.append((each.lot, back))
                continue
            # A lot never holds more than it began with: another reversal may have filled it and taken from others.
            kept = min(back, each.lot.points - each.lot.remaining)
            if kept:
                portions.append((each.lot, -kept))
            if kept < back:
                own.append((each.lot, back - kept))
                until = each.lot.expires_at
    reversal = write(account, replace(movement, debt=-paid))
    draw(reversal, portions)
    # What is left was debt, and is paid: there is no lot that it came from.
    if own or rest:
        bring_back(
            reversal,
            own,
            owed=rest,
            activates_at=movement.occurred_at,
            expires_at=_expiry_of_own(entry, movement.occurred_at, grace_until) or until,
        )
    return reversal


def _expiry_of_own(entry: Entry, at: datetime, grace_until: datetime | None) -> datetime | None:
    """When points expire that come back as a lot of their own: with the award's, or when the grace ends."""
    award_lot = Lot.objects.filter(entry=entry.award_id).first() if entry.award_id else None
    if award_lot and (award_lot.expires_at is None or award_lot.expires_at > at):
        return award_lot.expires_at
    return grace_until or (award_lot.expires_at if award_lot else None)


def _own_lot_first(entry: Entry, at: datetime) -> list[Lot]:
    """What can be taken back: of the award's own lot, of what can be spent, and of what is still pending."""
    lots = Lot.objects.filter(member_id=entry.member_id, remaining__gt=0)
    ordered = lots.order_by(F("expires_at").asc(nulls_last=True), "activates_at", "id")
    return own_first(ordered, lots_of([entry.pk])[entry.pk], at)


def _take(account: Account, movement: Movement, portions: list[Portion], missing: int, policy: str) -> Entry:
    """Write an entry that takes points back; what is missing becomes debt, if it may."""
    if missing and policy == Policy.REFUSE:
        there = sum(points for _lot, points in portions)
        raise InsufficientPoints(available=there, needed=there + missing)
    owed = -movement.points - sum(points for _lot, points in portions)
    entry = write(account, replace(movement, debt=owed))
    draw(entry, portions)
    return entry


def _let_go(reversal: Entry, points: int) -> None:
    """Forgive what a reversal, which is always of the whole entry, could not take."""
    award(
        member_id=reversal.member_id,
        points=points,
        qualifying=0,
        key=f"let-go:{reversal.pk}",
        occurred_at=reversal.occurred_at,
        explanation={"let_go": points, "reversal": reversal.pk},
        kind=Entry.Kind.ADJUST,
    )
