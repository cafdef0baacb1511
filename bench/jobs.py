"""The jobs over everybody, each against a bare INSERT … SELECT of as many rows into equal tables."""

from collections.abc import Callable, Iterator, Sequence
from functools import partial
from time import perf_counter
from typing import LiteralString

from django.db import connection, transaction
from psycopg import sql

from bench.equal import adding_foreign_keys
from bench.measuring import Measurement, seconds
from bench.population import NOW, populate, recalculate
from loyalty import ledger, verify
from loyalty.ledger import sealing
from loyalty.models import Entry

READS = 1_000
READ = "SELECT balance FROM loyalty_account WHERE member_id = %s"

BARE_AWARD = (
    """
    INSERT INTO bench_entry (member_id, seq, kind, points, balance_after, qualifying, occurred_at, created_at,
                             idempotency_key, input_hash, explanation)
    SELECT id, 2, 'earn', 1, 1, 1, now(), now(), 'bare:all:' || id, decode(repeat('ab', 32), 'hex'),
           '{"campaign": "bench"}' FROM members_member
    """,
    """
    INSERT INTO bench_lot (entry_id, member_id, points, remaining, activates_at)
    SELECT id, member_id, 1, 1, now() FROM bench_entry WHERE seq = 2
    """,
)
BARE_EXPIRY = (
    """
    INSERT INTO bench_entry (member_id, seq, kind, points, balance_after, qualifying, occurred_at, created_at,
                             idempotency_key, input_hash, explanation)
    SELECT member_id, 3, 'expire', -points, 0, 0, expires_at, now(), 'bare:expire:' || id,
           decode(repeat('ab', 32), 'hex'), jsonb_build_object('lot', id, 'of', points, 'earned_at', activates_at)
      FROM loyalty_lot WHERE expires_at IS NOT NULL
    """,
    """
    INSERT INTO bench_draw (entry_id, lot_id, points) SELECT id, id, -points FROM bench_entry WHERE seq = 3
    """,
)
BARE_STANDINGS = (
    """
    INSERT INTO bench_tierstanding (member_id, tier_id, since, measures, evaluated_at)
    SELECT member_id, (SELECT min(id) FROM loyalty_tier), now(), jsonb_build_object('spend', sum(value)::text), now()
      FROM members_purchase GROUP BY member_id
    """,
)
BARE_COPY = ("INSERT INTO bench_copy SELECT * FROM loyalty_entry",)


def measure(size: int) -> Iterator[Measurement]:
    """Fill an empty programme with so many members and let every job run over it once."""
    populate(size)
    _make_bare_tables()
    part = partial(Measurement, rows=size)
    yield part(
        name="award points to every member at once",
        floor_name="a bare INSERT … SELECT of as many entries and lots",
        floor=_bare(BARE_AWARD),
        ours=seconds(_award_all),
    )
    yield from _reads(size)
    yield part(
        name="expire a lot of every member",
        floor_name="a bare INSERT … SELECT of as many entries and draws",
        floor=_bare(BARE_EXPIRY),
        ours=seconds(lambda: ledger.expire_due(NOW)),
    )
    standings = partial(
        part,
        floor_name="a bare INSERT … SELECT of as many standings from the purchases",
        floor=_bare(BARE_STANDINGS),
    )
    yield standings(name="recalculate all tiers, as every night", ours=seconds(lambda: recalculate(size, NOW)))
    yield standings(
        name="recalculate all tiers by a new scheme", ours=seconds(lambda: recalculate(size, NOW, everyone=True))
    )
    entries = partial(
        Measurement,
        floor_name="a bare INSERT … SELECT of as many entries",
        rows=Entry.objects.count(),
        floor=_bare(BARE_COPY),
    )
    yield entries(name="seal the whole ledger", ours=seconds(_seal))
    yield entries(name="verify the whole programme", ours=seconds(_verify))


@transaction.atomic
def _award_all() -> None:
    with connection.cursor() as cursor:
        cursor.execute(f"CREATE TEMPORARY TABLE bench_awards ({ledger.STAGING_COLUMNS}) ON COMMIT DROP")
        cursor.execute(
            "INSERT INTO bench_awards (member_id, points, key, occurred_at, activates_at, explanation, place)"
            """ SELECT id, 1, 'bench:all:' || id, now(), now(), '{"campaign": "bench"}', id FROM members_member"""
        )
        ledger.post_awards(cursor, "bench_awards")


def _seal() -> None:
    last = Entry.objects.latest("id").pk
    while True:
        with transaction.atomic(), connection.cursor() as cursor:
            if not sealing.seal_up_to(cursor, last):
                return


def _verify() -> None:
    for check in verify.checks():
        if check.offending():
            raise RuntimeError(f"{check.key} does not hold")


def _reads(size: int) -> Iterator[Measurement]:
    """The slow end counts here, not the sum."""
    wanted = [1 + place * 7919 % size for place in range(READS)]
    ours = _percentiles(lambda pk: ledger.balances_of(pk, NOW), wanted)
    floor = _percentiles(_bare_read, wanted)
    for share, mine, bare in zip((50, 95, 99), ours, floor, strict=True):
        yield Measurement(
            name=f"read a balance of every sort, p{share}",
            floor_name=f"one row by its key, p{share}",
            rows=1,
            ours=mine,
            floor=bare,
        )


def _percentiles(read: Callable[[int], object], members: Sequence[int]) -> list[float]:
    took = []
    for pk in members:
        began = perf_counter()
        read(pk)
        took.append(perf_counter() - began)
    took.sort()
    return [took[len(took) * share // 100] for share in (50, 95, 99)]


def _bare_read(member_id: int) -> None:
    with connection.cursor() as cursor:
        cursor.execute(READ, [member_id])
        cursor.fetchone()


def _bare(statements: Sequence[LiteralString]) -> float:
    """Seconds that the bare statements take, in one transaction."""

    @transaction.atomic
    def run() -> None:
        with connection.cursor() as cursor:
            for statement in statements:
                cursor.execute(statement)

    return seconds(run)


def _make_bare_tables() -> None:
    """Equal tables: the same columns, indexes, checks and foreign keys, without triggers of our own."""
    likes = {"entry": "entry", "lot": "lot", "draw": "draw", "tierstanding": "tierstanding", "copy": "entry"}
    with connection.cursor() as cursor:
        for name, ours in likes.items():
            bare, table = sql.Identifier(f"bench_{name}"), f"loyalty_{ours}"
            made = sql.SQL("CREATE TABLE {} (LIKE {} INCLUDING ALL)").format(bare, sql.Identifier(table))
            for statement in [made, *adding_foreign_keys(cursor, table, bare)]:
                cursor.execute(statement.as_string())
