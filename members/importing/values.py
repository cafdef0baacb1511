"""Turning the text of cells into values, as SQL that gives NULL instead of raising.

``typed`` is the value of a column over its cleaned text; ``why_not`` is the reason, a code of
``reasons.py``, of a text that gave NULL. PostgreSQL 15 has no ``pg_input_is_valid``, so a text is
matched before it is cast.
"""

from collections.abc import Mapping

from django.conf import settings
from psycopg import sql

from members.importing import dates
from members.importing.kinds import Column, Type
from members.importing.options import Options

SQL_TYPES = {
    Type.INTEGER: "bigint",
    Type.MONEY: "numeric(14,2)",
    Type.DATE: "date",
    Type.TIME: "timestamptz",
    Type.YES_NO: "boolean",
}

YES = ("yes", "y", "true", "t", "1", "on", "x", "是", "有", "同意")
NO = ("no", "n", "false", "f", "0", "off", "否", "无", "不同意")

_EMAIL = r"^[^@\s,;<>]+@[^@\s,;<>]+\.[^@\s.,;<>]{2,}$"
_MONEY = r"^[+-]?\d{1,12}(\.\d{1,2}0*)?$"
_WHOLE = r"^[+-]?\d{1,18}(\.0+)?$"


def cleaned(raw: sql.Composable, translations: Mapping[str, str] | None) -> sql.Composed:
    """A cell without the blanks around it, translated; NULL where nothing is left."""
    text = sql.SQL(r"btrim({}, E' \t\r\n\u00a0\u3000')").format(raw)
    if translations:
        whens = sql.SQL(" ").join(
            sql.SQL("WHEN {} THEN {}").format(sql.Literal(old), sql.Literal(new)) for old, new in translations.items()
        )
        text = sql.SQL("(SELECT CASE t {whens} ELSE t END FROM (SELECT {text} AS t) AS a)").format(
            whens=whens, text=text
        )
    return sql.SQL("NULLIF({}, '')").format(text)


def sql_type(column: Column) -> sql.SQL:
    """The type of a column in ``import_rows`` (a MEMBER's is that of its text, resolved later)."""
    return sql.SQL(SQL_TYPES.get(column.type, "text"))


def typed(column: Column, text: sql.Composable, options: Options, source: str) -> sql.Composable:
    """The value of a cleaned text, or NULL where it cannot be one. ``source`` is the file's column."""
    if column.type in {Type.DATE, Type.TIME}:
        return _moment(column, text, options, source)
    if column.type is Type.MONEY:
        return _bounded(column, _number(text, options, _MONEY))
    if column.type is Type.INTEGER:
        return _bounded(column, _number(text, options, _WHOLE))
    return _WORDS.get(column.type, _short)(column, text)


def _moment(column: Column, text: sql.Composable, options: Options, source: str) -> sql.Composed:
    form = dates.compile_format(options.date_formats.get(source, ""))
    zone = options.zone_of(source)
    if column.type is Type.TIME:
        return dates.instant_sql(form, text, zone)
    if "epoch" in form.parts:
        return sql.SQL("({} AT TIME ZONE {})::date").format(dates.instant_sql(form, text, zone), sql.Literal(zone))
    return sql.SQL("({})::date").format(dates.local_time_sql(form, text))


def _email(column: Column, text: sql.Composable) -> sql.Composed:
    return sql.SQL("CASE WHEN {t} ~ {pattern} AND length({t}) <= {limit} THEN lower({t}) END").format(
        t=text, pattern=sql.Literal(_EMAIL), limit=sql.Literal(column.max_length or 254)
    )


def _yes_no(column: Column, text: sql.Composable) -> sql.Composed:
    return sql.SQL("CASE WHEN lower({t}) = ANY({yes}) THEN true WHEN lower({t}) = ANY({no}) THEN false END").format(
        t=text, yes=sql.Literal(list(YES)), no=sql.Literal(list(NO))
    )


def _choice(column: Column, text: sql.Composable) -> sql.Composed:
    whens = sql.SQL(" ").join(
        sql.SQL("WHEN {} THEN {}").format(sql.Literal(old), sql.Literal(new)) for old, new in column.choices.items()
    )
    return sql.SQL("CASE lower({}) {} END").format(text, whens)


def _short(column: Column, text: sql.Composable) -> sql.Composable:
    if column.max_length is None:
        return text
    return sql.SQL("CASE WHEN length({t}) <= {limit} THEN {t} END").format(t=text, limit=sql.Literal(column.max_length))


def why_not(column: Column, text: sql.Composable, options: Options, source: str) -> sql.Composable:
    """The code of the reason why a text gave no value."""
    if column.type is Type.TIME:
        form = dates.compile_format(options.date_formats.get(source, ""))
        if "epoch" in form.parts:
            return sql.Literal("not_a_time")
        return sql.SQL("CASE WHEN {} IS NULL THEN 'not_a_time' ELSE 'skipped_hour' END").format(
            dates.local_time_sql(form, text)
        )
    simple = {
        Type.DATE: "not_a_date",
        Type.EMAIL: "not_an_email",
        Type.PHONE: "not_a_phone",
        Type.YES_NO: "not_yes_no",
        Type.CHOICE: "not_a_choice",
        Type.MEMBER: "unknown_member",
        Type.TEXT: "too_long",
    }
    if column.type in simple:
        return sql.Literal(simple[column.type])
    number = _number_text(text, options)
    low = sql.Literal(column.minimum if column.minimum is not None else -(10**18))
    return sql.SQL(
        "CASE WHEN {n} !~ {number} THEN 'not_a_number' WHEN length(split_part({n}, '.', 1)) > 13 THEN 'out_of_range' "
        "WHEN {n} !~ {fine} THEN {decimals} WHEN {n}::numeric < {low} THEN {below} ELSE 'out_of_range' END"
    ).format(
        n=number,
        number=sql.Literal(r"^[+-]?\d+(\.\d+)?$"),
        fine=sql.Literal(_MONEY if column.type is Type.MONEY else r"^[+-]?\d+(\.0+)?$"),
        decimals=sql.Literal("too_many_decimals" if column.type is Type.MONEY else "not_whole"),
        low=low,
        below=sql.Literal("negative" if column.minimum == 0 and column.maximum is None else "out_of_range"),
    )


def _number_text(text: sql.Composable, options: Options) -> sql.Composed:
    """A number as PostgreSQL writes it: no currency sign, no thousands separators, a decimal point."""
    bare = sql.SQL(r"regexp_replace({}, '^([+-]?)\s*[¥￥$€£]\s*', '\1')").format(text)
    if options.decimal == ",":
        return sql.SQL(
            r"(SELECT replace(CASE WHEN n ~ '^[+-]?\d{{1,3}}(\.\d{{3}})+(,\d+)?$' THEN replace(n, '.', '') ELSE n END, "
            r"',', '.') FROM (SELECT {} AS n) AS a)"
        ).format(bare)
    return sql.SQL(
        r"(SELECT CASE WHEN n ~ '^[+-]?\d{{1,3}}(,\d{{3}})+(\.\d+)?$' THEN replace(n, ',', '') ELSE n END "
        r"FROM (SELECT {} AS n) AS a)"
    ).format(bare)


def _number(text: sql.Composable, options: Options, pattern: str) -> sql.Composed:
    # A plain number, by far the most frequent, is not put through the clean-up.
    plain = sql.SQL("{} ~ {}").format(text, sql.Literal(pattern))
    if options.decimal == ",":
        plain = sql.SQL("{} ~ '^[+-]?\\d{{1,12}}$'").format(text)
    return sql.SQL(
        "CASE WHEN {plain} THEN {text}::numeric ELSE "
        "(SELECT CASE WHEN c ~ {pattern} THEN c::numeric END FROM (SELECT {clean} AS c) AS b) END"
    ).format(
        plain=plain,
        text=text,
        pattern=sql.Literal(pattern),
        clean=_number_text(text, options),
    )


def _bounded(column: Column, number: sql.Composable) -> sql.Composed:
    low = sql.Literal(column.minimum if column.minimum is not None else -(10**18))
    high = sql.Literal(column.maximum if column.maximum is not None else 10**18)
    return sql.SQL("(SELECT CASE WHEN n BETWEEN {low} AND {high} THEN n END FROM (SELECT {number} AS n) AS a)").format(
        low=low, high=high, number=number
    )


def _phone(column: Column, text: sql.Composable) -> sql.Composed:
    """E.164 where it can be read: an international number, or a national one of the programme's country."""
    code = settings.PROGRAMME_PHONE_CODE
    return sql.SQL(
        "(SELECT CASE "
        r"WHEN d ~ '^\+[1-9]\d{{6,14}}$' THEN d "
        r"WHEN d ~ '^00[1-9]\d{{6,14}}$' THEN '+' || substr(d, 3) "
        r"WHEN d ~ {with_code} THEN '+' || d "
        r"WHEN d ~ '^0?[1-9]\d{{6,11}}$' THEN '+' || {code} || ltrim(d, '0') "
        r"WHEN t ~ '\d{{3}}' AND length(t) <= 20 THEN t END "
        r"FROM (SELECT {text} AS t, regexp_replace({text}, '[\s().\-–]', '', 'g') AS d) AS a)"
    ).format(text=text, code=sql.Literal(code), with_code=sql.Literal(rf"^{code}1\d{{10}}$"))


_WORDS = {
    Type.EMAIL: _email,
    Type.PHONE: _phone,
    Type.YES_NO: _yes_no,
    Type.CHOICE: _choice,
}
