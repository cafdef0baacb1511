"""Running SQL that psycopg composed from our own names and quoted values."""

from django.db import connection
from django.db.backends.utils import CursorWrapper
from psycopg import sql


def execute(cursor: CursorWrapper, query: sql.Composable) -> None:
    """Run a composed statement on Django's cursor.

    It goes past the execute wrappers: pghistory's expects text, and would take the percent signs in a
    quoted value for parameters.
    """
    with connection.wrap_database_errors:
        cursor.cursor.execute(query)
