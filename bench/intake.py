"""Purchases, alone and over HTTP, against bare statements."""

import json
import os
import secrets
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime
from decimal import Decimal
from functools import partial
from http.client import HTTPConnection
from itertools import count
from typing import Any, Final, LiteralString, NamedTuple

import psycopg
from django.conf import settings
from django.db import connection
from django.db.models import Count, Max

from bench.equal import make_equal
from bench.measuring import Measurement, seconds
from config import embedded
from loyalty import intake
from members.models import Member, Purchase
from staff import api_keys
from staff.permissions import Scope

Buyer = tuple[int, str]

NOW: Final = datetime.now(UTC)
SINGLES: Final = 500
BATCH: Final = 100
# So many are not counted: by then every statement is prepared, and the server has loaded what it needs.
WARM_UP: Final = 20
RECEIPTS: Final = count(1)


class Earned(NamedTuple):
    """A purchase as the floor repeats it."""

    member_id: int
    awards: int


# What a program written for one rule and these tiers would send for a purchase, one statement for each of ours:
# the same rows written and read, in equal tables that hold the same rows, prepared, in as many journeys. What it lacks
# is what ours is for: rules, tiers and their history that anybody can change, and checks that the points add up.
BARE_WRITE: Final = """
WITH account AS MATERIALIZED (
    SELECT member_id, balance, version FROM floor.loyalty_account WHERE member_id = %(member)s FOR UPDATE
), made AS (
    INSERT INTO floor.members_purchase (key, member_id, purchased_at, amount, currency, rate, value, channel, store,
                                        category, external_id, input_hash, created_at)
    SELECT %(key)s, member_id, %(at)s::timestamptz, 100, 'CNY', 1, 100, '', '', '', '', %(hash)s, now()
      FROM account ON CONFLICT (key) DO NOTHING RETURNING id
)
SELECT balance, version, made.id FROM account, made
"""
BARE_RULE: Final = """
SELECT rule.id, definition, (SELECT jsonb_object_agg(tier_id, value) FROM loyalty_tierthreshold), tier_id, since
  FROM loyalty_ruleversion rule LEFT JOIN floor.loyalty_tierstanding ON member_id = %(member)s
 WHERE state = 'active'
"""
BARE_SPEND: Final = """
SELECT sum(value - refunded_value) FROM floor.members_purchase
 WHERE member_id = %(member)s AND purchased_at > now() - interval '1 year'
"""
BARE_AWARD: Final = """
WITH entry AS (
    INSERT INTO floor.loyalty_entry (member_id, seq, kind, points, balance_after, qualifying, debt, debt_after,
                                     occurred_at, created_at, idempotency_key, input_hash, purchase_id,
                                     rule_version_id, explanation)
    VALUES (%(member)s, %(seq)s, 'earn', 100, %(balance)s, 100, 0, 0, %(at)s, now(), %(key)s, %(hash)s, %(purchase)s,
            %(rule)s, %(explanation)s)
    ON CONFLICT (idempotency_key) DO NOTHING RETURNING id
), moved AS (
    UPDATE floor.loyalty_account SET balance = %(balance)s, version = %(seq)s FROM entry WHERE member_id = %(member)s
)
INSERT INTO floor.loyalty_lot (entry_id, member_id, points, remaining, activates_at, expires_at)
SELECT id, %(member)s, 100, 100, %(at)s, %(at)s + interval '2 years' FROM entry
"""
BARE_STANDING: Final = """
INSERT INTO floor.loyalty_tierstanding (member_id, tier_id, since, measures, evaluated_at)
VALUES (%(member)s, %(tier)s, %(since)s, jsonb_build_object('spend', %(spend)s::numeric), now())
ON CONFLICT (member_id) DO UPDATE SET tier_id = excluded.tier_id, since = excluded.since,
   measures = excluded.measures, evaluated_at = excluded.evaluated_at
"""
EXPLANATION: Final = json.dumps({"rule": "Points for purchases", "value": "100.00", "steps": ["." * 200]})
LOOP: Final = "a bare psycopg loop with the same statements"


def measure(size: int) -> Iterator[Measurement]:
    """One by one in the service layer, then over HTTP, alone and in batches."""
    make_equal("members_purchase", "loyalty_account", "loyalty_entry", "loyalty_lot", "loyalty_tierstanding")
    everybody = list(Member.objects.order_by("id").values_list("id", "number"))
    members = [everybody[place % len(everybody)] for place in range(SINGLES)]
    yield _beside_the_floor("purchase, in the service layer", _purchases, members)
    with _server() as post:
        yield _beside_the_floor("purchase over HTTP, one by one", partial(_one_by_one, post), members)
        yield _beside_the_floor(f"purchase over HTTP, {BATCH} at a time", partial(_in_a_batch, post), members)


def _beside_the_floor(name: str, ours: Callable[[Sequence[Buyer]], None], members: Sequence[Buyer]) -> Measurement:
    """Ours and the floor by turns, so that both find the machine as busy; the floor awards as often as ours did."""
    took = floor = 0.0
    ours(members[:WARM_UP])
    _bare_purchases([Earned(pk, 1) for pk, _number in members[:WARM_UP]])
    for first in range(0, len(members), BATCH):
        last = _last_purchase()
        took += seconds(partial(ours, members[first : first + BATCH]))
        floor += seconds(partial(_bare_purchases, _earned_since(last)))
    return Measurement(name=name, floor_name=LOOP, rows=len(members), ours=took, floor=floor)


def _last_purchase() -> int:
    last: int = Purchase.objects.aggregate(last=Max("pk", default=0))["last"]
    return last


def _earned_since(last: int) -> list[Earned]:
    """The purchases after this one, each with the number of awards that it got: one for each rule that fired."""
    made = Purchase.objects.filter(pk__gt=last).order_by("pk").annotate(awards=Count("entries"))
    return [Earned(*row) for row in made.values_list("member_id", "awards")]


def _purchases(members: Sequence[Buyer]) -> None:
    for pk, _number in members:
        key = f"bench:{next(RECEIPTS)}"
        intake.record_purchase(member_id=pk, key=key, purchased_at=NOW, amount=Decimal(100))


def _bare_purchases(purchases: Sequence[Earned]) -> None:
    for member_id, awards in purchases:
        _bare_purchase(member_id, f"bare:{next(RECEIPTS)}", awards)


def _bare_purchase(member_id: int, key: str, awards: int) -> None:
    """As psycopg does it by itself: prepared from the sixth time on."""
    bare = connection.connection
    with bare.transaction(), psycopg.Cursor(bare) as cursor:
        values = {"member": member_id, "key": key, "at": NOW, "hash": secrets.token_bytes(32)}
        balance, version, purchase = _row(cursor, BARE_WRITE, values)
        rule, _definition, _thresholds, tier, since = _row(cursor, BARE_RULE, values)
        (spend,) = _row(cursor, BARE_SPEND, values)
        values |= {"purchase": purchase, "rule": rule, "explanation": EXPLANATION}
        for nth in range(1, awards + 1):
            told = {"key": f"{key}:{nth}", "seq": version + nth, "balance": balance + 100 * nth}
            cursor.execute(BARE_AWARD, values | told)
        cursor.execute(BARE_STANDING, values | {"tier": tier or 1, "since": since or NOW, "spend": spend})


def _row(cursor: psycopg.Cursor[Any], statement: LiteralString, values: dict[str, Any]) -> tuple[Any, ...]:
    row: tuple[Any, ...] | None = cursor.execute(statement, values).fetchone()
    if row is None:
        raise LookupError(statement)
    return row


def _one_by_one(post: Callable[[str, str, Any], None], members: Sequence[Buyer]) -> None:
    for _pk, number in members:
        sale = _sale(number)
        post("/api/v1/purchases/", sale["receipt"], sale)


def _in_a_batch(post: Callable[[str, str, Any], None], members: Sequence[Buyer]) -> None:
    sales = [_sale(number) for _pk, number in members]
    post("/api/v1/purchases/batch/", sales[0]["receipt"], {"purchases": sales})


def _sale(number: str) -> dict[str, str]:
    receipt = f"bench-{next(RECEIPTS)}"
    return {"member": number, "receipt": receipt, "purchased_at": NOW.isoformat(), "amount": "100.00"}


@contextmanager
def _server() -> Iterator[Callable[[str, str, Any], None]]:
    """The web server as it runs in production, and a connection to it that stays open."""
    _key, secret = api_keys.create(name="Bench", scopes=Scope.values, user=None)
    [port] = embedded.free_ports(1)
    server = subprocess.Popen(
        [sys.executable, "-m", "gunicorn", "-c", "config/gunicorn.py", "config.wsgi"],
        cwd=settings.BASE_DIR,
        env=os.environ | _production(port),
    )
    try:
        client = HTTPConnection("127.0.0.1", port)
        _await(client)

        def post(path: str, key: str, body: Any) -> None:
            headers = {
                "Authorization": f"Bearer {secret}",
                "Idempotency-Key": key,
                "Content-Type": "application/json",
            }
            client.request("POST", path, json.dumps(body), headers)
            answer = client.getresponse()
            text = answer.read()
            if answer.status not in {200, 201}:
                raise RuntimeError(f"{path} answers {answer.status}: {text[:300]!r}")

        yield post
        client.close()
    finally:
        server.terminate()
        server.wait()


def _production(port: int) -> dict[str, str]:
    """The settings that production asks for; requests come without the proxy that would end TLS."""
    server = embedded.database_url().rsplit("/", 1)[0]
    return {
        "STEADFAST_MODE": "production",
        "DATABASE_URL": f"{server}/{connection.settings_dict['NAME']}",
        "REDIS_URL": settings.REDIS_URL,
        "SECRET_KEY": secrets.token_urlsafe(50),
        "ALLOWED_HOSTS": "127.0.0.1",
        "DEFAULT_FROM_EMAIL": "bench@example.com",
        "EMAIL_HOST": "127.0.0.1",
        "SECURE_SSL_REDIRECT": "false",
        "BIND": f"127.0.0.1:{port}",
    }


def _await(client: HTTPConnection) -> None:
    """Wait until it answers."""
    deadline = time.monotonic() + 60
    while True:
        try:
            client.request("GET", "/healthz")
            client.getresponse().read()
        except ConnectionRefusedError:
            client.close()
            if time.monotonic() > deadline:
                raise
            time.sleep(0.2)
        else:
            return
