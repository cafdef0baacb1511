"""The nightly look at everybody: what left the window, validity that ended, a scheme that changed."""

from datetime import datetime
from typing import Any, Final

from django.db import connection, transaction
from django.utils import timezone
from django.utils.translation import gettext as _
from psycopg import sql

from loyalty import ledger
from loyalty.tier_models import TierScheme
from loyalty.tiers import counting
from loyalty.tiers.ladder import Ladder, ladder
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
    last = last_member()
    progress.update(0, total=last, step=_("looking at what counts"))
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

    ``everyone`` judges all of them by the scheme as it is now, which a new scheme needs: what happened
    before it was saved is not to be judged by it.
    """
    steps = ladder()
    params = counting.params(steps, now, first, last)
    with connection.cursor() as cursor:
        count(cursor, steps, params)
        members = movable(cursor, steps, params, everyone=everyone)
        if members:
            ledger.lock_accounts(
                cursor, sql.SQL("SELECT unnest({}::bigint[]) AS member_id").format(sql.Literal(members))
            )
        moved = evaluate(cursor, members, ladder=steps, now=now, afresh=everyone)
        cursor.execute(_VALUES_MOVED.replace("{told}", counting.told_sql(steps)), params)
        looked: int = cursor.rowcount
    return {"looked": looked, "moves": moved}


def count(cursor: Any, steps: Ladder, params: dict[str, Any]) -> None:
    """Make the temporary table ``loyalty_counted``: what counts now, for the members of a range."""
    cursor.execute("DROP TABLE IF EXISTS pg_temp.loyalty_counted")
    cursor.execute(
        "CREATE TEMPORARY TABLE loyalty_counted ON COMMIT DROP AS"
        f" WITH looked AS ({counting.RANGE}) {counting.sums_sql(steps)}",
        params,
    )


def movable(cursor: Any, steps: Ladder, params: dict[str, Any], *, everyone: bool = False) -> list[int]:
    """Members of the range whose standing can change now, or with ``everyone`` all who are not at the bottom of it."""
    cursor.execute(_movable_sql(steps, "everyone" if everyone else "some"), params)
    return [row[0] for row in cursor.fetchall()]


def _movable_sql(steps: Ladder, who: str) -> str:
    falls = FALLS if steps.scheme.downgrade != TierScheme.Downgrade.NONE else "false"
    if not steps.scheme.valid_months:
        falls = falls.replace("{due}", "true")
    return (
        _MOVABLE.replace("{net}", counting.place_sql(steps, "net"))
        .replace("{held}", counting.place_sql(steps, "held"))
        .replace("{falls}", falls.replace("{due}", "(valid_until IS NULL OR valid_until <= %(now)s)"))
        .replace("{everyone}", "true" if who == "everyone" else "false")
    )


def last_member() -> int:
    """The highest id of a member; 0 where there is none."""
    with connection.cursor() as cursor:
        cursor.execute("SELECT coalesce(max(id), 0) FROM members_member")
        last: int = cursor.fetchone()[0]
    return last


FALLS: Final = "holds < earned AND {due} AND (grace_until IS NULL OR grace_until <= %(now)s)"

_MOVABLE: Final = """
SELECT member_id FROM (
    SELECT member_id, {net} AS reaches, {held} AS holds, valid_until, grace_until, next_at,
           coalesce(array_position(%(tiers)s::bigint[], coalesce(earned_tier_id, tier_id)), 1) - 1 AS earned
      FROM loyalty_counted
      FULL JOIN (SELECT * FROM loyalty_tierstanding WHERE member_id BETWEEN %(first)s AND %(last)s) standing
           USING (member_id)) AS placed
 WHERE reaches > earned OR ({falls}) OR next_at <= %(now)s
    OR ({everyone} AND (earned > 0 OR next_at IS NOT NULL))
 ORDER BY member_id
"""

_VALUES_MOVED: Final = """
UPDATE loyalty_tierstanding standing SET measures = now_is.measures
  FROM (SELECT other.member_id, {told} AS measures
          FROM (SELECT * FROM loyalty_tierstanding WHERE member_id BETWEEN %(first)s AND %(last)s) other
          LEFT JOIN loyalty_counted counted USING (member_id)) now_is
 WHERE standing.member_id = now_is.member_id AND standing.measures IS DISTINCT FROM now_is.measures
"""
