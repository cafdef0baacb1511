"""Tables for floors: equal to ours in columns, rows, indexes, checks and foreign keys, without triggers of our own."""

from typing import Final

from django.db import connection
from django.db.backends.utils import CursorWrapper
from psycopg import sql

_OPTIONS: Final = "SELECT array_to_string(reloptions, ', ') FROM pg_class WHERE oid = %s::regclass"
_FOREIGN_KEYS: Final = """
SELECT conname, pg_get_constraintdef(oid) FROM pg_constraint WHERE conrelid = %s::regclass AND contype = 'f'
"""
_IS_NUMBERED: Final = "SELECT EXISTS (SELECT FROM pg_attribute WHERE attrelid = %s::regclass AND attidentity <> '')"


def make_equal(*names: str) -> None:
    """Copy these tables into the schema ``floor``, under their own names."""
    with connection.cursor() as cursor:
        cursor.execute("DROP SCHEMA IF EXISTS floor CASCADE")
        cursor.execute("CREATE SCHEMA floor")
        for name in names:
            for statement in _copying(cursor, name):
                cursor.execute(statement.as_string())


def _copying(cursor: CursorWrapper, name: str) -> list[sql.Composed]:
    ours, copy = sql.Identifier(name), sql.Identifier("floor", name)
    statements = [sql.SQL("CREATE TABLE {} (LIKE {} INCLUDING ALL)").format(copy, ours)]
    cursor.execute(_OPTIONS, [name])
    if options := cursor.fetchone()[0]:
        statements.append(sql.SQL("ALTER TABLE {} SET ({})").format(copy, sql.SQL(options)))
    statements.append(sql.SQL("INSERT INTO {} OVERRIDING SYSTEM VALUE SELECT * FROM {}").format(copy, ours))
    cursor.execute(_IS_NUMBERED, [name])
    if cursor.fetchone()[0]:
        text = sql.SQL("SELECT setval(pg_get_serial_sequence({}, 'id'), max(id)) FROM {}")
        statements.append(text.format(sql.Literal(f"floor.{name}"), copy))
    return [*statements, *adding_foreign_keys(cursor, name, copy), sql.SQL("ANALYZE {}").format(copy)]


def adding_foreign_keys(cursor: CursorWrapper, name: str, copy: sql.Identifier) -> list[sql.Composed]:
    """The statements that give a copy the foreign keys of the table of this name."""
    cursor.execute(_FOREIGN_KEYS, [name])
    text = sql.SQL("ALTER TABLE {} ADD CONSTRAINT {} {}")
    return [
        text.format(copy, sql.Identifier(constraint), sql.SQL(definition))
        for constraint, definition in cursor.fetchall()
    ]
