"""Valuing every member: what they bought, summed up by sets, through the models, into one row each.

Nightly, as a job. A member who never bought has no row, and so no band.
"""

from collections.abc import Iterable
from datetime import datetime
from typing import Any

from django.db import connection, transaction
from django.db.backends.utils import CursorWrapper
from django.utils import timezone
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy, ngettext
from psycopg import sql

from analytics import clv
from analytics.models import ValueFit
from loyalty.rules import vocabulary
from members.conditions import facts
from members.conditions.facts import Choice, Fact, FactType, Rows
from staff import figures, jobs
from staff.models import Job

JOB = "value-members"
FACT = "member.clv_band"
LOCK = 5_107_013  # an arbitrary number of our own, for pg_advisory_xact_lock
# Rows that are held as Python objects at a time.
BATCH = 50_000
BANDS: list[Choice] = [
    ("top", gettext_lazy("top (the 10% worth most)")),
    ("high", gettext_lazy("high (the next 20%)")),
    ("middle", gettext_lazy("middle (the next 30%)")),
    ("low", gettext_lazy("low (the other 40%)")),
]

# Purchases of one day count as one, as in the models' own examples; one that was given back whole is none.
SUMMARIES = """
WITH days AS (
    SELECT member_id, (purchased_at AT TIME ZONE {zone})::date AS day, sum(value) AS spent
      FROM members_net_purchase WHERE purchased_at <= {now} GROUP BY 1, 2
)
SELECT member_id, count(*) - 1, (max(day) - min(day)) / 7.0,
    greatest(({now} AT TIME ZONE {zone})::date - min(day), 0) / 7.0,
    coalesce((sum(spent) - (array_agg(spent ORDER BY day))[1]) / nullif(count(*) - 1, 0), 0)
  FROM days GROUP BY member_id ORDER BY member_id
"""
VALUED = "CREATE TEMPORARY TABLE valued (LIKE analytics_membervalue) ON COMMIT DROP"
WRITE = """
INSERT INTO analytics_membervalue AS kept (member_id, purchases, value, alive, band)
SELECT member_id, purchases, value, alive, band FROM valued
ON CONFLICT (member_id) DO UPDATE
   SET purchases = excluded.purchases, value = excluded.value, alive = excluded.alive, band = excluded.band
 WHERE (kept.purchases, kept.value, kept.alive, kept.band)
    IS DISTINCT FROM (excluded.purchases, excluded.value, excluded.alive, excluded.band)
"""
FORGET = "DELETE FROM analytics_membervalue k WHERE NOT EXISTS (SELECT FROM valued v WHERE v.member_id = k.member_id)"


@jobs.handler(JOB)
def run(job: Job, progress: jobs.Progress) -> dict[str, Any]:
    """Value everybody; what was there stays until all of the new is written."""
    try:
        fit = value_members(timezone.now())
    except clv.TooFew:
        return {"summary": _("Too few members have bought more than once to say what members will be worth.")}
    said = ngettext("%(members)s member was valued.", "%(members)s members were valued.", fit.members)
    return {"summary": said % {"members": figures.number(fit.members)}}


@transaction.atomic
def value_members(now: datetime) -> ValueFit:
    """Fit the models on everybody's purchases and write what each member will be worth. Raises ``clv.TooFew``."""
    import numpy as np

    with connection.cursor() as cursor:
        cursor.execute("SELECT pg_advisory_xact_lock(%s)", [LOCK])  # one at a time
        rows = _summaries(now)
        ids = rows[:, 0].astype(np.int64)
        known = clv.Summaries(*(rows[:, column] for column in range(1, 5)))
        purchasing, spending = clv.fit(known)
        purchases = np.round(purchasing.expected(known, clv.WEEKS_AHEAD), 4)
        values = np.round(purchases * spending.expected(known), 2)
        alive = np.round(purchasing.alive(known), 4)
        columns = (ids, purchases, values, alive)
        _write(cursor, zip(*(column.tolist() for column in columns), clv.bands(values), strict=True))
    return ValueFit.objects.create(
        as_of=now, members=len(ids), **vars(purchasing), **vars(spending), expected=float(values.sum())
    )


def _summaries(now: datetime) -> Any:
    """Member id, frequency, recency, age and mean of each buyer, as one array."""
    import numpy as np

    statement = sql.SQL(SUMMARIES).format(zone=sql.Literal(timezone.get_default_timezone_name()), now=sql.Literal(now))
    parts = [np.empty((0, 5))]
    with connection.connection.cursor(name="clv_summaries") as stream:
        stream.execute(statement)
        while rows := stream.fetchmany(BATCH):
            parts.append(np.array(rows, dtype=float))
    return np.concatenate(parts)


def _write(cursor: CursorWrapper, rows: Iterable[tuple[Any, ...]]) -> None:
    """Copy the rows in and write what changed."""
    cursor.execute("DROP TABLE IF EXISTS pg_temp.valued")
    cursor.execute(VALUED)
    with cursor.cursor.copy("COPY valued (member_id, purchases, value, alive, band) FROM STDIN") as stream:
        for row in rows:
            stream.write_row(row)
    cursor.execute("ANALYZE valued")
    cursor.execute(FORGET)
    cursor.execute(WRITE)


def register() -> None:
    """Make the band known to conditions on members, and to earning rules as it stands when they are reckoned."""
    facts.register(
        Fact(
            key=FACT,
            group=gettext_lazy("Value"),
            label=gettext_lazy("Value band"),
            type=FactType.CHOICE,
            choices=lambda: BANDS,
            sql=Rows("SELECT v.member_id, v.band AS value FROM analytics_membervalue v"),
            phrases={
                "in": gettext_lazy("are in the value band %(value)s"),
                "not_in": gettext_lazy("are not in the value band %(value)s"),
            },
        )
    )
    vocabulary.kept(
        vocabulary.one_of(
            FACT,
            gettext_lazy("Member"),
            gettext_lazy("Value band"),
            gettext_lazy("the member's value band"),
            lambda: BANDS,
        ),
        sql.SQL("(SELECT v.band FROM analytics_membervalue v WHERE v.member_id = event.member_id)"),
    )
