"""A rule's definition read as plain sentences, in the reader's language.

"For purchases of at least ¥1,000 in store, on Saturday or Sunday: 2 points per ¥1, times the tier's multiplier,
rounded down; at most 5,000 points per member and day. The points wait 14 days. The points expire 24 months after they
were earned." A definition may be half finished, as it is in the builder: what is missing is written as "…".

Every pattern is translated as a whole, so that Chinese may put its words in its own order.
"""

from collections.abc import Iterable, Sequence
from decimal import Decimal, InvalidOperation
from typing import Any

from django.utils.translation import gettext as _
from django.utils.translation import ngettext, pgettext

from loyalty.models import EarningRule
from loyalty.rules import subjects
from staff import figures

Definition = dict[str, Any]

MISSING = "…"
BASES = frozenset({"per_amount", "fixed", "per_line"})


def sentence(definition: Definition) -> str:
    """The whole definition. Where many are read at once, do it within ``facts.choices_kept()``."""
    return _joined(sentences(definition))


def short(definition: Definition) -> str:
    """Its first sentence alone: what is given for what."""
    return sentences(definition)[0]


def sentences(definition: Definition) -> list[str]:
    """Each sentence by itself: what is given for what, beside which other rules, from when, until when."""
    said = [_gives(definition)]
    said += filter(None, [stacking(definition), pending(definition), expiry(definition), qualifying(definition)])
    return said


def _joined(said: Iterable[str]) -> str:
    text = ""
    for one in said:
        text = pgettext("two sentences", "%(first)s %(next)s") % {"first": text, "next": one} if text else one
    return text


def _gives(definition: Definition) -> str:
    what = effects(definition)
    limits = [cap(one) for one in part_list(definition, "caps")]
    blanks = {"subject": subjects.said(definition), "points": what, "limits": _and_so_on(limits)}
    if limits:
        return _("%(subject)s: %(points)s; %(limits)s.") % blanks
    return _("%(subject)s: %(points)s.") % blanks


def effects(definition: Definition) -> str:
    """What is given: "2 points per ¥1, times the tier's multiplier, rounded down"."""
    parts = part_list(definition, "effects")
    said = effect_list(definition)
    if not said:
        return MISSING
    if any(one.get("type") not in {"fixed", "per_line"} for one in parts):
        said.append(rounding(definition))
    return _and_so_on(said)


def effect_list(definition: Definition) -> list[str]:
    """Each effect by itself, in the order in which they are reckoned."""
    parts = part_list(definition, "effects")
    has_base = any(one.get("type") in BASES for one in parts)
    return [effect(one, is_alone=not has_base) for one in parts]


def rounding(definition: Definition) -> str:
    """How the points become whole."""
    if definition.get("rounding") == "half_up":
        return _("rounded to the nearest point")
    return _("rounded down to a whole point")


def effect(one: dict[str, Any], *, is_alone: bool = False) -> str:
    """One effect as a part of the sentence. ``is_alone``: in a rule without points of its own."""
    kind = one.get("type")
    if kind == "multiplier":
        return _multiplier(one, is_alone=is_alone)
    said = {
        "per_amount": _per_amount,
        "fixed": _fixed,
        "per_line": _per_line,
        "ladder": _ladder,
        "coefficient": _coefficient,
    }.get(str(kind))
    return said(one) if said else MISSING


def cap(one: dict[str, Any]) -> str:
    """One limit: "at most 5,000 points per member and day"."""
    patterns = {
        ("purchase", "member"): _("at most %(most)s per purchase"),
        ("purchase", "programme"): _("at most %(most)s per purchase"),
        ("day", "member"): _("at most %(most)s per member and day"),
        ("day", "programme"): _("at most %(most)s a day for all members together"),
        ("week", "member"): _("at most %(most)s per member and week"),
        ("week", "programme"): _("at most %(most)s a week for all members together"),
        ("month", "member"): _("at most %(most)s per member and month"),
        ("month", "programme"): _("at most %(most)s a month for all members together"),
        ("total", "member"): _("at most %(most)s per member in all"),
        ("total", "programme"): _("at most %(most)s for all members in all"),
    }
    most = (
        _("points worth %(amount)s") % {"amount": money(one["money"])} if "money" in one else points(one.get("points"))
    )
    return patterns.get((str(one.get("per")), str(one.get("of", "member"))), MISSING) % {"most": most}


def points(raw: object) -> str:
    """A number of points with its word."""
    number = decimal_of(raw)
    if number is None:
        return _("%(points)s points") % {"points": MISSING}
    whole = int(-(-number // 1))
    return ngettext("%(points)s point", "%(points)s points", whole) % {"points": plain(number)}


def money(raw: object) -> str:
    """An amount in the programme's currency, without decimals that are zeros."""
    number = decimal_of(raw)
    if number is None:
        return figures.money(0, places=0).replace("0", MISSING)
    return figures.money(number, places=places_of(number))


def plain(number: Decimal) -> str:
    """A number with the decimals that it has."""
    return figures.number(number, places_of(number))


def places_of(number: Decimal) -> int:
    """How many decimals a number has, zeros at its end apart."""
    exponent = number.normalize().as_tuple().exponent
    return max(0, -exponent) if isinstance(exponent, int) else 0


def decimal_of(raw: object) -> Decimal | None:
    """What was typed as a number; None where it is none."""
    if isinstance(raw, bool) or raw is None or len(str(raw)) > 40:
        return None
    try:
        number = Decimal(str(raw).strip().replace(",", ""))
    except InvalidOperation:
        return None
    return number if number.is_finite() and abs(number.adjusted()) < 30 else None


def part_list(definition: Definition, key: str) -> list[dict[str, Any]]:
    """A list of parts; anything else that may have been typed is left out."""
    found = definition.get(key)
    return [one for one in found if isinstance(one, dict)] if isinstance(found, list) else []


def part(definition: Definition, key: str) -> dict[str, Any]:
    """One part, or an empty one."""
    found = definition.get(key)
    return found if isinstance(found, dict) else {}


def _and_so_on(parts: Sequence[str]) -> str:
    text = ""
    for one in parts:
        text = pgettext("parts of a rule", "%(first)s, %(next)s") % {"first": text, "next": one} if text else one
    return text


def _per_amount(one: dict[str, Any]) -> str:
    number = decimal_of(one.get("points"))
    whole = int(-(-number // 1)) if number is not None else 2
    rate = ngettext("%(points)s point per %(amount)s", "%(points)s points per %(amount)s", whole) % {
        "points": plain(number) if number is not None else MISSING,
        "amount": money(one.get("per", "1")),
    }
    lines = subjects.lines_said(one.get("lines"))
    return _("%(rate)s on lines where %(conditions)s") % {"rate": rate, "conditions": lines} if lines else rate


def _per_line(one: dict[str, Any]) -> str:
    given, lines = points(one.get("points")), subjects.lines_said(one.get("lines"))
    if lines:
        return _("%(points)s for each line where %(conditions)s") % {"points": given, "conditions": lines}
    return _("%(points)s for each line") % {"points": given}


def _fixed(one: dict[str, Any]) -> str:
    also = part(one, "also")
    if not also:
        return points(one.get("points"))
    blanks = {"points": points(one.get("points")), "others": points(also.get("points"))}
    return _("%(points)s, and %(others)s for the other member") % blanks


def _multiplier(one: dict[str, Any], *, is_alone: bool) -> str:
    number = decimal_of(one.get("factor"))
    blanks = {"factor": plain(number) if number is not None else MISSING}
    if not is_alone:
        return _("times %(factor)s") % blanks
    on = one.get("on", "all")
    if on == "all":
        return _("the points of all other rules times %(factor)s") % blanks
    name = EarningRule.objects.filter(pk=on).values_list("name", flat=True).first() if isinstance(on, int) else None
    return _("the points of “%(rule)s” times %(factor)s") % (blanks | {"rule": name or MISSING})


def _ladder(one: dict[str, Any]) -> str:
    said = []
    for step in part_list(one, "steps"):
        start, factor = decimal_of(step.get("from")), decimal_of(step.get("factor"))
        if factor == 1 and start == 0:
            continue
        words = {"factor": plain(factor) if factor is not None else MISSING, "start": money(step.get("from"))}
        if one.get("of") == "whole":
            said.append(_("times %(factor)s where it is %(start)s or more") % words)
        else:
            said.append(_("times %(factor)s for what lies above %(start)s") % words)
    return _and_so_on(said) or MISSING


def _coefficient(one: dict[str, Any]) -> str:
    factors = one.get("factors")
    if factors == "tier":
        return _("times the multiplier of the member's tier")
    names = subjects.choice_labels(str(one.get("fact", "")))
    listed = [
        _("×%(factor)s for %(value)s")
        % {"factor": MISSING if (number := decimal_of(factor)) is None else plain(number), "value": names.get(key, key)}
        for key, factor in (factors.items() if isinstance(factors, dict) else ())
    ]
    default = decimal_of(one.get("default", "1"))
    if default is not None and default != 1:
        listed.append(_("×%(factor)s for all others") % {"factor": plain(default)})
    return _and_so_on(listed) or MISSING


def stacking(definition: Definition) -> str:
    """How it goes with other rules; empty where it just adds."""
    told = part(definition, "stacking")
    if told.get("mode") == "best":
        group = str(told.get("group") or MISSING)
        return _("Of the rules in “%(group)s” only the one that gives most counts.") % {"group": group}
    if told.get("mode") == "exclusive" and told.get("group"):
        return _("It shuts out the other rules in “%(group)s”.") % {"group": told["group"]}
    if told.get("mode") == "exclusive":
        return _("It shuts out all other rules.")
    return ""


def pending(definition: Definition) -> str:
    """How long the points wait before they can be spent; empty where they do not."""
    told = part(definition, "pending")
    if told.get("until") == "released":
        return _("The points wait until they are released.")
    days = decimal_of(told.get("days", 0))
    if days == 0:
        return ""
    count = int(days) if days is not None else 2
    blanks = {"days": plain(days) if days is not None else MISSING}
    return ngettext("The points wait %(days)s day.", "The points wait %(days)s days.", count) % blanks


def expiry(definition: Definition) -> str:
    """When the points expire."""
    told = part(definition, "expiry")
    kind, number = str(told.get("type", "never")), decimal_of(told.get("n", 0))
    count = int(number) if number is not None else 2
    at_once = {
        "end_of_month": _("The points expire at the end of the month."),
        "end_of_quarter": _("The points expire at the end of the quarter."),
        "end_of_year": _("The points expire at the end of the year."),
    }
    if count == 0 and kind in at_once:
        return at_once[kind]
    patterns = {
        "days": ngettext(
            "The points expire %(n)s day after they were earned.",
            "The points expire %(n)s days after they were earned.",
            count,
        ),
        "months": ngettext(
            "The points expire %(n)s month after they were earned.",
            "The points expire %(n)s months after they were earned.",
            count,
        ),
        "end_of_month": ngettext(
            "The points expire %(n)s month after they were earned, at the end of that month.",
            "The points expire %(n)s months after they were earned, at the end of that month.",
            count,
        ),
        "end_of_quarter": ngettext(
            "The points expire %(n)s month after they were earned, at the end of that quarter.",
            "The points expire %(n)s months after they were earned, at the end of that quarter.",
            count,
        ),
        "end_of_year": ngettext(
            "The points expire %(n)s month after they were earned, at the end of that year.",
            "The points expire %(n)s months after they were earned, at the end of that year.",
            count,
        ),
        "idle_months": ngettext(
            "The points expire after %(n)s month without activity.",
            "The points expire after %(n)s months without activity.",
            count,
        ),
    }
    blanks = {"n": plain(number) if number is not None else MISSING}
    return patterns[kind] % blanks if kind in patterns else _("The points never expire.")


def qualifying(definition: Definition) -> str:
    """Whether they count for tiers; empty where they do."""
    return _("They do not count for tiers.") if definition.get("qualifying") == "none" else ""
