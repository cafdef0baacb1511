"""Times from the database, read by psycopg's compiled loader.

Django puts a loader written in Python in its place to set the zone, and that took a seventh of an import: it reads
each time by a regular expression. The compiled one reads it in the connection's zone, which Django has set already.
"""

from datetime import UTC
from typing import Any

import psycopg
from django.db.backends.base.base import BaseDatabaseWrapper
from psycopg import postgres
from psycopg.abc import AdaptContext
from psycopg.pq import Format

_OID = postgres.types["timestamptz"].oid


class UtcLoader:
    """Reads ``timestamptz`` on a connection whose zone is UTC; Django asks for :attr:`timezone` before it trusts it."""

    format = Format.TEXT
    timezone = UTC

    def __init__(self, oid: int, context: AdaptContext | None = None) -> None:
        compiled = psycopg.adapters.get_loader(_OID, Format.TEXT)
        if compiled is None:
            raise LookupError("timestamptz")
        self.load = compiled(oid, context).load


def read_fast(connection: BaseDatabaseWrapper, **kwargs: Any) -> None:
    """Use it on a new connection (``connection_created``); in any other zone Django's own stays."""
    if connection.timezone == UTC:
        connection.connection.adapters.register_loader(_OID, UtcLoader)
