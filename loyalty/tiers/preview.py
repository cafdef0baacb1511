"""Who would move under another scheme, and what that would cost, counted by a job before anything is saved."""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from decimal import Decimal
from typing import Any, Final

from django.db import connection, transaction
from django.db.backends.utils import CursorWrapper
from django.db.models import Q
from django.urls import reverse
from django.utils import timezone
from django.utils.translation import gettext as _
from django.utils.translation import ngettext

from loyalty.policies import settings_now
from loyalty.tier_models import ForeseenMove
from loyalty.tiers import counting, history
from loyalty.tiers.benefits import costs_by_tier
from loyalty.tiers.ladder import Ladder, ladder, ladder_text, read_ladder
from loyalty.tiers.recalculation import CHUNK, count, last_member, movable
from loyalty.tiers.walk import State, Walk
from loyalty.tiers.windows import INSTANT
from staff import figures, jobs
from staff.models import Job, User

JOB: Final = "preview-tiers"
YEAR: Final = timedelta(days=365)
# The members of a preview are kept so long, or until the same person asks for the next one.
KEPT: Final = timedelta(days=7)

# Members by the places of the ladder between which they would move.
Moved = dict[tuple[int, int], list[int]]


@dataclass(frozen=True, kw_only=True)
class Move:
    """How many members would go from one tier to another (keys), and what that changes in a year.

    ``benefits`` is money (programme currency); ``points`` are those that the multiplier of the new tier would add to,
    or take from, what these members earned in the last 365 days.
    """

    from_tier: str
    to_tier: str
    is_upgrade: bool
    members: int
    benefits: Decimal
    points: int

    def told(self) -> dict[str, Any]:
        """For the job's result."""
        return {**vars(self), "benefits": f"{self.benefits:.2f}"}


class Preview:
    """What saving a scheme and its thresholds would do to today's standings at once, counted part by part."""

    def __init__(self, proposed: Ladder, now: datetime) -> None:
        self.proposed, self.now, self.stands = proposed, now, ladder()
        self._members: Counter[tuple[int, int]] = Counter()
        self._earned: Counter[tuple[int, int]] = Counter()
        self._earned_in: Counter[int] = Counter()
        pairs = zip(self.stands.rungs, proposed.rungs, strict=True)
        self._multiplied = [place for place, (old, new) in enumerate(pairs) if old.multiplier != new.multiplier]

    def look(self, cursor: CursorWrapper, first: int, last: int) -> Moved:
        """Count the members with ids from ``first`` to ``last``, once; in a transaction."""
        found = _moved(cursor, self.proposed, self.now, first, last)
        for between, members in found.items():
            self._members[between] += len(members)
            self._earned[between] += _earned(cursor, members, self.now)
        if self._multiplied:
            for tier_id, points in _earned_by_tier(cursor, self.stands, self.now, first, last):
                self._earned_in[self.stands.place_of(tier_id)] += points
        return found

    def moves(self) -> list[Move]:
        """What was counted, downgrades first."""
        worth, rungs = costs_by_tier(), self.proposed.rungs
        found = []
        for (before, after), number in sorted(self._members.items()):
            old, new = self.stands.rungs[before], rungs[after]
            gains = worth.get(new.id, Decimal(0)) - worth.get(old.id, Decimal(0))
            earned = self._earned[before, after]
            found.append(
                Move(
                    from_tier=old.key,
                    to_tier=new.key,
                    is_upgrade=after > before,
                    members=number,
                    benefits=gains * number,
                    points=int(earned * (new.multiplier / old.multiplier - 1)),
                )
            )
        return sorted(found, key=lambda move: move.is_upgrade)

    def stays(self) -> dict[str, int]:
        """By tier (key) whose multiplier would change, the points that it would add for those who stay, in a year."""
        found = {}
        for place in self._multiplied:
            left = sum(points for (before, _after), points in self._earned.items() if before == place)
            old, new = self.stands.rungs[place], self.proposed.rungs[place]
            found[new.key] = int((self._earned_in[place] - left) * (new.multiplier / old.multiplier - 1))
        return {key: points for key, points in found.items() if points}


def start(proposed: Ladder, *, form: str, user: User | None) -> Job:
    """Queue a preview; what the same person asked for before is not counted to its end. Nobody's is for a request.

    ``form`` is what was typed, as a query string, so that the form can be shown again as it was. The result is
    described at :func:`run`.
    """
    if user:
        for earlier in Job.objects.filter(kind=JOB, created_by=user, finished_at=None):
            jobs.cancel(earlier)
    payload = {"ladder": ladder_text(proposed), "form": form}
    return jobs.start(JOB, title=_("Who would move to another tier"), payload=payload, user=user)


@jobs.handler(JOB)
def run(job: Job, progress: jobs.Progress) -> dict[str, Any]:
    """Count everybody in chunks, and keep who they are.

    The result: ``summary``, ``links``; under ``detail`` the ``moves`` (as :meth:`Move.told`), what ``stays`` (as
    :meth:`Preview.stays`), and in all the ``cost`` in a year, of ``benefits`` and ``points``. Writes nothing but
    :class:`ForeseenMove`.
    """
    preview = Preview(read_ladder(job.payload["ladder"]), timezone.now())
    _forget(job)
    last = last_member()
    progress.update(0, total=last, step=_("looking at what counts"))
    for first in range(0, last + 1, CHUNK):
        with transaction.atomic(), connection.cursor() as cursor, progress.interruptible():
            _keep(cursor, job, preview.proposed, preview.look(cursor, first, first + CHUNK - 1))
        progress.update(min(first + CHUNK, last))
    return _result(job, preview.moves(), preview.stays())


def _result(job: Job, moves: Sequence[Move], stays: Mapping[str, int]) -> dict[str, Any]:
    benefits = sum((move.benefits for move in moves), Decimal(0))
    points = sum(move.points for move in moves) + sum(stays.values())
    members = sum(move.members for move in moves)
    said = ngettext("%(members)s member would move.", "%(members)s members would move.", members)
    return {
        "summary": said % {"members": figures.number(members)} if members else _("Nobody would move."),
        "links": [{"label": _("Open the result"), "url": reverse("loyalty:tiers-preview-result", args=[job.pk])}],
        "detail": {
            "moves": [move.told() for move in moves],
            "stays": dict(stays),
            "benefits": f"{benefits:.2f}",
            "points": points,
            "cost": f"{benefits + points * settings_now().point_value:.2f}",
        },
    }


def _forget(job: Job) -> None:
    """Drop the lists of previews that are past or never came to their end, and what a dead attempt of this one left."""
    past = Q(created_by=job.created_by_id) | Q(created_at__lt=timezone.now() - KEPT)
    past |= Q(state__in=[Job.State.CANCELLED, Job.State.FAILED])
    dropped = Job.objects.filter(past, kind=JOB, pk__lte=job.pk).values("pk")
    ForeseenMove.objects.filter(job__in=dropped).delete()


def _keep(cursor: CursorWrapper, job: Job, proposed: Ladder, moved: Moved) -> None:
    for (before, after), members in moved.items():
        cursor.execute(_KEEP, [job.pk, proposed.rungs[before].id, proposed.rungs[after].id, members])


def _moved(cursor: CursorWrapper, proposed: Ladder, now: datetime, first: int, last: int) -> Moved:
    """What a recalculation of these members would do at once."""
    params = counting.params(proposed, now, first, last)
    count(cursor, proposed, params)
    members = movable(cursor, proposed, params)
    cursor.execute(_STANDINGS, [members])
    rows = cursor.fetchall()
    grants = history.grants(cursor, members, proposed)
    found: Moved = {}
    for member_id, joined_at, tier_id, earned_id, valid_until, grace_until, net, held in rows:
        state = State(proposed.place_of(earned_id or tier_id), valid_until, grace_until)
        walk = Walk(proposed, joined_at=joined_at, start=now - INSTANT, state=state, grants=grants.get(member_id, ()))
        if net:
            walk.values.preset(net, held)
        before = proposed.place_of(tier_id)
        walk.look(now)
        if walk.place != before:
            found.setdefault((before, walk.place), []).append(member_id)
    return found


def _earned(cursor: CursorWrapper, members: Sequence[int], now: datetime) -> int:
    cursor.execute(_EARNED, [list(members), now - YEAR, now])
    points: int = cursor.fetchone()[0]
    return points


def _earned_by_tier(
    cursor: CursorWrapper, stands: Ladder, now: datetime, first: int, last: int
) -> list[tuple[int, int]]:
    cursor.execute(_EARNED_BY_TIER, [stands.rungs[0].id, first, last, now - YEAR, now])
    return list(cursor.fetchall())


_KEEP: Final = """
INSERT INTO loyalty_foreseenmove (job_id, from_tier_id, to_tier_id, member_id)
SELECT %s, %s, %s, unnest(%s::bigint[])
"""


_STANDINGS: Final = """
SELECT member.id, joined_at, tier_id, earned_tier_id, valid_until, grace_until, net, held
  FROM members_member member
  LEFT JOIN loyalty_counted counted ON counted.member_id = member.id
  LEFT JOIN loyalty_tierstanding standing ON standing.member_id = member.id
 WHERE member.id = ANY(%s) ORDER BY member.id
"""

_EARNED: Final = """
SELECT coalesce(sum(points), 0)::bigint FROM loyalty_entry entry
 WHERE member_id = ANY(%s) AND kind = 'earn' AND occurred_at > %s AND occurred_at <= %s
   AND NOT EXISTS (SELECT FROM loyalty_entry reversal WHERE reversal.reverses_id = entry.id)
"""

_EARNED_BY_TIER: Final = """
SELECT coalesce(standing.tier_id, %s), sum(points)::bigint
  FROM loyalty_entry entry
  LEFT JOIN loyalty_tierstanding standing ON standing.member_id = entry.member_id
 WHERE entry.member_id BETWEEN %s AND %s AND kind = 'earn' AND occurred_at > %s AND occurred_at <= %s
   AND NOT EXISTS (SELECT FROM loyalty_entry reversal WHERE reversal.reverses_id = entry.id)
 GROUP BY 1
"""
