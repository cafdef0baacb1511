"""What the programme gave the sample members: points and tiers by the loyalty room's own writers."""

from datetime import datetime, timedelta
from decimal import Decimal
from typing import Any

import numpy as np
from django.db import connection
from psycopg import sql

from config.seed.chunk import Calendar
from config.seed.copying import Jsonb, copy, next_ids
from loyalty import ledger, programme
from loyalty.intake.earning import stage_for_bought
from loyalty.models import Redemption, Reward, Tier, TierBenefit

# English and Chinese name, points, cost to the company (programme currency), stock
REWARDS = (
    ("Coffee of the day", "今日咖啡", 300, Decimal("6.00"), None),
    ("Free delivery for a month", "一个月免配送费", 500, Decimal("12.00"), None),
    ("Cake voucher", "蛋糕券", 800, Decimal("14.00"), None),
    ("Tote bag", "帆布袋", 1_200, Decimal("21.00"), 140),
    ("Bag of Yunnan beans", "云南咖啡豆", 1_800, Decimal("38.00"), 64),
    ("Coffee set", "咖啡器具套装", 4_000, Decimal("92.00"), 12),
    ("Barista class", "咖啡师课程", 8_000, Decimal("180.00"), 5),
)
# Tier, kind, English and Chinese words, cost per member and year (programme currency)
BENEFITS = (
    ("silver", "early_access", "First to try new drinks", "新品优先尝鲜", None),
    ("gold", "delivery", "Free delivery", "免费配送", Decimal("96.00")),
    ("gold", "gift", "A coffee on your birthday", "生日咖啡一杯", Decimal("12.00")),
    ("platinum", "service", "A line of their own at the service desk", "专属客服通道", Decimal("40.00")),
    ("platinum", "delivery", "Free delivery", "免费配送", Decimal("96.00")),
)
# Tier, English and Chinese words of its gift, the points and the reward that it is
GIFTS = (
    ("silver", "100 points to start with", "100 积分见面礼", 100, ""),
    ("gold", "A coffee of the day", "一杯今日咖啡", 0, "Coffee of the day"),
    ("platinum", "A box of six roasts", "六款咖啡豆礼盒", 0, "Box of six roasts"),
)
# Gifts go to those who reached their tier since then.
GIFT_DAYS = 14
# The chance that somebody who can afford something redeems on one day.
REDEEMS_A_DAY = 0.0027


def prepare(calendar: Calendar) -> list[Reward]:
    """Tiers with what they give, the earning rule, and the rewards of the sample programme, which are returned."""
    programme.ensure_defaults()
    tiers = {tier.key: tier for tier in Tier.objects.all()}
    TierBenefit.objects.bulk_create(
        [
            TierBenefit(tier=tiers[key], kind=kind, text=text, text_zh=text_zh, yearly_value=value)
            for key, kind, text, text_zh, value in BENEFITS
        ]
    )
    rewards = [
        Reward.objects.create(name=name, name_zh=name_zh, points=points, cost=cost, stock=stock)
        for name, name_zh, points, cost, stock in REWARDS
    ]
    # Given, not sold, and there is none just now: these gifts wait.
    Reward.objects.create(
        name="Box of six roasts", name_zh="六款咖啡豆礼盒", points=3_000, cost=Decimal("70.00"), stock=0, active=False
    )
    given = {reward.name: reward for reward in Reward.objects.all()}
    TierBenefit.objects.bulk_create(
        [
            TierBenefit(
                tier=tiers[key], kind="gift", text=text, text_zh=text_zh, points=points, reward=given.get(reward)
            )
            for key, text, text_zh, points, reward in GIFTS
        ]
    )
    TierBenefit.objects.update(created_at=calendar.now - timedelta(days=GIFT_DAYS))
    return rewards


def earn(members: tuple[int, int], now: datetime) -> None:
    """Reckon what the members (first and last id) earned up to ``now`` and move tiers; :func:`post` gives it out."""
    with connection.cursor() as cursor:
        cursor.execute("DROP TABLE IF EXISTS loyalty_bought")
        cursor.execute(
            "CREATE TEMPORARY TABLE loyalty_bought ON COMMIT DROP AS"
            " SELECT id AS purchase_id, member_id, purchased_at FROM members_purchase"
            " WHERE member_id BETWEEN %s AND %s",
            members,
        )
        cursor.execute("ANALYZE loyalty_bought")
        ledger.lock_accounts(cursor, sql.SQL("SELECT DISTINCT member_id FROM loyalty_bought"))
        stage_for_bought(cursor, now=now)
        cursor.execute("CREATE INDEX ON loyalty_earning (occurred_at)")


def post(since: datetime, until: datetime) -> None:
    """Post what was earned between two moments (the second not included), so that accounts read in order of time."""
    with connection.cursor() as cursor:
        cursor.execute("DROP TABLE IF EXISTS sample_earning")
        cursor.execute(
            "CREATE TEMPORARY TABLE sample_earning ON COMMIT DROP AS"
            " SELECT * FROM loyalty_earning WHERE occurred_at >= %s AND occurred_at < %s",
            [since, until],
        )
        ledger.post_awards(cursor, "sample_earning")


def expire(members: tuple[int, int], now: datetime) -> None:
    """Take out what has expired by ``now`` of the members with ids from the first to the second."""
    with connection.cursor() as cursor:
        cursor.execute(_EXPIRED, {"now": now, "first": members[0], "last": members[1]})
        if due := [row[0] for row in cursor.fetchall()]:
            ledger.lock_members(cursor, due)
            ledger.expire_members(cursor, due, now)


def redeem(
    rng: np.random.Generator, rewards: list[Reward], members: tuple[int, int], began: datetime, now: datetime
) -> int:
    """Let some members (first and last id) who can afford a reward redeem one between ``began`` and ``now``."""
    days = (now - began) / timedelta(days=1)
    with connection.cursor() as cursor:
        cursor.execute(_CAN_AFFORD, {"now": now, "first": members[0], "last": members[1], "least": rewards[0].points})
        able = cursor.fetchall()
    draws = rng.random((len(able), 3))
    rows = []
    for (member_id, points, since), (wish, choice, moment) in zip(able, draws, strict=True):
        if wish < REDEEMS_A_DAY * days:
            affordable = [reward for reward in rewards if reward.points <= points]
            # Most people take the best they can get or the one below.
            reward = affordable[max(0, len(affordable) - 1 - int(choice * 2.5))]
            # After all that they did in these days, so that the account reads in order of time.
            rows.append((member_id, reward, max(since, began) + moment * (now - max(since, began))))
    if rows:
        _post(rows)
    return len(rows)


def _post(rows: list[tuple[int, Reward, datetime]]) -> None:
    ids = next_ids(Redemption, len(rows))
    copy(
        Redemption,
        ["id", "member_id", "reward_id", "points", "state", "idempotency_key", "redeemed_at", "confirmed_at"],
        (
            (key, member_id, reward.pk, reward.points, "fulfilled", f"sample:{key}", at, at)
            for key, (member_id, reward, at) in zip(ids, rows, strict=True)
        ),
    )
    with connection.cursor() as cursor:
        cursor.execute("DROP TABLE IF EXISTS sample_spends")
        cursor.execute(f"CREATE TEMPORARY TABLE sample_spends ({ledger.SPENDING_COLUMNS}) ON COMMIT DROP")
        with cursor.cursor.copy(
            "COPY sample_spends (member_id, points, key, occurred_at, redemption_id, explanation) FROM STDIN"
        ) as stream:
            for key, (member_id, reward, at) in zip(ids, rows, strict=True):
                stream.write_row((member_id, reward.points, f"redeem:{key}", at, key, Jsonb(_explanation(key, reward))))
        ledger.post_spends(cursor, "sample_spends")


def _explanation(redemption_id: int, reward: Reward) -> dict[str, Any]:
    return {"reward": reward.name, "reward_zh": reward.name_zh, "redemption": redemption_id, "points": reward.points}


_USABLE = ledger.usable_sql("%(now)s")

_CAN_AFFORD = f"""
SELECT lot.member_id, sum(lot.remaining)::bigint, max(lot.activates_at)
  FROM loyalty_lot lot
 WHERE lot.member_id BETWEEN %(first)s AND %(last)s
   AND {_USABLE}
 GROUP BY lot.member_id HAVING sum(lot.remaining) >= %(least)s
 ORDER BY lot.member_id
"""  # noqa: S608

_EXPIRED = """
SELECT DISTINCT member_id FROM loyalty_lot
 WHERE member_id BETWEEN %(first)s AND %(last)s AND remaining > 0 AND expires_at <= %(now)s
"""
