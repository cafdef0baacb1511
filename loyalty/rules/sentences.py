"""A definition in words: one sentence for each thing that it says."""

from decimal import Decimal
from fractions import Fraction

from django.utils.translation import gettext as _
from django.utils.translation import ngettext

from loyalty.models import RuleVersion
from loyalty.rules import reading
from loyalty.rules.definition import (
    BASE_EFFECTS,
    Cap,
    Coefficient,
    Definition,
    Effect,
    Fixed,
    Ladder,
    Multiplier,
    PerAmount,
    PerLine,
)
from loyalty.rules.events import PURCHASE
from members.conditions.sentences import clauses
from members.conditions.tree import Group
from staff import figures


def of_version(version: RuleVersion) -> str:
    """All that a version says."""
    return " ".join(sentences(reading.compiled(version.definition)))


def sentences(definition: Definition) -> list[str]:
    """What the rule gives and when, its caps, when points become usable, and when they expire."""
    said = [_gives(definition)]
    said += [_cap(cap) for cap in definition.caps]
    if definition.pending_days is None:
        said.append(_("The points can be used once they are released."))
    elif definition.pending_days:
        said.append(
            ngettext(
                "The points can be used after %(days)d day.",
                "The points can be used after %(days)d days.",
                definition.pending_days,
            )
            % {"days": definition.pending_days}
        )
    said.append(_expiry(definition))
    if not definition.qualifies:
        said.append(_("They do not count for tiers."))
    return [*said, *_stacking(definition)]


def _gives(definition: Definition) -> str:
    if definition.multiplies:
        [multiplier] = definition.effects
        what = _("Points of other rules count ×%(factor)s") % {"factor": _number(multiplier.factor)}  # type: ignore[union-attr]
    else:
        subject = _("Each purchase") if definition.event == PURCHASE else _("Each interaction")
        rounding = (
            _("rounded to the nearest point")
            if definition.rounding == "half_up"
            else _("rounded down to a whole point")
        )
        what = _("%(subject)s earns %(effects)s, %(rounding)s") % {
            "subject": subject,
            "effects": _effects(definition.effects),
            "rounding": rounding,
        }
    if conditions := clauses(definition.when):
        return _("%(gives)s, if %(conditions)s.") % {"gives": what, "conditions": conditions}
    return _("%(sentence)s.") % {"sentence": what}


def _effects(effects: tuple[Effect, ...]) -> str:
    text = effect(effects[0])
    for one in effects[1:]:
        pattern = _("%(first)s, plus %(next)s") if isinstance(one, BASE_EFFECTS) else _("%(first)s, times %(next)s")
        text = pattern % {"first": text, "next": effect(one)}
    return text


def effect(one: Effect) -> str:
    """One effect in a few words."""
    if isinstance(one, PerAmount):
        return _of_lines(rate(one), one.lines) if one.lines else rate(one)
    if isinstance(one, Fixed):
        return _fixed(one)
    if isinstance(one, PerLine):
        return _of_lines(_("%(points)s per line") % {"points": _points(one.points)}, one.lines)
    if isinstance(one, Multiplier):
        return _number(one.factor)
    return _ladder(one) if isinstance(one, Ladder) else _coefficient(one)


def _fixed(one: Fixed) -> str:
    if not one.also_points:
        return _points(one.points)
    return _("%(points)s (and %(also)s for the member named in “%(property)s”)") % {
        "points": _points(one.points),
        "also": _points(one.also_points),
        "property": one.also_property,
    }


def _ladder(one: Ladder) -> str:
    steps = ", ".join(
        _("×%(factor)s from %(amount)s")
        % {"factor": _number(step.factor), "amount": figures.money(float(step.start), places=0)}
        for step in one.steps
    )
    return _("a factor by amount (%(steps)s)") % {"steps": steps}


def rate(one: PerAmount) -> str:
    """ "1 point per ¥1"."""
    per = one.per
    return ngettext("%(points)s point per %(amount)s", "%(points)s points per %(amount)s", -(-one.points // 1)) % {
        "points": _number(one.points),
        "amount": figures.money(float(per), places=0 if per.denominator == 1 else None),
    }


def _of_lines(text: str, lines: Group) -> str:
    conditions = clauses(lines)
    return _("%(points)s where %(conditions)s") % {"points": text, "conditions": conditions} if conditions else text


def _coefficient(one: Coefficient) -> str:
    if one.factors is None:
        return _("the multiplier of the member's tier")
    labels = one.line.fact.choice_labels()
    factors = ", ".join(
        _("%(value)s ×%(factor)s") % {"value": labels.get(value, value), "factor": _number(factor)}
        for value, factor in one.factors.items()
    )
    label = str(one.line.fact.label)
    return _("a factor by %(fact)s (%(factors)s)") % {"fact": label[:1].lower() + label[1:], "factors": factors}


def _cap(cap: Cap) -> str:
    most = (
        _points(cap.points)
        if cap.points is not None
        else _("points worth %(money)s") % {"money": figures.money(cap.money or 0)}
    )
    per = {
        "purchase": _("per purchase"),
        "day": _("a day"),
        "week": _("a week"),
        "month": _("a month"),
        "total": _("in all"),
    }[cap.per]
    pattern = (
        _("At most %(most)s %(per)s for each member.")
        if cap.of == "member"
        else _("At most %(most)s %(per)s for all members together.")
    )
    return pattern % {"most": most, "per": per}


def _expiry(definition: Definition) -> str:
    kind, count = definition.expiry["type"], definition.expiry.get("n", 0)
    if kind == "days":
        text = ngettext("The points expire after %(n)d day.", "The points expire after %(n)d days.", count)
    elif kind == "months" and definition.event == PURCHASE:
        text = ngettext(
            "The points expire %(n)d month after the purchase.",
            "The points expire %(n)d months after the purchase.",
            count,
        )
    elif kind == "months":
        text = ngettext("The points expire after %(n)d month.", "The points expire after %(n)d months.", count)
    elif kind == "idle_months":
        text = ngettext(
            "The points expire after %(n)d month without activity.",
            "The points expire after %(n)d months without activity.",
            count,
        )
    elif kind == "never":
        text = _("The points never expire.")
    else:
        text = {
            "end_of_month": _("The points expire at the end of the month."),
            "end_of_quarter": _("The points expire at the end of the quarter."),
            "end_of_year": _("The points expire at the end of the year."),
        }[kind]
        if count:
            later = {
                "end_of_month": _("The points expire at the end of a month, %(n)d later."),
                "end_of_quarter": _("The points expire at the end of a quarter, %(n)d later."),
                "end_of_year": _("The points expire at the end of a year, %(n)d later."),
            }
            text = later[kind]
    return text % {"n": count}


def _stacking(definition: Definition) -> list[str]:
    stacking = definition.stacking
    if stacking.mode == "best":
        return [_("Of the group “%(group)s” only the best rule counts.") % {"group": stacking.group}]
    if stacking.mode == "exclusive" and stacking.group:
        return [_("It stands alone in the group “%(group)s”.") % {"group": stacking.group}]
    if stacking.mode == "exclusive":
        return [_("It stands alone: no other rule counts with it.")]
    return []


def _points(points: int) -> str:
    return ngettext("%(points)s point", "%(points)s points", points) % {"points": figures.number(points)}


def _number(value: Fraction) -> str:
    plain = Decimal(value.numerator) / Decimal(value.denominator)
    return figures.number(plain, max(-int(plain.normalize().as_tuple().exponent), 0))
