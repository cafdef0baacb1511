"""Collects facts and rollups: what came in since the last time, and what that changes.

A fill has two parts. *Discovery* finds the members (and the months of answers) whose raw rows are new
since the cursor and queues them, in one transaction with the new cursor. The *queue* is then worked off
in batches, each in a transaction of its own: off the sums, facts rewritten from the raw rows, on the
sums. A fill that is killed leaves state "started" and the rest of the queue; the next one goes on there.

Rows commit out of the order of their ids: an import that runs for ten minutes commits rows with lower
ids than those written meanwhile. So the cursor is a snapshot, not an id: a row is new when the
transaction that wrote it (its ``xmin``) was not over at the last discovery. To find such rows by the
primary key alone, each discovery also leaves a mark (highest id, next transaction), and a later one reads
from the last mark whose transactions were all over at the time of the cursor. See docs/adr/0004.
"""

import logging
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from django.conf import settings
from django.db import connection, transaction
from django.db.backends.utils import CursorWrapper
from django.utils import timezone

from analytics import facts, rollups
from analytics.models import Collection
from campaigns.models import Campaign
from loyalty.models import Tier
from members.models import ImportRun

logger = logging.getLogger(__name__)

KEY = "facts"
# Raised when the meaning of a fact changes: the next fill then rebuilds everything.
VERSION = 3
BATCH_MEMBERS = 20_000
MARKS_KEPT = 200
LOCK = 5_107_004  # an arbitrary number of our own, for pg_advisory_xact_lock

# Raw tables whose new rows change the facts of the member they name.
MEMBER_SOURCES = {
    "members_member": "id",
    "members_purchase": "member_id",
    "members_refund": "member_id",
    "members_exposure": "member_id",
    "loyalty_entry": "member_id",
    "loyalty_tierchange": "member_id",
    "campaigns_campaignevent": "member_id",
}
ANSWERS = "members_surveyresponse"

# xmin has 32 bits. Counted back from the next transaction (64 bits) it is unambiguous.
IS_NEW = "((%(next)s - xmin::text::bigint) & 4294967295) <= %(next)s - %(since)s"


@dataclass(frozen=True)
class Collected:
    """What one call did: members whose facts were rewritten, and the moment the figures stand for."""

    members: int
    as_of: datetime | None
    rebuilt: bool = False
    busy: bool = False


@dataclass(frozen=True)
class Snapshot:
    """Where the raw tables stand: transactions before ``oldest`` are over, those from ``next`` not begun."""

    oldest: int
    next: int
    highest: dict[str, int]


def collect(*, rebuild: bool = False, echo: Callable[[int, int], None] | None = None) -> Collected:
    """Bring facts and rollups up to the raw rows. ``echo`` is told members done and members found.

    Any number of calls may run at once: each step takes a lock. One that finds another in its discovery
    does nothing and says ``busy``.
    """
    found = _discover(rebuild)
    if found is None:
        return Collected(members=0, as_of=None, busy=True)
    rebuilt, total = found
    if total > BATCH_MEMBERS:
        _refresh_planner([*MEMBER_SOURCES, ANSWERS])
    done = 0
    while size := _work_off_batch():
        if not done and total > BATCH_MEMBERS:
            _refresh_planner(facts.FACT_TABLES)
        done += size
        if echo:
            echo(done, max(total, done))
    return Collected(members=done, as_of=_finish(), rebuilt=rebuilt)


def pending() -> int:
    """How many members wait for their facts to be rewritten."""
    with connection.cursor() as cursor:
        cursor.execute("SELECT count(*) FROM analytics_stalemember")
        return int(cursor.fetchone()[0])


@contextmanager
def _locked_step(*, wait: bool) -> Iterator[CursorWrapper | None]:
    """A transaction that no other collector shares; None where another has the lock and we do not wait."""
    with transaction.atomic(), connection.cursor() as cursor:
        if wait:
            cursor.execute("SELECT pg_advisory_xact_lock(%s)", [LOCK])
        else:
            cursor.execute("SELECT pg_try_advisory_xact_lock(%s)", [LOCK])
            if not cursor.fetchone()[0]:
                yield None
                return
        yield cursor


def _discover(rebuild: bool) -> tuple[bool, int] | None:
    """Queue what is new and move the cursor. Returns whether all is rebuilt, and how many are queued."""
    with _locked_step(wait=False) as cursor:
        if cursor is None:
            return None
        collection, _ = Collection.objects.get_or_create(
            key=KEY, defaults={"state": Collection.State.DONE, "started_at": timezone.now()}
        )
        now = timezone.now()
        snapshot = _snapshot(cursor)
        last = collection.cursor
        shape = _shape()
        if rebuild or last.get("shape") != shape or last["oldest"] > snapshot.next:
            rebuild = True
            _queue_everything(cursor)
            marks: list[list[Any]] = []
        else:
            marks = last["marks"]
            _queue_news(cursor, last, snapshot)
        collection.cursor = {
            "shape": shape,
            "goal_days": _goal_days(),
            "oldest": snapshot.oldest,
            "marks": [*marks, [snapshot.next, snapshot.highest]][-MARKS_KEPT:],
        }
        collection.state = Collection.State.STARTED
        collection.started_at = now
        collection.save(update_fields=["cursor", "state", "started_at"])
        cursor.execute("SELECT count(*) FROM analytics_stalemember")
        return rebuild, int(cursor.fetchone()[0])


def _refresh_planner(tables: Iterable[str]) -> None:
    """After a bulk load the planner knows nothing of the new rows, and would walk them one by one."""
    with connection.cursor() as cursor:
        cursor.execute(f"ANALYZE {', '.join(tables)}")


def _shape() -> dict[str, Any]:
    """What all facts depend on. When it changes, everything is collected again."""
    lowest = Tier.objects.order_by("rank").values_list("key", flat=True).first()
    return {"version": VERSION, "zone": settings.TIME_ZONE, "lowest_tier": lowest}


def _goal_days() -> dict[str, int]:
    """The window of each campaign, by id."""
    return {str(pk): days for pk, days in Campaign.objects.values_list("id", "goal_days")}


def _snapshot(cursor: CursorWrapper) -> Snapshot:
    """Read transactions and highest ids in one statement, so that they belong together."""
    tables = [*MEMBER_SOURCES, ANSWERS]
    highest = ", ".join(f"(SELECT coalesce(max(id), 0) FROM {table})" for table in tables)  # noqa: S608
    cursor.execute(
        "SELECT pg_snapshot_xmin(pg_current_snapshot())::text::bigint,"
        f" pg_snapshot_xmax(pg_current_snapshot())::text::bigint, {highest}"
    )
    oldest, next_, *ids = cursor.fetchone()
    return Snapshot(oldest=oldest, next=next_, highest=dict(zip(tables, ids, strict=True)))


def _queue_everything(cursor: CursorWrapper) -> None:
    """Start anew: forget all facts and sums, queue every member, count all answers."""
    for table in [*facts.FACT_TABLES, *rollups.EMPTY_ROWS, "analytics_stalemember"]:
        cursor.execute(f"DELETE FROM {table}")  # noqa: S608
    cursor.execute("INSERT INTO analytics_stalemember (member_id) SELECT id FROM members_member")
    rollups.recount_all_answers(cursor)


def _queue_news(cursor: CursorWrapper, last: dict[str, Any], snapshot: Snapshot) -> None:
    """Queue the members of new rows, of undone imports and of campaigns whose window was changed."""
    horizon = {"next": snapshot.next, "since": last["oldest"]}
    undone, updated = _changed_imports(cursor, horizon)
    for table, column in MEMBER_SOURCES.items():
        low = 0 if table in updated else _low_id(last["marks"], table, last["oldest"])
        _queue(
            cursor,
            f"SELECT {column} FROM {table} WHERE id > %(low)s AND {column} IS NOT NULL AND {IS_NEW}",  # noqa: S608
            horizon | {"low": low},
        )
    low = _low_id(last["marks"], ANSWERS, last["oldest"])
    if ANSWERS in updated or "survey-responses" in undone:
        rollups.recount_all_answers(cursor)
    else:
        cursor.execute(
            "SELECT DISTINCT date_trunc('month', answered_at AT TIME ZONE %(zone)s)::date"  # noqa: S608
            f" FROM {ANSWERS} WHERE id > %(low)s AND {IS_NEW}",
            horizon | {"low": low, "zone": settings.TIME_ZONE},
        )
        if months := {row[0] for row in cursor.fetchall()}:
            rollups.recount_answers(cursor, months)
    _queue_undone(cursor, undone)
    _queue_changed_windows(cursor, last["goal_days"])


def _queue(cursor: CursorWrapper, select: str, parameters: dict[str, Any] | None = None) -> None:
    """Queue the members that a statement selects."""
    cursor.execute(f"INSERT INTO analytics_stalemember (member_id) {select} ON CONFLICT DO NOTHING", parameters)


def _low_id(marks: list[list[Any]], table: str, oldest: int) -> int:
    """An id below every row that can be new: from the mark before the last whose transactions were over.

    The one before it, because an id is drawn a moment before its transaction gets its number.
    """
    safe = [highest for next_, highest in marks if next_ <= oldest]
    return int(safe[-2][table]) if len(safe) > 1 else 0


# The raw table that an import kind changes rows of, where it is one that is collected.
IMPORT_TABLES = {
    "members": "members_member",
    "purchases": "members_purchase",
    "survey-responses": ANSWERS,
    "campaign-history": "campaigns_campaignevent",
}


def _changed_imports(cursor: CursorWrapper, horizon: dict[str, int]) -> tuple[dict[str, list[int]], set[str]]:
    """Imports that were undone since the last discovery, by kind, and tables in which one changed old rows."""
    cursor.execute(
        f"SELECT id, kind, state, rows_updated FROM members_importrun WHERE {IS_NEW}",  # noqa: S608
        horizon,
    )
    undone: dict[str, list[int]] = {}
    updated: set[str] = set()
    for pk, kind, state, rows_updated in cursor.fetchall():
        if state in {ImportRun.State.UNDOING, ImportRun.State.UNDONE}:
            undone.setdefault(kind, []).append(pk)
        elif rows_updated and kind in IMPORT_TABLES:
            updated.add(IMPORT_TABLES[kind])
    return undone, updated


def _queue_undone(cursor: CursorWrapper, undone: dict[str, list[int]]) -> None:
    """Queue whom an undone import concerned. Rows that are gone are found by the facts they left."""
    if undone.keys() & {"purchases", "refunds"}:
        _queue(
            cursor,
            "SELECT member_id"
            " FROM (SELECT member_id, sum(orders) AS orders, sum(spend) AS spend"
            "         FROM analytics_membermonth GROUP BY 1) f"
            " FULL JOIN (SELECT member_id, count(*) AS orders, sum(value) AS spend"
            "              FROM members_net_purchase GROUP BY 1) p USING (member_id)"
            " WHERE f.orders IS DISTINCT FROM p.orders OR f.spend IS DISTINCT FROM p.spend",
        )
    if "members" in undone:
        _queue(
            cursor,
            "SELECT f.member_id FROM analytics_memberfact f"
            " WHERE NOT EXISTS (SELECT FROM members_member m WHERE m.id = f.member_id)",
        )
    if "campaign-history" in undone:
        _queue(
            cursor,
            "SELECT DISTINCT a.member_id FROM analytics_armmember a"
            " LEFT JOIN campaigns_campaign c ON c.id = a.campaign_id WHERE c.id IS NULL OR c.imported",
        )


def _queue_changed_windows(cursor: CursorWrapper, before: dict[str, int]) -> None:
    """Queue the members of campaigns whose days to buy are others than at the last discovery."""
    now = _goal_days()
    changed = [int(pk) for pk, days in before.items() if now.get(pk) != days]
    if changed:
        _queue(
            cursor,
            "SELECT DISTINCT member_id FROM analytics_armmember WHERE campaign_id = ANY(%(campaigns)s)",
            {"campaigns": changed},
        )


def _work_off_batch() -> int:
    """Rewrite the facts of the next members in the queue and move the sums. Returns how many."""
    with _locked_step(wait=True) as cursor:
        assert cursor is not None  # noqa: S101 (we waited for the lock)
        cursor.execute("CREATE TEMPORARY TABLE IF NOT EXISTS analytics_batch (member_id bigint PRIMARY KEY)")
        cursor.execute("TRUNCATE analytics_batch")
        cursor.execute(
            "WITH taken AS (DELETE FROM analytics_stalemember WHERE member_id IN"
            " (SELECT member_id FROM analytics_stalemember ORDER BY member_id LIMIT %s) RETURNING member_id)"
            " INSERT INTO analytics_batch SELECT member_id FROM taken",
            [BATCH_MEMBERS],
        )
        size: int = cursor.rowcount
        if size:
            cursor.execute("ANALYZE analytics_batch")
            rollups.add(cursor, -1)
            facts.rewrite(cursor)
            rollups.add(cursor, 1)
        return size


def _finish() -> datetime | None:
    """Say that the fill is done, unless another call has queued more meanwhile."""
    with _locked_step(wait=True) as cursor:
        assert cursor is not None  # noqa: S101
        collection = Collection.objects.get(key=KEY)
        cursor.execute("SELECT EXISTS (SELECT FROM analytics_stalemember)")
        if cursor.fetchone()[0]:
            return None
        rollups.sweep(cursor)
        collection.state = Collection.State.DONE
        collection.as_of = collection.started_at
        collection.finished_at = timezone.now()
        collection.save(update_fields=["state", "as_of", "finished_at"])
        return collection.as_of
