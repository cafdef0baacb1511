"""Statements that PostgreSQL plans once per connection, for what is done many times a second.

Django writes values into the text of a statement, so that PostgreSQL reads and plans a new text each time. Here
they travel beside it: what a connection sends for the sixth time is prepared there, and stays so until the
connection ends. A pooler in between must pool by session, as it must already (docs/adr/0005).
"""

from functools import lru_cache
from typing import Any

import psycopg
from django.db import connection
from django.db.backends.utils import CursorWrapper
from psycopg._queries import PostgresQuery
from psycopg.abc import Params, Query
from psycopg.adapt import AdaptersMap
from psycopg.types.numeric import Int8Dumper


@lru_cache(maxsize=64)
def _of_one_size(adapters: AdaptersMap) -> AdaptersMap:
    """The adapters of a connection, but with one type for all whole numbers.

    Else small and large ones would make two statements of one. To copy them for each cursor takes longer than many
    a statement does.
    """
    copied = AdaptersMap(adapters)
    copied.register_dumper(int, Int8Dumper)
    return copied


class _Cursor(psycopg.Cursor[Any]):
    # django-pghistory leaves a cursor with a name alone. It would put a statement of its own before this one, and
    # only one can be prepared; so nothing that it tracks is written here.
    name = "prepared"

    @property
    def adapters(self) -> AdaptersMap:
        return _of_one_size(self.connection.adapters)

    def _convert_query(self, query: Query, params: Params | None = None) -> PostgresQuery:
        # Django's log of statements looks for it.
        self._query = super()._convert_query(query, params)
        return self._query


def prepared() -> CursorWrapper:
    """A cursor for single statements, prepared where they come often; what type a parameter has is clear or cast."""
    connection.ensure_connection()
    cursor: Any = _Cursor(connection.connection)
    return connection.make_debug_cursor(cursor) if connection.queries_logged else connection.make_cursor(cursor)
