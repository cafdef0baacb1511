"""What a machine may send: JSON of a bounded size and depth, and fields that take nothing for something else.

A number is not a text, a text is not a number, money is a text of digits, a time names its offset, and a
field that nobody knows is refused by its name. The OpenAPI document says the same of each field, so that
what fits it is never answered with 400, and what does not always is.
"""

import json
import math
import re
from collections.abc import Mapping, Sequence
from datetime import UTC, date, datetime
from decimal import Decimal
from http import HTTPStatus
from typing import IO, Any, ClassVar, Final, NoReturn

from django.http import QueryDict
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy
from rest_framework import parsers, serializers
from rest_framework.exceptions import ParseError

from staff.problems import Problem

DEEPEST: Final = 16
# What an id can be at most: a bigint.
LARGEST_ID: Final = 2**63 - 1

# Patterns mean the same to Python and to ECMAScript, by which OpenAPI reads them; the whole text must match.
LINE: Final = r"[^\u0000-\u001f\u007f]*"
EMAIL: Final = r"[^@\u0000-\u0020\u007f,;<>]+@[A-Za-z0-9.-]+\.[A-Za-z]{2,24}"
PHONE: Final = r"\+[1-9][0-9]{6,14}"
LANGUAGE: Final = r"[A-Za-z]{2,3}(-[A-Za-z0-9]{2,5})?"
CURRENCY: Final = r"[A-Z]{3}"
# Without blanks around it.
NAME: Final = r"[^\u0000-\u0020\u007f]([^\u0000-\u001f\u007f]*[^\u0000-\u0020\u007f])?"
NUMBER: Final = r"[A-Za-z0-9-]+"

_MOMENT = re.compile(r"\d{4}-\d\d-\d\d[Tt]\d\d:\d\d:\d\d(\.\d+)?([Zz]|[+-]\d\d:\d\d)", re.ASCII)
_EARLIEST_YEAR, _LATEST_YEAR = 1900, 2200
_DAY = re.compile(r"\d{4}-\d\d-\d\d", re.ASCII)


class StrictJSONParser(parsers.JSONParser):
    """JSON without what no database takes: NUL, half characters, infinity. Django bounds its length."""

    def parse(
        self, stream: IO[Any], media_type: str | None = None, parser_context: Mapping[str, Any] | None = None
    ) -> Any:
        """The value that the body holds. Raises ParseError (400) for what cannot be read."""
        try:
            value = json.loads(
                stream.read().decode(), parse_constant=_refuse_constant, object_pairs_hook=_without_doubles
            )
        except RecursionError as error:
            raise ParseError(_("The JSON is nested too deeply.")) from error
        except ValueError as error:
            raise ParseError(_("This is not JSON: %(reason)s") % {"reason": str(error)[:200]}) from error
        _refuse_unstorable(value)
        return value


def _refuse_constant(name: str) -> NoReturn:
    raise ValueError(name)


def _without_doubles(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    """An object; one that names a field twice says two things at once."""
    found = dict(pairs)
    if len(found) < len(pairs):
        raise ValueError(_("a field is named twice"))
    return found


def _refuse_unstorable(value: Any) -> None:
    """Walk everything once, without recursion."""
    waiting = [(value, 1)]
    while waiting:
        part, depth = waiting.pop()
        if depth > DEEPEST:
            raise ParseError(_("The JSON is nested too deeply."))
        if isinstance(part, dict):
            waiting += [(inner, depth + 1) for pair in part.items() for inner in pair]
        elif isinstance(part, list):
            waiting += [(inner, depth + 1) for inner in part]
        elif isinstance(part, str) and ("\0" in part or any("\ud800" <= char <= "\udfff" for char in part)):
            raise ParseError(_("The request holds a NUL character or half of a character."))
        elif isinstance(part, float) and not math.isfinite(part):
            raise ParseError(_("The request holds a number that is too large."))


class Input(serializers.Serializer[Any]):
    """What a request may say. A field that is not declared is refused by its name."""

    default_error_messages: ClassVar[dict[str, Any]] = {"unknown": gettext_lazy("There is no such field.")}

    def to_internal_value(self, data: Any) -> Any:
        """Check the names, then the fields."""
        if isinstance(data, Mapping):
            unknown = [str(name) for name in data if name not in self.fields]
            if unknown:
                text = str(self.error_messages["unknown"])
                raise serializers.ValidationError({name[:60]: [text] for name in unknown[:20]}, code="unknown")
        return super().to_internal_value(data)


class Query(Input):
    """What the address of a request may say. Each parameter once."""

    def to_internal_value(self, data: Any) -> Any:
        """Check that nothing comes twice."""
        if isinstance(data, QueryDict):
            doubled = [name for name, values in data.lists() if len(values) > 1]
            if doubled:
                raise serializers.ValidationError(
                    {name[:60]: [_("This parameter comes twice.")] for name in doubled[:20]}, code="doubled"
                )
            data = data.dict()  # of a form, DRF takes an empty field for one that was left out
        return super().to_internal_value(data)


def told(kind: type[Input], data: Any, *, partial: bool = False) -> dict[str, Any]:
    """The checked values of a body or query. Raises DRF's ValidationError, one fault per field."""
    form = kind(data=data, partial=partial)
    form.is_valid(raise_exception=True)
    values: dict[str, Any] = form.validated_data
    return values


class Exact(serializers.Field[Any, Any, Any, Any]):
    """A field that says of itself in the OpenAPI document just what it takes."""

    default_error_messages: ClassVar[dict[str, Any]] = {"invalid": gettext_lazy("This is not written as it must be.")}

    def schema(self) -> dict[str, Any]:
        """The schema of what is taken."""
        raise NotImplementedError

    def to_representation(self, value: Any) -> Any:
        """As it is stored."""
        return value


class Text(Exact):
    """A JSON string as it stands, blanks included."""

    default_error_messages: ClassVar[dict[str, Any]] = {
        "not_text": gettext_lazy("This must be a text."),
        "too_short": gettext_lazy("This must not be empty."),
        "too_long": gettext_lazy("At most {longest} characters."),
    }

    def __init__(self, *, longest: int, shortest: int = 0, pattern: str = LINE, **options: Any) -> None:
        super().__init__(**options)
        self.longest, self.shortest, self.pattern = longest, shortest, pattern

    def schema(self) -> dict[str, Any]:
        """A string."""
        lengths = {"minLength": self.shortest} if self.shortest else {}
        return {"type": "string", "maxLength": self.longest, "pattern": f"^{self.pattern}$", **lengths}

    def to_internal_value(self, data: Any) -> str:
        """Strings only."""
        if not isinstance(data, str):
            self.fail("not_text")
        if len(data) < self.shortest:
            self.fail("too_short")
        if len(data) > self.longest:
            self.fail("too_long", longest=self.longest)
        if not re.fullmatch(self.pattern, data):
            self.fail("invalid")
        return data


class Prose(Text):
    """Text of several lines."""

    def __init__(self, *, longest: int, **options: Any) -> None:
        super().__init__(longest=longest, pattern=r"[^\u0000]*", **options)


class Word(Text):
    """One of some words."""

    default_error_messages: ClassVar[dict[str, Any]] = {"unknown_word": gettext_lazy("This must be one of: {words}.")}

    def __init__(self, words: Sequence[str], **options: Any) -> None:
        super().__init__(longest=100, **options)
        self.words = list(words)

    def schema(self) -> dict[str, Any]:
        """An enumeration."""
        return {"type": "string", "enum": self.words}

    def to_internal_value(self, data: Any) -> str:
        """These words only."""
        text = super().to_internal_value(data)
        if text not in self.words:
            self.fail("unknown_word", words=", ".join(self.words))
        return text


class Whole(Exact):
    """A whole number; in a query its digits."""

    default_error_messages: ClassVar[dict[str, Any]] = {
        "not_whole": gettext_lazy("This must be a whole number."),
        "out_of_range": gettext_lazy("This must be from {least} to {most}."),
    }

    def __init__(self, *, least: int, most: int, **options: Any) -> None:
        super().__init__(**options)
        self.least, self.most = least, most

    def schema(self) -> dict[str, Any]:
        """An integer."""
        return {"type": "integer", "minimum": self.least, "maximum": self.most}

    def to_internal_value(self, data: Any) -> int:
        """Numbers without a fraction only."""
        if isinstance(self.parent, Query) and isinstance(data, str) and re.fullmatch(r"-?[0-9]{1,20}", data):
            data = int(data)
        if isinstance(data, bool) or not isinstance(data, int | float) or data != data // 1:
            self.fail("not_whole")
        if not self.least <= data <= self.most:
            self.fail("out_of_range", least=self.least, most=self.most)
        return int(data)


class Flag(Exact):
    """true or false, and no other way to say so."""

    default_error_messages: ClassVar[dict[str, Any]] = {"not_flag": gettext_lazy("This must be true or false.")}

    def schema(self) -> dict[str, Any]:
        """A boolean."""
        return {"type": "boolean"}

    def to_internal_value(self, data: Any) -> bool:
        """JSON booleans only."""
        if not isinstance(data, bool):
            self.fail("not_flag")
        return data


class Digits(Exact):
    """A decimal number, not negative, as a string of digits."""

    default_error_messages: ClassVar[dict[str, Any]] = {
        "not_decimal": gettext_lazy("Write a decimal number as a text, like “12.50”, with at most {decimals} decimals.")
    }

    def __init__(self, *, whole: int, decimals: int, **options: Any) -> None:
        super().__init__(**options)
        self.whole, self.decimals = whole, decimals

    @property
    def pattern(self) -> str:
        """The digits before and after the point."""
        return rf"[0-9]{{1,{self.whole}}}(\.[0-9]{{1,{self.decimals}}})?"

    def schema(self) -> dict[str, Any]:
        """A string of digits."""
        return {"type": "string", "pattern": f"^{self.pattern}$", "examples": ["12.5"]}

    def to_internal_value(self, data: Any) -> Decimal:
        """Strings of digits only."""
        if not isinstance(data, str) or not re.fullmatch(self.pattern, data):
            self.fail("not_decimal", decimals=self.decimals)
        return Decimal(data)

    def to_representation(self, value: Any) -> str:
        """As it is sent."""
        return str(value)


class Amount(Digits):
    """Money, below 100 billion."""

    def __init__(self, **options: Any) -> None:
        super().__init__(whole=11, decimals=2, **options)


class Moment(Exact):
    """ISO 8601 with its offset: ``2026-11-22T09:30:00+08:00``. No programme is older than 1900."""

    default_error_messages: ClassVar[dict[str, Any]] = {
        "not_a_time": gettext_lazy("Write a time with its offset, like 2026-11-22T09:30:00+08:00.")
    }

    def schema(self) -> dict[str, Any]:
        """A time of RFC 3339."""
        return {"type": "string", "format": "date-time"}

    def to_internal_value(self, data: Any) -> datetime:
        """Strings with an offset only; UTC comes back."""
        if not isinstance(data, str) or not _MOMENT.fullmatch(data):
            self.fail("not_a_time")
        try:
            moment = datetime.fromisoformat(data.upper())
        except ValueError:
            self.fail("not_a_time")
        if not _EARLIEST_YEAR <= moment.year < _LATEST_YEAR:
            text = _("This is too long ago, or too far ahead.")
            raise Problem(HTTPStatus.UNPROCESSABLE_ENTITY, "out-of-range", text, self.field_name or "")
        return moment.astimezone(UTC)


class Day(Exact):
    """A day: ``1990-05-14``."""

    default_error_messages: ClassVar[dict[str, Any]] = {"not_a_day": gettext_lazy("Write a day like 1990-05-14.")}

    def schema(self) -> dict[str, Any]:
        """A full date of RFC 3339."""
        return {"type": "string", "format": "date"}

    def to_internal_value(self, data: Any) -> date:
        """Strings of this form only."""
        if not isinstance(data, str) or not _DAY.fullmatch(data):
            self.fail("not_a_day")
        try:
            return date.fromisoformat(data)
        except ValueError:
            self.fail("not_a_day")

    def to_representation(self, value: date) -> str:
        """As it is read."""
        return value.isoformat()


class Properties(Exact):
    """Whatever else is known: names with texts, numbers, yes or no."""

    most: Final = 50
    longest: Final = 1000
    default_error_messages: ClassVar[dict[str, Any]] = {
        "not_flat": gettext_lazy("An object of at most 50 names, each with a text, a number, true, false or null.")
    }

    def schema(self) -> dict[str, Any]:
        """A flat object."""
        kinds = [{"type": "string", "maxLength": self.longest}, {"type": ["number", "boolean", "null"]}]
        return {"type": "object", "maxProperties": self.most, "additionalProperties": {"anyOf": kinds}}

    def to_internal_value(self, data: Any) -> dict[str, Any]:
        """Flat objects only."""
        if not isinstance(data, dict) or len(data) > self.most:
            self.fail("not_flat")
        for value in data.values():
            if not isinstance(value, str | int | float | None) or (
                isinstance(value, str) and len(value) > self.longest
            ):
                self.fail("not_flat")
        return data


class Items(serializers.ListField):
    """Between one and ``most`` of the same kind."""

    def __init__(
        self, *, child: serializers.Field[Any, Any, Any, Any], most: int, least: int = 1, **options: Any
    ) -> None:
        super().__init__(child=child, min_length=least, max_length=most, **options)


class Nothing(Input):
    """An empty object."""
