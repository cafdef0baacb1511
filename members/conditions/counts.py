"""How many members a tree holds for, as a whole and line by line."""

from typing import Any

from django.db import OperationalError, connection, transaction
from psycopg.errors import QueryCanceled

from members.conditions.sql import members_sql

# What a person waits for beside a line while building; :func:`count` has no such limit.
LINE_SECONDS = 5


def count(tree: Any) -> int:
    """How many members the tree holds for. Raises ConditionError."""
    ids, params = members_sql(tree)
    with connection.cursor() as cursor:
        cursor.execute(f"SELECT count(*) FROM ({ids}) matching", params)  # noqa: S608
        return int(cursor.fetchone()[0])


def count_in_time(tree: Any) -> int | None:
    """The same, or None where counting took longer than ``LINE_SECONDS``. Raises ConditionError."""
    try:
        with transaction.atomic(), connection.cursor() as cursor:
            cursor.execute("SELECT current_setting('statement_timeout')")
            (before,) = cursor.fetchone()
            cursor.execute("SELECT set_config('statement_timeout', %s, true)", [f"{LINE_SECONDS}s"])
            found = count(tree)
            cursor.execute("SELECT set_config('statement_timeout', %s, true)", [before])
    except OperationalError as error:
        if isinstance(error.__cause__, QueryCanceled):
            return None
        raise
    return found
