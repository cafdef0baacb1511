"""Posting points one by one, against the bare statements. Posting by sets is measured with the jobs."""

from collections.abc import Iterator
from datetime import UTC, datetime

from django.db import connection
from django.db.backends.utils import CursorWrapper
from psycopg import sql

from bench.equal import adding_foreign_keys
from bench.measuring import Measurement, seconds
from loyalty import ledger
from members.models import Member

NOW = datetime.now(UTC)
SINGLES = 1_000

# The least that posting one award takes: the same rows, without hashes, checks or explanation.
BARE_ENTRY = """
INSERT INTO bench_entry (member_id, seq, kind, points, balance_after, occurred_at, idempotency_key)
VALUES (%s, %s, 'earn', 1, 1, now(), %s) RETURNING id
"""
BARE_AWARD = (
    "SELECT balance, version FROM bench_account WHERE member_id = %s FOR UPDATE",
    "SELECT 1 FROM bench_entry WHERE idempotency_key = %s",
    BARE_ENTRY,
    "INSERT INTO bench_lot (entry_id, member_id, points, remaining, activates_at) VALUES (%s, %s, 1, 1, now())",
    "UPDATE bench_account SET balance = balance + 1, version = version + 1 WHERE member_id = %s",
)


def measure(size: int) -> Iterator[Measurement]:
    """One award per transaction."""
    _make_bare_tables()
    members = list(Member.objects.order_by("id").values_list("id", flat=True))
    some = [members[i % len(members)] for i in range(SINGLES)]
    yield Measurement(
        name="award points, one transaction each",
        floor_name="the same statements by psycopg, without checks",
        rows=SINGLES,
        ours=seconds(lambda: _award_each(some)),
        floor=seconds(lambda: _bare_award_each(some)),
    )


def _make_bare_tables() -> None:
    with connection.cursor() as cursor:
        for name in ("account", "entry", "lot"):
            bare, ours = sql.Identifier(f"bench_{name}"), f"loyalty_{name}"
            _execute(cursor, sql.SQL("DROP TABLE IF EXISTS {}").format(bare))
            _execute(cursor, sql.SQL("CREATE TABLE {} (LIKE {} INCLUDING ALL)").format(bare, sql.Identifier(ours)))
            for statement in adding_foreign_keys(cursor, ours, bare):
                _execute(cursor, statement)
        cursor.execute("ALTER TABLE bench_entry ALTER created_at SET DEFAULT now(), ALTER explanation SET DEFAULT '{}'")
        cursor.execute("ALTER TABLE bench_entry ALTER input_hash SET DEFAULT ''")
        cursor.execute("INSERT INTO bench_account SELECT * FROM loyalty_account")


def _execute(cursor: CursorWrapper, statement: sql.Composed) -> None:
    cursor.execute(statement.as_string(connection.connection))


def _award_each(members: list[int]) -> None:
    for place, member_id in enumerate(members):
        ledger.award(member_id=member_id, points=1, key=f"bench:{place}", occurred_at=NOW, explanation={})


def _bare_award_each(members: list[int]) -> None:
    lock, look, entry, lot, move = BARE_AWARD
    bare = connection.connection
    for place, member_id in enumerate(members):
        with bare.transaction(), bare.cursor() as cursor:
            cursor.execute(lock, [member_id])
            cursor.execute(look, [f"bare:{place}"])
            cursor.execute(entry, [member_id, -place - 1, f"bare:{place}"])
            (entry_id,) = cursor.fetchone()
            cursor.execute(lot, [entry_id, member_id])
            cursor.execute(move, [member_id])
