"""One member's way through the tiers: from what counts, to moves with their evidence. No database.

The walk stops at each moment at which something can change: something is bought or given back, leaves the
window, a validity, a grace or a grant ends. At one moment what ends and what leaves comes first; a tier moves
once for all that happens then.
"""

from bisect import insort
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from operator import itemgetter
from typing import Any, Final, NamedTuple

from loyalty.months import add_days
from loyalty.tier_models import Measure, TierScheme
from loyalty.tiers import windows
from loyalty.tiers.ladder import Ladder, unscaled
from loyalty.tiers.windows import EVER

Policy = TierScheme.Downgrade


class Fact(NamedTuple):
    """Something that counts from ``at`` until ``leaves_at`` (empty: for ever), by so much of one measure.

    ``held`` is what it counts for keeping a tier, which differs from ``net`` for a refund where the scheme
    lets members keep theirs. ``month`` tells months apart for the measure of active months.
    """

    at: datetime
    leaves_at: datetime | None
    measure: int
    net: int
    held: int
    month: int = 0
    cause: str = "purchase"
    purchase: int | None = None
    receipt: str = ""


class Grant(NamedTuple):
    """A tier given by hand from one moment until another."""

    starts_at: datetime
    ends_at: datetime
    place: int
    reason: str


class Move(NamedTuple):
    """One move between places of the ladder."""

    at: datetime
    before: int
    after: int
    evidence: dict[str, Any]


@dataclass(frozen=True)
class State:
    """What is earned: the place, how long it is valid, and until when it is kept after that."""

    place: int = 0
    valid_until: datetime | None = None
    grace_until: datetime | None = None


class Values:
    """What counts at the moment, by measure; twice where keeping a tier takes less than reaching it."""

    def __init__(self, ladder: Ladder) -> None:
        self._months = ladder.measures.index(Measure.MONTHS) if Measure.MONTHS in ladder.measures else -1
        self._twice = ladder.scheme.on_refund == TierScheme.OnRefund.KEEP
        self.net = [0] * len(ladder.measures)
        self.held = list(self.net) if self._twice else self.net
        self._net_months: Counter[int] = Counter()
        self._held_months: Counter[int] = Counter()

    def add(self, fact: Fact, sign: int = 1) -> None:
        """Count a fact, or with ``sign`` −1 no longer."""
        if fact.measure == self._months:
            _count(self.net, fact.measure, self._net_months, fact.month, sign * fact.net)
            if self._twice:
                _count(self.held, fact.measure, self._held_months, fact.month, sign * fact.held)
            return
        self.net[fact.measure] += sign * fact.net
        if self._twice:
            self.held[fact.measure] += sign * fact.held

    def preset(self, net: Sequence[int], held: Sequence[int]) -> None:
        """Take over what was counted elsewhere, where nothing is to leave any more."""
        self.net[:] = net
        if self._twice:
            self.held[:] = held


def _count(values: list[int], measure: int, months: Counter[int], month: int, times: int) -> None:
    months[month] += times
    values[measure] = sum(1 for number in months.values() if number > 0)


class Walk:
    """One member's tiers from ``start`` on (empty: from the beginning). Walk on with :meth:`advance`."""

    def __init__(
        self,
        ladder: Ladder,
        *,
        joined_at: datetime,
        start: datetime | None = None,
        state: State | None = None,
        facts: Iterable[Fact] = (),
        grants: Sequence[Grant] = (),
    ) -> None:
        self.ladder, self.scheme, self.joined_at = ladder, ladder.scheme, joined_at
        self.state, self.grants = state or State(), grants
        self.at = start or EVER
        self.values = Values(ladder)
        self.moves: list[Move] = []
        self._why = "recalculated"
        # What counted when a tier was lost last.
        self.fell_with: Sequence[int] = ()
        # Where the place changed, and the place there before what was gained at that very moment.
        self.trail: list[tuple[datetime, int, int]] = []
        self._events: list[tuple[datetime, int, Fact]] = []
        self._next = 0
        for fact in facts:
            self._add(fact)
        self._events.sort(key=itemgetter(0, 1))
        self.place = self._stands_at(self.at)
        self._began_at = self.place

    def advance(self, until: datetime) -> None:
        """Live through every moment up to and including this one."""
        while (moment := self.next_moment()) is not None and moment <= until:
            self._live(moment)
        self.at = max(self.at, until)

    def look(self, now: datetime, *, why: str = "recalculated") -> None:
        """Come to this moment and judge by the scheme as it is now, whether or not anything happened."""
        self.advance(now)
        self._why = why
        self._judge(now, [], ())

    def before(self, at: datetime) -> int:
        """The place just before what is gained at a moment. The walk comes up to it where it has not been."""
        if at > self.at:
            self.advance(at)
        for moment, before, after in reversed(self.trail):
            if moment == at:
                return before
            if moment < at:
                return after
        return self._began_at

    def gain(self, fact: Fact) -> None:
        """Let something more count, at the moment where the walk is or later."""
        if fact.at > self.at:
            self._add(fact, sort=True)
            return
        if fact.leaves_at is not None:
            if fact.leaves_at <= self.at:
                return
            insort(self._events, (fact.leaves_at, 0, fact), lo=self._next, key=itemgetter(0, 1))
        self.values.add(fact)
        was = self.place
        self._judge(self.at, [fact], ())
        if self.trail and self.trail[-1][0] == self.at:
            was = self.trail.pop()[1]
        self.trail.append((self.at, was, self.place))

    def next_moment(self) -> datetime | None:
        """When something can change next; None: never again by itself."""
        moments = [moment for moment in (self.state.valid_until, self.state.grace_until) if moment and moment > self.at]
        moments += [edge for grant in self.grants for edge in (grant.starts_at, grant.ends_at) if edge > self.at]
        if self._next < len(self._events):
            moments.append(self._events[self._next][0])
        return min(moments, default=None)

    def _add(self, fact: Fact, *, sort: bool = False) -> None:
        events = [(fact.at, 1, fact)] if fact.at > self.at else []
        if fact.leaves_at is not None:
            if fact.leaves_at <= max(self.at, fact.at):
                return  # gone already, or given back after the purchase has left
            events.append((fact.leaves_at, 0, fact))
        if fact.at <= self.at:
            self.values.add(fact)
        for event in events:
            if sort:
                insort(self._events, event, lo=self._next, key=itemgetter(0, 1))
            else:
                self._events.append(event)

    def _live(self, moment: datetime) -> None:
        gained, left = self._happened(moment)
        self.at = moment
        was, old = self.place, self.state
        # A year's tier is judged by the year that ends, so before what counted in it leaves.
        if self.scheme.window in windows.YEARS and self.scheme.valid_months:
            self._settle(moment)
        for fact in left:
            self.values.add(fact, -1)
        before = self._peek(moment) if gained else None
        for fact in gained:
            self.values.add(fact)
        self._judge(moment, gained, left, old)
        if before is None:
            before = self.place
        if (before, self.place) != (was, was):
            self.trail.append((moment, before, self.place))

    def _happened(self, moment: datetime) -> tuple[list[Fact], list[Fact]]:
        gained: list[Fact] = []
        left: list[Fact] = []
        while self._next < len(self._events) and self._events[self._next][0] == moment:
            _at, is_gain, fact = self._events[self._next]
            (gained if is_gain else left).append(fact)
            self._next += 1
        return gained, left

    def _peek(self, moment: datetime) -> int:
        state = self.state
        self._settle(moment)
        place = self._stands_at(moment)
        self.state = state
        return place

    def _judge(self, moment: datetime, gained: Sequence[Fact], left: Sequence[Fact], old: State | None = None) -> None:
        was, old = self.place, old or self.state
        self._settle(moment)
        self.place = self._stands_at(moment)
        if self.place == was:
            return
        cause = self._cause(moment, was, old, gained, left)
        move = Move(moment, was, self.place, self._evidence(cause, was, gained, moment))
        last = self.moves[-1] if self.moves else None
        if last and last.at == moment:
            self.moves.pop()
            move = move._replace(before=last.before)
        if move.before != move.after:
            self.moves.append(move)

    def _settle(self, moment: datetime) -> None:
        """Bring what is earned up to this moment."""
        state, rule = self.state, self.scheme
        earned = self.ladder.place(self.values.net)
        if earned > state.place:
            self.state = State(earned, windows.valid_until(rule, self.joined_at, moment))
            return
        if not state.place:
            return
        if rule.downgrade == Policy.NONE:
            self.state = State(state.place)
            return
        if not rule.valid_months:
            self.state = state = replace(state, valid_until=None)  # another scheme may have left one
        elif state.valid_until and moment < state.valid_until:
            return
        held = self.ladder.place(self.values.held)
        if held >= state.place:
            renewed = windows.valid_until(rule, self.joined_at, moment, renewed=True)
            self.state = State(state.place, renewed)
        elif rule.grace_days and state.grace_until is None:
            self.state = replace(state, grace_until=add_days(moment, rule.grace_days))
        elif state.grace_until is None or moment >= state.grace_until:
            self._fall(moment, held)

    def _fall(self, moment: datetime, held: int) -> None:
        self.fell_with = list(self.values.held)
        place = held if self.scheme.downgrade == Policy.TO_EARNED else max(held, self.state.place - 1)
        self.state = State(place, windows.valid_until(self.scheme, self.joined_at, moment) if place else None)
        if place > held and self.scheme.grace_days and not self.scheme.valid_months:
            self.state = replace(self.state, grace_until=add_days(moment, self.scheme.grace_days))

    def _stands_at(self, moment: datetime) -> int:
        granted = [grant.place for grant in self.grants if grant.starts_at <= moment < grant.ends_at]
        return max([self.state.place, *granted])

    def _cause(self, moment: datetime, was: int, old: State, gained: Sequence[Fact], left: Sequence[Fact]) -> str:
        if any(moment in (grant.starts_at, grant.ends_at) for grant in self.grants):
            if self.state.place != self.place:
                return "granted"
            if was > old.place:
                return "grant_ended"
        if self.place > was:
            return next((fact.cause for fact in gained if fact.net > 0), self._why)
        reasons = {
            "grace": old.grace_until is not None and moment >= old.grace_until,
            "refund": any(fact.net < 0 for fact in gained),
            "validity": old.valid_until is not None and moment == old.valid_until,
            "window": bool(left),
        }
        return next((reason for reason, holds in reasons.items() if holds), self._why)

    def _evidence(self, cause: str, was: int, gained: Sequence[Fact], moment: datetime) -> dict[str, Any]:
        measures = self.ladder.measures
        evidence: dict[str, Any] = {
            "cause": cause,
            "window": self.scheme.window,
            "months": self.scheme.months,
            "needs": self.scheme.needs,
            "values": {name: told(name, value) for name, value in zip(measures, self.values.net, strict=True)},
        }
        if cause in ("granted", "grant_ended"):
            grant = next(grant for grant in self.grants if moment in (grant.starts_at, grant.ends_at))
            evidence |= {"reason": grant.reason, "until": grant.ends_at.isoformat()}
        else:
            measure = self._decisive(max(self.place, was), is_reached=self.place > was)
            name = measures[measure]
            evidence |= {
                "measure": name,
                "value": told(name, self.values.net[measure]),
                "threshold": told(name, self.ladder.steps[measure][max(self.place, was) - 1]),
            }
        if source := next((fact for fact in gained if fact.purchase), None):
            evidence |= {"purchase": source.purchase, "receipt": source.receipt}
        if self.state.valid_until:
            evidence["valid_until"] = self.state.valid_until.isoformat()
        if self.state.place != self.place:
            evidence["earned"] = self.ladder.rungs[self.state.place].key
        return evidence

    def _decisive(self, place: int, *, is_reached: bool) -> int:
        """The measure that proves that a place was reached, or was not."""
        shares = [
            value / max(steps[place - 1], 1) for steps, value in zip(self.ladder.steps, self.values.net, strict=True)
        ]
        wants_all = self.scheme.needs == TierScheme.Needs.ALL
        # Of several that all must be there the weakest tells, else the strongest.
        tell = min if wants_all else max
        return shares.index(tell(shares)) if shares else 0


def told(measure: str, value: int) -> str:
    """A scaled value as it is written down: money with two decimals, else a whole number."""
    amount = unscaled(measure, value)
    return f"{amount:.2f}" if measure == Measure.SPEND else f"{amount:.0f}"


class Ahead(NamedTuple):
    """What comes if nothing more is done: the first change of any kind, and the first fall.

    ``held`` is what counts when it is judged that the tier falls.
    """

    next_at: datetime | None = None
    falls_at: datetime | None = None
    falls_to: int | None = None
    held: Sequence[int] = ()


NOTHING_AHEAD: Final = Ahead()


def ahead(walk: Walk, horizon: datetime) -> Ahead:
    """Walk on from where the walk is, and see what comes until the horizon. The walk is used up by it."""
    stood, state = walk.place, walk.state
    walk.fell_with = ()
    changes_at: datetime | None = None
    while (moment := walk.next_moment()) is not None:
        if moment > horizon:
            return Ahead(changes_at or moment)
        walk.advance(moment)
        if changes_at is None and (walk.place, walk.state) != (stood, state):
            changes_at = moment
        if walk.place < stood:
            return Ahead(changes_at, moment, walk.place, walk.fell_with)
        stood = walk.place
    return Ahead(changes_at)
