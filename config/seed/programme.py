"""Building the whole sample programme, chunk by chunk."""

from collections.abc import Callable, Iterator
from datetime import datetime, timedelta

import numpy as np
from django.db import connection, transaction
from django.db.models import Max
from django.utils import timezone

from config.seed import campaigns, load, points
from config.seed.chunk import Calendar, Chunk, draw
from config.seed.copying import next_ids
from loyalty import ledger, tiers
from loyalty.models import Reward
from members.models import Member, Purchase
from staff.models import User

CHUNK = 25_000
STEP_DAYS = 30  # points are earned and redeemed in steps of so many days

# Told the share that is done, 0 to 1.
Say = Callable[[float], None]


class NotEmpty(Exception):
    """There are members already; the sample programme is only built into an empty one."""


def build(*, members: int, months: int, seed: int, until: datetime | None = None, say: Say | None = None) -> None:
    """Build the sample programme: so many members with so many months of history up to yesterday.

    The same arguments on the same day build the same programme. Each chunk of members is one
    transaction. Raises :class:`NotEmpty` where there are members.
    """
    if Member.objects.exists():
        raise NotEmpty
    zone = timezone.get_default_timezone()
    last_day = timezone.localtime(until, zone).date() - timedelta(days=1)
    calendar = Calendar(last_day=last_day, days=round(months * 365 / 12), zone=zone)
    user = User.objects.filter(role="marketing_manager").order_by("pk").first()
    with transaction.atomic():
        rewards = points.prepare()
        stories = campaigns.write_stories(calendar, user)
        campaigns.write_draft(user)
    for number, first in enumerate(range(1, members + 1, CHUNK)):
        count = min(CHUNK, members + 1 - first)
        with transaction.atomic():
            chunk = draw(seed, number, np.array(next_ids(Member, count)), first, calendar)
            for share in _write(chunk, calendar, rewards, stories, np.random.default_rng([seed, number, 1])):
                if say:
                    say((first - 1 + share * count) / members)
    _settle()


def _write(
    chunk: Chunk,
    calendar: Calendar,
    rewards: list[Reward],
    stories: dict[str, campaigns.Written],
    rng: np.random.Generator,
) -> Iterator[float]:
    """Write a chunk; yields how much of it is done."""
    load.write_members(chunk)
    ids = next_ids(Purchase, len(chunk.purchases.member))
    load.write_purchases(chunk, calendar, ids)
    load.write_answers(rng, chunk, calendar)
    load.write_interactions(rng, chunk, calendar)
    for part in chunk.participations:
        stories[part.story.key].write(rng, chunk, part)
    with connection.cursor() as cursor:
        cursor.execute("ANALYZE members_member, members_purchase")
    done = 0
    for day in range(STEP_DAYS, calendar.days + STEP_DAYS, STEP_DAYS):
        end = min(day, calendar.days) * 86_400
        until = int(np.searchsorted(chunk.purchases.second, end))
        now = calendar.moment(end)
        if until > done:
            points.earn(range(ids[done], ids[until - 1] + 1), now)
        points.expire([int(key) for key in chunk.ids], now)
        days = end // 86_400 - (day - STEP_DAYS)
        points.redeem(rng, rewards, (int(chunk.ids[0]), int(chunk.ids[-1])), now, days)
        done = until
        yield min(1.0, day / calendar.days)


def _settle() -> None:
    """Do what the nights would have done (expiry, tiers), and let the planner know the tables."""
    now = timezone.now()
    while ledger.expire_due(now)[0]:
        pass
    last = Member.objects.aggregate(last=Max("pk"))["last"]
    for first in range(0, last + 1, tiers.recalculation.CHUNK):
        tiers.recalculate(now, first=first, last=first + tiers.recalculation.CHUNK - 1)
    with connection.cursor() as cursor:
        cursor.execute("ANALYZE")
