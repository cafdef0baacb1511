"""Importing purchases with all they earn, and members, against COPY of the same rows into the same tables."""

import csv
import tempfile
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

from django.db import connection, transaction
from psycopg import sql

from bench.equal import adding_foreign_keys
from bench.measuring import Measurement, seconds
from members.importing import background, runs
from members.importing.options import Options
from members.models import Member
from staff import jobs

ROWS_PER_MEMBER = 3
# Into the tables that the suite on the ledger made.
BARE_POINTS = (
    """
    INSERT INTO bench_entry (member_id, seq, kind, points, balance_after, occurred_at, idempotency_key)
    SELECT member_id, id + 1000000, 'earn', 1, 1, purchased_at, 'bare:purchase:' || id FROM bench_target
    """,
    """
    INSERT INTO bench_lot (entry_id, member_id, points, remaining, activates_at)
    SELECT id, member_id, 1, 1, occurred_at FROM bench_entry WHERE seq > 1000000
    """,
)


def measure(size: int) -> Iterator[Measurement]:
    """A file of new members, and one with three new purchases for each member there is."""
    with tempfile.TemporaryDirectory() as name:
        people, purchases = Path(name) / "members.csv", Path(name) / "purchases.csv"
        _write_members(people, size)
        rows = _write_purchases(purchases)
        yield Measurement(
            name="import members from CSV",
            floor_name="COPY of the same file and INSERT … SELECT into an equal table",
            rows=size,
            ours=seconds(lambda: _import("members", people)),
            floor=seconds(lambda: _bare_members(people)),
        )
        yield Measurement(
            name="import purchases from CSV, with points and tiers",
            floor_name="COPY of the same file and INSERT … SELECT of as many purchases, entries and lots",
            rows=rows,
            ours=seconds(lambda: _import("purchases", purchases)),
            floor=seconds(lambda: _bare_purchases(purchases)),
        )


def _write_members(path: Path, count: int) -> None:
    with path.open("w", newline="", encoding="utf-8") as out:
        rows = csv.writer(out)
        rows.writerow(["id", "given_name", "family_name", "email", "joined_at"])
        for place in range(count):
            rows.writerow(
                [f"bench-{place}", "Anna", f"Brown {place}", f"bench{place}@example.com", "2026-01-05T10:00:00Z"]
            )


def _write_purchases(path: Path) -> int:
    count = 0
    start = datetime(2026, 3, 1, tzinfo=UTC)
    with path.open("w", newline="", encoding="utf-8") as out:
        rows = csv.writer(out)
        rows.writerow(["receipt", "member", "time", "amount"])
        for repeat in range(ROWS_PER_MEMBER):
            for key in Member.objects.filter(import_run=None).order_by("id").values_list("external_id", flat=True):
                count += 1
                at = start + timedelta(days=30 * repeat, seconds=count % 86_400)
                rows.writerow([f"B{count}", key, at.isoformat(), f"{10 + count % 300}.50"])
    return count


def _import(kind: str, path: Path) -> None:
    run = runs.create(kind=kind, path=path, file_name=path.name, options=Options(), user=None)
    job = jobs.run_inline(background.create(background.IMPORT, run))
    run.refresh_from_db()
    if job.error or run.rows_refused:
        raise RuntimeError(job.error or f"{run.rows_refused} rows refused: {run.report}")


def _bare_members(path: Path) -> None:
    _copy(
        path,
        "members_member",
        "CREATE UNLOGGED TABLE bench_staging (external_id text, given_name text, family_name text, email text,"
        " joined_at text)",
        "INSERT INTO bench_target (number, external_id, given_name, family_name, email, phone, gender, joined_at,"
        " status, language, time_zone, attributes, created_at, updated_at)"
        " SELECT 'B' || external_id, external_id, given_name, family_name, email, '', '', joined_at::timestamptz,"
        " 'active', '', '', '{}', now(), now() FROM bench_staging",
    )


def _bare_purchases(path: Path) -> None:
    _copy(
        path,
        "members_purchase",
        "CREATE UNLOGGED TABLE bench_staging (receipt text, person text, at text, amount text)",
        "INSERT INTO bench_target (member_id, key, external_id, purchased_at, amount, currency, rate, value, channel,"
        " store, category, created_at)"
        " SELECT member.id, 'bare:' || receipt, receipt, at::timestamptz, amount::numeric, 'CNY', 1, amount::numeric,"
        " '', '', '', now() FROM bench_staging JOIN members_member member ON member.external_id = person",
        *BARE_POINTS,
    )


@transaction.atomic
def _copy(path: Path, like: str, staging: str, *inserts: str) -> None:
    with connection.cursor() as cursor:
        cursor.execute("DROP TABLE IF EXISTS bench_staging, bench_target")
        cursor.execute(staging)
        target = sql.Identifier("bench_target")
        made = sql.SQL("CREATE TABLE {} (LIKE {} INCLUDING ALL)").format(target, sql.Identifier(like))
        for statement in [made, *adding_foreign_keys(cursor, like, target)]:
            cursor.execute(statement.as_string(connection.connection))
        with (
            path.open("rb") as source,
            cursor.cursor.copy("COPY bench_staging FROM STDIN (FORMAT csv, HEADER)") as stream,
        ):
            while block := source.read(1 << 20):
                stream.write(block)
        for insert in inserts:
            cursor.execute(insert)
