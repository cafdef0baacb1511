"""The tiers in order and the scheme by which they are reached, as the rest of the room computes with them."""

import json
from bisect import bisect_right
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from decimal import Decimal
from functools import cached_property, lru_cache
from typing import Any, Final

from django.conf import settings
from django.utils.translation import gettext as _

from loyalty.tier_models import Measure, TierScheme
from staff.statements import prepared

# Amounts are reckoned with in hundredths, so that they are whole numbers like all else.
SCALE: Final[Mapping[str, int]] = {Measure.SPEND: 100}
# A tier without a threshold for a measure is never reached by it.
NEVER: Final = 2**62


@dataclass(frozen=True, kw_only=True)
class Rung:
    """One tier: from which values it is reached (by measure), and what it multiplies points by."""

    id: int
    key: str
    multiplier: Decimal = Decimal(1)
    thresholds: Mapping[str, Decimal] = field(default_factory=dict)


@dataclass(frozen=True)
class Ladder:
    """All tiers, the lowest (which takes nothing) first, and the scheme. A place is an index of ``rungs``."""

    rungs: Sequence[Rung]
    scheme: TierScheme = field(default_factory=TierScheme)

    @cached_property
    def measures(self) -> list[str]:
        """What counts, in the order of :class:`Measure`. Values are given in this order everywhere."""
        return [measure for measure in Measure.values if measure in self.scheme.measures]

    @cached_property
    def steps(self) -> list[list[int]]:
        """For each measure the thresholds of all tiers but the lowest, scaled, in order."""
        return [[scaled(measure, rung.thresholds.get(measure)) for rung in self.rungs[1:]] for measure in self.measures]

    def place(self, values: Sequence[int]) -> int:
        """The place of the highest tier that scaled values reach."""
        places = [bisect_right(steps, value) for steps, value in zip(self.steps, values, strict=True)]
        return max(places) if self.scheme.needs == TierScheme.Needs.ANY else min(places)

    def at(self, values: Mapping[str, Decimal | int]) -> Rung:
        """The highest tier that values by measure reach."""
        return self.rungs[self.place([scaled(measure, Decimal(values[measure])) for measure in self.measures])]

    def place_of(self, tier_id: int | None) -> int:
        """The place of a tier; the lowest where there is none."""
        return next((place for place, rung in enumerate(self.rungs) if rung.id == tier_id), 0)

    def params(self) -> dict[str, Any]:
        """For SQL: ``tiers`` in order, the zone, the window's months, and each measure's scaled thresholds."""
        return {
            "tiers": [rung.id for rung in self.rungs],
            "zone": settings.TIME_ZONE,
            "months": self.scheme.months,
            **{f"{measure}_steps": steps for measure, steps in zip(self.measures, self.steps, strict=True)},
        }


class NoTiers(Exception):
    """The programme was not started yet (``programme.ensure_defaults``)."""


def ladder() -> Ladder:
    """The tiers and the scheme as they stand now. Raises :class:`NoTiers` where a programme has none."""
    with prepared() as cursor:
        cursor.execute(f"SELECT {LADDER}")
        return read_ladder(cursor.fetchone()[0])


@lru_cache(maxsize=16)
def read_ladder(text: str) -> Ladder:
    """The ladder of what :data:`LADDER` gives, remembered: every purchase asks for it."""
    tiers, rule = json.loads(text)
    if not tiers:
        raise NoTiers
    rungs = tuple(
        Rung(
            id=pk,
            key=key,
            multiplier=Decimal(multiplier),
            thresholds={measure: Decimal(value) for measure, value in (thresholds or {}).items()},
        )
        for pk, key, multiplier, thresholds in tiers
    )
    if rule is None:
        return Ladder(rungs)
    since = rule["in_force_since"]
    return Ladder(rungs, TierScheme(**rule | {"in_force_since": datetime.fromisoformat(since) if since else None}))


def ladder_text(steps: Ladder) -> str:
    """A ladder as text, of which :func:`read_ladder` makes the same one: for a job that is to look at it."""
    rungs = [
        [rung.id, rung.key, str(rung.multiplier), {measure: str(value) for measure, value in rung.thresholds.items()}]
        for rung in steps.rungs
    ]
    scheme = {field.attname: getattr(steps.scheme, field.attname) for field in TierScheme._meta.concrete_fields}
    return json.dumps([rungs, scheme], default=str)


# One value, of which a larger statement can be made.
LADDER: Final = """(SELECT jsonb_build_array(
    (SELECT jsonb_agg(jsonb_build_array(tier.id, key, multiplier::text,
                (SELECT jsonb_object_agg(measure, value::text) FROM loyalty_tierthreshold WHERE tier_id = tier.id))
            ORDER BY rank) FROM loyalty_tier tier),
    (SELECT to_jsonb(scheme) FROM loyalty_tierscheme scheme WHERE id = 1))::text)"""


def scaled(measure: str, value: Decimal | None) -> int:
    """A value as the whole number that is reckoned with."""
    return NEVER if value is None else int(value * SCALE.get(measure, 1))


def unscaled(measure: str, value: int) -> Decimal:
    """The value as a person knows it."""
    return Decimal(value) / SCALE.get(measure, 1)


def problems(proposed: Ladder, names: Mapping[int, str]) -> dict[tuple[int, str] | str, str]:
    """What makes a scheme ambiguous, by (tier id, measure) or by the scheme's field; empty where all is clear."""
    found: dict[tuple[int, str] | str, str] = {}
    rule = proposed.scheme
    if not proposed.measures:
        found["measures"] = _("Choose at least one thing that counts.")
    if rule.downgrade == TierScheme.Downgrade.ONE_STEP and not rule.valid_months and not rule.grace_days:
        found["downgrade"] = _(
            "One tier at a time needs months of validity or days of grace between the steps; both are 0."
        )
    for measure in proposed.measures:
        for lower, upper in zip(proposed.rungs, proposed.rungs[1:], strict=False):
            value, below = upper.thresholds.get(measure), lower.thresholds.get(measure, Decimal(0))
            if value is None:
                found[upper.id, measure] = _("say from how much on, or take this measure out")
            elif value <= below:
                found[upper.id, measure] = _("must be more than for %(tier)s") % {"tier": names[lower.id]}
            elif measure == Measure.MONTHS and rule.window != "lifetime" and value > _most_months(rule):
                found[upper.id, measure] = _("the window has only %(months)d months") % {"months": _most_months(rule)}
    return found


def _most_months(rule: TierScheme) -> int:
    """How many calendar months a window touches at most."""
    return {"rolling_months": rule.months + 1, "calendar_year": 12}.get(rule.window, 13)
