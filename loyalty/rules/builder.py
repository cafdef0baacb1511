"""What the page of a draft shows of its definition: sentences with fields in them.

A sentence is a pattern with ``{fields}``, translated as a whole, so that Chinese may put its fields in its own order.
"""

import re
from dataclasses import dataclass, field
from typing import Any

from django.conf import settings
from django.utils.translation import gettext as _
from django.utils.translation import pgettext

from loyalty.models import EarningRule
from loyalty.rules import editing, sentences, subjects
from loyalty.rules.events import INTERACTION, PURCHASE, SURVEY
from members.conditions.builder import Option
from staff import figures

Definition = dict[str, Any]
Problems = dict[str, str]

FACTOR_ROWS = 200


@dataclass(frozen=True, kw_only=True)
class Field:
    """One field in a sentence. ``redraws`` where the rest of the builder depends on what is chosen."""

    name: str
    label: str
    value: str = ""
    options: list[Option] = field(default_factory=list)
    problem: str = ""
    unit: str = ""
    is_wide: bool = False
    redraws: bool = False


@dataclass(frozen=True)
class Token:
    """A word of a sentence, or a field in it."""

    word: str = ""
    field: Field | None = None


@dataclass(frozen=True, kw_only=True)
class LinesView:
    """Which lines of a purchase an effect is about."""

    name: str
    tree: dict[str, Any] | None
    may_remove: bool


@dataclass(frozen=True, kw_only=True)
class EffectView:
    """One effect: its sentence, rows of steps or factors under it, and the lines that it is about."""

    place: int
    kind: Field
    tokens: list[Token]
    rows: list[list[Token]] = field(default_factory=list)
    rows_are_steps: bool = False
    has_also: bool = False
    lines: LinesView | None = None
    problem: str = ""


@dataclass(frozen=True, kw_only=True)
class View:
    """The whole builder of one definition."""

    definition: Definition
    scope: str
    event: list[Token]
    effects: list[EffectView]
    effects_problem: str
    caps: list[list[Token]]
    caps_problem: str
    settings: list[tuple[str, list[Token]]]

    @property
    def slots(self) -> list[tuple[str, str]]:
        """Every field's name with what is wrong with it."""
        tokens = [*self.event, *(token for row in self.caps for token in row)]
        tokens += [token for _label, row in self.settings for token in row]
        for effect in self.effects:
            tokens += [*effect.tokens, *(token for row in effect.rows for token in row)]
        return [(token.field.name, token.field.problem) for token in tokens if token.field]


def view(definition: Definition, problems: Problems, rule_id: int = 0) -> View:
    """The builder of this definition, with what is wrong beside each field."""
    return _Builder(definition, problems, rule_id).view()


class _Builder:
    """Draws one definition."""

    def __init__(self, definition: Definition, problems: Problems, rule_id: int) -> None:
        self.definition = definition
        self.problems = {path.replace(".", "-"): problem for path, problem in problems.items()}
        self.rule_id = rule_id
        self.currency = figures.SYMBOLS.get(settings.PROGRAMME_CURRENCY, settings.PROGRAMME_CURRENCY)

    def view(self) -> View:
        parts = sentences.part_list
        return View(
            definition=self.definition,
            scope=subjects.event_of(self.definition),
            event=self._event(),
            effects=[self._effect(place, one) for place, one in enumerate(parts(self.definition, "effects"), 1)],
            effects_problem=self.problems.get("effects", ""),
            caps=[self._cap(f"caps-{place}", one) for place, one in enumerate(parts(self.definition, "caps"), 1)],
            caps_problem=self.problems.get("caps", ""),
            settings=[
                (_("Rounding"), self._rounding()),
                (_("Beside other rules"), self._stacking()),
                (_("Waiting"), self._pending()),
                (_("Expiry"), self._expiry()),
                (_("Tiers"), self._qualifying()),
            ],
        )

    def _event(self) -> list[Token]:
        events = [
            (PURCHASE, _("a purchase is made")),
            (SURVEY, _("a member answers a survey")),
            (INTERACTION, _("a member does something else")),
        ]
        chosen = str(self.definition.get("event", "purchase"))
        kind = self._choice("event", _("What happens"), events, chosen, redraws=True)
        return tokens(_("When {event}"), event=kind)

    def _effect(self, place: int, one: dict[str, Any]) -> EffectView:
        at = f"effects-{place}"
        kind = str(one.get("type", ""))
        drawn = {
            "per_amount": self._per_amount,
            "fixed": self._fixed,
            "per_line": self._per_line,
            "multiplier": self._multiplier,
            "ladder": self._ladder,
            "coefficient": self._coefficient,
        }.get(kind, self._fixed)(at, one)
        kinds = [
            ("per_amount", _("Points per amount")),
            ("fixed", _("A number of points")),
            ("per_line", _("Points for each line")),
            ("multiplier", _("Multiply")),
            ("ladder", _("More from an amount on")),
            ("coefficient", _("By tier or group")),
        ]
        return EffectView(
            place=place,
            kind=self._choice(f"{at}-type", _("Kind of effect"), kinds, kind, redraws=True),
            problem=self.problems.get(at, ""),
            **drawn,
        )

    def _per_amount(self, at: str, one: dict[str, Any]) -> dict[str, Any]:
        points = self._number(f"{at}-points", _("Points"), one.get("points"))
        per = self._number(f"{at}-per", _("For each amount of"), one.get("per"), unit=self.currency)
        lines = LinesView(name=f"{at}-lines", tree=one.get("lines"), may_remove=True)
        return {"tokens": tokens(_("{points} points per {per}"), points=points, per=per), "lines": lines}

    def _fixed(self, at: str, one: dict[str, Any]) -> dict[str, Any]:
        points = self._number(f"{at}-points", _("Points"), one.get("points"))
        also = sentences.part(one, "also")
        rows = []
        if also:
            more = self._number(f"{at}-also-points", _("Points for the other member"), also.get("points"))
            named = self._text(f"{at}-also-member_property", _("Property"), also.get("member_property"))
            pattern = _("and {points} points for the member whose number is in the property {property}")
            rows.append(tokens(pattern, points=more, property=named))
        return {"tokens": tokens(_("{points} points"), points=points), "rows": rows, "has_also": bool(also)}

    def _per_line(self, at: str, one: dict[str, Any]) -> dict[str, Any]:
        points = self._number(f"{at}-points", _("Points"), one.get("points"))
        lines = LinesView(name=f"{at}-lines", tree=one.get("lines") or {"all": []}, may_remove=False)
        return {"tokens": tokens(_("{points} points for each line"), points=points), "lines": lines}

    def _multiplier(self, at: str, one: dict[str, Any]) -> dict[str, Any]:
        factor = self._number(f"{at}-factor", _("Factor"), one.get("factor"))
        if any(other.get("type") in sentences.BASES for other in sentences.part_list(self.definition, "effects")):
            return {"tokens": tokens(_("what stands above times {factor}"), factor=factor)}
        choices = [(editing.ALL_RULES, _("the points of all other rules"))]
        choices += [
            (str(pk), _("the points of “%(rule)s”") % {"rule": name})
            for pk, name in EarningRule.objects.exclude(pk=self.rule_id).order_by("name").values_list("pk", "name")
        ]
        on = self._choice(f"{at}-on", _("Which points"), choices, str(one.get("on", editing.ALL_RULES)))
        return {"tokens": tokens(_("{on} times {factor}"), on=on, factor=factor)}

    def _ladder(self, at: str, one: dict[str, Any]) -> dict[str, Any]:
        rows = []
        for place, step in enumerate(sentences.part_list(one, "steps"), 1):
            name = f"{at}-steps-{place}"
            start = self._number(f"{name}-from", _("From"), step.get("from"), unit=self.currency)
            factor = self._number(f"{name}-factor", _("Factor"), step.get("factor"))
            rows.append(tokens(_("from {start} on: times {factor}"), start=start, factor=factor))
        parts = [
            ("part", _("each part of the amount by itself")),
            ("whole", _("the whole amount at the step it reaches")),
        ]
        of = self._choice(f"{at}-of", _("What is multiplied"), parts, str(one.get("of", "part")))
        return {"tokens": tokens(_("counting {of}"), of=of), "rows": rows, "rows_are_steps": True}

    def _coefficient(self, at: str, one: dict[str, Any]) -> dict[str, Any]:
        is_tier = one.get("factors") == editing.TIER_FACTORS
        chosen = editing.TIER_FACTORS if is_tier else str(one.get("fact", ""))
        choices = [
            (editing.TIER_FACTORS, _("the multiplier of the member's tier")),
            *subjects.facts_with_choices(self.definition),
        ]
        fact = self._choice(f"{at}-fact", _("Which factor"), choices, chosen, redraws=True)
        rows = []
        if not is_tier:
            factors = sentences.part(one, "factors")
            labels = subjects.choice_labels(chosen)
            known = labels | {key: key for key in factors if key not in labels}
            for key, label in list(known.items())[:FACTOR_ROWS]:
                number = self._number(f"{at}-factors-{key}", str(label), factors.get(key))
                rows.append([Token(word=str(label)), Token(word="×"), Token(field=number)])
            rest = self._number(f"{at}-default", _("All others"), one.get("default", "1"))
            rows.append([Token(word=_("all others")), Token(word="×"), Token(field=rest)])
        return {"tokens": tokens(_("times {fact}"), fact=fact), "rows": rows}

    def _cap(self, at: str, one: dict[str, Any]) -> list[Token]:
        unit = "money" if "money" in one else "points"
        units = [("points", _("points")), ("money", _("%(currency)s worth of points") % {"currency": self.currency})]
        periods = [
            ("purchase", _("per purchase")),
            ("day", _("a day")),
            ("week", _("a week")),
            ("month", _("a month")),
            ("total", _("in all")),
        ]
        whose = [("member", _("for each member")), ("programme", _("for all members together"))]
        return tokens(
            _("at most {most} {unit} {per} {of}"),
            most=self._number(f"{at}-most", _("Most"), one.get(unit), problem=self._problem(f"{at}-{unit}", at)),
            unit=self._choice(f"{at}-unit", _("Unit"), units, unit),
            per=self._choice(f"{at}-per", _("Period"), periods, str(one.get("per", ""))),
            of=self._choice(f"{at}-of", _("For whom"), whose, str(one.get("of", ""))),
        )

    def _rounding(self) -> list[Token]:
        choices = [("down", _("down to a whole point")), ("half_up", _("to the nearest whole point, halves up"))]
        chosen = str(self.definition.get("rounding", "down"))
        return tokens(_("{rounding}"), rounding=self._choice("rounding", _("Rounding"), choices, chosen))

    def _stacking(self) -> list[Token]:
        stacking = sentences.part(self.definition, "stacking")
        modes = [
            ("add", _("adds to what other rules give")),
            ("best", _("only the best rule of a group counts")),
            ("exclusive", _("shuts out other rules")),
        ]
        chosen = str(stacking.get("mode", "add"))
        mode = self._choice("stacking-mode", _("Beside other rules"), modes, chosen, redraws=True)
        if chosen == "add":
            return tokens("{mode}", mode=mode)
        group = self._text("stacking-group", _("Group"), stacking.get("group"))
        priority = self._number("stacking-priority", _("Priority"), stacking.get("priority", 0))
        if chosen == "best":
            return tokens(
                _("{mode} in the group {group} with priority {priority}"), mode=mode, group=group, priority=priority
            )
        pattern = _("{mode} of the group {group} (empty: all) with priority {priority}")
        return tokens(pattern, mode=mode, group=group, priority=priority)

    def _pending(self) -> list[Token]:
        pending = sentences.part(self.definition, "pending")
        chosen = "released" if "until" in pending else "days" if pending.get("days", 0) != 0 else "none"
        kinds = [
            ("none", _("can be spent at once")),
            ("days", pgettext("points", "wait")),
            ("released", _("wait until they are released")),
        ]
        kind = self._choice("pending-kind", _("Waiting"), kinds, chosen, redraws=True)
        if chosen != "days":
            return tokens(_("the points {kind}"), kind=kind)
        days = self._number("pending-days", _("Days"), pending.get("days"))
        return tokens(_("the points {kind} {days} days"), kind=kind, days=days)

    def _expiry(self) -> list[Token]:
        expiry = sentences.part(self.definition, "expiry")
        kinds = [
            ("never", _("never")),
            ("days", _("days after they were earned")),
            ("months", _("months after they were earned")),
            ("end_of_month", _("months later, at the end of the month")),
            ("end_of_quarter", _("months later, at the end of the quarter")),
            ("end_of_year", _("months later, at the end of the year")),
            ("idle_months", _("months without activity")),
        ]
        chosen = str(expiry.get("type", "never"))
        kind = self._choice("expiry-type", _("Expiry"), kinds, chosen, redraws=True)
        if chosen == "never":
            return tokens(_("the points expire {kind}"), kind=kind)
        number = self._number("expiry-n", _("How many"), expiry.get("n"))
        return tokens(_("the points expire {number} {kind}"), number=number, kind=kind)

    def _qualifying(self) -> list[Token]:
        choices = [("same", _("count for tiers")), ("none", _("do not count for tiers"))]
        chosen = str(self.definition.get("qualifying", "same"))
        return tokens(_("the points {choice}"), choice=self._choice("qualifying", _("Tiers"), choices, chosen))

    def _number(self, name: str, label: str, value: object, *, unit: str = "", problem: str = "") -> Field:
        text = "" if value is None or isinstance(value, dict | list) else str(value)
        return Field(name=name, label=label, value=text, unit=unit, problem=problem or self._problem(name))

    def _text(self, name: str, label: str, value: object) -> Field:
        return Field(name=name, label=label, value=str(value or ""), is_wide=True, problem=self._problem(name))

    def _choice(
        self, name: str, label: str, choices: list[tuple[str, str]], chosen: str, *, redraws: bool = False
    ) -> Field:
        # What is in the definition but is no choice any more stays in sight.
        known = choices if not chosen or chosen in dict(choices) else [*choices, (chosen, chosen)]
        options = [Option(value, words, value == chosen) for value, words in known]
        return Field(
            name=name, label=label, value=chosen, options=options, redraws=redraws, problem=self._problem(name)
        )

    def _problem(self, *names: str) -> str:
        return next((self.problems[name] for name in names if name in self.problems), "")


def tokens(pattern: str, **fields: Field) -> list[Token]:
    """The words and fields of a pattern, in its order."""
    found = []
    for part in re.split(r"(\{\w+\})", pattern):
        if part.startswith("{"):
            found.append(Token(field=fields[part[1:-1]]))
        elif part.strip():
            found.append(Token(word=part.strip()))
    return found
