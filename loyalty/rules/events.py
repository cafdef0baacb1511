"""What the engine is told: one event, and what was known of the member when it happened."""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date, datetime
from decimal import Decimal
from enum import Flag, auto
from fractions import Fraction
from functools import cached_property
from typing import Any, Final, Literal

from django.utils import timezone

EventKind = Literal["purchase", "interaction", "survey"]
PURCHASE: Final = "purchase"
INTERACTION: Final = "interaction"
SURVEY: Final = "survey"
EVENT_KINDS: Final[tuple[EventKind, ...]] = (PURCHASE, INTERACTION, SURVEY)


class Need(Flag):
    """What has to be gathered besides the event itself; only what the rules in force use is."""

    NOTHING = 0
    LINES = auto()
    HISTORY = auto()  # which purchase of the member it is, and when the first and the last one were
    TIER = auto()
    PERSON = auto()
    KEPT = auto()  # what other places keep of the member in rows: segments, models
    REWARDED = auto()  # for which purchases of theirs a rule gave already what it gives once


@dataclass(frozen=True, slots=True, kw_only=True)
class BasketLine:
    """One line of a purchase. ``value`` is in the programme's currency."""

    line_no: int
    value: Decimal
    quantity: Decimal = Decimal(1)
    product: str = ""
    sku: str = ""
    brand: str = ""
    category: str = ""


@dataclass(frozen=True, kw_only=True)
class Event:
    """A purchase, a survey answered, or something else a member did. ``value`` is in the programme's currency.

    ``named`` has the ids of other members by the number or outside id that a property may hold.
    """

    kind: EventKind
    member_id: int | None
    occurred_at: datetime
    value: Decimal = Decimal(0)
    receipt: str = ""
    channel: str = ""
    store: str = ""
    category: str = ""
    lines: Sequence[BasketLine] = ()
    interaction: str = ""
    survey: str = ""
    score: int | None = None
    has_comment: bool = False
    properties: Mapping[str, Any] = field(default_factory=dict)
    named: Mapping[str, int] = field(default_factory=dict)

    @cached_property
    def exact_value(self) -> Fraction:
        """The value to reckon with."""
        return Fraction(self.value)

    @cached_property
    def local(self) -> datetime:
        """When it happened, in the programme's zone."""
        return self.occurred_at.astimezone(timezone.get_default_timezone())


@dataclass(frozen=True, slots=True, kw_only=True)
class Facts:
    """What was known of the member just before the event. What was not gathered is None.

    ``nth`` counts the member's purchases up to and including this one, in the order in which they came in (of an
    interaction: with the one that would come next); ``place`` only those that were made before it. ``rewarded`` has,
    by rule and occasion, the receipt of the purchase that the rule rewarded for it; ``returned`` are the ids of their
    purchases that did not stand any more, where many are gathered. ``kept`` has values by the key of the fact, a list
    where several hold at once.
    """

    nth: int | None = None
    place: int | None = None
    first_at: datetime | None = None
    previous_at: datetime | None = None
    tier: str | None = None
    tier_factor: Fraction = Fraction(1)
    birth_date: date | None = None
    joined_at: datetime | None = None
    gender: str | None = None
    language: str | None = None
    attributes: Mapping[str, Any] | None = None
    kept: Mapping[str, Any] | None = None
    rewarded: Mapping[int, Mapping[str, str]] = field(default_factory=dict)
    returned: Collection[int] = ()


@dataclass(frozen=True, slots=True)
class Case:
    """An event and its facts: what conditions are put to."""

    event: Event
    facts: Facts
