"""What a version of a rule says, as typed values. The format of its JSON stands in docs/rules.md."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from decimal import Decimal
from fractions import Fraction
from functools import cached_property
from typing import Any, Final

from loyalty.rules import vocabulary
from loyalty.rules.events import PURCHASE, BasketLine, EventKind, Need
from members.conditions.predicate import Holds, compiled
from members.conditions.tree import Group, Line, walk

EVERYTHING: Final = Group("", "all", ())


@dataclass(frozen=True, kw_only=True)
class PerAmount:
    """So many points for each so much money, of the whole purchase or of the lines that match."""

    points: Fraction
    per: Fraction
    lines: Group | None = None

    @cached_property
    def rate(self) -> Fraction:
        """Points for one unit of money."""
        return self.points / self.per

    @cached_property
    def said(self) -> tuple[str, str]:
        """Points and amount as they stand in explanations."""
        return tuple(f"{Decimal(part.numerator) / part.denominator:f}" for part in (self.points, self.per))  # type: ignore[return-value]

    @cached_property
    def matches(self) -> Holds[BasketLine]:
        """Whether a line is one of those that count."""
        return compiled(self.lines or EVERYTHING, vocabulary.line_reader)


@dataclass(frozen=True, kw_only=True)
class Fixed:
    """So many points. ``also`` gives so many to the member whom a property of the interaction names."""

    points: int
    also_points: int = 0
    also_property: str = ""


@dataclass(frozen=True, kw_only=True)
class PerLine:
    """So many points for each line that matches."""

    points: int
    lines: Group

    @cached_property
    def matches(self) -> Holds[BasketLine]:
        """Whether a line is one of those that count."""
        return compiled(self.lines, vocabulary.line_reader)


@dataclass(frozen=True, kw_only=True)
class Multiplier:
    """A factor on what the effects before it gave; ``on``: in a rule without base, on which rules (id or "all")."""

    factor: Fraction
    on: int | str = "all"


@dataclass(frozen=True, kw_only=True)
class Step:
    """From this amount on, this factor."""

    start: Fraction
    factor: Fraction


@dataclass(frozen=True, kw_only=True)
class Ladder:
    """A factor by amount: of each part of the amount its own ("part"), or that of the whole amount ("whole")."""

    steps: tuple[Step, ...]
    of: str = "part"


@dataclass(frozen=True, kw_only=True)
class Coefficient:
    """A factor by the value of a fact; ``factors`` None: the multiplier of the tier."""

    line: Line
    factors: Mapping[str, Fraction] | None
    default: Fraction


Effect = PerAmount | Fixed | PerLine | Multiplier | Ladder | Coefficient
BASE_EFFECTS: Final = (PerAmount, Fixed, PerLine)


@dataclass(frozen=True, kw_only=True)
class Stacking:
    """How the rule goes with others. Higher priorities come first."""

    mode: str = "add"
    group: str = ""
    priority: int = 0


@dataclass(frozen=True, kw_only=True)
class Cap:
    """At most so many points, or points worth so much money, per period, of each member or of all."""

    per: str
    of: str
    points: int | None = None
    money: Decimal | None = None


@dataclass(frozen=True, kw_only=True)
class Definition:
    """One version's say, read and checked. ``pending_days`` None: held until they are released.

    ``expiry`` is a policy of ``loyalty.expiry_policy``.
    """

    event: EventKind
    when: Group = EVERYTHING
    effects: tuple[Effect, ...] = ()
    rounding: str = "down"
    stacking: Stacking = Stacking()
    caps: tuple[Cap, ...] = ()
    pending_days: int | None = 0
    expiry: Mapping[str, Any] = field(default_factory=lambda: {"type": "never"})
    qualifies: bool = True

    @cached_property
    def also(self) -> Fixed | None:
        """The effect that gives points to a second member, if one does."""
        return next((one for one in self.effects if isinstance(one, Fixed) and one.also_points), None)

    @cached_property
    def multiplies(self) -> bool:
        """Whether it only multiplies what other rules give."""
        return not any(isinstance(effect, BASE_EFFECTS) for effect in self.effects)

    @cached_property
    def number(self) -> int | None:
        """The one purchase of a member that it is for, by its number: the first, the n-th."""
        return next((found for line in _required(self.when) if (found := _number_in(line))), None)

    @cached_property
    def is_for_return(self) -> bool:
        """Whether it is for a purchase after some time without one."""
        return any(_asks_for_gap(line) for line in _required(self.when))

    @cached_property
    def needs(self) -> Need:
        """What has to be gathered of an event to reckon it."""
        found = _needs_of(self.when)
        if self.number or self.is_for_return:
            found |= Need.REWARDED
        for effect in self.effects:
            if isinstance(effect, Coefficient):
                found |= vocabulary.need(effect.line.fact.key)
            elif isinstance(effect, PerLine) or (isinstance(effect, PerAmount) and effect.lines is not None):
                found |= Need.LINES
        return found


def _required(tree: Group) -> Iterator[Line]:
    """The lines without which a tree never holds."""
    for node in tree.nodes:
        if isinstance(node, Line):
            if tree.kind == "all" or (tree.kind == "any" and len(tree.nodes) == 1):
                yield node
        elif tree.kind == "all" or (tree.kind == "any" and len(tree.nodes) == 1):
            yield from _required(node)


def _number_in(line: Line) -> int | None:
    asked = (line.fact.key, line.op)
    if asked == ("purchase.is_first", "is"):
        return 1 if line.value else None
    if asked == ("purchase.nth", "eq"):
        return int(line.value)
    if asked == ("member.lifecycle", "in"):
        return 1 if set(line.value) == {"prospect"} else None
    return None


def _asks_for_gap(line: Line) -> bool:
    if line.fact.key == "purchase.days_since_last":
        return line.op in {"gte", "gt"}
    return line.fact.key == "member.lifecycle" and line.op == "in" and set(line.value) <= {"lapsing", "dormant"}


def _needs_of(tree: Group) -> Need:
    found = Need.NOTHING
    for node in walk(tree):
        if isinstance(node, Line):
            found |= vocabulary.need(node.fact.key)
    return found


def usual(*, points: str = "1", per: str = "1", rounding: str = "down", months: int | None = 24) -> dict[str, Any]:
    """The definition of the usual rule: so many points per amount, times the tier's multiplier.

    ``months`` until the points expire; None: never.
    """
    return {
        "event": PURCHASE,
        "when": {},
        "effects": [
            {"type": "per_amount", "points": points, "per": per},
            {"type": "coefficient", "fact": "member.tier", "factors": "tier"},
        ],
        "rounding": rounding,
        "stacking": {"mode": "add", "group": "", "priority": 0},
        "caps": [],
        "pending": {"days": 0},
        "expiry": {"type": "never"} if months is None else {"type": "months", "n": months},
        "qualifying": "same",
    }
