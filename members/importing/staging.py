"""From a file's rows to the temporary tables on which a kind's SQL runs.

Temporary tables belong to the connection: they are not logged, nobody else sees them, and when the
process dies the server drops them, so nothing half-done is ever left. ``import_raw`` holds the text of
each cell (``c1``, ``c2`` …), ``import_rows`` the typed values, ``import_errors`` what is wrong.
"""

import csv
import io
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from django.db.backends.utils import CursorWrapper
from django.utils.translation import gettext as _
from psycopg import sql

from members.importing import values
from members.importing.composed import execute
from members.importing.dates import latest_moment
from members.importing.encodings import Unreadable
from members.importing.kinds import Column, ImportKind, Type
from members.importing.mapping import check_map
from members.importing.options import ATTRIBUTE, Options
from members.importing.reading import BadRow, Source

TABLES = ("import_raw", "import_rows", "import_errors", "import_repeats", "import_matches")
# Rows that do not fit the header are kept in memory while the file is copied.
MAX_MISSHAPEN = 100_000
Report = Callable[[int], None]


@dataclass(frozen=True)
class Field:
    """One declared column as this file has it: from a column of the file, or the same text throughout."""

    column: Column
    source: str = ""
    place: int = 0
    constant: str = ""


@dataclass(frozen=True)
class Plan:
    """One file as one kind: which column goes where. ``extras`` are (name, place, column of the file)."""

    kind: ImportKind
    source: Source
    options: Options
    fields: Sequence[Field]
    extras: Sequence[tuple[str, int, str]]


def drop(cursor: CursorWrapper) -> None:
    """Remove the tables of an earlier run on this connection."""
    for table in TABLES:
        execute(cursor, sql.SQL("DROP TABLE IF EXISTS pg_temp.{}").format(sql.Identifier(table)))


def load(cursor: CursorWrapper, source: Source, report: Report, *, limit: int | None = None) -> int:
    """COPY the file, or its first rows, into ``import_raw``; returns the number of rows.

    ``report`` gets the number of bytes read so far.
    """
    drop(cursor)
    columns = sql.SQL(", ").join(sql.SQL("{} text").format(_cell(place)) for place in range(1, len(source.header) + 1))
    execute(cursor, sql.SQL("CREATE TEMP TABLE import_raw (row_no bigint, {})").format(columns))
    cursor.execute("CREATE TEMP TABLE import_errors (row_no bigint, field text, reason text, value text)")
    rows = 0
    bad: list[BadRow] = []
    with cursor.copy("COPY import_raw FROM STDIN (NULL '')") as copy:
        for batch in source.batches():
            copy.write(_copy_text(batch.numbers[:limit], batch.rows[:limit]))
            rows += len(batch.rows[:limit])
            bad += batch.bad
            if len(bad) > MAX_MISSHAPEN:
                raise Unreadable(
                    _("More than %(limit)d rows have another number of cells than the header. Is the delimiter right?")
                    % {"limit": MAX_MISSHAPEN}
                )
            if limit:
                bad = [row for row in bad if row.row_no <= batch.numbers[:limit][-1]]
                break
            report(batch.position)
    _write_bad(cursor, bad)
    return rows


def _copy_text(numbers: Sequence[int], rows: Sequence[Sequence[str]]) -> str:
    """Rows in the text format of COPY, escaped by the csv module's C code."""
    buffer = io.StringIO(newline="")
    # With CR and LF as line end both are escaped inside a cell.
    writer = csv.writer(
        buffer, delimiter="\t", lineterminator="\r\n", quoting=csv.QUOTE_NONE, escapechar="\\", quotechar=None
    )
    writer.writerows([number, *row] for number, row in zip(numbers, rows, strict=True))
    return buffer.getvalue()


def _write_bad(cursor: CursorWrapper, bad: Sequence[BadRow]) -> None:
    if bad:
        with cursor.copy("COPY import_errors FROM STDIN") as copy:
            for row in bad:
                copy.write_row((row.row_no, row.column, row.reason, row.value))


def type_rows(cursor: CursorWrapper, plan: Plan) -> None:
    """Make ``import_rows`` from ``import_raw``: translate, parse, resolve members, give each row its key."""
    kind, options = plan.kind, plan.options
    cleaned = sql.SQL(", ").join(
        sql.SQL("{} AS {}").format(_text_sql(field, options), sql.Identifier(f"t_{field.column.name}"))
        for field in plan.fields
    )
    typed = sql.SQL(", ").join(
        sql.SQL("({value})::{type} AS {name}").format(
            value=values.typed(f.column, sql.Identifier(f"t_{f.column.name}"), options, f.source),
            type=values.sql_type(f.column),
            name=sql.Identifier(f"v_{f.column.name}"),
        )
        for f in plan.fields
    )
    final, joins = _final_columns(plan)
    content = sql.SQL(", ").join([*(sql.Identifier(column.sql_name) for column in kind.columns), sql.SQL("extra")])
    key = sql.SQL("COALESCE({})").format(
        sql.SQL(", ").join([*(sql.Identifier(name) for name in kind.key_columns), sql.SQL("NULL::text")])
    )
    # OFFSET 0 keeps the planner from merging the levels, which would compute each cell several times.
    execute(
        cursor,
        sql.SQL(
            "CREATE TEMP TABLE import_rows AS "
            "SELECT *, row_number() OVER same AS place, "
            "COALESCE(outside_key, 'h:' || row_hash || ':' || row_number() OVER same) AS row_key, "
            "first_value(row_hash) OVER same AS first_hash "
            "FROM (SELECT *, {key} AS outside_key, md5(({content})::text) AS row_hash "
            "FROM ("
            "SELECT row_no, {final}, {extra} AS extra, {problems} AS problems "
            "FROM (SELECT *, {typed} FROM (SELECT *, {cleaned} FROM import_raw OFFSET 0) AS a OFFSET 0) AS b {joins} "
            "OFFSET 0) AS c OFFSET 0) AS d "
            'WINDOW same AS (PARTITION BY COALESCE(outside_key, row_hash) COLLATE "C" ORDER BY row_no)'
        ).format(
            key=key,
            content=sql.SQL("ROW({})").format(content),
            final=final,
            extra=_extra_sql(plan),
            problems=_problems_sql(plan),
            typed=typed,
            cleaned=cleaned,
            joins=joins,
        ),
    )
    _note_problems(cursor, plan)
    _note_future(cursor, plan)


def finish_checks(cursor: CursorWrapper, kind: ImportKind) -> None:
    """Leave each key once: other content is refused, the same is put aside in ``import_repeats``."""
    execute(
        cursor,
        sql.SQL(
            "INSERT INTO import_errors SELECT row_no, {field}, 'doubled_key', outside_key FROM import_rows "
            "WHERE outside_key IS NOT NULL AND place > 1 AND row_hash <> first_hash"
        ).format(field=_key_field(kind)),
    )
    cursor.execute("CREATE TEMP TABLE import_repeats (row_no bigint, outside_key text)")
    cursor.execute(
        "WITH repeat AS (DELETE FROM import_rows WHERE outside_key IS NOT NULL AND place > 1 AND row_hash = first_hash "
        "RETURNING row_no, outside_key) INSERT INTO import_repeats SELECT row_no, outside_key FROM repeat "
        "WHERE row_no NOT IN (SELECT row_no FROM import_errors)"
    )
    cursor.execute("ANALYZE import_rows")


def match(cursor: CursorWrapper, kind: ImportKind) -> None:
    """Fill ``import_matches`` and refuse what differs from what stands, where the kind does not update."""
    execute(cursor, sql.SQL("CREATE TEMP TABLE import_matches AS {}").format(sql.SQL(kind.match_sql)))
    if not kind.updates:
        execute(
            cursor,
            sql.SQL(
                "INSERT INTO import_errors SELECT row_no, {field}, {reason}, row_key "
                "FROM import_matches JOIN import_rows USING (row_no) WHERE NOT same"
            ).format(field=_key_field(kind), reason=sql.Literal(kind.difference_reason)),
        )
    cursor.execute("ANALYZE import_matches")


def count_repeats(cursor: CursorWrapper) -> int:
    """How many rows repeat one that is right. What repeats a refused row is refused for the same reasons."""
    cursor.execute(
        "INSERT INTO import_errors SELECT repeat.row_no, e.field, e.reason, e.value FROM import_repeats AS repeat "
        "JOIN import_rows AS r ON r.outside_key = repeat.outside_key AND r.place = 1 "
        "JOIN import_errors AS e ON e.row_no = r.row_no"
    )
    cursor.execute("SELECT count(*) FROM import_repeats WHERE row_no NOT IN (SELECT row_no FROM import_errors)")
    return int((cursor.fetchone() or (0,))[0])


def discard_bad(cursor: CursorWrapper) -> None:
    """Take the bad rows out of ``import_rows``."""
    cursor.execute("DELETE FROM import_rows WHERE row_no IN (SELECT row_no FROM import_errors)")


def discard_same(cursor: CursorWrapper) -> int:
    """Take out the rows that stand already with the same content; returns how many."""
    cursor.execute("DELETE FROM import_rows WHERE row_no IN (SELECT row_no FROM import_matches WHERE same)")
    same: int = cursor.rowcount
    return same


def _key_field(kind: ImportKind) -> sql.Composable:
    """SQL of the name of the field that is a row's key: the first one that is filled."""
    whens = [
        sql.SQL("WHEN {} IS NOT NULL THEN {}").format(sql.Identifier(name), sql.Literal(name))
        for name in kind.key_columns
    ]
    return sql.SQL("CASE {} ELSE '' END").format(sql.SQL(" ").join(whens)) if whens else sql.SQL("''")


def _cell(place: int) -> sql.Identifier:
    return sql.Identifier(f"c{place}")


def _text_sql(field: Field, options: Options) -> sql.Composable:
    if field.place:
        return values.cleaned(_cell(field.place), options.translations.get(field.source))
    return sql.SQL("NULLIF({}, '')").format(sql.Literal(field.constant))


def _final_columns(plan: Plan) -> tuple[sql.Composable, sql.Composable]:
    """The columns of ``import_rows`` and the joins that find members by outside id, else by number."""
    columns: list[sql.Composable] = []
    joins: list[sql.Composable] = []
    mapped = {field.column.name for field in plan.fields}
    for column in plan.kind.columns:
        name = sql.Identifier(column.sql_name)
        if column.name not in mapped:
            null_type = sql.SQL("bigint") if column.type is Type.MEMBER else values.sql_type(column)
            columns.append(sql.SQL("NULL::{} AS {}").format(null_type, name))
        elif column.type is Type.MEMBER:
            columns.append(sql.SQL("COALESCE(by_id.id, by_number.id) AS {}").format(name))
            joins.append(
                sql.SQL(
                    "LEFT JOIN members_member AS by_id ON by_id.external_id = {text} "
                    "LEFT JOIN members_member AS by_number ON by_number.number = {text}"
                ).format(text=sql.Identifier(f"v_{column.name}"))
            )
        else:
            columns.append(sql.SQL("{} AS {}").format(sql.Identifier(f"v_{column.name}"), name))
    return sql.SQL(", ").join(columns), sql.SQL(" ").join(joins)


def _problems_sql(plan: Plan) -> sql.Composable:
    """The fields of a row that gave no value though there is a text, or that must not be empty."""
    cases = []
    for field in plan.fields:
        column = field.column
        value = (
            sql.SQL("COALESCE(by_id.id, by_number.id)")
            if column.type is Type.MEMBER
            else sql.Identifier(f"v_{column.name}")
        )
        text = sql.Identifier(f"t_{column.name}")
        wrong = sql.SQL("{} IS NULL").format(value)
        if not column.required:
            wrong = sql.SQL("{} IS NULL AND {} IS NOT NULL").format(value, text)
        cases.append(sql.SQL("CASE WHEN {} THEN {} END").format(wrong, sql.Literal(column.name)))
    array = sql.SQL("array_remove(ARRAY[{}]::text[], NULL)").format(sql.SQL(", ").join(cases))
    return sql.SQL("NULLIF({}, ARRAY[]::text[])").format(array)


def _extra_sql(plan: Plan) -> sql.Composable:
    """The columns kept beside the fields, as JSON: plain numbers as numbers, the rest as text."""
    if not plan.extras:
        return sql.SQL("'{}'::jsonb")
    pairs = []
    for name, place, source in plan.extras:
        text = values.cleaned(_cell(place), plan.options.translations.get(source))
        pairs.append(
            sql.SQL(
                r"CASE WHEN {t} IS NULL THEN '{{}}'::jsonb WHEN {t} ~ '^-?(0|[1-9]\d{{0,14}})(\.\d{{1,6}})?$' "
                "THEN jsonb_build_object({name}, ({t})::numeric) ELSE jsonb_build_object({name}, {t}) END"
            ).format(t=text, name=sql.Literal(name))
        )
    return sql.SQL(" || ").join(sql.SQL("({})").format(pair) for pair in pairs)


def _note_problems(cursor: CursorWrapper, plan: Plan) -> None:
    """Turn the problems of ``import_rows`` into rows of ``import_errors``, each with its reason."""
    cursor.execute("SELECT DISTINCT unnest(problems) FROM import_rows WHERE problems IS NOT NULL")
    names = {row[0] for row in cursor.fetchall()}
    for field in plan.fields:
        if field.column.name not in names:
            continue
        execute(
            cursor,
            sql.SQL(
                "INSERT INTO import_errors "
                "SELECT row_no, {name}, CASE WHEN t IS NULL THEN 'empty' ELSE {why} END, left(t, 200) "
                "FROM (SELECT r.row_no, {text} AS t FROM import_rows AS r JOIN import_raw USING (row_no) "
                "WHERE {name} = ANY(r.problems) OFFSET 0) AS a"
            ).format(
                name=sql.Literal(field.column.name),
                why=values.why_not(field.column, sql.SQL("t"), plan.options, field.source),
                text=_text_sql(field, plan.options),
            ),
        )


def _note_future(cursor: CursorWrapper, plan: Plan) -> None:
    """Refuse what has not happened yet: every time of every kind is one at which something happened."""
    for field in plan.fields:
        if field.column.type is Type.TIME:
            execute(
                cursor,
                sql.SQL(
                    "INSERT INTO import_errors SELECT r.row_no, {name}, 'in_the_future', left({text}, 200) "
                    "FROM import_rows AS r JOIN import_raw USING (row_no) WHERE r.{moment} > {latest}"
                ).format(
                    name=sql.Literal(field.column.name),
                    text=_text_sql(field, plan.options),
                    moment=sql.Identifier(field.column.name),
                    latest=sql.Literal(latest_moment()),
                ),
            )


def plan_columns(kind: ImportKind, source: Source, options: Options) -> Plan:
    """Where each column of the file goes. Raises :class:`OptionError` where that makes no sense."""
    check_map(kind, source.header, options)
    return sketch(kind, source, options)


def sketch(kind: ImportKind, source: Source, options: Options) -> Plan:
    """The same of a map that is still being made: nothing is refused."""
    header = list(source.header)
    by_field = {target: name for name, target in options.columns.items() if target}
    fields = []
    for column in kind.columns:
        name = by_field.get(column.name)
        constant = options.constants.get(column.name, "") or column.default
        if name is not None:
            fields.append(Field(column, name, header.index(name) + 1))
        elif constant:
            fields.append(Field(column, constant=constant))
    extras = []
    for place, name in enumerate(header, 1):
        target = options.columns.get(name)
        if target is not None and target.startswith(ATTRIBUTE):
            extras.append((target.removeprefix(ATTRIBUTE), place, name))
        elif target is None and kind.keeps_rest and options.keep_rest:
            extras.append((name, place, name))
    return Plan(kind, source, options, fields, extras)
