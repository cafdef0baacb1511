"""Saving another scheme, other thresholds, names and multipliers."""

from collections.abc import Mapping
from decimal import Decimal
from typing import Any, Final

from django.db import transaction
from django.utils import timezone
from django.utils.translation import gettext as _

from loyalty.tier_models import Tier, TierScheme, TierThreshold
from loyalty.tiers.ladder import Ladder, Rung, problems
from loyalty.tiers.recalculation import JOB
from staff import audit, jobs
from staff.models import Job, User

SCHEME_FIELDS: Final = (
    "window",
    "months",
    "measures",
    "needs",
    "valid_months",
    "grace_days",
    "downgrade",
    "warn_days",
    "on_refund",
)


class Ambiguous(ValueError):
    """The scheme does not say clearly who stands where; ``problems`` says why, as in :func:`ladder.problems`."""

    def __init__(self, problems: Mapping[tuple[int, str] | str, str]) -> None:
        super().__init__("; ".join(problems.values()))
        self.problems = problems


def proposed(
    tiers: list[Tier],
    scheme: Mapping[str, Any],
    thresholds: Mapping[int, Mapping[str, Decimal]],
    multipliers: Mapping[int, Decimal],
) -> Ladder:
    """The ladder that would stand after saving. Raises :class:`Ambiguous`."""
    rungs = [
        Rung(id=tier.pk, key=tier.key, multiplier=multipliers[tier.pk], thresholds=thresholds.get(tier.pk, {}))
        for tier in tiers
    ]
    steps = Ladder(rungs, TierScheme(pk=1, **{name: scheme[name] for name in SCHEME_FIELDS}))
    if found := problems(steps, {tier.pk: tier.name for tier in tiers}):
        raise Ambiguous(found)
    return steps


@transaction.atomic
def save(steps: Ladder, names: Mapping[int, Mapping[str, str]], *, user: User | None) -> Job | None:
    """Write what is new. A scheme or thresholds that changed start a job that moves the members; it is returned.

    Members' past is not judged by the new scheme.
    """
    stands, _made = TierScheme.objects.select_for_update().get_or_create(pk=1)
    moved = _save_tiers(steps, names, user)
    changed = [name for name in SCHEME_FIELDS if getattr(stands, name) != getattr(steps.scheme, name)]
    if not changed and not moved:
        return None
    before = {name: str(getattr(stands, name)) for name in changed}
    for name in changed:
        setattr(stands, name, getattr(steps.scheme, name))
    stands.in_force_since = timezone.now()
    stands.save(update_fields=[*changed, "in_force_since"])
    if changed:
        after = {name: str(getattr(stands, name)) for name in changed}
        audit.record(user, "tier-scheme.change", stands, detail={"before": before, "after": after})
    return jobs.start(JOB, title=_("Move members to their tiers"), payload={"everyone": True}, user=user)


def _save_tiers(steps: Ladder, names: Mapping[int, Mapping[str, str]], user: User | None) -> bool:
    """Write tiers and thresholds; tells whether a threshold moved."""
    moved = False
    tiers = Tier.objects.select_for_update().in_bulk([rung.id for rung in steps.rungs])
    for rung in steps.rungs:
        tier = tiers[rung.id]
        new = {**names.get(rung.id, {}), "multiplier": rung.multiplier}
        fields = [name for name, value in new.items() if getattr(tier, name) != value]
        before = {name: str(getattr(tier, name)) for name in fields}
        after = {name: str(new[name]) for name in fields}
        for name in fields:
            setattr(tier, name, new[name])
        if fields:
            tier.save(update_fields=fields)
        for measure, old, value in _save_thresholds(tier, rung):
            moved = True
            before[measure], after[measure] = str(old), str(value)
        if after:
            audit.record(user, "tier.change", tier, detail={"before": before, "after": after})
    return moved


def _save_thresholds(tier: Tier, rung: Rung) -> list[tuple[str, Decimal | None, Decimal | None]]:
    stands = {threshold.measure: threshold for threshold in tier.thresholds.all()}
    changes: list[tuple[str, Decimal | None, Decimal | None]] = []
    for measure, value in rung.thresholds.items():
        old = stands.get(measure)
        if old is None:
            TierThreshold.objects.create(tier=tier, measure=measure, value=value)
        elif old.value != value:
            TierThreshold.objects.filter(pk=old.pk).update(value=value)
        else:
            continue
        changes.append((measure, old.value if old else None, value))
    for measure in stands.keys() - rung.thresholds.keys():
        changes.append((measure, stands[measure].value, None))
        stands[measure].delete()
    return changes
