"""Proof over the live data that what must always hold does hold (DESIGN section 2).

Each check is one set-based query that returns the rows which break it: none, where all is well.
"""

from dataclasses import dataclass
from typing import Any, Final

from django.db import connection, transaction
from django.utils.functional import Promise
from django.utils.translation import gettext_lazy as _

from loyalty.ledger import rollup, sealing
from loyalty.ledger.movement import INPUT_HASH_SQL

LIMIT: Final = 20


@dataclass(frozen=True, kw_only=True)
class Check:
    """One thing that must hold. ``invariant`` is its number in DESIGN section 2."""

    key: str
    invariant: int
    name: str | Promise
    sql: str

    def offending(self, limit: int = LIMIT) -> list[dict[str, Any]]:
        """The first rows that break it, each as column → value."""
        with transaction.atomic(), connection.cursor() as cursor:
            # Each check reads whole tables. Where their statistics are behind, as after a large import, the planner
            # takes them for empty and would read one of them once for each row of another.
            cursor.execute("SET LOCAL enable_nestloop = off")
            cursor.execute(f"SELECT * FROM ({self.sql}) AS offending LIMIT %s", [limit])  # noqa: S608
            columns = [column.name for column in cursor.description]
            rows = cursor.fetchall()
            cursor.execute("SET LOCAL enable_nestloop = on")
        return [dict(zip(columns, row, strict=True)) for row in rows]


def checks() -> list[Check]:
    """Every check of this room, in the order in which a reader would ask."""
    return list(_CHECKS)


def _stands(entry: str) -> str:
    """That nobody reversed an entry. As an outer join the planner would expect one row of it, and hash millions."""
    return f"NOT EXISTS (SELECT FROM loyalty_entry reversal WHERE reversal.reverses_id = {entry}.id)"


_CHECKS: Final = (
    Check(
        key="balance",
        invariant=1,
        name=_("Each balance is the sum of its entries, and what is left in its lots less what is owed"),
        sql="""
            SELECT member_id, account.balance, account.debt, entries.points AS entries, lots.points AS lots
              FROM loyalty_account account
              FULL JOIN (SELECT member_id, sum(points) AS points, sum(debt) AS debt, count(*) AS number
                           FROM loyalty_entry GROUP BY member_id) entries USING (member_id)
              FULL JOIN (SELECT member_id, sum(remaining) AS points FROM loyalty_lot GROUP BY member_id)
                   lots USING (member_id)
             WHERE account.balance IS DISTINCT FROM coalesce(entries.points, 0)
                OR account.debt IS DISTINCT FROM coalesce(entries.debt, 0)
                OR account.balance IS DISTINCT FROM coalesce(lots.points, 0) - coalesce(entries.debt, 0)
                OR account.version IS DISTINCT FROM coalesce(entries.number, 0)""",
    ),
    Check(
        key="debt",
        invariant=5,
        name=_("Who owes points holds none, and no balance is below zero but by what is owed"),
        sql="""
            SELECT member_id, balance, debt FROM loyalty_account
             WHERE debt < 0 OR (debt > 0 AND balance <> -debt) OR (debt = 0 AND balance < 0)""",
    ),
    Check(
        key="lots",
        invariant=1,
        name=_("Each lot is what its entry brought, less what was drawn from it"),
        sql="""
            SELECT lot.id AS lot, lot.member_id, lot.points, lot.remaining, drawn.points AS drawn
              FROM loyalty_lot lot
              JOIN loyalty_entry entry ON entry.id = lot.entry_id
              LEFT JOIN (SELECT lot_id, sum(points) AS points FROM loyalty_draw GROUP BY lot_id) drawn
                   ON drawn.lot_id = lot.id
             WHERE lot.remaining <> lot.points - coalesce(drawn.points, 0) OR lot.remaining < 0
                OR lot.member_id <> entry.member_id OR lot.points > entry.points
                OR (lot.points <> entry.points AND entry.kind NOT IN ('reverse', 'return'))""",
    ),
    Check(
        key="sources",
        invariant=6,
        name=_("Points that came back as a lot of their own stem from entries of the same member, all of them"),
        sql="""
            SELECT lot.id AS lot, lot.member_id, lot.points, source.points AS sources
              FROM (SELECT source.lot_id, sum(source.points) AS points, min(award.member_id) AS first_member,
                           max(award.member_id) AS last_member, count(*) - count(award.id) AS lost
                      FROM loyalty_lotsource source LEFT JOIN loyalty_entry award ON award.id = source.award_id
                     GROUP BY source.lot_id) source
              JOIN loyalty_lot lot ON lot.id = source.lot_id
             WHERE lot.points <> source.points OR source.lost > 0
                OR source.first_member <> lot.member_id OR source.last_member <> lot.member_id""",
    ),
    Check(
        key="draws",
        invariant=1,
        name=_(
            "Each entry is what it brought as a lot, less what it drew from lots of the same member and left as debt"
        ),
        sql="""
            SELECT entry.id AS entry, entry.member_id, entry.points, entry.debt, lot.points AS lot,
                   drawn.points AS drawn
              FROM loyalty_entry entry
              LEFT JOIN loyalty_lot lot ON lot.entry_id = entry.id
              LEFT JOIN (
                  SELECT draw.entry_id, sum(draw.points) AS points,
                         min(lot.member_id) AS first_member, max(lot.member_id) AS last_member
                    FROM loyalty_draw draw JOIN loyalty_lot lot ON lot.id = draw.lot_id GROUP BY draw.entry_id
                  ) drawn ON drawn.entry_id = entry.id
             WHERE entry.points <> coalesce(lot.points, 0) - coalesce(drawn.points, 0) - entry.debt
                OR drawn.first_member <> entry.member_id OR drawn.last_member <> entry.member_id""",
    ),
    Check(
        key="chain",
        invariant=2,
        name=_("Each entry follows the one before it without a gap"),
        sql="""
            SELECT id AS entry, member_id, seq, points, balance_after, before, debt, debt_after, debt_before
              FROM (SELECT entry.*, coalesce(lag(seq) OVER in_order, 0) AS seq_before,
                           coalesce(lag(balance_after) OVER in_order, 0) AS before,
                           coalesce(lag(debt_after) OVER in_order, 0) AS debt_before
                      FROM loyalty_entry entry WINDOW in_order AS (PARTITION BY member_id ORDER BY seq)) AS chain
             WHERE seq <> seq_before + 1 OR balance_after <> before + points OR balance_after < -debt_after
                OR debt_after <> debt_before + debt OR debt_after < 0""",
    ),
    Check(
        key="sealed",
        invariant=2,
        name=_("Each sealed entry is still what it was when its block was sealed"),
        sql=sealing.CHECK,
    ),
    Check(
        key="months",
        invariant=1,
        name=_("The sums by month are what the sealed entries, lots and draws come to"),
        sql=rollup.CHECK,
    ),
    Check(
        key="reversals",
        invariant=2,
        name=_("Each reversal is the exact opposite of one entry, and no entry is reversed twice"),
        sql="""
            SELECT reversal.id AS entry, reversal.member_id, reversal.points, reversed.id AS reversed,
                   reversed.points AS reversed_points
              FROM (SELECT entry.*, count(*) OVER (PARTITION BY reverses_id) AS times
                      FROM loyalty_entry entry WHERE kind = 'reverse' OR reverses_id IS NOT NULL) reversal
              LEFT JOIN loyalty_entry reversed ON reversed.id = reversal.reverses_id
             WHERE reversed.id IS NULL OR reversed.points <> -reversal.points OR reversal.times > 1
                OR reversed.qualifying <> -reversal.qualifying
                OR reversed.member_id <> reversal.member_id OR reversed.kind IN ('reverse', 'transfer')
                OR reversal.kind <> 'reverse'""",
    ),
    Check(
        key="returns",
        invariant=6,
        name=_("No redemption gave back more than it took"),
        sql=f"""
            SELECT spent.id AS entry, spent.member_id, spent.points, given.points AS given_back
              FROM (SELECT part.award_id, sum(part.points) AS points FROM loyalty_entry part
                     WHERE part.kind = 'return' AND {_stands("part")} GROUP BY part.award_id) given
              LEFT JOIN loyalty_entry spent ON spent.id = given.award_id
             WHERE spent.id IS NULL OR spent.kind <> 'redeem' OR spent.points + given.points > 0""",  # noqa: S608
    ),
    Check(
        key="refunds",
        invariant=6,
        name=_("Each purchase notes what its refunds come to, and no refund gives back more than there was"),
        sql="""
            SELECT purchase.id AS purchase, purchase.member_id, purchase.amount, purchase.refunded_value,
                   given.amount AS refunded, given.value
              FROM (SELECT purchase_id, sum(amount) AS amount, sum(value) AS value FROM members_refund
                     WHERE state = 'applied' GROUP BY purchase_id) given
              FULL JOIN (SELECT * FROM members_purchase WHERE refunded_value > 0) purchase
                   ON purchase.id = given.purchase_id
             WHERE coalesce(given.value, 0) <> coalesce(purchase.refunded_value, 0)
                OR given.amount > purchase.amount
            UNION ALL
            SELECT line.purchase_id, NULL, line.amount, line.value, part.amount, part.value
              FROM members_purchaseline line
              JOIN (SELECT line_id, sum(amount) AS amount, sum(value) AS value, sum(quantity) AS quantity
                      FROM members_refundline GROUP BY line_id) part ON part.line_id = line.id
             WHERE part.amount > line.amount OR part.value > line.value OR part.quantity > line.quantity""",
    ),
    Check(
        key="clawbacks",
        invariant=6,
        name=_("Of no award more is taken back than it gave, in points and for tiers"),
        sql=f"""
            SELECT award.id AS award, award.member_id, award.points, award.qualifying, taken.points AS taken,
                   taken.qualifying AS taken_qualifying
              FROM (SELECT part.award_id, sum(part.points) AS points, sum(part.qualifying) AS qualifying,
                           min(part.member_id) AS first_member, max(part.member_id) AS last_member
                      FROM loyalty_entry part
                     WHERE part.kind = 'clawback' AND {_stands("part")} GROUP BY part.award_id) taken
              LEFT JOIN loyalty_entry award ON award.id = taken.award_id
             WHERE award.id IS NULL OR award.kind NOT IN ('earn', 'adjust') OR NOT ({_stands("award")})
                OR award.points + taken.points < 0 OR award.qualifying + taken.qualifying < 0
                OR award.member_id <> taken.first_member OR award.member_id <> taken.last_member""",  # noqa: S608
    ),
    Check(
        key="transfers",
        invariant=1,
        name=_("Of each transfer as much arrives as was given"),
        sql="""
            SELECT given.id AS entry, given.member_id, given.points, received.points AS received
              FROM (SELECT id, member_id, points FROM loyalty_entry WHERE kind = 'transfer' AND points < 0) given
              FULL JOIN (SELECT award_id AS id, sum(points) AS points FROM loyalty_entry
                          WHERE kind = 'transfer' AND points > 0 GROUP BY award_id) received USING (id)
             WHERE coalesce(given.points, 0) + coalesce(received.points, 0) <> 0""",
    ),
    Check(
        key="references",
        invariant=3,
        name=_("Each entry that counts belongs to a member, and its purchase is that member's"),
        # In two: the entries without a purchase, hashed by it, would all lie in one bucket.
        sql=f"""
            SELECT entry.id AS entry, entry.member_id, entry.purchase_id, NULL::bigint AS buyer
              FROM loyalty_entry entry LEFT JOIN members_member member ON member.id = entry.member_id
             WHERE entry.reverses_id IS NULL AND member.id IS NULL AND {_stands("entry")}
            UNION ALL
            SELECT entry.id, entry.member_id, entry.purchase_id, purchase.member_id
              FROM loyalty_entry entry LEFT JOIN members_purchase purchase ON purchase.id = entry.purchase_id
             WHERE entry.purchase_id IS NOT NULL AND purchase.member_id IS DISTINCT FROM entry.member_id
               AND entry.reverses_id IS NULL AND {_stands("entry")}""",  # noqa: S608
    ),
    Check(
        key="keys",
        invariant=4,
        name=_("Each entry is what its idempotency key stands for"),
        sql=f"""
            SELECT id AS entry, member_id, idempotency_key FROM loyalty_entry
             WHERE input_hash <> {INPUT_HASH_SQL}""",  # noqa: S608
    ),
    Check(
        key="purchases-earn-once",
        invariant=4,
        name=_("No purchase earns twice by one rule"),
        sql="""
            SELECT entry.purchase_id AS purchase, version.rule_id AS rule, count(*) AS times
              FROM loyalty_entry entry JOIN loyalty_ruleversion version ON version.id = entry.rule_version_id
             WHERE entry.purchase_id IS NOT NULL AND entry.kind = 'earn'
             GROUP BY entry.purchase_id, version.rule_id HAVING count(*) > 1""",
    ),
    Check(
        key="given-once",
        invariant=6,
        name=_("No rule rewards two purchases that stand as a member's n-th, or for the same return"),
        sql=f"""
            SELECT entry.member_id, entry.explanation->>'rule_id' AS rule, entry.explanation->>'occasion' AS occasion,
                   count(DISTINCT entry.purchase_id) AS times
              FROM loyalty_entry entry JOIN members_purchase purchase ON purchase.id = entry.purchase_id
             WHERE entry.kind = 'earn' AND entry.explanation ? 'occasion' AND {_stands("entry")}
               AND (purchase.refunded_value < purchase.value OR purchase.value = 0)
             GROUP BY 1, 2, 3 HAVING count(DISTINCT entry.purchase_id) > 1""",  # noqa: S608
    ),
    Check(
        key="caps",
        invariant=5,
        name=_("No cap of a rule let more points through than its versions ever allowed, and each counts all it let"),
        sql=f"""
            SELECT rule_id AS rule, per, "of", period_start, capuse.member_id, capuse.points, allowed.points AS cap
              FROM loyalty_capuse capuse
              JOIN (SELECT version.rule_id, cap->>'per' AS per, coalesce(cap->>'of', 'member') AS "of",
                           max((cap->>'points')::bigint) AS points
                      FROM loyalty_ruleversion version, jsonb_array_elements(version.definition->'caps') AS cap
                     WHERE version.state IN ('active', 'retired')
                     GROUP BY 1, 2, 3 HAVING bool_and(cap->>'points' IS NOT NULL)) allowed USING (rule_id, per, "of")
             WHERE capuse.points > allowed.points
            UNION ALL
            SELECT rule_id, per, "of", NULL, member_id, counted.points, given.points
              FROM (SELECT rule_id, per, "of", coalesce(member_id, 0) AS member_id, sum(points) AS points
                      FROM loyalty_capuse GROUP BY 1, 2, 3, 4) counted
              RIGHT JOIN (
                  SELECT version.rule_id, capped.per, capped."of",
                         CASE capped."of" WHEN 'member' THEN entry.member_id ELSE 0 END AS member_id,
                         sum(entry.points) AS points
                    FROM loyalty_ruleversion version
                    CROSS JOIN LATERAL (
                        SELECT DISTINCT cap->>'per' AS per, coalesce(cap->>'of', 'member') AS "of"
                          FROM jsonb_array_elements(version.definition->'caps') AS cap) capped
                    JOIN loyalty_entry entry ON entry.rule_version_id = version.id
                   WHERE entry.kind = 'earn' AND {_stands("entry")} AND capped.per <> 'purchase'
                   GROUP BY 1, 2, 3, 4) given USING (rule_id, per, "of", member_id)
             WHERE given.points > coalesce(counted.points, 0)""",  # noqa: S608
    ),
    Check(
        key="stock",
        invariant=5,
        name=_("No stock is below zero"),
        sql="SELECT id AS reward, name, stock FROM loyalty_reward WHERE stock < 0",
    ),
    Check(
        key="redemptions",
        invariant=5,
        name=_("Each redemption took its points once from each who paid, and a cancelled one gave them back"),
        sql="""
            SELECT redemption.id AS redemption, redemption.member_id, redemption.state, redemption.points,
                   taken.points AS taken, taken.number AS entries, taken.payers, taken.given_back
              FROM loyalty_redemption redemption
              LEFT JOIN (
                  SELECT entry.redemption_id, count(*) AS number, sum(entry.points) AS points,
                         count(DISTINCT entry.member_id) AS payers, count(reversal.id) AS given_back,
                         count(*) FILTER (WHERE reversal.id IS NOT NULL OR returned.points = -entry.points) AS settled
                    FROM loyalty_entry entry LEFT JOIN loyalty_entry reversal ON reversal.reverses_id = entry.id
                    LEFT JOIN LATERAL (
                        SELECT sum(part.points) AS points FROM loyalty_entry part
                         WHERE part.award_id = entry.id AND part.kind = 'return'
                           AND NOT EXISTS (SELECT FROM loyalty_entry taken WHERE taken.reverses_id = part.id)
                        ) returned ON true
                   WHERE entry.redemption_id IS NOT NULL AND entry.reverses_id IS NULL
                   GROUP BY entry.redemption_id) taken ON taken.redemption_id = redemption.id
             WHERE CASE WHEN redemption.points = 0 THEN taken.number IS NOT NULL
                   ELSE taken.number IS NULL OR taken.number <> taken.payers OR taken.points <> -redemption.points
                        OR CASE redemption.state WHEN 'cancelled' THEN taken.settled <> taken.number
                                                 ELSE taken.given_back <> 0 END END""",
    ),
    Check(
        key="gifts",
        invariant=4,
        name=_("Each gift of a tier went out whole and once, and nothing else is given for no points"),
        sql="""
            SELECT gift.id AS gift, gift.member_id, gift.given_at, redemption.id AS redemption, entry.id AS entry
              FROM loyalty_tiergift gift
              LEFT JOIN loyalty_redemption redemption ON redemption.idempotency_key = 'gift:' || gift.id
              LEFT JOIN loyalty_entry entry ON entry.idempotency_key = 'gift:' || gift.id
             WHERE CASE WHEN gift.given_at IS NULL THEN redemption.id IS NOT NULL OR entry.id IS NOT NULL
                   ELSE gift.redemption_id IS DISTINCT FROM redemption.id
                        OR (redemption.member_id, redemption.reward_id, redemption.points)
                           IS DISTINCT FROM (CASE WHEN gift.reward_id IS NOT NULL THEN gift.member_id END,
                                             gift.reward_id, CASE WHEN gift.reward_id IS NOT NULL THEN 0 END)
                        OR (entry.member_id, entry.points)
                           IS DISTINCT FROM (CASE WHEN gift.points > 0 THEN gift.member_id END, nullif(gift.points, 0))
                   END
            UNION ALL
            SELECT NULL, redemption.member_id, NULL, redemption.id, NULL
              FROM loyalty_redemption redemption
             WHERE redemption.points = 0
               AND NOT EXISTS (SELECT FROM loyalty_tiergift gift WHERE gift.redemption_id = redemption.id)""",
    ),
    Check(
        key="standings",
        invariant=3,
        name=_("Each member stands in the tier of their last move"),
        sql="""
            SELECT standing.member_id, standing.tier_id AS stands_in, last.to_tier_id AS moved_to
              FROM loyalty_tierstanding standing
              LEFT JOIN (SELECT DISTINCT ON (member_id) member_id, to_tier_id FROM loyalty_tierchange
                          ORDER BY member_id, changed_at DESC, id DESC) last USING (member_id)
             WHERE standing.tier_id <> coalesce(
                       last.to_tier_id, (SELECT id FROM loyalty_tier ORDER BY rank LIMIT 1))""",
    ),
    Check(
        key="guards",
        invariant=2,
        name=_("The database's guards over the ledger stand, and left nothing unchecked"),
        sql="""
            SELECT wanted.name AS guard, coalesce(guard.tgenabled::text, 'missing') AS state
              FROM unnest(ARRAY[
                       'loyalty_entry_append_only', 'loyalty_draw_append_only', 'loyalty_lot_kept',
                       'loyalty_account_kept', 'loyalty_checked_at_commit', 'loyalty_account_opened',
                       'loyalty_account_moved', 'loyalty_entry_posted', 'loyalty_lot_made', 'loyalty_lot_moved',
                       'loyalty_draw_made', 'loyalty_purchase_removed', 'loyalty_member_removed',
                       'loyalty_rule_version_kept', 'loyalty_unchecked_kept', 'loyalty_unchecked_not_truncated',
                       'loyalty_purchase_not_truncated', 'loyalty_checked_when_taken',
                       'loyalty_lot_rescheduled', 'loyalty_block_append_only',
                       'loyalty_lotsource_append_only']) AS wanted(name)
              LEFT JOIN pg_trigger guard ON guard.tgname = wanted.name
             WHERE guard.tgenabled IS DISTINCT FROM 'O' AND guard.tgenabled IS DISTINCT FROM 'A'
            UNION ALL
            SELECT 'loyalty_unchecked', count(*)::text FROM loyalty_unchecked
             WHERE xact <> coalesce(pg_current_xact_id_if_assigned(), '0') HAVING count(*) > 0""",
    ),
)
