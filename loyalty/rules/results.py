"""What the engine is given of rules and caps, and what comes of an event: awards and refusals."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date, datetime
from decimal import Decimal
from enum import StrEnum
from functools import cached_property
from typing import Any, Final, NamedTuple

from loyalty.months import period_start
from loyalty.rules import vocabulary
from loyalty.rules.definition import Cap, Definition
from loyalty.rules.events import Case
from members.conditions.predicate import Failed, Holds, compiled, failures

# One award is never more: sums of them stay far from what a column of points holds.
MOST_POINTS: Final = 10**12


class TooManyPoints(ValueError):
    """A rule would give more than :data:`MOST_POINTS`. ``events``: the ids of the events, where many are reckoned."""

    def __init__(self, rule: str, events: Sequence[int] = ()) -> None:
        self.rule = rule
        self.events = events
        super().__init__(rule)


class CapKey(NamedTuple):
    """What is counted of a cap: of which rule, per what, of whom, since when, by which member (None: by all)."""

    rule_id: int
    per: str
    of: str
    period_start: date
    member_id: int | None

    @property
    def order(self) -> tuple[object, ...]:
        """The one order in which rows of caps are locked and written."""
        return (*self[:4], self.member_id or 0)


@dataclass(frozen=True, slots=True)
class Used:
    """What a cap has let through in its period."""

    points: int = 0
    money: Decimal = Decimal(0)

    def plus(self, other: "Used") -> "Used":
        """Both together."""
        return Used(self.points + other.points, self.money + other.money)


@dataclass(frozen=True, kw_only=True)
class Terms:
    """One version of a rule as the engine takes it."""

    version_id: int | None
    rule_id: int
    rule: str
    version: int
    definition: Definition

    @cached_property
    def holds(self) -> Holds[Case]:
        """Whether its conditions hold for a case."""
        return compiled(self.definition.when, vocabulary.reader)

    @cached_property
    def order(self) -> tuple[int, bool, int]:
        """Who comes first: higher priority, then exclusive, then the older rule."""
        stacking = self.definition.stacking
        return (-stacking.priority, stacking.mode != "exclusive", self.rule_id)

    def cap_key(self, cap: Cap, day: date, member_id: int | None) -> CapKey:
        """Where one of its caps counts what a member gets on a day."""
        member = member_id if cap.of == "member" else None
        return CapKey(self.rule_id, cap.per, cap.of, period_start(cap.per, day), member)


@dataclass(frozen=True, kw_only=True)
class Award:
    """What one rule gives one member for the event. ``activates_at`` None: held until released.

    ``also``: to a second member, whom the interaction names.
    """

    terms: Terms
    member_id: int | None
    points: int
    qualifying: int
    occurred_at: datetime
    activates_at: datetime | None
    expires_at: datetime | None
    idle_months: int | None
    explanation: dict[str, Any]
    uses: Mapping[CapKey, Used]
    also: bool = False


class Reason(StrEnum):
    """Why a rule gave nothing."""

    CONDITION = "condition"
    NOTHING = "nothing"  # less than a whole point
    CAP = "cap"
    BEST = "best"  # another of its group gave more
    EXCLUSIVE = "exclusive"  # one that stands alone came first, or this one does and another came first
    REWARDED = "rewarded"  # what it gives once was given for another purchase
    BASE = "base"  # a multiplier, and nothing that it multiplies gave points


@dataclass(frozen=True, kw_only=True)
class Refusal:
    """A rule that gave nothing.

    ``by`` is the rule that kept it out, or the receipt of the purchase that was rewarded before; ``caps`` what was
    used up. ``also``: it gave something, but nothing to the second member.
    """

    terms: Terms
    reason: Reason
    case: Case
    by: str = ""
    caps: tuple[dict[str, Any], ...] = ()
    also: bool = False

    @property
    def failed(self) -> list[Failed]:
        """The conditions that did not hold, and what was found instead."""
        return failures(self.terms.definition.when, vocabulary.reader, self.case)


@dataclass(frozen=True)
class Reckoning:
    """What an event earns by all rules, and why the others gave nothing."""

    awards: list[Award] = field(default_factory=list)
    refusals: list[Refusal] = field(default_factory=list)

    @property
    def points(self) -> int:
        """All points together, without those for a second member."""
        return sum(award.points for award in self.awards if not award.also)
