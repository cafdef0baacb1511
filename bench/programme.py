"""The core of a programme: purchases, alone and over HTTP, and the jobs over everybody, against bare statements."""

import json
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from functools import partial
from http.client import HTTPConnection
from time import perf_counter
from typing import Any

from django.core.handlers.wsgi import WSGIHandler
from django.db import connection, transaction
from django.test.testcases import LiveServerThread
from psycopg import sql

from bench.measuring import Measurement, seconds
from loyalty import intake, ledger, tiers, verify
from loyalty.ledger import sealing
from loyalty.models import Entry
from members.models import Member, Purchase
from staff import api_keys
from staff.permissions import Scope

NOW = datetime.now(UTC)
SINGLES = 500
BATCH = 100
READS = 1_000
# The same statements that one purchase takes, without rules, hashes, checks and explanation.
BARE_PURCHASE = (
    "SELECT balance, version FROM bench_account WHERE member_id = %(member)s FOR UPDATE",
    """
    INSERT INTO bench_purchase (member_id, key, external_id, purchased_at, amount, currency, rate, value, channel,
                                store, category, created_at)
    VALUES (%(member)s, %(key)s, '', now(), 100, 'CNY', 1, 100, '', '', '', now())
    """,
    "SELECT sum(value) FROM members_purchase WHERE member_id = %(member)s AND purchased_at > now() - interval '1 year'",
    "SELECT 1 FROM bench_entry WHERE idempotency_key = %(key)s",
    """
    WITH entry AS (
        INSERT INTO bench_entry (member_id, seq, kind, points, balance_after, occurred_at, idempotency_key)
        VALUES (%(member)s, %(place)s, 'earn', 100, 100, now(), %(key)s) RETURNING id)
    INSERT INTO bench_lot (entry_id, member_id, points, remaining, activates_at)
    SELECT id, %(member)s, 100, 100, now() FROM entry
    """,
    "UPDATE bench_account SET balance = balance + 100, version = version + 1 WHERE member_id = %(member)s",
)
LOOP = "a bare psycopg loop with the same statements"
READ = "SELECT balance FROM loyalty_account WHERE member_id = %s"


def measure(size: int) -> Iterator[Measurement]:
    """Intake, then the jobs over everybody. Runs after the suite on the ledger, whose bare tables it uses."""
    _make_bare_tables()
    members = list(Member.objects.order_by("id").values_list("id", "number"))
    some = [members[place % len(members)] for place in range(SINGLES)]
    yield from _intake(some)
    yield from _reads([pk for pk, _number in some])
    yield from _jobs(size)


def _intake(members: Sequence[tuple[int, str]]) -> Iterator[Measurement]:
    bare = seconds(lambda: _bare_purchases([pk for pk, _number in members]))
    part = partial(Measurement, floor_name=LOOP, rows=len(members), floor=bare)
    yield part(name="purchase, in the service layer", ours=seconds(lambda: _purchases([pk for pk, _ in members])))
    with _server() as post:
        yield part(name="purchase over HTTP, one by one", ours=seconds(lambda: _one_by_one(post, members)))
        yield part(name=f"purchase over HTTP, {BATCH} at a time", ours=seconds(lambda: _in_batches(post, members)))


def _purchases(members: Sequence[int]) -> None:
    for place, pk in enumerate(members):
        intake.record_purchase(member_id=pk, key=f"bench:{place}", purchased_at=NOW, amount=Decimal(100))


def _bare_purchases(members: Sequence[int]) -> None:
    bare = connection.connection
    for place, pk in enumerate(members):
        values = {"member": pk, "key": f"bare:one:{place}", "place": -1_000_000 - place}
        with bare.transaction(), bare.cursor() as cursor:
            for statement in BARE_PURCHASE:
                cursor.execute(statement, values)


def _one_by_one(post: Callable[[str, str, Any], None], members: Sequence[tuple[int, str]]) -> None:
    for place, (_pk, number) in enumerate(members):
        post("/api/v1/purchases/", f"one-{place}", _sale(number, f"one-{place}"))


def _in_batches(post: Callable[[str, str, Any], None], members: Sequence[tuple[int, str]]) -> None:
    for first in range(0, len(members), BATCH):
        sales = [_sale(number, f"batch-{first}-{place}") for place, (_pk, number) in enumerate(members[first:][:BATCH])]
        post("/api/v1/purchases/batch/", f"batch-{first}", {"purchases": sales})


def _sale(number: str, receipt: str) -> dict[str, str]:
    return {"member": number, "receipt": receipt, "purchased_at": NOW.isoformat(), "amount": "100.00"}


@contextmanager
def _server() -> Iterator[Callable[[str, str, Any], None]]:
    """A web server on a thread of this process, and a connection to it that stays open."""
    _key, secret = api_keys.create(name="Bench", scopes=Scope.values, user=None)
    server = LiveServerThread("127.0.0.1", _Plain)
    server.daemon = True
    server.start()
    server.is_ready.wait()
    client = HTTPConnection("127.0.0.1", server.port)

    def post(path: str, key: str, body: Any) -> None:
        headers = {
            "Authorization": f"Bearer {secret}",
            "Idempotency-Key": key,
            "Content-Type": "application/json",
            "X-Forwarded-Proto": "https",
        }
        client.request("POST", path, json.dumps(body), headers)
        answer = client.getresponse()
        text = answer.read()
        if answer.status not in {200, 201}:
            raise RuntimeError(f"{path} answers {answer.status}: {text[:300]!r}")

    try:
        yield post
    finally:
        client.close()
        server.terminate()


class _Plain(WSGIHandler):
    """The application without static files. The server's thread asks for a handler around another one."""

    def __init__(self, inner: object = None) -> None:
        super().__init__()


def _reads(members: Sequence[int]) -> Iterator[Measurement]:
    """The slow end counts here, not the sum."""
    wanted = [members[place % len(members)] for place in range(READS)]
    ours = _percentiles(lambda pk: ledger.balances_of(pk, NOW), wanted)
    floor = _percentiles(_bare_read, wanted)
    for share, mine, bare in zip((50, 95, 99), ours, floor, strict=True):
        yield Measurement(
            name=f"read a balance of every sort, p{share} ({mine * 1000:.2f} ms)",
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


def _jobs(size: int) -> Iterator[Measurement]:
    _award_what_expires()
    yield Measurement(
        name="expire a lot of every member",
        floor_name="a bare INSERT … SELECT of as many entries and draws",
        rows=size,
        ours=seconds(_expire),
        floor=seconds(lambda: _bare(BARE_EXPIRY)),
    )
    yield Measurement(
        name="recalculate all tiers",
        floor_name="a bare INSERT … SELECT of as many standings from the purchases",
        rows=size,
        ours=seconds(_recalculate),
        floor=seconds(lambda: _bare(BARE_STANDINGS)),
    )
    entries = Entry.objects.count()
    floor = seconds(lambda: _bare(BARE_COPY))
    part = partial(Measurement, floor_name="a bare INSERT … SELECT of as many entries", rows=entries, floor=floor)
    yield part(name="seal the whole ledger", ours=seconds(_seal))
    yield part(name="verify the whole programme", ours=seconds(_verify))


def _award_what_expires() -> None:
    with transaction.atomic(), connection.cursor() as cursor:
        cursor.execute(f"CREATE TEMPORARY TABLE bench_awards ({ledger.STAGING_COLUMNS}) ON COMMIT DROP")
        cursor.execute(
            "INSERT INTO bench_awards (member_id, points, key, occurred_at, expires_at, explanation, place)"
            " SELECT id, 5, 'bench:expires:' || id, %(then)s, %(soon)s, '{}', id FROM members_member",
            {"then": NOW - timedelta(days=9), "soon": NOW - timedelta(days=1)},
        )
        ledger.post_awards(cursor, "bench_awards")


def _expire() -> None:
    while ledger.expire_due(NOW)[0]:
        pass


def _recalculate() -> None:
    last = Member.objects.latest("id").pk
    for first in range(0, last + 1, tiers.recalculation.CHUNK):
        tiers.recalculate(NOW, first=first, last=first + tiers.recalculation.CHUNK - 1, everyone=True)


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


BARE_EXPIRY = (
    """
    INSERT INTO bench_entry (member_id, seq, kind, points, balance_after, occurred_at, idempotency_key)
    SELECT id, 3000000, 'expire', -5, 0, now(), 'bare:expire:' || id FROM members_member
    """,
    "INSERT INTO bench_draw (entry_id, lot_id, points) SELECT id, id, 5 FROM bench_entry WHERE seq = 3000000",
)
BARE_STANDINGS = ("INSERT INTO bench_standing SELECT member_id, sum(value) FROM members_purchase GROUP BY member_id",)
BARE_COPY = ("INSERT INTO bench_copy SELECT * FROM loyalty_entry",)


@transaction.atomic
def _bare(statements: Sequence[str]) -> None:
    with connection.cursor() as cursor:
        for statement in statements:
            cursor.execute(statement)


def _make_bare_tables() -> None:
    """Equal tables without triggers; the suite on the ledger made those of accounts, entries and lots."""
    likes = {"bench_purchase": Purchase, "bench_copy": Entry}
    with connection.cursor() as cursor:
        for name, model in likes.items():
            bare, ours = sql.Identifier(name), sql.Identifier(model._meta.db_table)
            statement = sql.SQL("CREATE TABLE {} (LIKE {} INCLUDING ALL)").format(bare, ours)
            cursor.execute(statement.as_string(connection.connection))
        cursor.execute("CREATE TABLE bench_draw (LIKE loyalty_draw INCLUDING ALL)")
        cursor.execute("CREATE TABLE bench_standing (member_id bigint PRIMARY KEY, value numeric)")
