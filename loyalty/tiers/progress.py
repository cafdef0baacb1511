"""How far a member is from the next tier, and how long the present one lasts."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from decimal import Decimal

from django.db import connection

from loyalty.tier_models import Tier, TierGrant, TierScheme
from loyalty.tiers.ladder import NEVER, Ladder, ladder, unscaled
from loyalty.tiers.standing import HORIZON, Look
from loyalty.tiers.walk import Walk, ahead


@dataclass(frozen=True, kw_only=True)
class Part:
    """One measure on the way to a tier, in its own unit (money, points, a number)."""

    measure: str
    value: Decimal
    floor: Decimal
    threshold: Decimal

    @property
    def missing(self) -> Decimal:
        """What is missing, 0 where it is reached."""
        return max(self.threshold - self.value, Decimal(0))

    @property
    def percent(self) -> int:
        """How much of the way from the present tier's threshold to this one is done, 0 to 100."""
        way = self.threshold - self.floor
        return max(0, min(100, int((self.value - self.floor) * 100 / way))) if way else 100


@dataclass(frozen=True, kw_only=True)
class Progress:
    """Where a member stands at a moment. ``parts`` leads to the next tier, ``to_keep`` to staying in this one.

    ``falls_at`` is when the tier is lost if nothing more is done, and ``to_keep`` says what prevents it.
    """

    tier: Tier
    next_tier: Tier | None
    scheme: TierScheme
    values: dict[str, Decimal]
    parts: Sequence[Part]
    valid_until: datetime | None
    grace_until: datetime | None
    falls_at: datetime | None
    falls_to: Tier | None
    to_keep: Sequence[Part]
    grant: TierGrant | None
    is_warned: bool

    @property
    def percent(self) -> int:
        """How much of the way to the next tier is done: the best measure where one is enough, else the weakest."""
        if not self.parts:
            return 100
        pick = max if self.scheme.needs == TierScheme.Needs.ANY else min
        return pick(part.percent for part in self.parts)


def progress(member_id: int, now: datetime) -> Progress:
    """The tier that the member holds now, the next one, what is missing for it, and what threatens."""
    return progress_of([member_id], now)[member_id]


def progress_of(member_ids: Sequence[int], now: datetime) -> dict[int, Progress]:
    """The same for a page of members, in as many queries."""
    steps = ladder()
    tiers = Tier.objects.in_bulk([rung.id for rung in steps.rungs])
    with connection.cursor() as cursor:
        look = Look(cursor, member_ids, ladder=steps, now=now, everybody=True)
    running = TierGrant.objects.filter(member_id__in=member_ids, starts_at__lte=now, ends_at__gt=now)
    grants = {grant.member_id: grant for grant in running.select_related("tier").order_by("tier__rank")}
    return {member_id: _of(walk, tiers, grants.get(member_id), now) for member_id, walk in look.walks().items()}


def _of(walk: Walk, tiers: dict[int, Tier], grant: TierGrant | None, now: datetime) -> Progress:
    steps = walk.ladder
    walk.look(now)
    place, state, net = walk.place, walk.state, list(walk.values.net)
    to_come = ahead(walk, now + HORIZON)
    above = place + 1 if place + 1 < len(steps.rungs) else None
    return Progress(
        tier=tiers[steps.rungs[place].id],
        next_tier=tiers[steps.rungs[above].id] if above else None,
        scheme=steps.scheme,
        values={name: unscaled(name, value) for name, value in zip(steps.measures, net, strict=True)},
        parts=_parts(steps, above, net) if above else (),
        valid_until=state.valid_until,
        grace_until=state.grace_until,
        falls_at=to_come.falls_at,
        falls_to=tiers[steps.rungs[to_come.falls_to].id] if to_come.falls_to is not None else None,
        to_keep=_parts(steps, place, to_come.held) if place and to_come.falls_at and to_come.held else (),
        grant=grant,
        is_warned=bool(to_come.falls_at and to_come.falls_at <= now + timedelta(days=steps.scheme.warn_days)),
    )


def _parts(steps: Ladder, place: int, values: Sequence[int]) -> list[Part]:
    """What each measure that leads to a place has come to, and from where it goes."""
    return [
        Part(
            measure=name,
            value=unscaled(name, value),
            floor=unscaled(name, thresholds[place - 2]) if place > 1 else Decimal(0),
            threshold=unscaled(name, thresholds[place - 1]),
        )
        for name, thresholds, value in zip(steps.measures, steps.steps, values, strict=True)
        if thresholds[place - 1] < NEVER
    ]
