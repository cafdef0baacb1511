"""Looking at members: the tier at each moment, and writing down moves and standings."""

import json
from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta
from typing import Any, Final, NamedTuple

from django.db import connection
from django.db.backends.utils import CursorWrapper
from django.utils import timezone

from loyalty.tier_models import Measure
from loyalty.tiers import counting, history, windows
from loyalty.tiers.counting import Looked
from loyalty.tiers.ladder import Ladder, NoTiers, Rung, ladder
from loyalty.tiers.walk import NOTHING_AHEAD, Ahead, Fact, State, Walk, ahead, told
from loyalty.tiers.windows import INSTANT

# How far ahead a fall is looked for. What lies beyond it is seen when the time comes.
HORIZON: Final = timedelta(days=731)


class Stood(NamedTuple):
    """What is known of a member before the look, as :data:`STOOD` gives it. ``evaluated_at`` is empty for a new one."""

    member_id: int
    joined_at: datetime
    tier_id: int | None
    earned_tier_id: int | None
    since: datetime | None
    evaluated_at: datetime | None
    valid_until: datetime | None
    grace_until: datetime | None
    next_at: datetime | None
    has_grants: bool
    has_history: bool
    scheme_at: datetime | None


class Look:
    """A look at some members at one moment: ask for tiers with :meth:`before`, then :meth:`settle` what came of it.

    ``stood`` is what :data:`STOOD` gave of them, where it was asked for together with something else.
    """

    def __init__(
        self,
        cursor: CursorWrapper,
        members: Sequence[int],
        *,
        ladder: Ladder,
        now: datetime,
        since: Mapping[int, datetime] | None = None,
        afresh: bool = False,
        everybody: bool = False,
        stood: Sequence[Stood] = (),
    ) -> None:
        self._cursor, self._ladder, self._now, self._afresh = cursor, ladder, now, afresh
        self._rows = {row.member_id: row for row in stood or _stood(cursor, members, since or {})}
        self._starts = {
            row.member_id: self._start(row, (since or {}).get(row.member_id)) for row in self._rows.values()
        }
        self._quiet = self._find_quiet() if len(self._rows) > 1 and not everybody else {}
        self._walks = self._make_walks()

    def before(self, member_id: int, at: datetime) -> Rung:
        """The member's tier just before what is bought at a moment."""
        start = self._starts[member_id]
        if start is not None and at <= start:
            return self._ladder.rungs[self._ladder.place_of(history.tier_at(self._cursor, member_id, at))]
        walk = self._walks.get(member_id)
        return self._ladder.rungs[walk.before(min(at, self._now)) if walk else 0]

    def gain(self, member_id: int, at: datetime, qualifying: int) -> None:
        """Let qualifying points count that are awarded after the look was taken."""
        if Measure.POINTS not in self._ladder.measures or at > self._now or not qualifying:
            return
        leaves_at = windows.leaves(self._ladder.scheme, self._rows[member_id].joined_at, at)
        measure = self._ladder.measures.index(Measure.POINTS)
        self._walks[member_id].gain(Fact(at, leaves_at, measure, qualifying, qualifying, cause="points"))

    def settle(self) -> int:
        """Write each move since the members were last looked at, and where they stand now; returns the moves."""
        found: list[history.Told] = []
        written: list[tuple[Any, ...]] = []
        for member_id, row in self._rows.items():
            walk = self._walks.get(member_id)
            if walk is None:
                written.append(self._line(row, (0, State(), row.since or row.joined_at), self._quiet[member_id]))
                continue
            walk.look(self._now, why="scheme" if self._afresh else "recalculated")
            since = self._since(row, walk)
            if walk.moves or row.has_history:
                found.append(history.Told(member_id, self._starts[member_id], row.has_history, tuple(walk.moves)))
            stands, net = (walk.place, walk.state, since), list(walk.values.net)
            written.append(self._line(row, stands, net, ahead(walk, self._now + HORIZON)))
        history.write(self._cursor, found, self._ladder)
        _write(self._cursor, written)
        return sum(len(told.moves) for told in found)

    def walks(self) -> Mapping[int, Walk]:
        """The walks by member, not yet come to this moment: of those who can move, or of everybody."""
        return self._walks

    def _start(self, row: Stood, since: datetime | None) -> datetime | None:
        if row.evaluated_at is None:
            return None
        if self._afresh:
            return self._now - INSTANT
        if since is None:
            return row.evaluated_at
        start = min(row.evaluated_at, since - INSTANT)
        # What was decided when a new scheme came into force stands, and nothing before it is judged by the scheme.
        return max([start, *filter(None, (self._ladder.scheme.in_force_since, row.scheme_at))])

    def _find_quiet(self) -> dict[int, list[int]]:
        """Members of the lowest tier who cannot have reached another, with what counts for them now."""
        if Measure.POINTS in self._ladder.measures:
            return {}  # what is awarded after the look counts too
        able = [
            row
            for row in self._rows.values()
            if not self._ladder.place_of(row.tier_id) and not (row.next_at or row.has_grants or row.has_history)
        ]
        if not able:
            return {}
        found = counting.sums(self._cursor, self._looked(able), self._ladder, self._now)
        nothing = [0] * len(self._ladder.measures)
        return {
            row.member_id: found[row.member_id].net if row.member_id in found else nothing
            for row in able
            if row.member_id not in found or not self._ladder.place(found[row.member_id].reach)
        }

    def _looked(self, rows: Sequence[Stood]) -> list[Looked]:
        return [Looked(row.member_id, self._starts[row.member_id], row.joined_at) for row in rows]

    def _make_walks(self) -> dict[int, Walk]:
        rows = [row for row in self._rows.values() if row.member_id not in self._quiet]
        if not rows:
            return {}
        facts: dict[int, list[Fact]] = {}
        for member_id, fact in counting.facts(self._cursor, self._looked(rows), self._ladder, self._now):
            facts.setdefault(member_id, []).append(fact)
        grants = history.grants(self._cursor, [row.member_id for row in rows if row.has_grants], self._ladder)
        states = self._states(rows)
        return {
            row.member_id: Walk(
                self._ladder,
                joined_at=row.joined_at,
                start=self._starts[row.member_id],
                state=states[row.member_id],
                facts=facts.get(row.member_id, ()),
                grants=grants.get(row.member_id, ()),
            )
            for row in rows
        }

    def _states(self, rows: Sequence[Stood]) -> dict[int, State]:
        """What was earned at the start: as it stands, or for a start further back as the history tells."""
        states = {}
        for row in rows:
            start = self._starts[row.member_id]
            place = self._ladder.place_of(row.earned_tier_id or row.tier_id)
            if start is None:
                states[row.member_id] = State()
            elif row.has_history:
                states[row.member_id] = history.state_at(
                    self._cursor, row.member_id, row.joined_at, start, self._ladder
                )
            elif row.evaluated_at is None or start >= row.evaluated_at:
                states[row.member_id] = State(place, row.valid_until, row.grace_until)
            else:
                valid_until = history.valid_at(self._ladder.scheme, row.joined_at, row.valid_until, start)
                states[row.member_id] = State(place, valid_until)
        return states

    def _since(self, row: Stood, walk: Walk) -> datetime:
        if walk.moves:
            return walk.moves[-1].at
        if row.has_history:
            return history.last_change_at(self._cursor, row.member_id, self._starts[row.member_id]) or row.joined_at
        return row.since or row.joined_at

    def _line(
        self, row: Stood, stands: tuple[int, State, datetime], net: Sequence[int], to_come: Ahead = NOTHING_AHEAD
    ) -> tuple[Any, ...]:
        rungs, (place, state, since) = self._ladder.rungs, stands
        return (
            row.member_id,
            rungs[place].id,
            since,
            json.dumps({name: told(name, value) for name, value in zip(self._ladder.measures, net, strict=True)}),
            self._now,
            rungs[state.place].id if state.place != place else None,
            state.valid_until,
            state.grace_until,
            to_come.next_at,
            to_come.falls_at,
            rungs[to_come.falls_to].id if to_come.falls_to is not None else None,
        )


def evaluate(
    cursor: CursorWrapper,
    members: Sequence[int],
    *,
    ladder: Ladder,
    now: datetime,
    since: Mapping[int, datetime] | None = None,
    afresh: bool = False,
) -> int:
    """Write down each move of these members since they were last looked at, and where they stand now.

    Every moment at which something can change is looked at, so that an import of old purchases makes the
    history that the years would have made. ``since`` tells of each member from when on something is new
    that may lie before the last look: from there on the history is found anew. ``afresh`` judges by the
    scheme as it is now, and leaves the past alone. Returns the number of moves.

    Call it in a transaction that has locked the members' accounts.
    """
    if not members:
        return 0
    return Look(cursor, members, ladder=ladder, now=now, since=since, afresh=afresh).settle()


def look_again(members: Sequence[int]) -> int:
    """Find out where these members stand now, whose accounts are locked; returns the number of moves.

    Nothing where the programme has no tiers.
    """
    try:
        steps = ladder()
    except NoTiers:
        return 0
    with connection.cursor() as cursor:
        return evaluate(cursor, members, ladder=steps, now=timezone.now())


def rewind(cursor: CursorWrapper, purchases: str) -> None:
    """Have the next look begin before the first of these purchases of each member, and find the history anew.

    ``purchases`` is a temporary table with ``member_id`` and ``purchased_at``, of purchases about to be
    removed. Follow it by :func:`evaluate` once they are gone.
    """
    if not purchases.isidentifier():
        raise ValueError(purchases)
    cursor.execute(_REWIND.replace("{purchases}", purchases))


def forget(cursor: CursorWrapper, members: Sequence[int], ladder: Ladder) -> None:
    """Remove the standings of members of whom nothing tells: they stand where every new member stands."""
    cursor.execute(_FORGET, {"members": list(members), "lowest": ladder.rungs[0].id})


def _stood(cursor: CursorWrapper, members: Sequence[int], since: Mapping[int, datetime]) -> list[Stood]:
    wanted = sorted(set(members))
    cursor.execute(_STOOD_MANY, {"members": wanted, "since": [since.get(member) for member in wanted]})
    return [Stood(*row) for row in cursor.fetchall()]


def _write(cursor: CursorWrapper, lines: Sequence[tuple[Any, ...]]) -> None:
    if len(lines) == 1:
        cursor.execute(_WRITE_ONE, lines[0])
    elif lines:
        cursor.execute(_WRITE_MANY, [list(column) for column in zip(*lines, strict=True)])


# Where members stood, by the columns of ``Stood``. What is asked for one member, as every purchase does, has texts of
# its own: PostgreSQL keeps no plan for lists of any length.
_STOOD: Final = """
SELECT member.id, member.joined_at, standing.tier_id, standing.earned_tier_id, standing.since, standing.evaluated_at,
       standing.valid_until, standing.grace_until, standing.next_at,
       EXISTS (SELECT FROM loyalty_tiergrant given WHERE given.member_id = member.id),
       EXISTS (SELECT FROM loyalty_tierchange change
                WHERE change.member_id = member.id
                  AND change.changed_at >= least(standing.evaluated_at + interval '1 microsecond', looked.since)),
       (SELECT max(change.changed_at) FROM loyalty_tierchange change
         WHERE change.member_id = looked.member_id AND change.changed_at <= standing.evaluated_at
           AND change.changed_at >= looked.since AND change.evidence->>'cause' = 'scheme')
  FROM {} AS looked(member_id, since)
  JOIN members_member member ON member.id = looked.member_id
  LEFT JOIN loyalty_tierstanding standing ON standing.member_id = looked.member_id
"""
_STOOD_MANY: Final = _STOOD.format("unnest(%(members)s::bigint[], %(since)s::timestamptz[])") + " ORDER BY member.id"
# Of the member ``member``, of whom something is new from ``since`` on; a larger statement can be made of it.
STOOD: Final = _STOOD.format("(VALUES (%(member)s::bigint, %(since)s::timestamptz))")

_WRITE: Final = """
INSERT INTO loyalty_tierstanding (member_id, tier_id, since, measures, evaluated_at, earned_tier_id, valid_until,
                                  grace_until, next_at, falls_at, falls_to_id)
{}
ON CONFLICT (member_id) DO UPDATE
   SET tier_id = excluded.tier_id, since = excluded.since, measures = excluded.measures,
       evaluated_at = excluded.evaluated_at, earned_tier_id = excluded.earned_tier_id,
       valid_until = excluded.valid_until, grace_until = excluded.grace_until, next_at = excluded.next_at,
       falls_at = excluded.falls_at, falls_to_id = excluded.falls_to_id
"""
_WRITE_ONE: Final = _WRITE.format("VALUES (%s, %s, %s, %s, %s, %s, %s, %s, %s, %s, %s)")
_WRITE_MANY: Final = _WRITE.format(
    """SELECT * FROM unnest(%s::bigint[], %s::bigint[], %s::timestamptz[], %s::jsonb[], %s::timestamptz[], %s::bigint[],
                     %s::timestamptz[], %s::timestamptz[], %s::timestamptz[], %s::timestamptz[], %s::bigint[])"""
)

_REWIND: Final = """
UPDATE loyalty_tierstanding standing SET evaluated_at = gone.since - interval '1 microsecond'
  FROM (SELECT member_id, min(purchased_at) AS since FROM {purchases} GROUP BY member_id) gone
 WHERE standing.member_id = gone.member_id AND standing.evaluated_at >= gone.since
"""

_FORGET: Final = """
DELETE FROM loyalty_tierstanding standing
 WHERE standing.member_id = ANY(%(members)s) AND standing.tier_id = %(lowest)s AND standing.next_at IS NULL
   AND NOT EXISTS (SELECT FROM members_purchase purchase WHERE purchase.member_id = standing.member_id)
   AND NOT EXISTS (SELECT FROM loyalty_tierchange change WHERE change.member_id = standing.member_id)
"""
