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
    sources = _sources([lot.pk for lot, _part in came])
    for lot, part in came:
        points.update(split(part, sources[lot.pk]))
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


def lots_of(awards: Sequence[int]) -> dict[int, list[int]]:
    """The ids of the lots in which points of these awards are or were, by award: its own, and those that came back."""
    lots: dict[int, list[int]] = {award: [] for award in awards}
    for pk, award in Lot.objects.filter(entry__in=awards).values_list("pk", "entry_id"):
        lots[award].append(pk)
    for pk, award in LotSource.objects.filter(award__in=awards).order_by("lot").values_list("lot_id", "award_id"):
        lots[award].append(pk)
    return lots


def expired_of(lots: Mapping[int, Sequence[int]]) -> Counter[int]:
    """How many points of each award expired unused, wherever they were by then; ``lots`` as of :func:`lots_of`."""
    expiries = Draw.objects.filter(entry__kind=Entry.Kind.EXPIRE, entry__reversed_by__isnull=True)
    drawn = expiries.filter(lot__in={pk for some in lots.values() for pk in some}).order_by()
    expired: Counter[int] = Counter()
    by_lot = dict(drawn.values_list("lot").annotate(points=Sum("points")))
    sources = _sources(list(by_lot))
    for pk, points in by_lot.items():
        expired.update(split(points, sources[pk]))
    return expired


def awards_of(lots: Sequence[int]) -> set[int]:
    """The ids of the entries that first brought the points of these lots."""
    return {award for sources in _sources(lots).values() for award in sources}


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


def _sources(lots: Sequence[int]) -> dict[int, dict[int, int]]:
    """From which awards the points of these lots stem, by lot: from its own entry where nothing else is kept."""
    sources: dict[int, dict[int, int]] = {}
    for lot, award, points in LotSource.objects.filter(lot__in=lots).values_list("lot_id", "award_id", "points"):
        sources.setdefault(lot, {})[award] = points
    own = Lot.objects.filter(pk__in=[pk for pk in lots if pk not in sources])
    return sources | {pk: {entry: points} for pk, entry, points in own.values_list("pk", "entry_id", "points")}
