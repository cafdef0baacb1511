"""What happened, in the reader's language: why an entry is there, from the entry alone, and the names that stand in it.

What a rule promises before anything has happened is said by ``loyalty.rules.sentences``, a tier by ``tier_words``.
"""

from datetime import datetime
from decimal import Decimal
from typing import Any

from django.utils.translation import get_language, ngettext
from django.utils.translation import gettext as _

from loyalty.models import AdjustReason, Entry, Redemption, Reward, Tier, TierBenefit, TierGift
from loyalty.rules import sentences
from members.conditions import facts
from staff import figures

Explanation = dict[str, Any]


def tier_name(tier: Tier) -> str:
    """The tier's name in the reader's language."""
    return tier.name_zh if _in_chinese() and tier.name_zh else tier.name


def benefit_text(benefit: TierBenefit | TierGift) -> str:
    """What a tier gives, in the reader's language."""
    return benefit.text_zh if _in_chinese() and benefit.text_zh else benefit.text


def given(gift: TierBenefit | TierGift) -> str:
    """What is handed out: “Coffee + 200 points”; nothing where it is words only."""
    parts = [reward_name(gift.reward)] if gift.reward else []
    if gift.points:
        parts.append(sentences.points(gift.points))
    return " + ".join(parts)


def reward_name(reward: Reward) -> str:
    """The reward's name in the reader's language."""
    return reward.name_zh if _in_chinese() and reward.name_zh else reward.name


def reason_name(reason: AdjustReason) -> str:
    """The reason's name in the reader's language."""
    return reason.name_zh if _in_chinese() and reason.name_zh else reason.name


def title(entry: Entry) -> str:
    """What the entry is, in a few words."""
    told: Explanation = entry.explanation
    name = ""
    if entry.kind == Entry.Kind.EARN and "rule" in told:
        name = _earned(told)
    elif entry.kind == Entry.Kind.EARN and "gift" in told:
        name = _told_gift(told)
    elif entry.kind == Entry.Kind.REDEEM and "reward" in told:
        name = told_reward(told)
    elif entry.kind == Entry.Kind.EXPIRE:
        name = _("Points expired")
    elif entry.kind == Entry.Kind.ADJUST and "reason" in told:
        name = _told_reason(told)
    elif entry.kind == Entry.Kind.REVERSE and told.get("reason") == "earned_meanwhile":
        name = _("“%(rule)s” stays with a later purchase") % {"rule": told["rule"]}
    elif entry.kind in (Entry.Kind.REVERSE, Entry.Kind.CLAWBACK, Entry.Kind.RETURN):
        name = _reversal_title(told)
    elif entry.kind == Entry.Kind.TRANSFER:
        name = _transfer_title(told, entry.points)
    elif entry.kind == Entry.Kind.ADJUST and "let_go" in told:
        name = _("Spent points let go")
    return name or str(told.get("text") or entry.get_kind_display())


def _earned(told: Explanation) -> str:
    if told.get("also"):
        return _("Earned by “%(what)s” of another member") % {"what": told["interaction"]}
    if told.get("interaction"):
        return _("Earned by “%(what)s”") % {"what": told["interaction"]}
    if "survey" in told:
        return _("Earned by a survey answer")
    receipt = told.get("receipt")
    return _("Earned on order %(receipt)s") % {"receipt": receipt} if receipt else _("Earned on a purchase")


def details(entry: Entry, tiers: dict[str, Tier] | None = None) -> list[str]:
    """The reckoning, step by step, and what became of the points. ``tiers`` by key spares a query for each entry."""
    return [*_reckoning(entry, tiers), *_settled(entry)]


def _reckoning(entry: Entry, tiers: dict[str, Tier] | None) -> list[str]:
    told: Explanation = entry.explanation
    if entry.kind == Entry.Kind.EARN and "rule" in told:
        return reckoning(told, entry.points, tiers)
    if entry.kind == Entry.Kind.EXPIRE and "of" in told:
        return [
            _("what was left of %(points)s points earned on %(day)s")
            % {"points": figures.number(told["of"]), "day": figures.day(datetime.fromisoformat(told["earned_at"]))}
        ]
    if entry.kind == Entry.Kind.REDEEM and "for" in told:
        return [_("%(member)s of the same household redeemed it") % {"member": told["for"]}]
    if told.get("reason") == "refund":
        return _refund(told, entry)
    if entry.kind == Entry.Kind.REVERSE and told.get("reason") == "import_undone":
        return [_("the import of %(file)s was taken back") % {"file": told.get("file", "")}]
    return _by_hand(told) if "by" in told else []


def _by_hand(told: Explanation) -> list[str]:
    """What a person of the desk said, and who it was."""
    approved = told.get("approved_by")
    return [
        *([str(told["comment"])] if told.get("comment") else []),
        *([_("by %(name)s") % {"name": told["by"]}] if told["by"] else []),
        *([_("approved by %(name)s") % {"name": approved}] if approved else []),
    ]


def _told_reason(told: Explanation) -> str:
    return str(told.get("reason_zh") or told["reason"]) if _in_chinese() else str(told["reason"])


def _told_gift(told: Explanation) -> str:
    own = "_zh" if _in_chinese() else ""
    names = {name: told.get(f"{name}{own}") or told[name] for name in ("tier_name", "benefit")}
    return _("Gift for reaching %(tier_name)s: %(benefit)s") % names


def _settled(entry: Entry) -> list[str]:
    """What had expired, was let go, is owed, or paid what was owed."""
    told: Explanation = entry.explanation
    numbers = {"expired": told.get("expired"), "let_go": told.get("let_go"), "debt": abs(entry.debt)}
    points = {name: figures.number(number or 0) for name, number in numbers.items()}
    said = []
    if entry.kind == Entry.Kind.CLAWBACK:
        if numbers["expired"]:
            said.append(_("%(expired)s points had expired already and are not taken a second time") % points)
        if numbers["let_go"]:
            said.append(_("%(let_go)s points are spent and were let go") % points)
    if entry.debt > 0:
        said.append(_("%(debt)s points are spent: they are owed, and the next points pay for them") % points)
    elif entry.debt < 0:
        said.append(_("%(debt)s points paid what was owed") % points)
    return said


def _refund(told: Explanation, entry: Entry) -> list[str]:
    """ "¥20.00 of ¥100.00 refunded: 20 of the 100 points it earned"; and what of that was spent."""
    amounts = {key: figures.money(Decimal(told[key]), told["currency"]) for key in ("amount", "of_amount")}
    points = {"points": figures.number(abs(entry.points)), "of": figures.number(told["of"])}
    if entry.kind == Entry.Kind.CLAWBACK:
        steps = [_("%(amount)s of %(of_amount)s refunded: %(points)s of %(of)s points taken back") % (amounts | points)]
    else:
        steps = [_("%(amount)s of %(of_amount)s refunded: %(points)s of %(of)s points given back") % (amounts | points)]
    return steps


def told_reward(told: Explanation) -> str:
    """The name of a reward as it was when it was redeemed."""
    return str(told.get("reward_zh") or told["reward"]) if _in_chinese() else str(told["reward"])


def state_tone(state: str) -> str:
    """The tone of a redemption's badge."""
    return {
        Redemption.State.RESERVED: "look",
        Redemption.State.CONFIRMED: "accent",
        Redemption.State.FULFILLED: "good",
    }.get(Redemption.State(state), "idle")


def _reversal_title(told: Explanation) -> str:
    if told.get("reason") == "refund":
        receipt = told.get("receipt")
        return _("Refund of order %(receipt)s") % {"receipt": receipt} if receipt else _("Refund")
    if told.get("reason") == "refund_undone":
        receipt = told.get("receipt")
        return _("Refund of order %(receipt)s undone") % {"receipt": receipt} if receipt else _("Refund undone")
    if "reward" in told:
        return _("%(reward)s cancelled") % {"reward": told_reward(told)}
    if "batch" in told:
        return _("Taken back with a whole batch: %(batch)s") % {"batch": told["batch"]}
    if "reversed" in told:
        return _("Taken back: %(what)s") % {"what": told["reversed"]}
    return str(told.get("text") or _("Taken back"))


def _transfer_title(told: Explanation, points: int) -> str:
    if points < 0:
        return _("Given to %(member)s") % {"member": told["to"]} if "to" in told else _("Given to another member")
    return _("Received from %(member)s") % {"member": told["from"]} if "from" in told else _("Received from a member")


def reckoning(told: Explanation, points: int, tiers: dict[str, Tier] | None) -> list[str]:
    """How points were reckoned, step by step, with what caps cut and by which version."""
    said = [
        _("%(step)s → %(sum)s") % {"step": text, "sum": _plain(Decimal(step["gives"]))}
        for step in _steps(told)
        if (text := _step(step, told.get("currency"), tiers))
    ]
    whole = told.get("before_caps", points)
    if said and Decimal(told["unrounded"]) != whole:
        rounded = _("rounded to %(points)s") if told["rounding"] == "half_up" else _("rounded down to %(points)s")
        said[-1] = _("%(step)s, %(rounded)s") % {
            "step": said[-1],
            "rounded": rounded % {"points": figures.number(whole)},
        }
    said += [_cap(cap) for cap in told.get("caps", [])]
    return [*said, _("%(rule)s, version %(version)d") % {"rule": told["rule"], "version": told["version"]}]


def _steps(told: Explanation) -> list[Explanation]:
    """The steps of the reckoning; an entry from before there were definitions says them by its columns."""
    if "steps" in told:
        return list(told["steps"])
    base = Decimal(told["value"]) / Decimal(told["per_amount"]) * Decimal(told["points"])
    rate = {"type": "per_amount", "points": told["points"], "per": told["per_amount"], "of": told["value"]}
    tier = {"type": "coefficient", "fact": "member.tier", "is": told["tier"], "factor": told["multiplier"]}
    return [rate | {"gives": str(base)}, tier | {"gives": told["unrounded"]}]


def _step(step: Explanation, currency: str | None, tiers: dict[str, Tier] | None) -> str:
    """One step in words; nothing for a factor of 1."""
    kind = step["type"]
    if kind == "per_amount":
        return _("%(rate)s on %(value)s") % {
            "rate": _rate(Decimal(step["points"]), Decimal(step["per"]), currency),
            "value": figures.money(Decimal(step["of"]), currency),
        }
    if kind == "fixed":
        return sentences.points(step["points"])
    if kind == "per_line":
        return _("%(points)s × %(lines)d lines") % {
            "points": sentences.points(step["points"]),
            "lines": len(step.get("line_nos", ())),
        }
    if Decimal(step["factor"]) == 1:
        return ""
    name = {"multiplier": _("multiplied"), "ladder": _("by amount")}.get(kind, "")
    if step.get("fact") == "member.tier":
        name = _tier_of(str(step["is"]), tiers)
    elif kind == "coefficient":
        name = _choice(str(step["fact"]), str(step.get("is") or ""))
    if step.get("on"):
        name = ", ".join(str(base["rule"]) for base in step["on"])
    return _("%(tier)s ×%(multiplier)s") % {"tier": name, "multiplier": _plain(Decimal(step["factor"]))}


def _cap(cap: Explanation) -> str:
    """That a cap has cut, and what was left in it."""
    most = sentences.points(cap["points"]) if "points" in cap else figures.money(Decimal(cap["money"]))
    per = {
        "purchase": _("per purchase"),
        "day": _("a day"),
        "week": _("a week"),
        "month": _("a month"),
        "total": _("in all"),
    }[cap["per"]]
    pattern = (
        _("cut by the cap of %(most)s %(per)s for each member: %(left)s were left")
        if cap["of"] == "member"
        else _("cut by the cap of %(most)s %(per)s for all members: %(left)s were left")
    )
    return pattern % {"most": most, "per": per, "left": figures.number(cap["left"])}


def _tier_of(key: str, tiers: dict[str, Tier] | None) -> str:
    tier = tiers.get(key) if tiers is not None else Tier.objects.filter(key=key).first()
    return tier_name(tier) if tier else key


def _choice(key: str, value: str) -> str:
    """A value by its name, where it is one of the choices that members have too: a stage, a segment."""
    fact = facts.find(key)
    return str(fact.choice_labels().get(value, value)) if fact else value


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
