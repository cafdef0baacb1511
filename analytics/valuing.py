"""Valuing every member: what they bought, summed up by sets, through the models, into one row each.

Nightly, as a job. A member who never bought has no row, and so no band.
"""

from collections.abc import Sequence
from datetime import datetime, timedelta
from math import inf
from typing import Any, LiteralString

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
from staff.models import Job, User

JOB = "value-members"
FACT = "member.clv_band"
LOCK = 5_107_013  # an arbitrary number of our own, for pg_advisory_xact_lock
# Rows that are held as Python objects at a time.
BATCH = 50_000
# The model is held against so much of the end, which it does not see.
HOLDOUT = timedelta(weeks=13)
# By how many days members had bought on before it.
BOUGHT_BEFORE = (("1", 1, 1), ("2", 2, 2), ("3", 3, 3), ("4–6", 4, 6), ("7+", 7, inf))
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
# Of some of the buyers: days of repeat purchases, recency and age up to the cut, and days of purchases after it.
HELD_OUT = """
WITH days AS (
    SELECT member_id, (purchased_at AT TIME ZONE {zone})::date AS day, ({cut} AT TIME ZONE {zone})::date AS cut
      FROM members_net_purchase WHERE purchased_at <= {now} AND mod(member_id, {step}) = 0 GROUP BY 1, 2
)
SELECT count(*) FILTER (WHERE day <= cut) - 1, (max(day) FILTER (WHERE day <= cut) - min(day)) / 7.0,
    (min(cut) - min(day)) / 7.0, 1, count(*) FILTER (WHERE day > cut)
  FROM days GROUP BY member_id HAVING min(day) <= min(cut)
"""
VALUED = """
CREATE TEMPORARY TABLE valued ON COMMIT DROP AS
SELECT member_id, purchases, value, alive, band FROM analytics_membervalue WITH NO DATA
"""
WRITE = """
INSERT INTO analytics_membervalue AS kept (member_id, purchases, value, alive, band, tier)
SELECT member_id, purchases, value, alive, band,
    coalesce(tier.key, (SELECT key FROM loyalty_tier ORDER BY rank LIMIT 1), '')
  FROM valued LEFT JOIN loyalty_tierstanding standing USING (member_id)
  LEFT JOIN loyalty_tier tier ON tier.id = standing.tier_id
ON CONFLICT (member_id) DO UPDATE
   SET purchases = excluded.purchases, value = excluded.value, alive = excluded.alive, band = excluded.band,
       tier = excluded.tier
 WHERE (kept.purchases, kept.value, kept.alive, kept.band, kept.tier)
    IS DISTINCT FROM (excluded.purchases, excluded.value, excluded.alive, excluded.band, excluded.tier)
"""
GROUPS = """
SELECT band, tier, count(*), sum(purchases), sum(value)::float8, sum(alive)
  FROM analytics_membervalue GROUP BY band, tier ORDER BY band, tier
"""
FORGET = "DELETE FROM analytics_membervalue k WHERE NOT EXISTS (SELECT FROM valued v WHERE v.member_id = k.member_id)"


def start(*, user: User | None) -> Job:
    """Queue a valuation, or return the one that is under way."""
    under_way = Job.objects.filter(kind=JOB, finished_at=None).order_by("pk").first()
    return under_way or jobs.start(JOB, title=_("Value all members"), payload={}, user=user)


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
        _write(cursor, (ids, purchases, values, alive, clv.bands(values)))
        cursor.execute(GROUPS)
        names = ("band", "tier", "members", "purchases", "value", "alive")
        groups = [dict(zip(names, row, strict=True)) for row in cursor.fetchall()]
    return ValueFit.objects.create(
        as_of=now,
        members=len(ids),
        **vars(purchasing),
        **vars(spending),
        expected=float(values.sum()),
        groups=groups,
        holdout=_held_out(now, len(ids)),
    )


def _held_out(now: datetime, buyers: int) -> dict[str, Any]:
    """What the model would have foretold for the last weeks, fitted on what came before, beside what was bought.

    On an even sample where there are many. Empty where too few had bought by then.
    """
    cut = now - HOLDOUT
    rows = _read(HELD_OUT, now=now, cut=cut, step=max(1, -(-buyers // clv.FITTED)))
    try:
        foretold = clv.foretell(clv.Summaries(*(rows[:, column] for column in range(4))), HOLDOUT / timedelta(weeks=1))
    except clv.TooFew:
        return {}
    before, bought = rows[:, 0] + 1, rows[:, 4]
    groups = []
    for name, least, most in BOUGHT_BEFORE:
        some = (before >= least) & (before <= most)
        sums = {"members": int(some.sum()), "foretold": float(foretold[some].sum()), "bought": int(bought[some].sum())}
        groups.append({"purchases": name, **sums})
    return {"since": cut.isoformat(), "until": now.isoformat(), "groups": groups}


def _summaries(now: datetime) -> Any:
    """Member id, frequency, recency, age and mean of each buyer, as one array."""
    return _read(SUMMARIES, now=now)


def _read(statement: LiteralString, **values: Any) -> Any:
    """The rows of five columns that a statement gives, as one array."""
    import numpy as np

    named = {name: sql.Literal(value) for name, value in values.items()}
    text = sql.SQL(statement).format(zone=sql.Literal(timezone.get_default_timezone_name()), **named)
    parts = [np.empty((0, 5))]
    with connection.connection.cursor(name="clv_summaries") as stream:
        stream.execute(text)
        while rows := stream.fetchmany(BATCH):
            parts.append(np.array(rows, dtype=float))
    return np.concatenate(parts)


def _write(cursor: CursorWrapper, columns: Sequence[Any]) -> None:
    """Copy the rows in, so many at a time, and write what changed."""
    cursor.execute("DROP TABLE IF EXISTS pg_temp.valued")
    cursor.execute(VALUED)
    with cursor.cursor.copy("COPY valued (member_id, purchases, value, alive, band) FROM STDIN") as stream:
        for start in range(0, len(columns[0]), BATCH):
            for row in zip(*(column[start : start + BATCH].tolist() for column in columns), strict=True):
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
