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


def earn_for_bought(cursor: CursorWrapper, *, now: datetime) -> dict[str, int]:
    """Post what the purchases of the temporary table ``loyalty_bought`` earn, and bring tiers up to date.

    ``loyalty_bought`` has ``purchase_id``, ``member_id`` and ``purchased_at``; the accounts of its
    members are locked. Each purchase earns by the active rule and by the tier that its member had just
    before it, reckoned from all purchases that are known by now. Returns counts by name.
    """
    look, bought = _look(cursor, now)
    members = sorted({member_id for _purchase_id, member_id, _at in bought})
    version = rules.active_version()
    entries = points = 0
    if version is not None:
        stage(cursor, "loyalty_earning")
        cursor.execute(_STAGE, _met(look, bought) | _terms_params(rules.terms_of(version)))
        cursor.execute("SELECT count(*), coalesce(sum(points), 0) FROM loyalty_earning")
        entries, points = cursor.fetchone()
        ledger.post_awards(cursor, "loyalty_earning")
    expired = expire_members(cursor, members, now)
    moves = look.settle()
    return {
        "points_given": int(points),
        "entries_in_the_ledger": entries,
        "tier_changes": moves,
        "lots_of_points_expired": expired,
    }


def _look(cursor: CursorWrapper, now: datetime) -> tuple[tiers.Look, list[tuple[int, int, datetime]]]:
    """A look at the tiers of all who bought, and what they bought in order of time."""
    cursor.execute("SELECT purchase_id, member_id, purchased_at FROM loyalty_bought ORDER BY purchased_at, purchase_id")
    bought = cursor.fetchall()
    first: dict[int, datetime] = {}
    for _purchase_id, member_id, at in bought:
        first.setdefault(member_id, at)
    return tiers.Look(cursor, list(first), ladder=tiers.ladder(), now=now, since=first), bought


def _met(look: tiers.Look, bought: list[tuple[int, int, datetime]]) -> dict[str, Any]:
    """The tier that each purchase found."""
    rungs = [look.before(member_id, at) for _purchase_id, member_id, at in bought]
    return {
        "purchases": [purchase_id for purchase_id, _member_id, _at in bought],
        "tiers": [rung.key for rung in rungs],
        "multipliers": [rung.multiplier for rung in rungs],
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
        "zone": settings.TIME_ZONE,
    }


# The tier that each purchase found comes with it: it was walked to, member by member.
_STAGE: Final = f"""
INSERT INTO loyalty_earning (member_id, kind, points, key, occurred_at, activates_at, expires_at, purchase_id,
                             rule_version_id, explanation, place)
WITH sale AS (
    SELECT purchase.id, purchase.member_id, purchase.purchased_at, purchase.value, purchase.external_id AS receipt,
           %(currency)s::text AS currency, met.tier, met.multiplier
      FROM unnest(%(purchases)s::bigint[], %(tiers)s::text[], %(multipliers)s::numeric[])
           AS met(id, tier, multiplier)
      JOIN members_purchase purchase USING (id)
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
