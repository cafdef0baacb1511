"""Times come out of the database as Django would read them."""

from datetime import UTC, datetime, timedelta

import pytest
from django.db import connection
from psycopg.pq import Format

from config import timestamps

MOMENTS = (
    datetime(1, 1, 2, tzinfo=UTC),
    datetime(1969, 12, 31, 23, 59, 59, 999_999, tzinfo=UTC),
    datetime(2024, 2, 29, 12, 0, 0, 500, tzinfo=UTC),
    datetime(9999, 12, 30, tzinfo=UTC) + timedelta(microseconds=10),
)


@pytest.mark.django_db
def test_times_are_read_whole_and_in_utc() -> None:
    with connection.cursor() as cursor:
        cursor.execute("SELECT unnest(%s::timestamptz[]) UNION ALL SELECT NULL", [list(MOMENTS)])
        found = [row[0] for row in cursor.fetchall()]
        assert cursor.adapters.get_loader(timestamps._OID, Format.TEXT) is timestamps.UtcLoader
    assert found == [*MOMENTS, None]
    assert {moment.tzinfo for moment in found if moment} == {UTC}
