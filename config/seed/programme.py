"""Building the whole sample programme, chunk by chunk."""

from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from dataclasses import dataclass
from datetime import datetime, timedelta
from multiprocessing import get_context

import numpy as np
from django.db import connection, transaction
from django.db.models import Max
from django.utils import timezone
from django.utils.translation import gettext as _

from analytics import collect, valuing
from config.seed import campaigns, desk, load, points
from config.seed.children import begin_child
from config.seed.chunk import Calendar, Chunk, draw
from config.seed.copying import next_ids
from loyalty import gifts, ledger, tiers
from loyalty.models import Reward
from members.models import Member
from staff import jobs
from staff.models import User

CHUNK = 10_000
STEP_DAYS = 30  # points are posted and redeemed in steps of so many days

# Told the share that is done, 0 to 1.
Say = Callable[[float], None]


class NotEmpty(Exception):
    """There are members already; the sample programme is only built into an empty one."""


def build(
    *, members: int, months: int, seed: int, until: datetime | None = None, say: Say | None = None, processes: int = 1
) -> None:
    """Build the sample programme: so many members with so many months of history up to yesterday.

    The same arguments on the same day build the same programme, whatever the number of ``processes`` that
    work at it. Each chunk of members is one transaction; several processes cannot work within a transaction
    of the caller. Raises :class:`NotEmpty` where there are members.
    """
    if Member.objects.exists():
        raise NotEmpty
    zone = timezone.get_default_timezone()
    last_day = timezone.localtime(until, zone).date() - timedelta(days=1)
    calendar = Calendar(now=timezone.now(), last_day=last_day, days=round(months * 365 / 12), zone=zone)
    user = User.objects.filter(role="marketing_manager").order_by("pk").first()
    with transaction.atomic():
        rewards = points.prepare(calendar)
        stories = campaigns.write_stories(calendar, user)
        ids = next_ids(Member, members)
    parts = [
        _Part(seed, number, ids[first : first + CHUNK], first + 1, calendar, rewards, stories)
        for number, first in enumerate(range(0, members, CHUNK))
    ]
    done = _built_apart(parts, processes) if processes > 1 and len(parts) > 1 else _built_here(parts)
    for share in done:
        if say:
            say(share)
    for story in stories.values():
        story.count()
    _settle()
    desk.write(rewards)


def conclude() -> None:
    """Collect the figures of what was built, and value its members."""
    collect.collect()
    jobs.run(jobs.create(valuing.JOB, title=_("Value all members"), payload={}, user=None).pk)


@dataclass(frozen=True)
class _Part:
    """All that is needed to build one chunk of members. ``first`` is the number of its first member."""

    seed: int
    number: int
    ids: Sequence[int]
    first: int
    calendar: Calendar
    rewards: list[Reward]
    stories: dict[str, campaigns.Written]

    def build(self) -> Iterator[float]:
        """Write the chunk in one transaction; yields how much of it is done."""
        with transaction.atomic():
            chunk = draw(self.seed, self.number, np.array(self.ids), self.first, self.calendar)
            rng = np.random.default_rng([self.seed, self.number, 1])
            yield from _write(chunk, self.calendar, self.rewards, self.stories, rng)


def _built_here(parts: Sequence[_Part]) -> Iterator[float]:
    """Build one chunk after the other; yields the share of all that is done."""
    for number, part in enumerate(parts):
        for share in part.build():
            yield (number + share) / len(parts)


def _built_apart(parts: Sequence[_Part], processes: int) -> Iterator[float]:
    """Build chunks in processes of their own, so many at a time; yields the share of all that is done."""
    if connection.in_atomic_block:
        raise transaction.TransactionManagementError("several processes cannot share one transaction")
    database = connection.settings_dict["NAME"]
    # Spawned, not forked: threads and connections of this process are not theirs.
    with ProcessPoolExecutor(
        processes, mp_context=get_context("spawn"), initializer=begin_child, initargs=(database,)
    ) as pool:
        work = [pool.submit(_build_apart, part) for part in parts]
        for number, one in enumerate(as_completed(work), 1):
            one.result()
            yield number / len(parts)


def _build_apart(part: _Part) -> None:
    for _share in part.build():
        pass


def _write(
    chunk: Chunk,
    calendar: Calendar,
    rewards: list[Reward],
    stories: dict[str, campaigns.Written],
    rng: np.random.Generator,
) -> Iterator[float]:
    """Write a chunk; yields how much of it is done."""
    load.write_members(chunk, calendar)
    load.write_purchases(chunk, calendar)
    load.write_answers(rng, chunk, calendar)
    load.write_interactions(rng, chunk, calendar)
    for part in chunk.participations:
        stories[part.story.key].write(rng, chunk, part)
    with connection.cursor() as cursor:
        cursor.execute("ANALYZE (SKIP_LOCKED) members_member, members_purchase")
    members = (int(chunk.ids[0]), int(chunk.ids[-1]))
    points.earn(members, calendar.moment(calendar.days * 86_400))
    for day in range(0, calendar.days, STEP_DAYS):
        days = min(STEP_DAYS, calendar.days - day)
        since, now = calendar.moment(day * 86_400), calendar.moment((day + days) * 86_400)
        points.post(since, now)
        points.expire(members, now)
        points.redeem(rng, rewards, members, since, now)
        yield (day + days) / calendar.days


def _settle() -> None:
    """Do what the nights would have done (expiry, tiers, gifts of tiers), and let the planner know the tables."""
    now = timezone.now()
    ledger.expire_due(now)
    last = Member.objects.aggregate(last=Max("pk"))["last"]
    for first in range(0, last + 1, tiers.recalculation.CHUNK):
        tiers.recalculate(now, first=first, last=first + tiers.recalculation.CHUNK - 1)
    with connection.cursor() as cursor:
        cursor.execute("ANALYZE")
    gifts.hand_out_due()
