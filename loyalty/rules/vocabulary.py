"""The vocabularies of earning rules: which facts an event has, how each is read, and what has to be gathered for it."""

from collections.abc import Callable, Sequence
from typing import Any, Final

from django.utils.text import format_lazy
from django.utils.translation import gettext_lazy as _
from psycopg import sql

from loyalty.rules.events import EVENT_KINDS, PURCHASE, BasketLine, Case, EventKind, Need
from members.conditions.facts import Choice, Fact, FactType, Parameter, Text, Vocabulary
from members.conditions.predicate import Several
from members.conditions.tree import Line

# Reads one thing of a case; the second argument is the fact's parameter.
Read = Callable[[Case, Any], Any]

VOCABULARIES: Final[dict[str, Vocabulary]] = {kind: Vocabulary() for kind in EVENT_KINDS}
LINES: Final = Vocabulary()
_reads: dict[str, tuple[Read, Need]] = {}
_reads_of_line: dict[str, Callable[[BasketLine], Any]] = {}
# Facts that are kept in rows somewhere: how each is read, over ``event.member_id`` and ``event.at``.
KEPT: Final[dict[str, sql.SQL]] = {}


def reader(line: Line) -> Callable[[Case], Any]:
    """How what a line asks for is read from a case."""
    read, _need = _reads[line.fact.key]
    parameter = line.parameter
    return lambda case: read(case, parameter)


def line_reader(line: Line) -> Callable[[BasketLine], Any]:
    """The same for a line of a purchase."""
    return _reads_of_line[line.fact.key]


def need(key: str) -> Need:
    """What has to be gathered for a fact."""
    return _reads[key][1]


def on(kinds: Sequence[EventKind], fact: Fact, read: Read, needs: Need = Need.NOTHING) -> None:
    """Make a fact known of these events: how it is read, and what that needs."""
    for kind in kinds:
        VOCABULARIES[kind].register(fact)
    _reads[fact.key] = (read, needs)


def on_line(fact: Fact, read: Callable[[BasketLine], Any]) -> None:
    """A fact of a line; put to a purchase it holds where it does for one of its lines."""
    LINES.register(fact)
    _reads_of_line[fact.key] = read
    on((PURCHASE,), fact, lambda case, _p: Several(read(line) for line in case.event.lines), Need.LINES)


def kept(fact: Fact, value: sql.SQL) -> None:
    """A choice about the member that is kept in rows, here or in a room above, and so can set a coefficient too.

    ``value`` is an SQL expression over ``event.member_id`` and ``event.at``; it gives text, or an array of texts in
    JSON where several hold at once.
    """
    KEPT[fact.key] = value
    on(EVENT_KINDS, fact, lambda case, _p: _kept_value(case, fact.key), Need.KEPT)


def _kept_value(case: Case, key: str) -> Any:
    value = (case.facts.kept or {}).get(key)
    return Several(value) if isinstance(value, list) else value


def _amounts(what: Text) -> dict[str, Text]:
    return {
        "gte": format_lazy(_("{what} is at least %(value)s"), what=what),
        "lte": format_lazy(_("{what} is at most %(value)s"), what=what),
        "gt": format_lazy(_("{what} is more than %(value)s"), what=what),
        "lt": format_lazy(_("{what} is less than %(value)s"), what=what),
        "eq": format_lazy(_("{what} is exactly %(value)s"), what=what),
        "between": format_lazy(_("{what} is from %(low)s to %(high)s"), what=what),
    }


def _choice(what: Text) -> dict[str, Text]:
    return {
        "in": format_lazy(_("{what} is %(value)s"), what=what),
        "not_in": format_lazy(_("{what} is not %(value)s"), what=what),
    }


def _text(what: Text) -> dict[str, Text]:
    return {
        "eq": format_lazy(_("{what} is %(value)s"), what=what),
        "ne": format_lazy(_("{what} is not %(value)s"), what=what),
        "contains": format_lazy(_("{what} contains %(value)s"), what=what),
    }


def number(key: str, group: Text, label: Text, what: Text, type_: FactType = FactType.INTEGER, **more: Any) -> Fact:
    """A number that is said with its name in front."""
    return Fact(key=key, group=group, label=label, type=type_, phrases=_amounts(what), **({"minimum": 0} | more))


def one_of(key: str, group: Text, label: Text, what: Text, choices: Callable[[], Sequence[Choice]]) -> Fact:
    """A choice whose values change with the data: one that is not among them is accepted."""
    return Fact(
        key=key,
        group=group,
        label=label,
        type=FactType.CHOICE,
        choices=choices,
        open_choices=True,
        phrases=_choice(what),
    )


def named(key: str, group: Text, label: Text, what: Text, type_: FactType, **more: Any) -> Fact:
    """A fact with a name beside it: a property of an interaction, an attribute of a member."""
    parameter = Parameter(key="name", pattern=_("called …"), type=FactType.TEXT, **more)
    phrases = _text(what) if type_ is FactType.TEXT else _amounts(what)
    return Fact(key=key, group=group, label=label, type=type_, parameter=parameter, phrases=phrases)


def yes_no(key: str, group: Text, label: Text, yes: Text, no: Text) -> Fact:
    """Something that is so or not."""
    return Fact(key=key, group=group, label=label, type=FactType.BOOLEAN, phrases={"yes": yes, "no": no})
