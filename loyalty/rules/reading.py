"""Reading a definition: from JSON to typed values, with every mistake named by its place.

A place is a path into the JSON ("effects.2.factor"), and goes on with the place of a condition where
the mistake is in a tree ("when.3.1").
"""

import json
from collections.abc import Mapping
from decimal import Decimal, InvalidOperation
from fractions import Fraction
from functools import lru_cache
from itertools import pairwise
from typing import Any, Final

from django.utils.translation import gettext as _

from loyalty import expiry_policy
from loyalty.rules import vocabulary
from loyalty.rules.definition import (
    BASE_EFFECTS,
    EVERYTHING,
    Cap,
    Coefficient,
    Definition,
    Effect,
    Fixed,
    Ladder,
    Multiplier,
    PerAmount,
    PerLine,
    Stacking,
    Step,
)
from loyalty.rules.events import EVENT_KINDS, INTERACTION, PURCHASE, EventKind
from members.conditions.facts import Fact, FactType, Vocabulary
from members.conditions.tree import ConditionError, Group, Line
from members.conditions.tree import parse as parse_tree

LARGEST: Final = 1_000_000
LARGEST_FACTOR: Final = 100
MOST_EFFECTS: Final = 10
MOST_CAPS: Final = 10
MOST_STEPS: Final = 20

ROUNDINGS: Final = ("down", "half_up")
STACKINGS: Final = ("add", "best", "exclusive")
CAP_PERIODS: Final = ("purchase", "day", "week", "month", "total")
LADDERS: Final = ("part", "whole")


class DefinitionError(ValueError):
    """The definition is not valid. ``problems`` maps each place to what is wrong there ("" is the whole)."""

    def __init__(self, problems: dict[str, str]) -> None:
        self.problems = problems
        super().__init__("; ".join(f"{place}: {problem}" if place else problem for place, problem in problems.items()))


def parse(raw: Any) -> Definition:
    """Read a definition. Raises :class:`DefinitionError` with every problem found."""
    definition = _read(raw)
    if too_much := _too_much(definition):
        raise DefinitionError({"effects": too_much})
    return definition


def problems(raw: Any) -> dict[str, str]:
    """What is wrong, by place; empty when a rule can be made of it."""
    try:
        parse(raw)
    except DefinitionError as error:
        return error.problems
    return {}


def compiled(raw: Mapping[str, Any]) -> Definition:
    """What a version holds, remembered. How much it gives was judged by :func:`parse` when it was written."""
    return _compiled(json.dumps(raw, sort_keys=True))


@lru_cache(maxsize=256)
def _compiled(text: str) -> Definition:
    return _read(json.loads(text))


def _read(raw: Any) -> Definition:
    reader = _Reader()
    definition = reader.definition(raw)
    if reader.problems:
        raise DefinitionError(reader.problems)
    return definition


def _too_much(definition: Definition) -> str:
    """What is wrong with a rule that could give absurdly much, with the largest of all its factors; else empty."""
    each = Fraction(0)
    for effect in definition.effects:
        if isinstance(effect, PerAmount):
            each += effect.rate
        elif isinstance(effect, Fixed | PerLine):
            each += effect.points
        else:
            each *= _largest_factor(effect)
    if each <= LARGEST:
        return ""
    return _("with all its factors, a rule gives at most %(most)s points per unit of money, line or event") % {
        "most": f"{LARGEST:,}"
    }


def _largest_factor(effect: Multiplier | Ladder | Coefficient) -> Fraction:
    if isinstance(effect, Multiplier):
        return effect.factor
    if isinstance(effect, Ladder):
        return max(step.factor for step in effect.steps)
    return max(effect.default, *effect.factors.values()) if effect.factors else Fraction(1)


class _Refused(Exception):
    """One place cannot be read; the text says why, in the reader's language."""


class _Reader:
    """Reads a definition, going on after a mistake so that all of them are found at once."""

    def __init__(self) -> None:
        self.problems: dict[str, str] = {}
        self.event: EventKind = PURCHASE

    def definition(self, raw: Any) -> Definition:
        if not isinstance(raw, dict):
            self.problems[""] = _("this is no definition")
            return Definition(event=PURCHASE)
        known = {"event", "when", "effects", "rounding", "stacking", "caps", "pending", "expiry", "qualifying"}
        self._only(raw, "", known)
        event = self._one_of(raw, "event", EVENT_KINDS, None)
        self.event = next((kind for kind in EVENT_KINDS if kind == event), PURCHASE)
        when = self._tree(raw.get("when", {}), "when", vocabulary.VOCABULARIES[self.event])
        effects = self._effects(raw.get("effects"))
        return Definition(
            event=self.event,
            when=when,
            effects=effects,
            rounding=self._one_of(raw, "rounding", ROUNDINGS, "down"),
            stacking=self._stacking(raw.get("stacking", {})),
            caps=self._caps(raw.get("caps", [])),
            pending_days=self._pending(raw.get("pending", {"days": 0})),
            expiry=self._expiry(raw.get("expiry", {"type": "never"})),
            qualifies=self._one_of(raw, "qualifying", ("same", "none"), "same") == "same",
        )

    # Parts

    def _effects(self, raw: Any) -> tuple[Effect, ...]:
        if not isinstance(raw, list) or not raw:
            self.problems["effects"] = _("say what the rule gives")
            return ()
        if len(raw) > MOST_EFFECTS:
            self.problems["effects"] = _("at most %(most)d") % {"most": MOST_EFFECTS}
            return ()
        read = [self._effect(one, f"effects.{number}") for number, one in enumerate(raw, 1)]
        found = tuple(effect for effect in read if effect is not None)
        if len(found) == len(raw):
            self._check_order(found)
        return found

    def _check_order(self, effects: tuple[Effect, ...]) -> None:
        has_base = any(isinstance(effect, BASE_EFFECTS) for effect in effects)
        if has_base and not isinstance(effects[0], BASE_EFFECTS):
            self.problems["effects.1"] = _("a factor multiplies what stands before it, and nothing does")
        if not has_base:
            if len(effects) > 1 or not isinstance(effects[0], Multiplier):
                self.problems["effects"] = _("a rule without points of its own is one multiplier of other rules")
            elif effects[0].factor <= 1:
                self.problems["effects.1.factor"] = _("a multiplier of other rules is more than 1")

    def _effect(self, raw: Any, place: str) -> Effect | None:
        kinds = {
            "per_amount": self._per_amount,
            "fixed": self._fixed,
            "per_line": self._per_line,
            "multiplier": self._multiplier,
            "ladder": self._ladder,
            "coefficient": self._coefficient,
        }
        kind = raw.get("type") if isinstance(raw, dict) else None
        if not isinstance(kind, str) or kind not in kinds:
            self.problems[f"{place}.type"] = _("choose one of %(choices)s") % {"choices": ", ".join(kinds)}
            return None
        if self.event != PURCHASE and kind in {"per_amount", "per_line", "ladder"}:
            self.problems[f"{place}.type"] = _("only a purchase has an amount and lines")
            return None
        before = len(self.problems)
        effect = kinds[kind](raw, place)
        return effect if len(self.problems) == before else None

    def _per_amount(self, raw: dict[str, Any], place: str) -> Effect:
        self._only(raw, place, {"type", "points", "per", "lines"})
        lines = raw.get("lines")
        return PerAmount(
            points=self._fraction(raw, "points", place, low=Decimal("0.01")),
            per=self._fraction(raw, "per", place, low=Decimal("0.01")),
            lines=None if lines in (None, {}) else self._tree(lines, f"{place}.lines", vocabulary.LINES),
        )

    def _fixed(self, raw: dict[str, Any], place: str) -> Effect:
        self._only(raw, place, {"type", "points", "also"})
        also = raw.get("also") or {}
        if not also:
            return Fixed(points=self._whole(raw, "points", place, low=1))
        if not isinstance(also, dict) or self.event != INTERACTION:
            self.problems[f"{place}.also"] = _("only an interaction names another member")
            also = {}
        self._only(also, f"{place}.also", {"points", "member_property"})
        named = also.get("member_property")
        if not isinstance(named, str) or not 0 < len(named) <= 64:
            self.problems[f"{place}.also.member_property"] = _("name the property that holds the other member's number")
        return Fixed(
            points=self._whole(raw, "points", place, low=1),
            also_points=self._whole(also, "points", f"{place}.also", low=1),
            also_property=str(named),
        )

    def _per_line(self, raw: dict[str, Any], place: str) -> Effect:
        self._only(raw, place, {"type", "points", "lines"})
        return PerLine(
            points=self._whole(raw, "points", place, low=1),
            lines=self._tree(raw.get("lines", {}), f"{place}.lines", vocabulary.LINES),
        )

    def _multiplier(self, raw: dict[str, Any], place: str) -> Effect:
        self._only(raw, place, {"type", "factor", "on"})
        on = raw.get("on", "all")
        if on != "all" and (isinstance(on, bool) or not isinstance(on, int) or on < 1):
            self.problems[f"{place}.on"] = _("say all, or the rule")
        return Multiplier(factor=self._factor(raw, "factor", place), on=on)

    def _ladder(self, raw: dict[str, Any], place: str) -> Effect:
        self._only(raw, place, {"type", "steps", "of"})
        steps = raw.get("steps")
        if not isinstance(steps, list) or not 0 < len(steps) <= MOST_STEPS:
            self.problems[f"{place}.steps"] = _("give 1 to %(most)d steps") % {"most": MOST_STEPS}
            return Ladder(steps=())
        read = []
        for number, step in enumerate(steps, 1):
            at = f"{place}.steps.{number}"
            if not isinstance(step, dict):
                self.problems[at] = _("a step has from and factor")
                continue
            self._only(step, at, {"from", "factor"})
            read.append(
                Step(start=self._fraction(step, "from", at, low=Decimal(0)), factor=self._factor(step, "factor", at))
            )
        if any(lower.start >= upper.start for lower, upper in pairwise(read)):
            self.problems[f"{place}.steps"] = _("each step begins above the one before it")
        elif read and read[0].start != 0:
            self.problems[f"{place}.steps.1.from"] = _("the first step begins at 0")
        return Ladder(steps=tuple(read), of=self._one_of(raw, "of", LADDERS, "part", place))

    def _coefficient(self, raw: dict[str, Any], place: str) -> Effect | None:
        self._only(raw, place, {"type", "fact", "name", "factors", "default"})
        key = raw.get("fact")
        fact = vocabulary.VOCABULARIES[self.event].find(key) if isinstance(key, str) else None
        if fact is None or fact.type not in {FactType.CHOICE, FactType.TEXT} or vocabulary.LINES.find(fact.key):
            self.problems[f"{place}.fact"] = _("choose a fact that is one of several")
            return None
        line = self._reading(fact, raw, place)
        given = raw.get("factors")
        if given == "tier" and fact.key == "member.tier":
            return Coefficient(line=line, factors=None, default=Fraction(1))
        if not isinstance(given, dict) or not given:
            self.problems[f"{place}.factors"] = _("give a factor for at least one value")
            return None
        factors = {str(name): self._factor(given, name, f"{place}.factors") for name in given}
        default = self._factor(raw, "default", place) if "default" in raw else Fraction(1)
        return Coefficient(line=line, factors=factors, default=default)

    def _reading(self, fact: Fact, raw: dict[str, Any], place: str) -> Line:
        parameter = raw.get("name") if fact.parameter else None
        if fact.parameter and (not isinstance(parameter, str) or not parameter):
            self.problems[f"{place}.name"] = _("fill in a text")
        return Line(place, fact, "in", (), parameter)

    def _stacking(self, raw: Any) -> Stacking:
        if not isinstance(raw, dict):
            self.problems["stacking"] = _("this is no stacking")
            return Stacking()
        self._only(raw, "stacking", {"mode", "group", "priority"})
        group = raw.get("group", "")
        if not isinstance(group, str) or len(group) > 64:
            self.problems["stacking.group"] = _("a group is a short name")
        mode = self._one_of(raw, "mode", STACKINGS, "add", "stacking")
        if mode == "best" and not group:
            self.problems["stacking.group"] = _("name the group of which the best counts")
        priority = self._whole({"priority": 0} | raw, "priority", "stacking", low=-1000, high=1000)
        return Stacking(mode=mode, group=str(group), priority=priority)

    def _caps(self, raw: Any) -> tuple[Cap, ...]:
        if not isinstance(raw, list) or len(raw) > MOST_CAPS:
            self.problems["caps"] = _("at most %(most)d") % {"most": MOST_CAPS}
            return ()
        caps = [cap for number, one in enumerate(raw, 1) if (cap := self._cap(one, f"caps.{number}"))]
        places = [(cap.per, cap.of, cap.points is None) for cap in caps]
        if len(set(places)) < len(places):
            self.problems["caps"] = _("two caps say the same of the same")
        return tuple(caps)

    def _cap(self, raw: Any, place: str) -> Cap | None:
        if not isinstance(raw, dict):
            self.problems[place] = _("this is no cap")
            return None
        self._only(raw, place, {"per", "of", "points", "money"})
        per = self._one_of(raw, "per", CAP_PERIODS, None, place)
        of = self._one_of(raw, "of", ("member", "programme"), "member", place)
        if ("points" in raw) == ("money" in raw):
            self.problems[place] = _("a cap is of points or of money")
            return None
        if "points" in raw:
            return Cap(per=per, of=of, points=self._whole(raw, "points", place, low=1, high=10**12))
        return Cap(per=per, of=of, money=self._number(raw, "money", place, low=Decimal("0.01"), high=10**12))

    def _pending(self, raw: Any) -> int | None:
        if raw == {"until": "released"}:
            return None
        if not isinstance(raw, dict) or set(raw) != {"days"}:
            self.problems["pending"] = _("points wait for a number of days, or until they are released")
            return 0
        return self._whole(raw, "days", "pending", low=0, high=3650)

    def _expiry(self, raw: Any) -> dict[str, Any]:
        if not isinstance(raw, dict):
            self.problems["expiry"] = _("this is no expiry")
            return {}
        self._only(raw, "expiry", {"type", "n"})
        kind = self._one_of(raw, "type", expiry_policy.TYPES, None, "expiry")
        if kind == "never":
            return {"type": kind}
        low, given = (1, raw) if kind in expiry_policy.COUNTED else (0, {"n": 0} | raw)
        most = expiry_policy.MOST_DAYS if kind == "days" else expiry_policy.MOST_PERIODS
        return {"type": kind, "n": self._whole(given, "n", "expiry", low=low, high=most)}

    # Values

    def _tree(self, raw: Any, place: str, words: Vocabulary) -> Group:
        try:
            return parse_tree(raw, words)
        except ConditionError as error:
            for inner, problem in error.problems.items():
                self.problems[f"{place}.{inner}" if inner else place] = problem
            return EVERYTHING

    def _only(self, raw: dict[str, Any], place: str, known: set[str]) -> None:
        for name in raw.keys() - known:
            at = f"{place}.{str(name)[:40]}" if place else str(name)[:40]
            self.problems[at] = _("“%(name)s” does not belong here") % {"name": str(name)[:80]}

    def _one_of(self, raw: dict[str, Any], name: str, known: tuple[str, ...], default: str | None, at: str = "") -> str:
        value = raw.get(name, default)
        if isinstance(value, str) and value in known:
            return value
        self.problems[f"{at}.{name}" if at else name] = _("choose one of %(choices)s") % {"choices": ", ".join(known)}
        return known[0]

    def _factor(self, raw: Mapping[Any, Any], name: Any, place: str) -> Fraction:
        return Fraction(self._number(raw, name, place, low=Decimal(0), high=LARGEST_FACTOR))

    def _fraction(self, raw: Mapping[str, Any], name: str, place: str, *, low: Decimal) -> Fraction:
        return Fraction(self._number(raw, name, place, low=low, high=LARGEST))

    def _whole(self, raw: Mapping[str, Any], name: str, place: str, *, low: int, high: int = LARGEST) -> int:
        number = self._number(raw, name, place, low=Decimal(low), high=high)
        if number != number.to_integral_value():
            self.problems[f"{place}.{name}"] = _("value must be a whole number")
        return int(number)

    def _number(self, raw: Mapping[Any, Any], name: Any, place: str, *, low: Decimal, high: int) -> Decimal:
        try:
            return _number(raw.get(name), low, high)
        except _Refused as refused:
            self.problems[f"{place}.{str(name)[:40]}"] = str(refused)
            return max(low, Decimal(1))


def _number(raw: Any, low: Decimal, high: int) -> Decimal:
    if raw is None or raw == "":
        raise _Refused(_("fill in a number"))
    if isinstance(raw, bool) or not isinstance(raw, int | float | str) or len(str(raw)) > 40:
        raise _Refused(_("value must be a number"))
    try:
        number = Decimal(str(raw).strip())
    except InvalidOperation:
        raise _Refused(_("value must be a number")) from None
    if not number.is_finite() or (number and number.adjusted() < -6):
        raise _Refused(_("value must be a number"))
    if number < low:
        raise _Refused(_("value must be at least %(minimum)s") % {"minimum": low})
    if number > high:
        raise _Refused(_("value must be at most %(maximum)s") % {"maximum": f"{high:,}"})
    return number
