"""Date formats: a person's format turned into one regular expression and SQL that never raises.

PostgreSQL's own ``to_timestamp`` raises on the first bad value and takes 30 February for 2 March, so a
value is matched first, its parts are checked, and only then is it put together.

A local time that does not exist (skipped when clocks go forward) is refused, since it shows that the
time zone is wrong; of one that comes twice the later is taken, as PostgreSQL does. A date without a
time is the first moment of that day in its zone.
"""

import re
from dataclasses import dataclass
from datetime import datetime, timedelta

from django.utils import timezone
from django.utils.translation import gettext as _
from psycopg import sql

from members.importing.options import OptionError

ISO = "ISO 8601"
# What a form offers: format, example.
KNOWN = (
    (ISO, "2026-11-22T09:30:00+08:00"),
    ("YYYYMMDD", "20261122"),
    ("YYYY/MM/DD", "2026/11/22"),
    ("YYYY/MM/DD HH:MI", "2026/11/22 09:30"),
    ("YYYY年MM月DD日", "2026年11月22日"),
    ("DD.MM.YYYY", "22.11.2026"),
    ("DD/MM/YYYY", "22/11/2026"),
    ("MM/DD/YYYY", "11/22/2026"),
    ("UNIX", "1795311000"),
)

_TOKENS = {
    "YYYY": "%Y", "YY": "%y", "MM": "%m", "DD": "%d", "HH": "%H", "MI": "%M", "mm": "%M", "SS": "%S", "ss": "%S",
}  # fmt: skip
_TOKEN = re.compile(r"YYYY|YY|MM|DD|HH|MI|mm|SS|ss")
_DIRECTIVES = {
    "Y": ("year", r"(\d{4})"),
    "y": ("short_year", r"(\d{2})"),
    "m": ("month", r"(\d{1,2})"),
    "d": ("day", r"(\d{1,2})"),
    "H": ("hour", r"(\d{1,2})"),
    "I": ("hour12", r"(\d{1,2})"),
    "p": ("half", r"([AaPp][Mm])"),
    "M": ("minute", r"(\d{1,2})"),
    "S": ("second", r"(\d{1,2})"),
    "f": ("fraction", r"(\d{1,6})"),
    "z": ("offset", r"(Z|[+-](?:0\d|1[0-4]):?[0-5]\d)"),
    "b": ("month_name", r"([A-Za-z]{3})"),
    "B": ("month_name", r"([A-Za-z]{3,9})"),
}
_ISO_PARTS = ("year", "month", "day", "hour", "minute", "second", "fraction", "offset")
_ISO_PATTERN = (
    r"^(\d{4})-(\d{1,2})-(\d{1,2})"
    r"(?:[T ](\d{1,2}):(\d{2})(?::(\d{2})(?:[.,](\d{1,6})\d*)?)?\s*(Z|z|[+-](?:0\d|1[0-4])(?::?[0-5]\d)?)?)?$"
)
# The plain case, which PostgreSQL's own cast reads without fail and many times faster.
_PLAIN_ISO = r"^(19|20)\d\d-(0[1-9]|1[0-2])-(0[1-9]|1\d|2[0-8])([T ]([01]\d|2[0-3]):[0-5]\d:[0-5]\d(\.\d{1,6})?"

# So far may a time lie ahead: a date whose zone was not said, a till whose clock is fast.
AHEAD = timedelta(days=1)


def latest_moment() -> datetime:
    """The latest time at which something can have happened; what lies after it lies in the future."""
    return timezone.now() + AHEAD


@dataclass(frozen=True)
class DateFormat:
    """A format that was understood. ``parts`` names the groups of ``pattern`` in order."""

    name: str
    pattern: str
    parts: tuple[str, ...]

    @property
    def is_iso(self) -> bool:
        """Whether this is the default, ISO 8601."""
        return self.name == ISO

    def part(self, name: str) -> sql.Composable | None:
        """The SQL of one part as text, over an array ``m``; None where the format lacks it."""
        if name not in self.parts:
            return None
        return sql.SQL("m[{}]").format(sql.Literal(self.parts.index(name) + 1))


def compile_format(text: str) -> DateFormat:
    """Understand a format: empty (ISO 8601), one of :data:`KNOWN`, YYYY-MM-DD letters or strptime's %Y-%m-%d."""
    if text in {"", ISO, "ISO", "iso"}:
        return DateFormat(ISO, _ISO_PATTERN, _ISO_PARTS)
    if text.upper() == "UNIX":
        return DateFormat("UNIX", r"^(\d{1,11})$", ("epoch",))
    form = text if "%" in text else _TOKEN.sub(lambda match: _TOKENS[match[0]], text)
    pattern, parts, at = "", [], 0
    while at < len(form):
        if form[at] == "%" and at + 1 < len(form):
            directive = _DIRECTIVES.get(form[at + 1])
            if directive is None:
                raise OptionError(_("“%(form)s” is not a date format.") % {"form": text})
            # Digits that follow each other without a sign between them stand in full width.
            glued = form[at + 2 : at + 3] == "%" or (at >= 2 and form[at - 2] == "%")
            parts.append(directive[0])
            pattern += directive[1].replace(r"\d{1,2}", r"\d{2}") if glued else directive[1]
            at += 2
        else:
            pattern += r"\s+" if form[at] == " " else re.escape(form[at])
            at += 1
    got = set(parts)
    if (
        len(got) != len(parts)
        or not got & {"year", "short_year"}
        or not got & {"month", "month_name"}
        or "day" not in got
    ):
        raise OptionError(_("“%(form)s” is not a date format: it needs year, month and day.") % {"form": text})
    return DateFormat(text, f"^{pattern}$", tuple(parts))


def local_time_sql(form: DateFormat, value: sql.Composable) -> sql.Composed:
    """SQL of a text as a ``timestamp`` without zone, as it is written; NULL where it cannot be read."""
    number = {name: _number(form, name) for name in ("year", "short_year", "month", "day", "minute", "second")}
    year = number["year"] if "year" in form.parts else _short_year(number["short_year"])
    month = number["month"] if "month" in form.parts else _named_month(form)
    return sql.SQL(
        "(SELECT CASE WHEN y BETWEEN 1800 AND 2200 AND mo BETWEEN 1 AND 12 AND d BETWEEN 1 AND "
        "CASE mo WHEN 2 THEN CASE WHEN y % 4 = 0 AND (y % 100 <> 0 OR y % 400 = 0) THEN 29 ELSE 28 END "
        "WHEN 4 THEN 30 WHEN 6 THEN 30 WHEN 9 THEN 30 WHEN 11 THEN 30 ELSE 31 END "
        "AND h BETWEEN 0 AND 23 AND mi BETWEEN 0 AND 59 AND s BETWEEN 0 AND 59 "
        "THEN make_timestamp(y, mo, d, h, mi, s + f) END "
        "FROM (SELECT {year} AS y, {month} AS mo, {day} AS d, {hour} AS h, {minute} AS mi, {second} AS s, "
        "{fraction} AS f "
        "FROM regexp_match({value}, {pattern}) AS m WHERE m IS NOT NULL) AS parts)"
    ).format(
        year=year,
        month=month,
        day=number["day"],
        hour=_hour(form),
        minute=number["minute"],
        second=number["second"],
        fraction=_fraction(form),
        value=value,
        pattern=sql.Literal(form.pattern),
    )


def instant_sql(form: DateFormat, value: sql.Composable, zone: str) -> sql.Composed:
    """SQL of a text as ``timestamptz``; a text without offset is in ``zone``. NULL where it cannot be read."""
    if "epoch" in form.parts:
        return sql.SQL("CASE WHEN {value} ~ {pattern} THEN to_timestamp({value}::double precision) END").format(
            value=value, pattern=sql.Literal(form.pattern)
        )
    parsed = _parsed_instant(form, value, zone)
    if not form.is_iso:
        return parsed
    return sql.SQL("CASE WHEN {value} ~ {with_zone} THEN {value}::timestamptz ELSE {parsed} END").format(
        value=value, with_zone=sql.Literal(_PLAIN_ISO + "(Z|[+-](0\\d|1[0-4]):?00))$"), parsed=parsed
    )


def _parsed_instant(form: DateFormat, value: sql.Composable, zone: str) -> sql.Composed:
    offset = form.part("offset")
    has_time = "hour" in form.parts or "hour12" in form.parts
    local: sql.Composable = local_time_sql(form, value)
    if form.is_iso:
        local = sql.SQL("CASE WHEN {value} ~ {plain} THEN {value}::timestamp ELSE {local} END").format(
            value=value, plain=sql.Literal(_PLAIN_ISO + ")?$"), local=local
        )
    at_zone = sql.SQL("(l AT TIME ZONE {zone})").format(zone=sql.Literal(zone))
    instant: sql.Composable = at_zone
    if has_time:
        # A skipped local time comes back as another one.
        instant = sql.SQL(
            "CASE WHEN (t AT TIME ZONE {zone}) = l OR (l = date_trunc('day', l) AND {value} !~ ':') THEN t END"
        ).format(zone=sql.Literal(zone), value=value)
    plain = sql.SQL("(SELECT {instant} FROM (SELECT l, {at_zone} AS t FROM (SELECT {local} AS l) AS a) AS b)").format(
        instant=sql.SQL("t") if not has_time else instant, at_zone=at_zone, local=local
    )
    if offset is None:
        return plain
    # As text, an offset is minutes east of Greenwich: sign, hours, minutes.
    shift = sql.SQL(
        "(SELECT CASE WHEN upper(o) = 'Z' THEN interval '0' ELSE make_interval(mins => "
        "(CASE left(o, 1) WHEN '-' THEN -1 ELSE 1 END) * (substr(o, 2, 2)::int * 60 + "
        "COALESCE(NULLIF(right(replace(o, ':', ''), -3), '')::int, 0))) END "
        "FROM (SELECT {offset} AS o FROM regexp_match({value}, {pattern}) AS m) AS a WHERE o IS NOT NULL)"
    ).format(offset=offset, value=value, pattern=sql.Literal(form.pattern))
    return sql.SQL("CASE WHEN {value} ~ {ends} THEN (({local} - {shift}) AT TIME ZONE 'UTC') ELSE {plain} END").format(
        value=value,
        ends=sql.Literal(
            r"[0-9]\s*(Z|z|[+-]\d{2}:?(\d{2})?)$" if not form.is_iso else r":\d{2}\S*\s*(Z|z|[+-]\d{2}(:?\d{2})?)$"
        ),
        local=local_time_sql(form, value),
        shift=shift,
        plain=plain,
    )


def _number(form: DateFormat, name: str) -> sql.Composable:
    part = form.part(name)
    return sql.SQL("0") if part is None else sql.SQL("COALESCE({}, '0')::int").format(part)


def _short_year(year: sql.Composable) -> sql.Composable:
    """As POSIX says: 69 to 99 are 1969 to 1999, 00 to 68 are 2000 to 2068."""
    return sql.SQL("({year} + CASE WHEN {year} >= 69 THEN 1900 ELSE 2000 END)").format(year=year)


def _named_month(form: DateFormat) -> sql.Composable:
    return sql.SQL(
        "COALESCE(array_position(ARRAY['jan','feb','mar','apr','may','jun','jul','aug','sep','oct','nov','dec'], "
        "lower(left({}, 3))), 0)"
    ).format(form.part("month_name"))


def _hour(form: DateFormat) -> sql.Composable:
    if "hour12" not in form.parts:
        return _number(form, "hour")
    half = form.part("half") or sql.SQL("'am'")
    return sql.SQL(
        "CASE WHEN {hour} BETWEEN 1 AND 12 THEN {hour} % 12 + CASE lower({half}) WHEN 'pm' THEN 12 ELSE 0 END "
        "ELSE -1 END"
    ).format(hour=_number(form, "hour12"), half=half)


def _fraction(form: DateFormat) -> sql.Composable:
    part = form.part("fraction")
    return (
        sql.SQL("0.0::double precision")
        if part is None
        else sql.SQL("('0.' || COALESCE({}, '0'))::double precision").format(part)
    )
