"""Why a rule gave nothing, and where a limit cut, in the reader's language."""

from collections.abc import Iterable
from decimal import Decimal
from typing import Any, Final

from django.utils.translation import gettext as _

from loyalty.rules import sentences, vocabulary
from loyalty.rules.events import Need
from loyalty.rules.results import MOST_POINTS, Reason, Refusal, TooManyPoints
from members.conditions.facts import FactType
from members.conditions.predicate import Failed, Several
from members.conditions.sentences import clauses
from members.conditions.tree import Line
from members.conditions.values import list_words, words
from staff import figures

# What is known of a member besides what they bought: age, gender, attributes, segments, value.
PERSONAL: Final = Need.PERSON | Need.KEPT


def why_not(refusal: Refusal, *, tells_person: bool = True) -> list[str]:
    """Each reason as a sentence: every condition that failed with what was found instead, or the limit, or the rule.

    Without ``tells_person`` what was found is left out where it is personal.
    """
    match refusal.reason:
        case Reason.CONDITION:
            return [condition(failed, tells_person=tells_person) for failed in refusal.failed]
        case Reason.CAP:
            said = cut(refusal.caps)
            return (
                [_("The other member gets nothing. %(why)s") % {"why": why} for why in said] if refusal.also else said
            )
        case Reason.BEST:
            return [_("“%(rule)s” of the same group gives more.") % {"rule": refusal.by}]
        case Reason.EXCLUSIVE:
            return [_("“%(rule)s” shuts it out.") % {"rule": refusal.by}]
    return [_why_none(refusal)]


def _why_none(refusal: Refusal) -> str:
    if refusal.reason == Reason.BASE:
        return _("It multiplies the points of other rules, and none of them gave any.")
    if refusal.reason == Reason.REWARDED and refusal.by:
        return _("It is given once, and order %(receipt)s has earned it already.") % {"receipt": refusal.by}
    if refusal.reason == Reason.REWARDED:
        return _("It is given once, and another purchase has earned it already.")
    return _("It comes to less than a whole point.")


def too_many(error: TooManyPoints) -> str:
    """That a rule would give absurdly much."""
    text = _("The rule “%(rule)s” would give more than %(most)s points for this.")
    return text % {"rule": error.rule, "most": figures.number(MOST_POINTS)}


def condition(failed: Failed, *, tells_person: bool = True) -> str:
    """A condition that did not hold: what was asked, and what was found; ``tells_person`` as in :func:`why_not`."""
    asked = clauses(failed.node)
    if not isinstance(failed.node, Line) or (_is_personal(failed.node) and not tells_person):
        return _("Not fulfilled: %(condition)s.") % {"condition": asked}
    if failed.found == () and failed.node.fact.key in vocabulary.KEPT:
        return _("Asked: %(condition)s. There is none.") % {"condition": asked}
    if failed.found is None or failed.found == ():
        return _("Asked: %(condition)s. It is not known.") % {"condition": asked}
    return _("Asked: %(condition)s. It is %(found)s.") % {
        "condition": asked,
        "found": _found(failed.node, failed.found),
    }


def cut(caps: Iterable[dict[str, Any]]) -> list[str]:
    """The limits that were reached: what they are and what was used of them before."""
    return [
        _("Limit: %(limit)s; used before: %(used)s.") % {"limit": sentences.cap(cap), "used": _used(cap)}
        for cap in caps
    ]


def _used(cap: dict[str, Any]) -> str:
    if "money" in cap:
        return sentences.money(cap["used"])
    return figures.number(int(cap["used"]))


def _is_personal(line: Line) -> bool:
    return bool(vocabulary.need(line.fact.key) & PERSONAL)


def _found(line: Line, found: Any) -> str:
    if isinstance(found, Several):
        return list_words(sorted({_found(line, one) for one in found if one is not None}))
    if line.fact.type is FactType.BOOLEAN:
        return _("yes") if found else _("no")
    if line.fact.type is FactType.CHOICE:
        return str(line.fact.choice_labels().get(str(found), found)) or _("empty")
    if line.fact.type in {FactType.NUMBER, FactType.MONEY}:
        return words(line.fact, Decimal(found))
    return words(line.fact, found)
