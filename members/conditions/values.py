"""Values in a condition: from JSON to Python, and to words."""

from datetime import date
from decimal import Decimal, InvalidOperation
from typing import Any

from django.utils.translation import gettext as _

from members.conditions.facts import NUMERIC, Fact, FactType, Parameter
from staff import figures

MAXIMUM_LIST = 200
MAXIMUM_TEXT = 200
LARGEST_NUMBER = Decimal(10) ** 12
LONGEST_DAYS = 36_500
MOST_PLACES = 12


class ValueProblem(Exception):
    """The value does not fit; the text says how, in the reader's language."""


def parse(fact: Fact, op: str, raw: Any) -> Any:
    """The Python value: a pair for ``between``, a tuple for ``in``. Raises :class:`ValueProblem`."""
    if op == "between":
        if not isinstance(raw, list) or len(raw) != 2:
            raise ValueProblem(_("give two values, from and to"))
        low, high = (_one(fact, item) for item in raw)
        if low > high:
            raise ValueProblem(_("the first value is larger than the second"))
        return low, high
    if op in {"in", "not_in"}:
        return _choices(fact, raw)
    return _one(fact, raw)


def parse_parameter(parameter: Parameter, raw: Any) -> int | str:
    """The fact's parameter. Raises :class:`ValueProblem`."""
    if parameter.type is FactType.INTEGER:
        number = _number(raw, whole=True)
        if not 1 <= number <= parameter.maximum:
            raise ValueProblem(_("give 1 to %(maximum)s days") % {"maximum": f"{parameter.maximum:,}"})
        return int(number)
    return _text(raw)


def _one(fact: Fact, raw: Any) -> Any:
    if fact.type in NUMERIC:
        return _bounded(fact, _number(raw, whole=fact.type in {FactType.INTEGER, FactType.DAYS}))
    if fact.type is FactType.BOOLEAN:
        if not isinstance(raw, bool):
            raise ValueProblem(_("value must be yes or no"))
        return raw
    if fact.type is FactType.DATE:
        return _date(raw)
    return _text(raw)


def _number(raw: Any, *, whole: bool) -> Decimal:
    if raw is None or raw == "":
        raise ValueProblem(_("fill in a number"))
    if isinstance(raw, bool) or not isinstance(raw, int | float | str) or (isinstance(raw, str) and len(raw) > 40):
        raise ValueProblem(_("value must be a number"))
    try:
        number = Decimal(str(raw).strip().replace(",", ""))
    except InvalidOperation:
        raise ValueProblem(_("value must be a number")) from None
    # Not abs(): it rounds, and 1e999999999 has no room to be rounded in. Nor does 1e-999999999 in the database.
    if not number.is_finite() or number.copy_abs() >= LARGEST_NUMBER or (number and number.adjusted() < -MOST_PLACES):
        raise ValueProblem(_("value must be a number"))
    if whole and number != number.to_integral_value():
        raise ValueProblem(_("value must be a whole number"))
    return number


def _bounded(fact: Fact, number: Decimal) -> Decimal:
    minimum = 0 if fact.type is FactType.DAYS and fact.minimum is None else fact.minimum
    if minimum is not None and number < minimum:
        raise ValueProblem(_("value must be at least %(minimum)s") % {"minimum": minimum})
    maximum = LONGEST_DAYS if fact.type is FactType.DAYS and fact.maximum is None else fact.maximum
    if maximum is not None and number > maximum:
        raise ValueProblem(_("value must be at most %(maximum)s") % {"maximum": maximum})
    return number


def _date(raw: Any) -> date:
    if not isinstance(raw, str) or not raw:
        raise ValueProblem(_("fill in a date"))
    try:
        return date.fromisoformat(raw)
    except ValueError:
        raise ValueProblem(_("value must be a date like 2026-01-31")) from None


def _text(raw: Any) -> str:
    if raw is None or raw == "":
        raise ValueProblem(_("fill in a text"))
    if not isinstance(raw, str):
        raise ValueProblem(_("value must be a text"))
    if len(raw) > MAXIMUM_TEXT:
        raise ValueProblem(_("the text is longer than %(maximum)s characters") % {"maximum": MAXIMUM_TEXT})
    # PostgreSQL holds neither the zero character nor half of a surrogate pair.
    if any(char == "\0" or "\ud800" <= char <= "\udfff" for char in raw):
        raise ValueProblem(_("the text holds a character that cannot be stored"))
    return raw


def _choices(fact: Fact, raw: Any) -> tuple[str, ...]:
    if not isinstance(raw, list) or not raw:
        raise ValueProblem(_("choose at least one"))
    if len(raw) > MAXIMUM_LIST:
        raise ValueProblem(_("choose at most %(maximum)s") % {"maximum": MAXIMUM_LIST})
    chosen = tuple(_text(item) for item in raw)
    if fact.choices and not fact.open_choices:
        known = fact.choice_labels()
        for item in chosen:
            if item not in known:
                raise ValueProblem(_("“%(value)s” is not one of the choices") % {"value": item})
    return chosen


def words(fact: Fact, value: Any) -> str:
    """One value as it is read: money with its sign, a choice by its name."""
    if fact.type is FactType.MONEY:
        return figures.money(value, places=_places(value))
    if fact.type in NUMERIC:
        return number_words(value)
    if fact.type is FactType.DATE:
        return figures.day(value)
    if fact.type is FactType.TEXT:
        return _("“%(text)s”") % {"text": value}
    return str(value)


def number_words(value: Decimal | int) -> str:
    """A number with thousands separators and the decimals that it has."""
    plain = Decimal(value)
    return figures.number(plain, _places(plain))


def _places(value: Decimal) -> int:
    exponent = value.normalize().as_tuple().exponent
    return max(0, -exponent) if isinstance(exponent, int) else 0


def list_words(items: list[str]) -> str:
    """ "A, B or C" in the reader's language."""
    if len(items) < 2:
        return "".join(items)
    first = items[0]
    for item in items[1:-1]:
        first = _("%(first)s, %(next)s") % {"first": first, "next": item}
    return _("%(first)s or %(last)s") % {"first": first, "last": items[-1]}
