"""Which lots can be spent, how many points are in them, and how a spend is shared out among them.

What can be spent is said here alone: of lots that are read (:func:`usable_lots`), of one that is at hand
(:func:`state_of`), and in SQL (:func:`usable_sql`, :func:`state_sql`).
"""

from collections.abc import Iterable, Sequence
from datetime import datetime
from enum import StrEnum

from django.db.models import F, Q, QuerySet, Sum

from loyalty.ledger.errors import InsufficientPoints
from loyalty.models import Lot

# A lot, and how much to take from it (negative: to give back to it).
Portion = tuple[Lot, int]


class LotState(StrEnum):
    """``held`` until somebody releases it, ``pending`` until a time, ``expired`` until the next run takes it out."""

    HELD = "held"
    PENDING = "pending"
    USABLE = "usable"
    EXPIRED = "expired"
    SPENT = "spent"


def state_of(lot: Lot, at: datetime) -> LotState:
    """What a lot is at a moment."""
    if not lot.remaining:
        return LotState.SPENT
    if lot.expires_at and lot.expires_at <= at:
        return LotState.EXPIRED
    if lot.activates_at is None:
        return LotState.HELD
    return LotState.USABLE if lot.activates_at <= at else LotState.PENDING


def state_sql(at: str) -> str:
    """The same in SQL, of the row ``lot``; ``at`` is a parameter ("%(now)s") or a column, never input."""
    return (
        f"CASE WHEN lot.remaining = 0 THEN 'spent' WHEN lot.expires_at <= {at} THEN 'expired'"
        f" WHEN lot.activates_at IS NULL THEN 'held' WHEN lot.activates_at > {at} THEN 'pending' ELSE 'usable' END"
    )


def usable_sql(at: str) -> str:
    """Whether the row ``lot`` is usable, in SQL that indexes serve; ``at`` as in :func:`state_sql`, written twice."""
    return f"lot.remaining > 0 AND lot.activates_at <= {at} AND (lot.expires_at IS NULL OR lot.expires_at > {at})"


def usable_lots(member_ids: Iterable[int], at: datetime) -> QuerySet[Lot]:
    """The lots of these members that can be spent at a moment: those that expire first come first, then the oldest."""
    return (
        Lot.objects.filter(member__in=list(member_ids), remaining__gt=0, activates_at__lte=at)
        .filter(Q(expires_at__isnull=True) | Q(expires_at__gt=at))
        .order_by(F("expires_at").asc(nulls_last=True), "activates_at", "id")
    )


def chosen_lots(member_id: int, at: datetime, chosen: Sequence[int] | None) -> Iterable[Lot]:
    """The usable lots, or those of them that were chosen, in the order of the choice."""
    usable = usable_lots([member_id], at)
    if chosen is None:
        return usable
    by_id = {lot.pk: lot for lot in usable.filter(pk__in=chosen)}
    return [by_id[pk] for pk in dict.fromkeys(chosen) if pk in by_id]


def available(member_id: int, at: datetime) -> int:
    """The points that a member can spend at a moment."""
    return usable_lots([member_id], at).aggregate(points=Sum("remaining"))["points"] or 0


def available_to(member_ids: Iterable[int], at: datetime) -> dict[int, int]:
    """The points that each of these members can spend at a moment; those without any are left out."""
    lots = usable_lots(member_ids, at).order_by()
    return dict(lots.values_list("member_id").annotate(points=Sum("remaining")))


def held_by(member_ids: Iterable[int], at: datetime) -> dict[int, int]:
    """The points of each of these members that can be spent, or once they are active; those without are left out."""
    lots = Lot.objects.filter(member__in=list(member_ids), remaining__gt=0).exclude(expires_at__lte=at)
    return dict(lots.values_list("member_id").annotate(points=Sum("remaining")))


def portions_of(points: int, lots: Iterable[Lot]) -> tuple[list[Portion], int]:
    """How much to take from each lot, in the order given, to come to ``points``; and how much is missing."""
    portions: list[Portion] = []
    missing = points
    for lot in lots:
        if not missing:
            break
        if taken := min(lot.remaining, missing):
            portions.append((lot, taken))
            missing -= taken
    return portions, missing


def all_of(points: int, lots: Iterable[Lot]) -> list[Portion]:
    """The same where nothing may be missing. Raises :class:`~loyalty.ledger.InsufficientPoints`."""
    portions, missing = portions_of(points, lots)
    if missing:
        raise InsufficientPoints(available=points - missing, needed=points)
    return portions
