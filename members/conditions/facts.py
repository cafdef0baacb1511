"""What can be asked of a member, and the register of all of it.

A room declares its facts and registers them in its ``apps.py``::

    facts.register(Fact(
        key="loyalty.tier", group=_("Loyalty"), label=_("Tier"), type=FactType.CHOICE, choices=tier_choices,
        sql=Rows("SELECT s.member_id, t.key AS value FROM loyalty_tierstanding s JOIN loyalty_tier t ..."),
        phrases={"in": _("are %(value)s"), "not_in": _("are not %(value)s")},
    ))

A fact of a single event, with no SQL over members, belongs to a :class:`Vocabulary` of its own.

SQL is text with ``%s`` for its parameters, over ``members_member m``; nothing that a person typed ever
becomes part of the text.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass, field
from datetime import date, datetime, time, timedelta
from decimal import Decimal
from enum import StrEnum
from operator import eq, ge, gt, le, lt
from typing import Any, Protocol

from django.conf import settings
from django.utils import timezone
from django.utils.functional import Promise
from django.utils.translation import gettext_lazy as _

Text = str | Promise
Choice = tuple[str, Text]


class FactType(StrEnum):
    """What kind of value a fact has; it decides the operators and the field in the builder."""

    NUMBER = "number"
    INTEGER = "integer"
    MONEY = "money"
    CHOICE = "choice"
    TEXT = "text"
    BOOLEAN = "boolean"
    DATE = "date"
    DAYS = "days"  # how many days ago, counted in the programme's days


NUMERIC = frozenset({FactType.NUMBER, FactType.INTEGER, FactType.MONEY, FactType.DAYS})

_COMPARISONS: dict[str, Text] = {
    "gte": _("is at least"),
    "lte": _("is at most"),
    "gt": _("is more than"),
    "lt": _("is less than"),
    "eq": _("is exactly"),
    "between": _("is between"),
}

OPERATORS: dict[FactType, dict[str, Text]] = {
    FactType.NUMBER: _COMPARISONS,
    FactType.INTEGER: _COMPARISONS,
    FactType.MONEY: _COMPARISONS,
    FactType.DAYS: {"gt": _("is more than"), "lt": _("is less than"), "between": _("is between")},
    FactType.CHOICE: {"in": _("is one of"), "not_in": _("is none of")},
    FactType.TEXT: {"eq": _("is"), "ne": _("is not"), "contains": _("contains")},
    FactType.BOOLEAN: {"is": _("is")},
    FactType.DATE: {"gte": _("is on or after"), "lt": _("is before"), "between": _("is between")},
}

# An operator that says the opposite of another: true wherever the other is not, also of the unknown.
NEGATIONS = {"ne": "eq", "not_in": "in"}

_kept_choices: ContextVar[dict[str, dict[str, Text]] | None] = ContextVar("kept_choices", default=None)

_SQL_COMPARISONS = {"gte": ">=", "lte": "<=", "gt": ">", "lt": "<", "eq": "="}
_PYTHON_COMPARISONS: dict[str, Callable[[Any, Any], bool]] = {"gte": ge, "lte": le, "gt": gt, "lt": lt, "eq": eq}


@dataclass(frozen=True)
class Sql:
    """Text with ``%s`` marks, and what stands for each mark."""

    text: str
    params: tuple[object, ...] = ()


@dataclass(frozen=True, kw_only=True)
class Test:
    """One operator with its value, put to a fact at one moment. Days are the programme's."""

    op: str
    value: Any
    parameter: Any = None
    now: datetime = field(default_factory=timezone.now)

    @property
    def today(self) -> date:
        """The programme's day."""
        return timezone.localdate(self.now, timezone.get_default_timezone())

    def days_ago(self, days: int) -> datetime:
        """When the programme's day so many days before today began."""
        return datetime.combine(self.today - timedelta(days=days), time.min, timezone.get_default_timezone())

    @property
    def since(self) -> datetime:
        """Where the fact's own parameter is a number of days: when they began (today counts besides)."""
        return self.days_ago(int(self.parameter))


def no_params(test: Test) -> tuple[object, ...]:
    """For SQL without marks."""
    return ()


def compare(left: str, test: Test) -> Sql:
    """``left`` under the test's operator (never a negation). Unknown gives NULL."""
    if test.op in _SQL_COMPARISONS:
        return Sql(f"{left} {_SQL_COMPARISONS[test.op]} %s", (test.value,))
    if test.op == "between":
        low, high = test.value
        return Sql(f"{left} BETWEEN %s AND %s", (low, high))
    if test.op == "in":
        return Sql(f"{left} = ANY(%s)", (list(test.value),))
    if test.op == "contains":
        return Sql(f"position(lower(%s) IN lower({left})) > 0", (test.value,))
    if test.op == "is":
        return Sql(left)
    raise ValueError(f"no SQL for the operator {test.op}")


class Source(Protocol):
    """Where a fact's truth comes from."""

    @property
    def nullable(self) -> bool:
        """Whether the condition may come out as NULL (unknown)."""
        ...

    def condition(self, test: Test) -> Sql:
        """The SQL condition over ``m``, for an operator that is no negation."""
        ...


@dataclass(frozen=True)
class Scalar:
    """One SQL expression over ``m`` that gives the value; for booleans it gives the truth itself."""

    expression: str
    params: Callable[[Test], tuple[object, ...]] = no_params
    nullable: bool = True

    def condition(self, test: Test) -> Sql:
        """The expression under the operator."""
        compared = compare(self.expression, test)
        # ``contains`` alone has its value's mark before the expression's own.
        if test.op == "contains":
            return Sql(compared.text, compared.params + self.params(test))
        return Sql(compared.text, self.params(test) + compared.params)


@dataclass(frozen=True)
class Rows:
    """A query giving ``member_id, value`` at most once for each member.

    It runs over many members at once, which the planner turns into one pass and a join. ``missing`` is
    the value of members without a row: 0 for a sum, None where it is unknown.
    """

    query: str
    params: Callable[[Test], tuple[object, ...]] = no_params
    missing: Decimal | int | None = None
    nullable: bool = False

    def condition(self, test: Test) -> Sql:
        """Asked the other way round where members without a row fulfil it."""
        compared = compare("f.value", test)
        params = self.params(test) + compared.params
        start = f"EXISTS (SELECT 1 FROM ({self.query}) f WHERE f.member_id = m.id AND "  # noqa: S608
        if self._missing_fulfils(test):
            return Sql(f"NOT {start}({compared.text}) IS NOT TRUE)", params)
        return Sql(f"{start}{compared.text})", params)

    def _missing_fulfils(self, test: Test) -> bool:
        if self.missing is None:
            return False
        if test.op == "between":
            low, high = test.value
            return bool(low <= self.missing <= high)
        return _PYTHON_COMPARISONS[test.op](self.missing, test.value)


@dataclass(frozen=True)
class Custom:
    """A fact that writes its own condition, where that is much faster. It must never give NULL."""

    write: Callable[[Test], Sql]
    nullable: bool = False

    def condition(self, test: Test) -> Sql:
        """What the fact wrote."""
        return self.write(test)


@dataclass(frozen=True, kw_only=True)
class Parameter:
    """The one thing a fact may need besides its value: "in the last N days", "the attribute called …".

    In the tree it stands beside the operator under ``key``. ``pattern`` places the field in the
    builder's line: text with ``…`` where the field is.
    """

    key: str
    pattern: Text
    type: FactType = FactType.INTEGER
    default: int | str = ""
    maximum: int = 3660
    suggestions: Callable[[], Sequence[str]] | None = None


@dataclass(frozen=True, kw_only=True)
class Fact:
    """One thing that is known about members, or about an event.

    ``phrases`` says the condition as it follows "members who", by operator (``yes`` and ``no`` for
    booleans), with ``%(value)s``, for ``between`` ``%(low)s`` and ``%(high)s``, and the parameter under
    its key. Of ``choices`` that change with the data (``open_choices``), an unknown value is accepted.
    ``minimum`` and ``maximum`` bound a number.
    """

    key: str
    group: Text
    label: Text
    type: FactType
    sql: str | Source | None = None
    operators: Sequence[str] | None = None
    unit: Text = ""
    choices: Callable[[], Sequence[Choice]] | None = None
    open_choices: bool = False
    parameter: Parameter | None = None
    phrases: Mapping[str, Text] = field(default_factory=dict)
    minimum: int | None = None
    maximum: int | None = None

    @property
    def source(self) -> Source:
        """The SQL behind it; plain text is an expression over ``m``. Raises LookupError where there is none."""
        if self.sql is None:
            raise LookupError(f"{self.key} is a fact of an event: it has no SQL over members")
        return Scalar(self.sql) if isinstance(self.sql, str) else self.sql

    @property
    def operator_labels(self) -> dict[str, Text]:
        """The operators that it takes, in order, with their words."""
        labels = OPERATORS[self.type]
        return {key: labels[key] for key in self.operators or labels}

    def choice_labels(self) -> dict[str, Text]:
        """Values and their words, for choices; else empty."""
        if self.choices is None:
            return {}
        kept = _kept_choices.get()
        if kept is None:
            return dict(self.choices())
        if self.key not in kept:
            kept[self.key] = dict(self.choices())
        return kept[self.key]


@contextmanager
def choices_kept() -> Iterator[None]:
    """Within it, the choices of each fact are looked up once: for pages that read many trees back."""
    token = _kept_choices.set({})
    try:
        yield
    finally:
        _kept_choices.reset(token)


def in_days(default: int = 365) -> Parameter:
    """The parameter "in the last N days"."""
    return Parameter(key="days", pattern=_("in the last … days"), default=default)


def programme_zone() -> str:
    """The name of the zone in which days are counted."""
    return str(settings.TIME_ZONE)


class Vocabulary:
    """What a tree may ask for: facts by key, in the order of registration."""

    def __init__(self) -> None:
        self._facts: dict[str, Fact] = {}

    def register(self, fact: Fact) -> None:
        """Make a fact known under its key. Registering one again replaces it."""
        self._facts[fact.key] = fact

    def find(self, key: str) -> Fact | None:
        """The fact of this key, or None."""
        return self._facts.get(key)

    def all_facts(self) -> list[Fact]:
        """Every fact, in the order of registration."""
        return list(self._facts.values())


# What can be asked of members. Events have vocabularies of their own (``loyalty/rules/facts.py``).
MEMBERS = Vocabulary()
register, find, all_facts = MEMBERS.register, MEMBERS.find, MEMBERS.all_facts
