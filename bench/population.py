"""A programme of any size for the jobs over everybody, made in minutes.

Members and purchases are written by INSERT … SELECT; points come from the ledger's own writer, and standings
from the recalculation of tiers, as of the day before: what the jobs find is what they find every night.
"""

from datetime import UTC, datetime, timedelta

from django.db import connection, transaction

from loyalty import ledger, programme, tiers
from loyalty.models import RuleVersion

NOW = datetime.now(UTC)
YESTERDAY = NOW - timedelta(days=1)

_MEMBERS = """
INSERT INTO members_member (id, number, external_id, given_name, family_name, email, phone, gender, joined_at, status,
                            language, time_zone, attributes, created_at, updated_at)
SELECT i, 'B' || lpad(i::text, 8, '0'), 'crm-' || i, 'Name' || i %% 5000, 'Family' || i %% 700,
       'member' || i || '@example.com', '+86139' || lpad(i::text, 8, '0'), '',
       %(now)s - interval '3 years' + make_interval(days => i %% 300), 'active', 'en', '', '{}', now(), now()
  FROM generate_series(1, %(size)s) AS i
"""
# One each, of the last two years. One of five bought for silver, one of fifty for gold.
_PURCHASES = """
INSERT INTO members_purchase (id, member_id, key, external_id, purchased_at, amount, currency, rate, value, channel,
                              store, category, created_at)
SELECT i, 1 + (i::bigint * 7919) %% %(size)s, 'R-' || i, 'R-' || i,
       %(now)s - make_interval(days => i %% 730, secs => i %% 80000), spent, 'CNY', 1, spent, 'online', '', '', now()
  FROM generate_series(1, %(size)s) AS i,
       LATERAL (SELECT CASE WHEN i %% 50 = 0 THEN 9000 WHEN i %% 5 = 0 THEN 3000 ELSE 90 + i %% 50 END AS spent) sale
"""
_SEQUENCES = """
SELECT setval(pg_get_serial_sequence('members_member', 'id'), %(size)s),
       setval(pg_get_serial_sequence('members_purchase', 'id'), %(size)s)
"""
_EARNED = """
INSERT INTO bench_earned (member_id, points, key, occurred_at, activates_at, expires_at, purchase_id, rule_version_id,
                          explanation, place)
SELECT member_id, value::bigint, 'earn:' || id || ':bench', purchased_at, purchased_at,
       %(now)s - make_interval(mins => (id %% 1440)::int), id, %(version)s,
       jsonb_build_object('amount', value::text, 'points', value::bigint, 'receipt', external_id), id
  FROM members_purchase
"""


def populate(size: int) -> None:
    """So many members, each with one purchase and the points of it, which expired in the last day."""
    programme.ensure_defaults()
    with connection.cursor() as cursor:
        for statement in (_MEMBERS, _PURCHASES, _SEQUENCES):
            cursor.execute(statement, {"now": NOW, "size": size})
        cursor.execute("ANALYZE members_member, members_purchase")
    _earn()
    recalculate(size, YESTERDAY)


def recalculate(size: int, now: datetime, *, everyone: bool = False) -> None:
    """Recalculate all tiers in the chunks of the nightly run."""
    for first in range(0, size + 1, tiers.recalculation.CHUNK):
        tiers.recalculate(now, first=first, last=first + tiers.recalculation.CHUNK - 1, everyone=everyone)


@transaction.atomic
def _earn() -> None:
    version = RuleVersion.objects.get(state=RuleVersion.State.ACTIVE)
    with connection.cursor() as cursor:
        cursor.execute(f"CREATE TEMPORARY TABLE bench_earned ({ledger.STAGING_COLUMNS}) ON COMMIT DROP")
        cursor.execute(_EARNED, {"now": NOW, "version": version.pk})
        ledger.post_awards(cursor, "bench_earned")
