"""Choices that stand in the data."""

from django.db import connection


def first_column(query: str) -> list[str]:
    """What a query without parameters gives in its one column."""
    with connection.cursor() as cursor:
        cursor.execute(query)
        return [row[0] for row in cursor.fetchall()]
