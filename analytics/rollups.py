"""The small tables that pages read: sums over the facts of members.

Rollups of members move by differences: what the members of a batch add is taken off before their facts
are rewritten (``sign`` −1) and put on again after (+1), in one transaction. So a refresh costs what is
new, and the sums stay exact. NPS is counted anew for the months that have new answers.
"""

from collections.abc import Collection as Months
from datetime import date

from django.conf import settings
from django.db.backends.utils import CursorWrapper

COHORT_SIZES = """
INSERT INTO analytics_cohortsize AS t (kind, cohort, members)
SELECT c.kind, c.cohort, %(sign)s * count(*)
  FROM analytics_batch b
  JOIN analytics_memberfact f ON f.member_id = b.member_id
  CROSS JOIN LATERAL (VALUES ('first_purchase', f.first_purchase), ('enrolment', f.enrolment)) c (kind, cohort)
 WHERE c.cohort IS NOT NULL
 GROUP BY 1, 2
ON CONFLICT (kind, cohort) DO UPDATE SET members = t.members + excluded.members
"""

COHORT_MONTHS = """
INSERT INTO analytics_cohortmonth AS t (kind, cohort, month, members)
SELECT c.kind, c.cohort, mm.month, %(sign)s * count(*)
  FROM analytics_batch b
  JOIN analytics_memberfact f ON f.member_id = b.member_id
  JOIN analytics_membermonth mm ON mm.member_id = b.member_id AND mm.orders > 0
  CROSS JOIN LATERAL (VALUES ('first_purchase', f.first_purchase), ('enrolment', f.enrolment)) c (kind, cohort)
 WHERE c.cohort <= mm.month
 GROUP BY 1, 2, 3
ON CONFLICT (kind, cohort, month) DO UPDATE SET members = t.members + excluded.members
"""

POINTS_MONTHS = """
INSERT INTO analytics_pointsmonth AS t (month, tier_key, issued, redeemed, expired, net, active, redeemers)
SELECT mm.month, mm.tier_key, %(sign)s * sum(mm.points_issued), %(sign)s * sum(mm.points_redeemed),
       %(sign)s * sum(mm.points_expired), %(sign)s * sum(mm.points_net),
       %(sign)s * count(*) FILTER (WHERE mm.orders > 0 OR mm.points_redeemed > 0),
       %(sign)s * count(*) FILTER (WHERE mm.points_redeemed > 0)
  FROM analytics_batch b JOIN analytics_membermonth mm ON mm.member_id = b.member_id
 GROUP BY 1, 2
ON CONFLICT (month, tier_key) DO UPDATE
   SET issued = t.issued + excluded.issued, redeemed = t.redeemed + excluded.redeemed,
       expired = t.expired + excluded.expired, net = t.net + excluded.net,
       active = t.active + excluded.active, redeemers = t.redeemers + excluded.redeemers
"""

REWARD_MONTHS = """
INSERT INTO analytics_rewardmonth AS t (month, reward_id, redemptions, points, members)
SELECT mr.month, mr.reward_id, %(sign)s * sum(mr.redemptions), %(sign)s * sum(mr.points), %(sign)s * count(*)
  FROM analytics_batch b JOIN analytics_memberreward mr ON mr.member_id = b.member_id
 GROUP BY 1, 2
ON CONFLICT (month, reward_id) DO UPDATE
   SET redemptions = t.redemptions + excluded.redemptions, points = t.points + excluded.points,
       members = t.members + excluded.members
"""

SPAN_DAYS = """
INSERT INTO analytics_spanday AS t (state, day, change)
SELECT s.state, d.day, %(sign)s * sum(d.change)
  FROM analytics_batch b
  JOIN analytics_memberspan s ON s.member_id = b.member_id
  CROSS JOIN LATERAL (VALUES (s.from_day, 1), (s.until_day, -1)) d (day, change)
 GROUP BY 1, 2
ON CONFLICT (state, day) DO UPDATE SET change = t.change + excluded.change
"""

ARM_DAYS = """
INSERT INTO analytics_armday AS t (campaign_id, arm, day, members, conversions, revenue, revenue_squares, elsewhere)
SELECT a.campaign_id, a.arm, (a.exposed_at AT TIME ZONE %(zone)s)::date, %(sign)s * count(*),
       %(sign)s * count(*) FILTER (WHERE a.converted), %(sign)s * sum(a.revenue),
       %(sign)s * sum(a.revenue * a.revenue), %(sign)s * count(*) FILTER (WHERE a.elsewhere)
  FROM analytics_batch b JOIN analytics_armmember a ON a.member_id = b.member_id
 GROUP BY 1, 2, 3
ON CONFLICT (campaign_id, arm, day) DO UPDATE
   SET members = t.members + excluded.members, conversions = t.conversions + excluded.conversions,
       revenue = t.revenue + excluded.revenue, revenue_squares = t.revenue_squares + excluded.revenue_squares,
       elsewhere = t.elsewhere + excluded.elsewhere
"""

ARM_EVENTS = """
INSERT INTO analytics_armevent AS t (campaign_id, arm, event, events, members)
SELECT a.campaign_id, a.arm, e.key, %(sign)s * sum(e.value::bigint), %(sign)s * count(*)
  FROM analytics_batch b
  JOIN analytics_armmember a ON a.member_id = b.member_id
  CROSS JOIN LATERAL jsonb_each_text(a.events) e
 GROUP BY 1, 2, 3
ON CONFLICT (campaign_id, arm, event) DO UPDATE
   SET events = t.events + excluded.events, members = t.members + excluded.members
"""

STATEMENTS = [COHORT_SIZES, COHORT_MONTHS, POINTS_MONTHS, REWARD_MONTHS, SPAN_DAYS, ARM_DAYS, ARM_EVENTS]

# A row that holds nothing any more, by table.
EMPTY_ROWS = {
    "analytics_cohortsize": "members = 0",
    "analytics_cohortmonth": "members = 0",
    "analytics_pointsmonth": "issued = 0 AND redeemed = 0 AND expired = 0 AND net = 0 AND active = 0",
    "analytics_rewardmonth": "members = 0",
    "analytics_spanday": "change = 0",
    "analytics_armday": "members = 0",
    "analytics_armevent": "members = 0",
}

NPS_MONTHS = """
INSERT INTO analytics_npsmonth (survey, month, score, answers)
SELECT a.survey, m.month, a.score, count(*)
  FROM unnest(%(months)s::date[]) AS m (month)
  JOIN members_surveyresponse a
    ON a.answered_at >= m.month::timestamp AT TIME ZONE %(zone)s
   AND a.answered_at < (m.month + interval '1 month') AT TIME ZONE %(zone)s
 WHERE a.score IS NOT NULL
 GROUP BY 1, 2, 3
"""

NPS_WITHOUT_MONTH = """
INSERT INTO analytics_npsmonth (survey, month, score, answers)
SELECT survey, NULL, score, count(*) FROM members_surveyresponse
 WHERE answered_at IS NULL AND score IS NOT NULL
 GROUP BY 1, 3
"""

ALL_ANSWER_MONTHS = """
SELECT DISTINCT date_trunc('month', answered_at AT TIME ZONE %(zone)s)::date FROM members_surveyresponse
"""


def add(cursor: CursorWrapper, sign: int) -> None:
    """Put the facts of the members in ``analytics_batch`` on the sums (1), or take them off (-1)."""
    parameters = {"sign": sign, "zone": settings.TIME_ZONE}
    for statement in STATEMENTS:
        cursor.execute(statement, parameters)


def sweep(cursor: CursorWrapper) -> None:
    """Remove the rows that came down to nothing."""
    for table, condition in EMPTY_ROWS.items():
        cursor.execute(f"DELETE FROM {table} WHERE {condition}")  # noqa: S608


def recount_answers(cursor: CursorWrapper, months: Months[date | None]) -> None:
    """Count the answers of these months again; None is the month of answers without a day."""
    known = sorted(month for month in months if month)
    parameters = {"months": known, "zone": settings.TIME_ZONE}
    cursor.execute("DELETE FROM analytics_npsmonth WHERE month = ANY(%(months)s::date[])", parameters)
    cursor.execute(NPS_MONTHS, parameters)
    if None in months:
        cursor.execute("DELETE FROM analytics_npsmonth WHERE month IS NULL")
        cursor.execute(NPS_WITHOUT_MONTH)


def recount_all_answers(cursor: CursorWrapper) -> None:
    """Count all answers again: the rows of an undone import are gone and cannot say which month they had."""
    cursor.execute(ALL_ANSWER_MONTHS, {"zone": settings.TIME_ZONE})
    months = {row[0] for row in cursor.fetchall()} | {None}
    cursor.execute("DELETE FROM analytics_npsmonth")
    recount_answers(cursor, months)
