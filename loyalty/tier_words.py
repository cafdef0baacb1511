"""Tiers in words: what counts, how the scheme reads, why somebody moved, what is missing."""

from collections.abc import Mapping, Sequence
from datetime import datetime
from decimal import Decimal
from typing import Any

from django.utils.translation import gettext as _
from django.utils.translation import ngettext

from loyalty.tier_models import Measure, TierChange, TierGift, TierScheme
from loyalty.tiers import Ladder, Rung
from loyalty.tiers.progress import Part
from members.models import Member
from staff import figures

Window = TierScheme.Window


def amount(measure: str, value: Decimal) -> str:
    """A value with its unit: "¥2,000", "3 orders"."""
    number = int(value)
    counted = {"number": figures.number(number)}
    if measure == Measure.SPEND:
        return figures.money(value, None, 0 if value == value.to_integral_value() else None)
    if measure == Measure.POINTS:
        return ngettext("%(number)s qualifying point", "%(number)s qualifying points", number) % counted
    if measure == Measure.ORDERS:
        return ngettext("%(number)s order", "%(number)s orders", number) % counted
    if measure == Measure.MONTHS:
        return ngettext("%(number)s active month", "%(number)s active months", number) % counted
    return ngettext("%(number)s referral", "%(number)s referrals", number) % counted


def window(key: str, months: int) -> str:
    """Over what it is counted: "in 12 months"."""
    if key == Window.ROLLING_MONTHS:
        return ngettext("in %(months)d month", "in %(months)d months", months) % {"months": months}
    if key == Window.CALENDAR_YEAR:
        return _("in the calendar year")
    return _("in the year of membership") if key == Window.MEMBERSHIP_YEAR else _("in all")


def threshold(rung: Rung, ladder: Ladder) -> str:
    """What it takes to reach a tier: "¥2,000 or 3 orders"; a dash for the lowest."""
    parts = [amount(name, rung.thresholds[name]) for name in ladder.measures if name in rung.thresholds]
    return either(parts, ladder.scheme) if parts else "–"


def either(parts: Sequence[str], scheme: TierScheme) -> str:
    """Several amounts of which any or all are needed."""
    joint = _("%(one)s or %(other)s") if scheme.needs == TierScheme.Needs.ANY else _("%(one)s and %(other)s")
    told = parts[0]
    for part in parts[1:]:
        told = joint % {"one": told, "other": part}
    return told


def missing(parts: Sequence[Part], scheme: TierScheme) -> str:
    """What is still to be done: "¥300 or 1 order"; empty where it is done."""
    lacking = [amount(part.measure, part.missing) for part in parts if part.missing]
    return either(lacking, scheme) if lacking else ""


def sentences(scheme: TierScheme) -> list[str]:
    """The scheme as a reader says it."""
    counts = either([str(Measure(name).label) for name in Measure.values if name in scheme.measures], scheme)
    told = [
        _("A member stands in the highest tier that is reached by %(counts)s %(window)s. Up at once.")
        % {"counts": counts, "window": window(scheme.window, scheme.months)}
    ]
    if scheme.downgrade == TierScheme.Downgrade.NONE:
        return [*told, _("A tier once reached is kept.")]
    if scheme.valid_months:
        told.append(
            ngettext(
                "It is valid for %(months)d month, then looked at again.",
                "It is valid for %(months)d months, then looked at again.",
                scheme.valid_months,
            )
            % {"months": scheme.valid_months}
        )
    else:
        told.append(_("It lasts as long as it is earned."))
    if days := scheme.grace_days:
        grace = ngettext("%(days)d day of grace before it is lost.", "%(days)d days of grace before it is lost.", days)
        told.append(grace % {"days": days})
    if scheme.downgrade == TierScheme.Downgrade.ONE_STEP:
        told.append(_("Down one tier at a time."))
    return told


def reason(change: TierChange) -> str:
    """Why a member moved, from the evidence alone."""
    told: Mapping[str, Any] = change.evidence
    if told.get("cause") == "granted":
        until = figures.day(datetime.fromisoformat(told["until"]))
        return _("given by hand until %(day)s: %(reason)s") % {"day": until, "reason": told["reason"]}
    if told.get("cause") == "grant_ended":
        return _("the tier given by hand ended: %(reason)s") % {"reason": told["reason"]}
    measure = str(told.get("measure", Measure.SPEND))
    named = {
        "value": amount(measure, Decimal(told.get("value") or told.get("spend", "0"))),
        "threshold": amount(measure, Decimal(told.get("threshold", "0"))),
        "window": window(told.get("window", Window.ROLLING_MONTHS), told.get("months", 12)),
        "receipt": told.get("receipt", ""),
    }
    return _pattern(str(told.get("cause", "")), bool(named["receipt"])) % named


def waits(gift: TierGift) -> str:
    """Why a gift that is due is not handed out yet."""
    if gift.member.status != Member.Status.ACTIVE:
        return _("Due: handed out once the member is active.")
    if gift.reward and gift.reward.stock == 0:
        return _("Due: out of stock, handed out once there is stock again.")
    return _("Due: handed out within a minute.")


def _pattern(cause: str, has_receipt: bool) -> str:
    if cause == "purchase":
        if has_receipt:
            return _("order %(receipt)s made it %(value)s %(window)s; %(threshold)s are needed")
        return _("a purchase made it %(value)s %(window)s; %(threshold)s are needed")
    if cause == "refund":
        if has_receipt:
            return _("order %(receipt)s was refunded: %(value)s %(window)s are left, %(threshold)s are needed")
        return _("a refund left %(value)s %(window)s; %(threshold)s are needed")
    patterns = {
        "points": _("points earned made it %(value)s %(window)s; %(threshold)s are needed"),
        "referral": _("a referral made it %(value)s %(window)s; %(threshold)s are needed"),
        "window": _("what was done before counts no longer: %(value)s %(window)s are left, %(threshold)s are needed"),
        "scheme": _("under the scheme saved then: %(value)s %(window)s; the threshold is %(threshold)s"),
        "validity": _("its validity ended with %(value)s %(window)s; %(threshold)s are needed"),
        "grace": _("the days of grace ended with %(value)s %(window)s; %(threshold)s are needed"),
    }
    return patterns.get(cause) or _("%(value)s %(window)s; the threshold is %(threshold)s")
