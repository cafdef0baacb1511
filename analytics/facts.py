"""The facts of single members, derived from the raw rows by set-based SQL.

Every statement works on the members in the temporary table ``analytics_batch`` and is repeatable: the
batch's facts are removed first, then written from the raw rows as they stand. All of them join on the
member and nothing else, so that no plan can go wrong by much while a table's statistics are old.
Parameters: ``zone`` (the programme's), ``forever``. A day counts from midnight in the programme's zone.
"""

from datetime import date

from django.conf import settings
from django.db.backends.utils import CursorWrapper

ACTIVE_DAYS = 90
FOREVER = date.max
TIER_PREFIX = "tier:"

FACT_TABLES = [
    "analytics_memberfact",
    "analytics_memberspan",
    "analytics_membermonth",
    "analytics_memberreward",
    "analytics_armmember",
]

MEMBER_FACTS = """
INSERT INTO analytics_memberfact (member_id, enrolment, first_purchase)
SELECT m.id,
       date_trunc('month', m.joined_at AT TIME ZONE %(zone)s)::date,
       date_trunc('month', first.purchased_at AT TIME ZONE %(zone)s)::date
  FROM analytics_batch b
  JOIN members_member m ON m.id = b.member_id
  LEFT JOIN (
       SELECT p.member_id, min(p.purchased_at) AS purchased_at
         FROM analytics_batch b JOIN members_net_purchase p ON p.member_id = b.member_id
        GROUP BY p.member_id
  ) first ON first.member_id = b.member_id
"""

# range_agg merges the windows that touch: what is left are the spans without a gap. A member who bought
# in this year's window and in the one before it was kept: the spans, and the spans a year later, cut.
ACTIVITY_SPANS = """
WITH bought AS MATERIALIZED (
    SELECT DISTINCT p.member_id, (p.purchased_at AT TIME ZONE %(zone)s)::date AS day
      FROM analytics_batch b
      JOIN members_net_purchase p ON p.member_id = b.member_id
), redeemed AS (
    SELECT e.member_id, (e.occurred_at AT TIME ZONE %(zone)s)::date AS day
      FROM analytics_batch b
      JOIN loyalty_entry e ON e.member_id = b.member_id AND e.kind = 'redeem'
     WHERE NOT EXISTS (SELECT FROM loyalty_entry r WHERE r.reverses_id = e.id)
), spans AS (
    SELECT member_id, 'active' AS state, range_agg(daterange(day, day + %(active_days)s)) AS days
      FROM (SELECT * FROM bought UNION SELECT * FROM redeemed) AS activity
     GROUP BY member_id
    UNION ALL
    SELECT member_id, 'bought_year', range_agg(daterange(day, day + 365))
      FROM bought GROUP BY member_id
    UNION ALL
    SELECT member_id, 'kept_year',
           range_agg(daterange(day, day + 365)) * range_agg(daterange(day + 365, day + 730))
      FROM bought GROUP BY member_id
)
INSERT INTO analytics_memberspan (member_id, state, from_day, until_day)
SELECT member_id, state, lower(span), upper(span)
  FROM spans CROSS JOIN LATERAL unnest(days) AS span
"""

# The tier before the first change is the one it left, or the lowest. Of several changes on a day the
# last one stands: the others would be spans of no length.
TIER_SPANS = """
WITH starts AS (
    SELECT m.id AS member_id,
           least((m.joined_at AT TIME ZONE %(zone)s)::date, activity.day, change.day) AS day,
           coalesce(change.from_tier_id, (SELECT id FROM loyalty_tier ORDER BY rank LIMIT 1)) AS tier_id
      FROM analytics_batch b
      JOIN members_member m ON m.id = b.member_id
      LEFT JOIN (
           SELECT s.member_id, min(s.from_day) AS day
             FROM analytics_batch b JOIN analytics_memberspan s ON s.member_id = b.member_id AND s.state = 'active'
            GROUP BY s.member_id
      ) activity ON activity.member_id = b.member_id
      LEFT JOIN (
           SELECT DISTINCT ON (c.member_id)
                  c.member_id, (c.changed_at AT TIME ZONE %(zone)s)::date AS day, c.from_tier_id
             FROM analytics_batch b JOIN loyalty_tierchange c ON c.member_id = b.member_id
            ORDER BY c.member_id, c.changed_at, c.id
      ) change ON change.member_id = b.member_id
), steps AS (
    SELECT member_id, day, tier_id, '-infinity'::timestamptz AS at, 0::bigint AS id FROM starts
    UNION ALL
    SELECT c.member_id, (c.changed_at AT TIME ZONE %(zone)s)::date, c.to_tier_id, c.changed_at, c.id
      FROM analytics_batch b JOIN loyalty_tierchange c ON c.member_id = b.member_id
), spans AS (
    SELECT member_id, tier_id, day AS from_day,
           lead(day, 1, %(forever)s::date) OVER (PARTITION BY member_id ORDER BY at, id) AS until_day
      FROM steps
)
INSERT INTO analytics_memberspan (member_id, state, from_day, until_day)
SELECT spans.member_id, %(tier_prefix)s || t.key, from_day, until_day
  FROM spans JOIN loyalty_tier t ON t.id = spans.tier_id
 WHERE from_day < until_day
"""

# What a refund took back was never given, and what it gave back never spent: both are taken off the month in which
# that was.
MEMBER_MONTHS = """
WITH parts AS (
    SELECT p.member_id, date_trunc('month', p.purchased_at AT TIME ZONE %(zone)s)::date AS month,
           count(*) AS orders, sum(p.value) AS spend,
           0 AS issued, 0 AS redeemed, 0 AS expired, 0 AS net
      FROM analytics_batch b
      JOIN members_net_purchase p ON p.member_id = b.member_id
     GROUP BY 1, 2
    UNION ALL
    SELECT e.member_id, date_trunc('month', e.occurred_at AT TIME ZONE %(zone)s)::date,
           0, 0,
           sum(e.points) FILTER (WHERE r.id IS NULL AND e.points > 0 AND e.kind IN ('earn', 'adjust')),
           sum(-e.points) FILTER (WHERE r.id IS NULL AND e.kind = 'redeem'),
           sum(-e.points) FILTER (WHERE r.id IS NULL AND e.kind = 'expire'),
           sum(e.points + e.debt)
      FROM analytics_batch b
      JOIN loyalty_entry e ON e.member_id = b.member_id
      LEFT JOIN loyalty_entry r ON r.reverses_id = e.id
     GROUP BY 1, 2
    UNION ALL
    SELECT e.member_id, date_trunc('month', award.occurred_at AT TIME ZONE %(zone)s)::date,
           0, 0, sum(e.points) FILTER (WHERE e.kind = 'clawback'),
           sum(-e.points) FILTER (WHERE e.kind = 'return'), 0, 0
      FROM analytics_batch b
      JOIN loyalty_entry e ON e.member_id = b.member_id AND e.kind IN ('clawback', 'return')
      JOIN loyalty_entry award ON award.id = e.award_id
     WHERE NOT EXISTS (SELECT FROM loyalty_entry r WHERE r.reverses_id = e.id)
     GROUP BY 1, 2
), months AS (
    SELECT member_id, month, sum(orders) AS orders, sum(spend) AS spend, coalesce(sum(issued), 0) AS issued,
           coalesce(sum(redeemed), 0) AS redeemed, coalesce(sum(expired), 0) AS expired, sum(net) AS net
      FROM parts GROUP BY 1, 2
)
INSERT INTO analytics_membermonth (member_id, month, orders, spend, points_issued, points_redeemed,
                                   points_expired, points_net, tier_key)
SELECT months.member_id, month, orders, spend, issued, redeemed, expired, net,
       coalesce(substr(tier.state, length(%(tier_prefix)s) + 1), '')
  FROM months
  LEFT JOIN analytics_memberspan tier
    ON tier.member_id = months.member_id AND starts_with(tier.state, %(tier_prefix)s)
   AND tier.from_day < month + interval '1 month' AND tier.until_day >= month + interval '1 month'
"""

# Several members of a household may pay for one redemption: it is counted with the first of them.
MEMBER_REWARDS = """
INSERT INTO analytics_memberreward (member_id, month, reward_id, redemptions, points)
SELECT e.member_id, date_trunc('month', e.occurred_at AT TIME ZONE %(zone)s)::date, r.reward_id,
       count(*) FILTER (WHERE NOT EXISTS (
           SELECT FROM loyalty_entry f WHERE f.redemption_id = e.redemption_id AND f.kind = 'redeem' AND f.id < e.id)),
       sum(-e.points)
  FROM analytics_batch b
  JOIN loyalty_entry e ON e.member_id = b.member_id AND e.kind = 'redeem'
  JOIN loyalty_redemption r ON r.id = e.redemption_id
 WHERE NOT EXISTS (SELECT FROM loyalty_entry x WHERE x.reverses_id = e.id)
 GROUP BY 1, 2, 3
"""

# Our own campaigns count the members who were exposed; an imported one, which has no experiment, those
# for whom an event was brought along, from the first one on.
ARM_MEMBERS = """
WITH exposed AS (
    SELECT c.id AS campaign_id, c.goal_days, x.arm, x.member_id, x.exposed_at
      FROM analytics_batch b
      JOIN members_exposure x ON x.member_id = b.member_id
      JOIN campaigns_campaign c ON c.experiment_id = x.experiment_id
    UNION ALL
    SELECT c.id, c.goal_days, ev.arm, ev.member_id, min(ev.occurred_at)
      FROM analytics_batch b
      JOIN campaigns_campaignevent ev ON ev.member_id = b.member_id
      JOIN campaigns_campaign c ON c.id = ev.campaign_id AND c.experiment_id IS NULL
     GROUP BY c.id, c.goal_days, ev.arm, ev.member_id
), bought AS (
    SELECT x.campaign_id, x.arm, x.member_id, sum(p.value) AS revenue
      FROM exposed x
      JOIN members_net_purchase p
        ON p.member_id = x.member_id AND p.purchased_at >= x.exposed_at
       AND p.purchased_at < x.exposed_at + make_interval(hours => 24 * x.goal_days)
     GROUP BY 1, 2, 3
), happened AS (
    SELECT campaign_id, arm, member_id, jsonb_object_agg(event, n) AS events
      FROM (SELECT ev.campaign_id, ev.arm, ev.member_id, ev.event, count(*) AS n
              FROM analytics_batch b JOIN campaigns_campaignevent ev ON ev.member_id = b.member_id
             GROUP BY 1, 2, 3, 4) counted
     GROUP BY 1, 2, 3
)
INSERT INTO analytics_armmember (campaign_id, arm, member_id, exposed_at, converted, revenue, elsewhere, events)
SELECT x.campaign_id, x.arm, x.member_id, x.exposed_at, bought.revenue IS NOT NULL, coalesce(bought.revenue, 0),
       row_number() OVER (PARTITION BY x.campaign_id, x.member_id ORDER BY x.exposed_at, x.arm) > 1,
       coalesce(happened.events, '{}')
  FROM exposed x
  LEFT JOIN bought USING (campaign_id, arm, member_id)
  LEFT JOIN happened USING (campaign_id, arm, member_id)
"""

# In this order: months read the tiers that spans hold.
STATEMENTS = [MEMBER_FACTS, ACTIVITY_SPANS, TIER_SPANS, MEMBER_MONTHS, MEMBER_REWARDS, ARM_MEMBERS]


def rewrite(cursor: CursorWrapper) -> None:
    """Write the facts of the members in ``analytics_batch`` anew from the raw rows."""
    for table in FACT_TABLES:
        cursor.execute(f"DELETE FROM {table} f USING analytics_batch b WHERE f.member_id = b.member_id")  # noqa: S608
    # Entries outlive the member of an undone import: what is left of them adds up to nothing, and is nobody's.
    cursor.execute(
        "DELETE FROM analytics_batch b WHERE NOT EXISTS (SELECT FROM members_member m WHERE m.id = b.member_id)"
    )
    parameters = {
        "zone": settings.TIME_ZONE,
        "active_days": ACTIVE_DAYS,
        "forever": FOREVER,
        "tier_prefix": TIER_PREFIX,
    }
    for statement in STATEMENTS:
        cursor.execute(statement, parameters)
