"""Other tiers and new benefits: asked for by one person, decided by another (docs/adr/0013).

Thresholds, multipliers and gifts decide how many points a purchase gives, as earning rules do. Names are changed by one
person, and so is a benefit taken away. Where nobody else could decide, a change counts at once.
"""

from collections.abc import Iterable, Mapping
from decimal import Decimal
from typing import Any, Final

from django.db import models, transaction
from django.urls import reverse
from django.utils.text import capfirst
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy

from loyalty import tier_words, words
from loyalty.models import Reward
from loyalty.policies import settings_now
from loyalty.tier_models import Measure, Tier, TierBenefit, TierScheme, TierStanding
from loyalty.tiers import benefits, editing, preview
from loyalty.tiers.ladder import Ladder, ladder, ladder_text, read_ladder
from staff import approvals, changes, figures
from staff.models import Approval, Job, User
from staff.permissions import Permission

KIND: Final = "tiers.change"
BENEFIT: Final = "tiers.benefit"
ABOUT: Final = "programme:tiers"
BENEFIT_FIELDS: Final = ("kind", "text", "text_zh", "points", "when_passed")

# What is named ("scheme.months", "7.multiplier", "7.spend") and its value as text.
Told = dict[str, str]


@transaction.atomic
def save(steps: Ladder, names: Mapping[int, Mapping[str, str]], *, form: str, user: User) -> Approval | Job | None:
    """Ask for another ladder; returns the request, the same while it waits. Its preview is counted from now on.

    Where only names are new, or nobody else could decide, it saves and returns like :func:`editing.save`. ``form`` is
    what was typed, as a query string, for the page of the preview.
    """
    _lock()
    stands = ladder()
    if told(stands) == told(steps) or not approvals.others_may_decide(KIND, user):
        return editing.save(steps, names, user=user)
    tiers = list(Tier.objects.order_by("rank"))
    wish = {
        "before": told(stands),
        "after": told(steps),
        "names": _new_names(names, tiers),
        "tiers": [[tier.pk, tier.name, tier.name_zh] for tier in tiers],
    }
    for asked in approvals.waiting_about(ABOUT, kind=KIND):
        if {name: asked.payload[name] for name in wish} == wish:
            return asked
    job = preview.start(steps, form=form, user=None)
    return approvals.request(
        KIND,
        subject=_title_of(wish),
        payload=wish | {"ladder": ladder_text(steps), "preview": job.pk},
        user=user,
        about=ABOUT,
        url=reverse("loyalty:tiers-preview-result", args=[job.pk]),
    )


@transaction.atomic
def add_benefit(benefit: TierBenefit, *, user: User) -> Approval | TierBenefit:
    """Ask for a benefit; returns the request, or the benefit where nobody else could decide."""
    if not approvals.others_may_decide(BENEFIT, user):
        return benefits.add(benefit, user=user)
    payload = {name: getattr(benefit, name) for name in BENEFIT_FIELDS} | {
        "tier": benefit.tier_id,
        "tier_name": benefit.tier.name,
        "yearly_value": None if benefit.yearly_value is None else str(benefit.yearly_value),
        "reward": benefit.reward_id,
    }
    for asked in approvals.waiting_about(ABOUT, kind=BENEFIT):
        if asked.payload == payload:
            return asked
    subject = f"{benefit.tier.name}: {benefit.text}"
    return approvals.request(BENEFIT, subject=subject, payload=payload, user=user, about=ABOUT)


def register() -> None:
    """Let other tiers and new benefits be approved."""
    approvals.register(
        KIND,
        gettext_lazy("Tiers"),
        Permission.APPROVALS_DECIDE,
        _carry_out,
        outlook=_outlook,
        title=lambda approval: _title_of(approval.payload),
    )
    approvals.register(
        BENEFIT,
        gettext_lazy("Benefits of tiers"),
        Permission.APPROVALS_DECIDE,
        lambda approval: benefits.add(_benefit(approval), user=approval.decided_by),
        outlook=_benefit_outlook,
        title=lambda approval: (
            _("%(tier)s gives: %(benefit)s")
            % {"tier": approval.payload["tier_name"], "benefit": approval.payload["text"]}
        ),
    )


def told(steps: Ladder) -> Told:
    """All that makes a ladder what it is, as text that can be compared."""
    scheme = {f"scheme.{name}": str(getattr(steps.scheme, name)) for name in editing.SCHEME_FIELDS}
    scheme["scheme.measures"] = " ".join(steps.measures)
    for rung in steps.rungs:
        scheme[f"{rung.id}.multiplier"] = f"{rung.multiplier:.2f}"
        scheme |= {f"{rung.id}.{measure}": f"{value:.2f}" for measure, value in sorted(rung.thresholds.items())}
    return scheme


def _lock() -> None:
    """As :func:`editing.save` does, so that nothing is changed between looking and asking or saving."""
    TierScheme.objects.select_for_update().get_or_create(pk=1)


def _new_names(names: Mapping[int, Mapping[str, str]], tiers: Iterable[Tier]) -> dict[str, dict[str, str]]:
    """Only those that are changed, so that no newer name is overwritten."""
    found = {
        str(tier.pk): {field: new for field, new in names.get(tier.pk, {}).items() if getattr(tier, field) != new}
        for tier in tiers
    }
    return {pk: fields for pk, fields in found.items() if fields}


def _carry_out(approval: Approval) -> None:
    _lock()
    if told(ladder()) != approval.payload["before"]:
        raise approvals.CannotBeDone(
            _("The tiers were changed since this was asked for. It has to be asked for again.")
        )
    names = {int(pk): fields for pk, fields in approval.payload["names"].items()}
    editing.save(read_ladder(approval.payload["ladder"]), names, user=approval.decided_by)


def _outlook(approval: Approval) -> approvals.Outlook:
    wish = approval.payload
    before, after = wish["before"], wish["after"]
    lines = [
        (_name(wish, part), f"{_readable(part, before.get(part))} → {_readable(part, after.get(part))}")
        for part in _changed(wish)
    ]
    lines += [
        (_name(wish, f"{pk}.{field}"), name) for pk, fields in wish["names"].items() for field, name in fields.items()
    ]
    moved = told(ladder()) != before
    warning = _("The tiers were changed since this was asked for. Approving it will be refused.") if moved else ""
    return approvals.Outlook([*lines, *_counted(wish["preview"])], warning)


def _counted(job: int) -> list[tuple[str, str]]:
    """What the preview found that was counted when it was asked for."""
    found = Job.objects.filter(pk=job).first()
    if found is None or found.state != Job.State.DONE:
        state = found.get_state_display() if found else "–"
        return [(_("Who would move"), str(state))]
    detail = found.result["detail"]
    return [
        (_("Members who would move"), figures.number(sum(move["members"] for move in detail["moves"]))),
        (_("Cost in a year"), figures.money(Decimal(detail["cost"]))),
    ]


def _title_of(wish: Mapping[str, Any]) -> str:
    return _("Tiers: %(names)s") % {"names": " · ".join(_name(wish, part) for part in _changed(wish))}


def _changed(wish: Mapping[str, Any]) -> list[str]:
    """What would be another, in the order of the page: the scheme, then tier by tier. A payload keeps no order."""
    before, after = wish["before"], wish["after"]
    parts = [f"scheme.{name}" for name in editing.SCHEME_FIELDS]
    parts += [f"{pk}.{name}" for pk, *_names in wish["tiers"] for name in ("multiplier", *Measure.values)]
    return [part for part in parts if before.get(part) != after.get(part)]


def _name(wish: Mapping[str, Any], part: str) -> str:
    of, name = part.split(".")
    if of == "scheme":
        return str(capfirst(_(str(_field(name).verbose_name))))
    tier = next(Tier(name=name, name_zh=name_zh) for pk, name, name_zh in wish["tiers"] if str(pk) == of)
    named = {"tier": words.tier_name(tier)}
    if name in Measure.values:
        return _("%(tier)s: %(measure)s") % (named | {"measure": Measure(name).label})
    texts = {
        "name": _("Name of %(tier)s"),
        "name_zh": _("Chinese name of %(tier)s"),
        "multiplier": _("Multiplier of %(tier)s"),
    }
    return texts[name] % named


def _field(name: str) -> "models.Field[Any, Any]":
    return next(field for field in TierScheme._meta.concrete_fields if field.name == name)


def _readable(part: str, value: str | None) -> str:
    of, name = part.split(".")
    if value is None:
        return "–"
    if name == "multiplier":
        return f"×{figures.number(Decimal(value), 2)}"
    if name == "measures":
        return " · ".join(str(Measure(measure).label) for measure in value.split())
    if of == "scheme":
        return changes.readable(_field(name), value)
    return tier_words.amount(name, Decimal(value))


def _benefit(approval: Approval) -> TierBenefit:
    """Raises where its tier or reward is gone."""
    payload = approval.payload
    return TierBenefit(
        **{name: payload[name] for name in BENEFIT_FIELDS},
        tier=Tier.objects.get(pk=payload["tier"]),
        yearly_value=None if payload["yearly_value"] is None else Decimal(payload["yearly_value"]),
        reward=Reward.objects.get(pk=payload["reward"]) if payload["reward"] else None,
    )


def _handed_out(gift: TierBenefit) -> list[tuple[str, str]]:
    passed = _("yes") if gift.when_passed else _("no")
    return [(_("Handed out"), words.given(gift)), (_("Also for those who jump over the tier"), passed)]


def _benefit_outlook(approval: Approval) -> approvals.Outlook:
    benefit = _benefit(approval)
    worth = benefits.cost(benefit, settings_now().point_value)
    return approvals.Outlook(
        [
            (_("Tier"), words.tier_name(benefit.tier)),
            (_("Benefit"), words.benefit_text(benefit)),
            (_("Kind"), str(benefit.get_kind_display())),
            *(_handed_out(benefit) if words.given(benefit) else []),
            (_("Cost per member and year"), "–" if worth is None else figures.money(worth)),
            (_("Members who stand in it"), figures.number(TierStanding.objects.filter(tier=benefit.tier).count())),
        ]
    )
