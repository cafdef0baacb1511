"""What counts for tiers, read set-based: single facts for those who walk, sums for those who need not.

Each source gives the rows of one measure. Which of them are read and when their facts leave the window follows
from the scheme; all texts are constants, and what varies within them are parameters.
"""

from collections.abc import Iterator, Sequence
from datetime import datetime
from typing import Any, Final, NamedTuple

from django.db.backends.utils import CursorWrapper

from loyalty.tier_models import Measure, TierScheme
from loyalty.tiers import windows
from loyalty.tiers.ladder import SCALE, Ladder
from loyalty.tiers.walk import Fact

MONTH: Final = """(date_part('year', purchased_at AT TIME ZONE %(zone)s) * 12
              + date_part('month', purchased_at AT TIME ZONE %(zone)s))::int"""

# Of the members in ``looked``: joined_at, member_id, at, anchor (whose window counts), net, held, month, cause,
# purchase, receipt.
_SALES: Final = """
    SELECT joined_at, member_id, purchased_at AS at, purchased_at AS anchor, {amount} AS net, {amount} AS held,
           {month} AS month, 'purchase' AS cause, purchase.id AS purchase, external_id AS receipt
      FROM looked JOIN members_purchase purchase USING (member_id)
     WHERE purchase.member_id BETWEEN %(first)s AND %(last)s
       AND purchased_at > floor_at AND purchased_at <= %(now)s
"""
# Money given back, when it was; an order or a month only once a whole purchase was.
_REFUNDS: Final = """
    SELECT joined_at, refund.member_id, greatest(refunded_at, purchased_at) AS at, purchased_at AS anchor,
           -(refund.value * 100)::bigint AS net,
           CASE WHEN %(keeps)s THEN 0 ELSE -(refund.value * 100)::bigint END AS held, 0 AS month,
           'refund' AS cause, purchase.id AS purchase, purchase.external_id AS receipt
      FROM looked JOIN members_refund refund ON refund.member_id = looked.member_id
      JOIN members_purchase purchase ON purchase.id = refund.purchase_id
     WHERE refund.member_id BETWEEN %(first)s AND %(last)s AND refund.state = 'applied' AND refunded_at <= %(now)s
       AND purchased_at > floor_at AND purchased_at <= %(now)s
"""
_RETURNED: Final = """
    SELECT joined_at, purchase.member_id, greatest(last.refunded_at, purchased_at) AS at, purchased_at AS anchor,
           -1 AS net, CASE WHEN %(keeps)s THEN 0 ELSE -1 END AS held, {month} AS month,
           'refund' AS cause, purchase.id AS purchase, purchase.external_id AS receipt
      FROM looked
      JOIN (SELECT member_id, purchase_id, max(refunded_at) AS refunded_at FROM members_refund
             WHERE member_id BETWEEN %(first)s AND %(last)s AND state = 'applied' AND refunded_at <= %(now)s
             GROUP BY member_id, purchase_id) last ON last.member_id = looked.member_id
      JOIN members_purchase purchase ON purchase.id = last.purchase_id
     WHERE purchase.refunded_value = purchase.value AND purchase.value > 0
       AND purchased_at > floor_at AND purchased_at <= %(now)s
"""
_REFERRALS: Final = """
    SELECT joined_at, member_id, occurred_at AS at, occurred_at AS anchor, 1 AS net, 1 AS held, 0 AS month,
           'referral' AS cause, NULL::bigint AS purchase, '' AS receipt
      FROM looked JOIN members_interaction interaction USING (member_id)
     WHERE interaction.member_id BETWEEN %(first)s AND %(last)s AND interaction.kind = 'referral'
       AND occurred_at > floor_at AND occurred_at <= %(now)s
"""
# What is taken back was earned when its award was: it leaves the window together with it.
_POINTS: Final = """
    SELECT joined_at, member_id, greatest(entry.occurred_at, entry.counts_at) AS at,
           coalesce(entry.counts_at, entry.occurred_at) AS anchor, entry.qualifying AS net,
           CASE WHEN entry.kind = 'clawback' AND %(keeps)s THEN 0 ELSE entry.qualifying END AS held, 0 AS month,
           'points' AS cause, entry.purchase_id AS purchase, coalesce(entry.explanation->>'receipt', '') AS receipt
      FROM looked JOIN loyalty_entry entry USING (member_id)
     WHERE entry.member_id BETWEEN %(first)s AND %(last)s AND entry.qualifying <> 0
       AND coalesce(entry.counts_at, entry.occurred_at) > floor_at
       AND greatest(entry.occurred_at, entry.counts_at) <= %(now)s
"""

SOURCES: Final[dict[str, Sequence[str]]] = {
    Measure.SPEND: (_SALES.format(amount="(value * 100)::bigint", month="0"), _REFUNDS),
    Measure.POINTS: (_POINTS,),
    Measure.ORDERS: (_SALES.format(amount="1", month="0"), _RETURNED.format(month="0")),
    Measure.MONTHS: (_SALES.format(amount="1", month=MONTH), _RETURNED.format(month=MONTH)),
    Measure.REFERRALS: (_REFERRALS,),
}

ONE: Final = """
    SELECT %(first)s::bigint AS member_id, %(floor)s::timestamptz AS floor_at, %(joined)s::timestamptz AS joined_at
"""
SOME: Final = """
    SELECT * FROM unnest(%(members)s::bigint[], %(floors)s::timestamptz[], %(joined)s::timestamptz[])
                  AS looked(member_id, floor_at, joined_at)
"""
RANGE: Final = """
    SELECT id AS member_id, %(floor)s::timestamptz AS floor_at, joined_at
      FROM members_member WHERE id BETWEEN %(first)s AND %(last)s
"""


class Looked(NamedTuple):
    """A member to be looked at, from when on (empty: from the beginning)."""

    member_id: int
    start: datetime | None
    joined_at: datetime


class Sums(NamedTuple):
    """What counts now for reaching and for keeping a tier, and the most that it can have come to."""

    net: list[int]
    held: list[int]
    reach: list[int]


def facts(cursor: CursorWrapper, looked: Sequence[Looked], ladder: Ladder, now: datetime) -> Iterator[tuple[int, Fact]]:
    """Every fact that counts at the start of its member or later, up to now; in no order."""
    cursor.execute(
        f"WITH looked AS ({_one_or_some(looked)})"  # noqa: S608
        " SELECT member_id, at, leaves_at, measure, net, held, month, cause, purchase, receipt"
        f" FROM {_union(ladder)} WHERE leaves_at IS NULL OR leaves_at > at",
        _some(looked, ladder, now),
    )
    while rows := cursor.fetchmany(20_000):
        for row in rows:
            yield row[0], Fact(*row[1:])


def sums(cursor: CursorWrapper, looked: Sequence[Looked], ladder: Ladder, now: datetime) -> dict[int, Sums]:
    """The same added up, for members who have any."""
    cursor.execute(f"WITH looked AS ({_one_or_some(looked)}) {sums_sql(ladder)}", _some(looked, ladder, now))
    return {member_id: Sums(net, held, reach) for member_id, net, held, reach in cursor.fetchall()}


def sums_sql(ladder: Ladder) -> str:
    """A query of ``member_id, net, held, reach`` (arrays in the order of measures) over ``looked``."""
    columns = ", ".join(
        "ARRAY["
        + ", ".join(_sum(measure, place, column) for place, measure in enumerate(ladder.measures))
        + "]::bigint[]"
        f" AS {column}"
        for column in ("net", "held", "reach")
    )
    return f"""SELECT member_id, {columns} FROM (
        SELECT member_id, measure, month, coalesce(sum(net) FILTER (WHERE counts), 0) AS net,
               coalesce(sum(held) FILTER (WHERE counts), 0) AS held, sum(greatest(net, 0)) AS reach
          FROM (SELECT fact.*, leaves_at IS NULL OR leaves_at > %(now)s AS counts FROM {_union(ladder)}
                 WHERE leaves_at IS NULL OR leaves_at > at) AS dated
         GROUP BY member_id, measure, month) AS counted GROUP BY member_id"""  # noqa: S608


def place_sql(ladder: Ladder, column: str) -> str:
    """The place that an array of values reaches, 0 for the lowest: the same as :meth:`Ladder.place`."""
    places = ", ".join(
        f"width_bucket({column}[{number}], %({measure}_steps)s::bigint[])"
        for number, measure in enumerate(ladder.measures, 1)
    )
    return f"coalesce({'greatest' if ladder.scheme.needs == TierScheme.Needs.ANY else 'least'}({places}), 0)"


def told_sql(ladder: Ladder) -> str:
    """The values of an array ``net`` as they stand in ``TierStanding.measures``."""
    parts = [
        f"'{measure}', "
        + (
            f"(coalesce(net[{number}], 0) / 100.0)::numeric(14, 2)::text"
            if SCALE.get(measure)
            else f"coalesce(net[{number}], 0)::text"
        )
        for number, measure in enumerate(ladder.measures, 1)
    ]
    return f"jsonb_build_object({', '.join(parts)})"


def params(ladder: Ladder, now: datetime, first: int, last: int) -> dict[str, Any]:
    """What all of these queries need."""
    keeps = ladder.scheme.on_refund == TierScheme.OnRefund.KEEP
    return ladder.params() | {
        "now": now,
        "first": first,
        "last": last,
        "keeps": keeps,
        "floor": windows.floor(ladder.scheme, now),
    }


def _one_or_some(looked: Sequence[Looked]) -> str:
    """A text of its own for one member, whose plan is kept where every purchase asks for it."""
    return ONE if len(looked) == 1 else SOME


def _some(looked: Sequence[Looked], ladder: Ladder, now: datetime) -> dict[str, Any]:
    members = [one.member_id for one in looked]
    if len(looked) == 1:
        floor = windows.floor(ladder.scheme, looked[0].start)
        return params(ladder, now, members[0], members[0]) | {"floor": floor, "joined": looked[0].joined_at}
    return params(ladder, now, min(members), max(members)) | {
        "members": members,
        "floors": [windows.floor(ladder.scheme, one.start) for one in looked],
        "joined": [one.joined_at for one in looked],
    }


def _union(ladder: Ladder) -> str:
    """All sources of the scheme as one table ``fact``, with the moment at which each fact leaves."""
    leaves_at = windows.LEAVES[ladder.scheme.window]
    parts = [
        f"SELECT {place} AS measure, source.*, {leaves_at} AS leaves_at FROM ({text}) AS source"  # noqa: S608
        for place, measure in enumerate(ladder.measures)
        for text in SOURCES[measure]
    ]
    return f"({' UNION ALL '.join(parts)}) AS fact"


def _sum(measure: str, place: int, column: str) -> str:
    if measure == Measure.MONTHS:
        return f"count(*) FILTER (WHERE measure = {place} AND {column} > 0)"
    return f"coalesce(sum({column}) FILTER (WHERE measure = {place}), 0)"
