"""Giving back a part of what a redemption took: what a refund owes of the points that were spent on the purchase."""

from dataclasses import replace
from datetime import datetime
from typing import Any

from django.db import transaction
from django.db.models import QuerySet, Sum

from loyalty.ledger.errors import AlreadyReversed, MoreThanAwarded
from loyalty.ledger.lots import Portion
from loyalty.ledger.movement import Movement
from loyalty.ledger.posting import draw, lock, write
from loyalty.ledger.sources import bring_back, split
from loyalty.models import Draw, Entry, Lot


def give_back(
    spend: Entry,
    *,
    points: int,
    key: str,
    occurred_at: datetime,
    explanation: dict[str, Any],
    grace_until: datetime,
) -> Entry:
    """Give back so many of the points that an entry took; all parts together never come to more than it took.

    They pay what the member owes first. The rest goes back to the lots that paid, in proportion, with the expiry
    they have; where a lot has expired by ``occurred_at``, into a lot of its own until ``grace_until``. The same key
    with the same input returns the first entry.

    Raises :class:`~loyalty.ledger.MoreThanAwarded`, :class:`~loyalty.ledger.AlreadyReversed` and
    :class:`~loyalty.ledger.KeyReused`.
    """
    with transaction.atomic():
        account = lock(spend.member_id)
        paid = min(account.debt, points)
        movement = Movement(
            member_id=spend.member_id,
            kind=Entry.Kind.RETURN,
            points=points,
            key=key,
            occurred_at=occurred_at,
            explanation=explanation,
            award_id=spend.pk,
            debt=-paid,
        )
        if before := movement.written_before():
            return before
        if Entry.objects.filter(reverses=spend).exists():
            raise AlreadyReversed(spend.pk)
        if returned(spend) + points > -spend.points:
            raise MoreThanAwarded(spend.pk)
        shares = _shares(spend, points)
        portions, own = _portions(shares, paid, occurred_at)
        told = explanation | {"lots": {str(lot.pk): share for lot, share in shares}}
        entry = write(account, replace(movement, explanation=told))
        draw(entry, portions)
        if own:
            bring_back(entry, own, activates_at=occurred_at, expires_at=grace_until)
        return entry


def returned(spend: Entry) -> int:
    """How many of the points that an entry took have been given back by parts."""
    return _parts(spend).aggregate(points=Sum("points"))["points"] or 0


def _parts(spend: Entry) -> QuerySet[Entry]:
    return Entry.objects.filter(award=spend, kind=Entry.Kind.RETURN, reversed_by__isnull=True)


def _shares(spend: Entry, points: int) -> list[tuple[Lot, int]]:
    """How many points are due to each lot that paid, in proportion to what it has not got back."""
    due = {each.lot: each.points for each in Draw.objects.filter(entry=spend).select_related("lot").order_by("lot_id")}
    for told in _parts(spend).values_list("explanation__lots", flat=True):
        due = {lot: left - told.get(str(lot.pk), 0) for lot, left in due.items()}
    by_id = {lot.pk: lot for lot in due}
    return [(by_id[pk], share) for pk, share in split(points, {lot.pk: left for lot, left in due.items()}).items()]


def _portions(shares: list[tuple[Lot, int]], paid: int, at: datetime) -> tuple[list[Portion], list[Portion]]:
    """What goes back to which lot once ``paid`` points paid what is owed, and what becomes a lot of its own."""
    portions: list[Portion] = []
    own: list[Portion] = []
    for lot, share in shares:
        owed = min(share, paid)
        paid -= owed
        # A lot never holds more than it began with, and what has expired holds nothing.
        room = lot.points - lot.remaining if lot.expires_at is None or lot.expires_at > at else 0
        back = min(share - owed, room)
        if rest := share - owed - back:
            own.append((lot, rest))
        if back:
            portions.append((lot, -back))
    return portions, own
