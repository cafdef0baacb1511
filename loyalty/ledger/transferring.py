"""Giving points to another member: they keep the times at which they can be used."""

from collections.abc import Sequence
from datetime import datetime
from typing import Any

from django.db import connection, transaction

from loyalty.ledger.bulk import lock_members
from loyalty.ledger.lots import Portion, all_of, chosen_lots
from loyalty.ledger.movement import Movement
from loyalty.ledger.posting import bring, draw, lock, write
from loyalty.models import Entry, Lot


def transfer(
    *,
    from_member: int,
    to_member: int,
    points: int,
    key: str,
    occurred_at: datetime,
    explanation: dict[str, Any],
    lots: Sequence[int] | None = None,
) -> Entry:
    """Move points that can be spent from one member to another; returns the entry of the one who gives.

    Taken as :func:`~loyalty.ledger.spend` takes them, or from ``lots``. The other member gets a lot for each
    expiry among them, after paying what they owe. The same key with the same input returns the first
    entry. Raises :class:`~loyalty.ledger.InsufficientPoints` and :class:`~loyalty.ledger.KeyReused`.
    Whether the two may do so is for the caller to say, who may give the numbers of the two as ``from`` and
    ``to`` in the explanation.
    """
    if points <= 0 or from_member == to_member:
        raise ValueError("a transfer moves points from one member to another")
    giving = Movement(
        member_id=from_member,
        kind=Entry.Kind.TRANSFER,
        points=-points,
        key=key,
        occurred_at=occurred_at,
        explanation=explanation | {"member": to_member},
    )
    with transaction.atomic():
        with connection.cursor() as cursor:
            lock_members(cursor, [from_member, to_member])
        if before := giving.written_before():
            return before
        portions = all_of(points, chosen_lots(from_member, occurred_at, lots))
        given = write(lock(from_member), giving)
        draw(given, portions)
        account = lock(to_member)
        for number, lot in enumerate(_alike(portions), 1):
            receiving = Movement(
                member_id=to_member,
                kind=Entry.Kind.TRANSFER,
                points=lot.points,
                key=f"{key}:{number}",
                occurred_at=occurred_at,
                explanation=explanation | {"member": from_member},
                award_id=given.pk,
            )
            bring(account, receiving, lot)
        return given


def _alike(portions: list[Portion]) -> list[Lot]:
    """The lots that arrive: one for all portions that can be used until the same moment."""
    arriving: dict[tuple[object, ...], Lot] = {}
    for lot, points in portions:
        new = Lot(points=0, activates_at=lot.activates_at, expires_at=lot.expires_at, idle_months=lot.idle_months)
        arriving.setdefault((lot.expires_at, lot.idle_months), new).points += points
    return list(arriving.values())
