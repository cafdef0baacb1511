"""The nightly look at everybody: spend that left the window, thresholds that changed."""

from datetime import datetime
from typing import Any, Final

from django.db import connection, transaction
from django.utils import timezone
from django.utils.translation import gettext as _
from psycopg import sql

from loyalty.ledger.bulk import lock_accounts
from loyalty.tiers.ladder import LEAVES_SQL, PLACE_SQL, Ladder, ladder
from loyalty.tiers.standing import evaluate
from staff import jobs
from staff.models import Job

JOB: Final = "recalculate-tiers"
# Members of one transaction, by id range: large enough to be set-based, small enough to hold few locks.
CHUNK: Final = 50_000


@jobs.handler(JOB)
def run(job: Job, progress: jobs.Progress) -> dict[str, Any]:
    """Look at every member in chunks; each chunk is kept, so that a killed run goes on without harm."""
    looked = moves = 0
    last = _last_member()
    progress.update(0, total=last, step=_("looking at spend"))
    for start in range(0, last + 1, CHUNK):
        some = recalculate(
            timezone.now(), first=start, last=start + CHUNK - 1, everyone=bool(job.payload.get("everyone"))
        )
        looked, moves = looked + some["looked"], moves + some["moves"]
        progress.update(min(start + CHUNK, last))
    return {"standings": looked, "moves": moves}


@transaction.atomic
def recalculate(now: datetime, *, first: int, last: int, everyone: bool = False) -> dict[str, int]:
    """Bring the members with ids from ``first`` to ``last`` up to date.

    ``everyone`` marks all of them as looked at now, which new thresholds need: what happened before
    they were saved is not to be judged by them.
    """
    steps = ladder()
    params = steps.params() | {"now": now, "first": first, "last": last, "everyone": everyone}
    with connection.cursor() as cursor:
        cursor.execute(
            "CREATE TEMPORARY TABLE IF NOT EXISTS loyalty_spend (member_id bigint, spend numeric, place int)"
        )
        cursor.execute("TRUNCATE loyalty_spend")
        cursor.execute(_SPEND, params)
        if everyone:
            cursor.execute(_LOOKED_AT, params)
        moved = _evaluate_moved(cursor, steps, params, now)
        cursor.execute(_SPEND_MOVED, params)
        looked: int = cursor.rowcount
    return {"looked": looked, "moves": moved}


def _evaluate_moved(cursor: Any, steps: Ladder, params: dict[str, Any], now: datetime) -> int:
    cursor.execute(_MOVED, params)
    members = [row[0] for row in cursor.fetchall()]
    if not members:
        return 0
    lock_accounts(cursor, sql.SQL("SELECT unnest({}::bigint[]) AS member_id").format(sql.Literal(members)))
    return evaluate(cursor, members, ladder=steps, now=now)


def _last_member() -> int:
    with connection.cursor() as cursor:
        cursor.execute("SELECT coalesce(max(id), 0) FROM members_member")
        last: int = cursor.fetchone()[0]
    return last


_SPEND: Final = f"""
INSERT INTO loyalty_spend
SELECT member_id, spend, {PLACE_SQL} FROM (
    SELECT member_id, sum(value) FILTER (WHERE {LEAVES_SQL} > %(now)s) AS bought
      FROM members_purchase
     WHERE member_id BETWEEN %(first)s AND %(last)s AND purchased_at <= %(now)s
       AND purchased_at > %(now)s - interval '13 months'
     GROUP BY member_id
    ) AS counted, LATERAL (SELECT coalesce(bought, 0) AS spend) AS filled
"""  # noqa: S608

_MOVED: Final = """
SELECT member_id
  FROM loyalty_spend counted
  FULL JOIN (SELECT member_id, tier_id FROM loyalty_tierstanding
              WHERE member_id BETWEEN %(first)s AND %(last)s) standing USING (member_id)
 WHERE coalesce(array_position(%(tiers)s::bigint[], standing.tier_id), 1) <> coalesce(counted.place, 1)
 ORDER BY member_id
"""

_LOOKED_AT: Final = """
UPDATE loyalty_tierstanding SET evaluated_at = %(now)s - interval '1 microsecond'
 WHERE member_id BETWEEN %(first)s AND %(last)s
"""

_SPEND_MOVED: Final = """
UPDATE loyalty_tierstanding standing SET spend_12m = coalesce(counted.spend, 0)
  FROM loyalty_tierstanding other LEFT JOIN loyalty_spend counted USING (member_id)
 WHERE standing.member_id = other.member_id AND other.member_id BETWEEN %(first)s AND %(last)s
   AND other.spend_12m <> coalesce(counted.spend, 0)
"""
