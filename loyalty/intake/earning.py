"""Earning for many purchases at once: the arithmetic of the rule engine and the tier of each moment, in SQL."""

from datetime import datetime
from typing import Any, Final

from django.conf import settings
from django.db.backends.utils import CursorWrapper
from psycopg.types.json import Jsonb

from loyalty import ledger, rules, tiers
from loyalty.ledger.bulk import stage
from loyalty.ledger.expiry import expire_members
from loyalty.rules.engine import EXPLANATION_SQL, POINTS_SQL
from loyalty.tiers.ladder import LEAVES_SQL, PLACE_SQL


def earn_for_bought(cursor: CursorWrapper, *, now: datetime) -> dict[str, int]:
    """Post what the purchases of the temporary table ``loyalty_bought`` earn, and bring tiers up to date.

    ``loyalty_bought`` has ``purchase_id``, ``member_id`` and ``purchased_at``; the accounts of its
    members are locked. Each purchase earns by the active rule and by the tier that its member had just
    before it, reckoned from all purchases that are known by now. Returns counts by name.
    """
    ladder = tiers.ladder()
    cursor.execute("SELECT DISTINCT member_id FROM loyalty_bought ORDER BY member_id")
    members = [row[0] for row in cursor.fetchall()]
    version = rules.active_version()
    entries = points = 0
    if version is not None:
        stage(cursor, "loyalty_earning")
        cursor.execute(_STAGE, ladder.params() | _terms_params(rules.terms_of(version)))
        cursor.execute("SELECT count(*), coalesce(sum(points), 0) FROM loyalty_earning")
        entries, points = cursor.fetchone()
        ledger.post_awards(cursor, "loyalty_earning")
    expired = expire_members(cursor, members, now)
    moves = tiers.evaluate(cursor, members, ladder=ladder, now=now)
    return {
        "points_given": int(points),
        "entries_in_the_ledger": entries,
        "tier_changes": moves,
        "lots_of_points_expired": expired,
    }


def _terms_params(terms: rules.Terms) -> dict[str, Any]:
    return {
        "version": terms.version_id,
        "points": terms.points,
        "per_amount": terms.per_amount,
        "rounding": terms.rounding,
        "months": terms.expires_after_months,
        "explained": Jsonb(terms.explained()),
        "currency": settings.PROGRAMME_CURRENCY,
    }


# At one moment, what leaves the window leaves first; purchases of the same moment do not count for each other.
# One pass: what a purchase needs travels with it through the window. Joining it back would be left to a planner
# that knows nothing of rows written in this very transaction.
_STAGE: Final = f"""
INSERT INTO loyalty_earning (member_id, kind, points, key, occurred_at, activates_at, expires_at, purchase_id,
                             rule_version_id, explanation, place)
WITH known AS (
    SELECT purchase.id, purchase.member_id, purchase.purchased_at, purchase.value, purchase.external_id AS receipt,
           bought.purchase_id IS NOT NULL AS is_new, {LEAVES_SQL} AS leaves_at
      FROM (SELECT member_id, min(purchased_at) AS first, max(purchased_at) AS last
              FROM loyalty_bought GROUP BY member_id) touched
      JOIN (SELECT id, member_id, purchased_at, value, external_id FROM members_purchase) purchase USING (member_id)
      LEFT JOIN (SELECT purchase_id FROM loyalty_bought) bought ON bought.purchase_id = purchase.id
     WHERE purchase.purchased_at > touched.first - interval '13 months' AND purchase.purchased_at <= touched.last
), event AS (
    SELECT member_id, purchased_at AS at, 1 AS kind, value AS delta, id, value, receipt, is_new FROM known
    UNION ALL
    SELECT member_id, leaves_at, 0, -value, NULL, NULL, NULL, false FROM known
), counted AS (
    SELECT event.*, coalesce(sum(delta) OVER (
               PARTITION BY member_id ORDER BY at, kind GROUPS BETWEEN UNBOUNDED PRECEDING AND 1 PRECEDING), 0) AS spend
      FROM event
), sale AS (
    SELECT id, member_id, at AS purchased_at, value, receipt, %(currency)s::text AS currency,
           (%(tier_keys)s::text[])[place] AS tier, (%(multipliers)s::numeric[])[place] AS multiplier
      FROM counted, LATERAL (SELECT {PLACE_SQL} AS place) AS placed
     WHERE is_new
), terms AS (
    SELECT %(points)s::numeric AS points, %(per_amount)s::numeric AS per_amount, %(rounding)s::text AS rounding,
           %(explained)s::jsonb AS explained
), earned AS (
    SELECT sale.*, {POINTS_SQL} AS points, {EXPLANATION_SQL} AS explanation FROM sale, terms
)
SELECT member_id, 'earn', points, 'purchase:' || id, purchased_at, purchased_at,
       ((purchased_at AT TIME ZONE %(zone)s) + make_interval(months => %(months)s::int)) AT TIME ZONE %(zone)s,
       id, %(version)s, explanation, id
  FROM earned WHERE points > 0
"""  # noqa: S608
