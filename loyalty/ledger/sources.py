"""Points that come back as a lot of their own, and the awards that once brought them.

They do so where their old lot has expired and a grace is given, and where they had paid debt. What expires in such a
lot has expired for those awards: who refunds their purchase does not owe it.
"""

from collections import Counter
from collections.abc import Mapping, Sequence
from datetime import datetime

from django.db.models import Sum

from loyalty.ledger.lots import Portion
from loyalty.models import Draw, Entry, Lot, LotSource


def bring_back(
    entry: Entry, came: Sequence[Portion], *, owed: int = 0, activates_at: datetime, expires_at: datetime | None
) -> None:
    """Make the lot of an entry that gives points back: those that ``came`` from old lots, and ``owed`` ones.

    These had been debt that a clawback made; they stem from the award that the clawback names.
    """
    points: Counter[int] = Counter()
    for lot, part in came:
        points.update(split(part, _sources(lot)))
    clawback = entry.reverses
    if owed and clawback and clawback.award_id:
        points[clawback.award_id] += owed
    whole = owed + sum(part for _lot, part in came)
    lot = Lot.objects.create(
        entry=entry,
        member_id=entry.member_id,
        points=whole,
        remaining=whole,
        activates_at=activates_at,
        expires_at=expires_at,
    )
    LotSource.objects.bulk_create(
        LotSource(lot=lot, award_id=award, points=part) for award, part in sorted(points.items()) if part
    )


def lots_of(award: Entry) -> list[int]:
    """The ids of the lots in which points of an award are or were: its own, and those that came back."""
    own = list(Lot.objects.filter(entry=award).values_list("pk", flat=True))
    return own + list(LotSource.objects.filter(award=award).order_by("lot").values_list("lot", flat=True))


def expired_of(award: Entry) -> int:
    """How many points of an award expired unused, wherever they were by then."""
    expiries = Draw.objects.filter(entry__kind=Entry.Kind.EXPIRE, entry__reversed_by__isnull=True)
    drawn = dict(expiries.filter(lot__in=lots_of(award)).values_list("lot").annotate(points=Sum("points")))
    lots = Lot.objects.in_bulk(drawn)
    return sum(split(points, _sources(lots[pk])).get(award.pk, 0) for pk, points in drawn.items())


def awards_of(lots: Sequence[int]) -> set[int]:
    """The ids of the entries that first brought the points of these lots."""
    return {award for lot in Lot.objects.filter(pk__in=lots) for award in _sources(lot)}


def split(points: int, weights: Mapping[int, int]) -> dict[int, int]:
    """Share whole points out in proportion; the shares come to exactly all, and to each weight for the whole."""
    whole, reached, given = sum(weights.values()), 0, 0
    shares = {}
    for key, weight in sorted(weights.items()):
        reached += weight
        until = (2 * points * reached + whole) // (2 * whole)
        shares[key] = until - given
        given = until
    return shares


def _sources(lot: Lot) -> dict[int, int]:
    return dict(lot.sources.values_list("award_id", "points")) or {lot.entry_id: lot.points}
