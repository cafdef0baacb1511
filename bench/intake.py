"""Purchases, alone and over HTTP, against bare statements."""

import json
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime
from decimal import Decimal
from functools import partial
from http.client import HTTPConnection
from typing import Any

import psycopg
from django.core.handlers.wsgi import WSGIHandler
from django.db import connection
from django.test.testcases import LiveServerThread

from bench.measuring import Measurement, seconds
from loyalty import intake
from members.models import Member
from staff import api_keys
from staff.permissions import Scope

NOW = datetime.now(UTC)
SINGLES = 500
BATCH = 100
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


def measure(size: int) -> Iterator[Measurement]:
    """Runs after the suite on the ledger, whose bare tables it uses."""
    _make_bare_tables()
    members = list(Member.objects.order_by("id").values_list("id", "number"))
    some = [members[place % len(members)] for place in range(SINGLES)]
    yield from _intake(some)


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
    """As psycopg does it by itself: prepared from the sixth time on."""
    bare = connection.connection
    for place, pk in enumerate(members):
        values = {"member": pk, "key": f"bare:one:{place}", "place": -1_000_000 - place}
        with bare.transaction(), psycopg.Cursor(bare) as cursor:
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


def _make_bare_tables() -> None:
    """An equal table without triggers; the suite on the ledger made those of accounts, entries and lots."""
    with connection.cursor() as cursor:
        cursor.execute("CREATE TABLE bench_purchase (LIKE members_purchase INCLUDING ALL)")
