"""Why an entry is there, in the reader's language, from the entry alone."""

from datetime import datetime
from decimal import Decimal
from typing import Any

from django.utils.translation import get_language, ngettext
from django.utils.translation import gettext as _

from loyalty.models import Entry, Redemption, Reward, RuleVersion, Tier, TierChange
from staff import figures

Explanation = dict[str, Any]


def tier_name(tier: Tier) -> str:
    """The tier's name in the reader's language."""
    return tier.name_zh if _in_chinese() and tier.name_zh else tier.name


def reward_name(reward: Reward) -> str:
    """The reward's name in the reader's language."""
    return reward.name_zh if _in_chinese() and reward.name_zh else reward.name


def rule_sentence(version: RuleVersion) -> str:
    """A version read as one sentence: "1 point per ¥1, times the tier's multiplier, rounded down …"."""
    rounding = (
        _("rounded to the nearest point")
        if version.rounding == RuleVersion.Rounding.HALF_UP
        else _("rounded down to a whole point")
    )
    expiry = (
        _("The points never expire.")
        if version.expires_after_months is None
        else ngettext(
            "The points expire %(months)d month after the purchase.",
            "The points expire %(months)d months after the purchase.",
            version.expires_after_months,
        )
        % {"months": version.expires_after_months}
    )
    earns = _("Each purchase earns %(rate)s, times the multiplier of the member's tier, %(rounding)s.") % {
        "rate": _rate(version.points, version.per_amount),
        "rounding": rounding,
    }
    return f"{earns} {expiry}"


def title(entry: Entry) -> str:
    """What the entry is, in a few words."""
    told: Explanation = entry.explanation
    if entry.kind == Entry.Kind.EARN and "rule" in told:
        receipt = told.get("receipt")
        return _("Earned on order %(receipt)s") % {"receipt": receipt} if receipt else _("Earned on a purchase")
    if entry.kind == Entry.Kind.REDEEM and "reward" in told:
        return told_reward(told)
    if entry.kind == Entry.Kind.EXPIRE:
        return _("Points expired")
    if entry.kind == Entry.Kind.REVERSE:
        return _reversal_title(told)
    return str(told.get("text") or entry.get_kind_display())


def details(entry: Entry, tiers: dict[str, Tier] | None = None) -> list[str]:
    """The reckoning, step by step. ``tiers`` by key spares a query for each entry."""
    told: Explanation = entry.explanation
    if entry.kind == Entry.Kind.EARN and "rule" in told:
        return _earning(told, entry.points, tiers)
    if entry.kind == Entry.Kind.EXPIRE and "of" in told:
        return [
            _("what was left of %(points)s points earned on %(day)s")
            % {"points": figures.number(told["of"]), "day": figures.day(datetime.fromisoformat(told["earned_at"]))}
        ]
    if entry.kind == Entry.Kind.REDEEM and "for" in told:
        return [_("%(member)s of the same household redeemed it") % {"member": told["for"]}]
    if entry.kind == Entry.Kind.REVERSE and told.get("reason") == "import_undone":
        return [_("the import of %(file)s was taken back") % {"file": told.get("file", "")}]
    return []


def told_reward(told: Explanation) -> str:
    """The name of a reward as it was when it was redeemed."""
    return str(told.get("reward_zh") or told["reward"]) if _in_chinese() else str(told["reward"])


def tier_reason(change: TierChange) -> str:
    """The evidence of a move between tiers."""
    told: Explanation = change.evidence
    amounts = {
        "spend": figures.money(Decimal(told.get("value") or told.get("spend", "0"))),
        "threshold": figures.money(Decimal(told.get("threshold", "0"))),
    }
    if told.get("cause") == "purchase":
        receipt = told.get("receipt")
        if receipt:
            return _("order %(receipt)s brought 12 months to %(spend)s, from %(threshold)s on") % (
                amounts | {"receipt": receipt}
            )
        return _("a purchase brought 12 months to %(spend)s, from %(threshold)s on") % amounts
    if told.get("cause") == "window":
        return _("a purchase became older than 12 months: %(spend)s are left, %(threshold)s are needed") % amounts
    return _("%(spend)s in 12 months, the threshold is %(threshold)s") % amounts


def state_tone(state: str) -> str:
    """The tone of a redemption's badge."""
    return {
        Redemption.State.RESERVED: "look",
        Redemption.State.CONFIRMED: "accent",
        Redemption.State.FULFILLED: "good",
    }.get(Redemption.State(state), "idle")


def _reversal_title(told: Explanation) -> str:
    if "reward" in told:
        return _("%(reward)s cancelled") % {"reward": told_reward(told)}
    return str(told.get("text") or _("Taken back"))


def _earning(told: Explanation, points: int, tiers: dict[str, Tier] | None) -> list[str]:
    value, multiplier = Decimal(told["value"]), Decimal(told["multiplier"])
    base = value / Decimal(told["per_amount"]) * Decimal(told["points"])
    steps = [
        _("%(rate)s on %(value)s → %(base)s")
        % {
            "rate": _rate(Decimal(told["points"]), Decimal(told["per_amount"]), told["currency"]),
            "value": figures.money(value, told["currency"]),
            "base": _plain(base),
        }
    ]
    if multiplier != 1:
        steps.append(
            _("%(tier)s ×%(multiplier)s → %(unrounded)s")
            % {
                "tier": _tier_of(told["tier"], tiers),
                "multiplier": _plain(multiplier),
                "unrounded": _plain(Decimal(told["unrounded"])),
            }
        )
    if Decimal(told["unrounded"]) != points:
        rounded = _("rounded to %(points)s") if told["rounding"] == "half_up" else _("rounded down to %(points)s")
        steps[-1] = _("%(step)s, %(rounded)s") % {
            "step": steps[-1],
            "rounded": rounded % {"points": figures.number(points)},
        }
    return [*steps, _("rule version %(version)d") % {"version": told["version"]}]


def _tier_of(key: str, tiers: dict[str, Tier] | None) -> str:
    tier = tiers.get(key) if tiers is not None else Tier.objects.filter(key=key).first()
    return tier_name(tier) if tier else key


def _rate(points: Decimal, per_amount: Decimal, currency: str | None = None) -> str:
    amount = figures.money(per_amount, currency, 0 if per_amount == per_amount.to_integral_value() else None)
    return ngettext("%(points)s point per %(amount)s", "%(points)s points per %(amount)s", int(-(-points // 1))) % {
        "points": _plain(points),
        "amount": amount,
    }


def _plain(value: Decimal) -> str:
    """A number without needless zeros, two decimals at most, cut off so that it never looks like more."""
    cut = value.quantize(Decimal("0.01"), rounding="ROUND_DOWN").normalize()
    return figures.number(cut, max(-int(cut.as_tuple().exponent), 0))


def _in_chinese() -> bool:
    return (get_language() or "").startswith("zh")
