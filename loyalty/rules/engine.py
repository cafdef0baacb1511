"""What an event earns, and why: one pure function for intake, imports, simulator and backtest.

Points are reckoned exactly, as fractions, and rounded once for each rule, at the end. Nothing here
reads or writes anything: what is needed of the member comes in, and so does what of the caps is used.
"""

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from decimal import Decimal
from fractions import Fraction
from typing import Any

from django.conf import settings

from loyalty import expiry_policy
from loyalty.months import add_days
from loyalty.rules import occasions
from loyalty.rules.definition import Cap
from loyalty.rules.events import PURCHASE, SURVEY, Case, Event, Facts, Need
from loyalty.rules.giving import Given, given, shown
from loyalty.rules.results import MOST_POINTS, Award, CapKey, Reason, Reckoning, Refusal, Terms, TooManyPoints, Used


@dataclass(frozen=True)
class _Candidate:
    """What a rule would give. ``given`` is exact; ``points`` are whole, and cut by its caps."""

    terms: Terms
    given: Given
    points: int
    caps: tuple[dict[str, Any], ...] = ()
    uncut: int = 0

    @property
    def exact(self) -> Given:
        """What others multiply: cut where a cap has cut."""
        if self.points == self.uncut:
            return self.given
        return self.given.scaled_to(Fraction(self.points))


def needs(versions: Iterable[Terms]) -> Need:
    """What has to be gathered for these versions."""
    found = Need.NOTHING
    for terms in versions:
        found |= terms.definition.needs
    return found


def reckon(
    event: Event,
    facts: Facts,
    versions: Sequence[Terms],
    used_caps: Mapping[CapKey, Used],
    *,
    point_value: Decimal = Decimal("0.01"),
) -> Reckoning:
    """What an event earns by these versions (at most one of each rule), in whatever order they come.

    Raises :class:`TooManyPoints`.

    ``used_caps`` holds what is used of the caps of :func:`cap_keys`; ``point_value`` is money per point, for caps
    of money.
    """
    case = Case(event, facts)
    run = _Run(case, used_caps, point_value)
    applicable = [terms for terms in versions if terms.definition.event == event.kind]
    bases = run.stack([run.candidate(terms) for terms in run.fitting(applicable, multiplies=False)])
    multipliers = run.fitting(applicable, multiplies=True)
    if alone := next((one for one in bases if _stands_alone(one.terms)), None):
        for terms in multipliers:
            run.refuse(terms, Reason.EXCLUSIVE, by=alone.terms.rule)
        multipliers = []
    extras = run.multiply(bases, multipliers)
    for candidate in (*bases, *extras):
        run.give(candidate)
    return run.result


def cap_keys(event: Event, versions: Iterable[Terms]) -> set[CapKey]:
    """The caps that an event may use."""
    return {
        terms.cap_key(cap, event.local.date(), member_id)
        for terms in versions
        if terms.definition.event == event.kind and terms.definition.caps
        for member_id in filter(None, (event.member_id, _other(terms, event)))
        for cap in terms.definition.caps
        if cap.per != PURCHASE
    }


def round_points(exact: Fraction, rounding: str) -> int:
    """To whole points as a rule version says."""
    return math.floor(exact + Fraction(1, 2)) if rounding == "half_up" else math.floor(exact)


def _other(terms: Terms, event: Event) -> int | None:
    """The second member whom an interaction names, if the rule gives that one anything."""
    effect = terms.definition.also
    number = event.properties.get(effect.also_property) if effect else None
    found = event.named.get(str(number)) if number else None
    return None if found == event.member_id else found


def _stands_alone(terms: Terms) -> bool:
    stacking = terms.definition.stacking
    return stacking.mode == "exclusive" and not stacking.group


class _Run:
    """One reckoning under way."""

    def __init__(self, case: Case, used: Mapping[CapKey, Used], point_value: Decimal) -> None:
        self.case = case
        self.used = used
        self.point_value = point_value
        self.result = Reckoning()

    def refuse(self, terms: Terms, reason: Reason, *, by: str = "", caps: tuple[dict[str, Any], ...] = ()) -> None:
        self.result.refusals.append(Refusal(terms=terms, reason=reason, case=self.case, by=by, caps=caps))

    def fitting(self, versions: Iterable[Terms], *, multiplies: bool) -> list[Terms]:
        """Those of one sort whose conditions hold, in order."""
        found = []
        for terms in versions:
            if terms.definition.multiplies is multiplies:
                case = occasions.seen_by(terms.definition, self.case)
                rewarded = self.case.facts.rewarded.get(terms.rule_id, {})
                if not terms.holds(case):
                    self.result.refusals.append(Refusal(terms=terms, reason=Reason.CONDITION, case=case))
                elif (receipt := rewarded.get(occasions.occasion(terms.definition, case) or "")) is not None:
                    self.refuse(terms, Reason.REWARDED, by=receipt)
                else:
                    found.append(terms)
        return sorted(found, key=lambda terms: terms.order)

    def candidate(self, terms: Terms) -> _Candidate:
        gives = given(terms.definition, self.case)
        return self.capped(terms, gives, round_points(gives.total, terms.definition.rounding))

    def capped(self, terms: Terms, gives: Given, points: int) -> _Candidate:
        """With the points that its caps leave."""
        left, told = self.cut(terms, points, self.case.event.member_id)
        return _Candidate(terms, gives, left, told, points)

    def cut(
        self, terms: Terms, points: int, member_id: int | None, beside: Award | None = None
    ) -> tuple[int, tuple[dict[str, Any], ...]]:
        """What the caps leave of points for a member, and what they say; ``beside``: what the event gives another."""
        left, told = points, []
        for cap in terms.definition.caps:
            used = self._used_of(terms, cap, member_id, beside)
            if cap.points is not None:
                room = cap.points - used.points
                said: dict[str, Any] = {"points": cap.points, "used": used.points}
            else:
                limit = cap.money or Decimal(0)
                room = (
                    math.floor(Fraction(limit - used.money) / Fraction(self.point_value)) if self.point_value else left
                )
                said = {"money": str(limit), "used": str(used.money)}
            if room < points:
                told.append({"per": cap.per, "of": cap.of, **said, "left": max(room, 0)})
                left = min(left, max(room, 0))
        if left > MOST_POINTS:
            raise TooManyPoints(terms.rule)
        return left, tuple(told)

    def _used_of(self, terms: Terms, cap: Cap, member_id: int | None, beside: Award | None) -> Used:
        """What is used of a cap before these points."""
        if cap.per == PURCHASE:
            both = beside is not None and cap.of == "programme"
            return Used(beside.points, beside.points * self.point_value) if beside and both else Used()
        key = terms.cap_key(cap, self.case.event.local.date(), member_id)
        used = self.used.get(key, Used())
        return used.plus(beside.uses[key]) if beside and key in beside.uses else used

    def stack(self, candidates: Sequence[_Candidate]) -> list[_Candidate]:
        """Those that stand beside each other: the best of each group, and what stands alone alone."""
        worth = []
        for one in candidates:
            if one.points > 0:
                worth.append(one)
            else:
                self.refuse(one.terms, Reason.CAP if one.uncut > 0 else Reason.NOTHING, caps=one.caps)
        best: dict[str, _Candidate] = {}
        for one in worth:
            stacking = one.terms.definition.stacking
            if stacking.mode == "best" and one.points > (best[stacking.group].points if stacking.group in best else 0):
                best[stacking.group] = one
        taken: list[_Candidate] = []
        for one in worth:
            stacking = one.terms.definition.stacking
            if stacking.mode == "best" and best[stacking.group] is not one:
                self.refuse(one.terms, Reason.BEST, by=best[stacking.group].terms.rule)
            elif rival := next((other for other in taken if _excludes(other.terms, one.terms)), None):
                self.refuse(one.terms, Reason.EXCLUSIVE, by=rival.terms.rule)
            else:
                taken.append(one)
        return taken

    def multiply(self, bases: Sequence[_Candidate], multipliers: Sequence[Terms]) -> list[_Candidate]:
        """What multipliers add: each multiplies what the rules gave, not what other multipliers added."""
        standing = self.stack([self._extra(bases, terms, {}) for terms in self._with_base(bases, multipliers)])
        before: dict[int, Fraction] = {}
        extras = []
        for one in standing:
            extra = self._extra(bases, one.terms, before)
            if extra.points > 0:
                extras.append(extra)
            else:
                self.refuse(one.terms, Reason.CAP if extra.uncut > 0 else Reason.NOTHING, caps=extra.caps)
        return extras

    def _with_base(self, bases: Sequence[_Candidate], multipliers: Sequence[Terms]) -> list[Terms]:
        found = []
        for terms in multipliers:
            if any(_multiplies(terms, base.terms) for base in bases):
                found.append(terms)
            else:
                self.refuse(terms, Reason.BASE)
        return found

    def _extra(self, bases: Sequence[_Candidate], terms: Terms, before: dict[int, Fraction]) -> _Candidate:
        """What one multiplier adds; ``before`` is what others added to each rule, so that all is rounded once."""
        [multiplier] = terms.definition.effects
        share = multiplier.factor - 1  # type: ignore[union-attr]
        gives, points, on = Given(Fraction(0)), 0, []
        for base in bases:
            if not _multiplies(terms, base.terms):
                continue
            rounding, exact = base.terms.definition.rounding, base.exact
            start = 1 + before.get(base.terms.rule_id, Fraction(0))
            points += round_points(exact.total * (start + share), rounding) - round_points(
                exact.total * start, rounding
            )
            before[base.terms.rule_id] = start - 1 + share
            gives = gives.plus(exact.times(share))
            on.append({"rule": base.terms.rule, "version": base.terms.version, "points": base.points})
        step = {"type": "multiplier", "factor": shown(share + 1), "on": on, "gives": shown(gives.total)}
        return self.capped(terms, replace(gives, steps=(step,)), points)

    def give(self, candidate: _Candidate) -> None:
        """Award what a rule gives, and what it gives a second member."""
        terms, event = candidate.terms, self.case.event
        award = self.award(terms, event.member_id, candidate.points, self._explanation(candidate))
        self.result.awards.append(award)
        if (other := _other(terms, event)) is not None:
            self._give_also(award, other)

    def _give_also(self, beside: Award, member_id: int) -> None:
        terms = beside.terms
        whole = terms.definition.also.also_points  # type: ignore[union-attr]
        points, caps = self.cut(terms, whole, member_id, beside)
        if not points:
            self.result.refusals.append(Refusal(terms=terms, reason=Reason.CAP, case=self.case, caps=caps, also=True))
            return
        told = {name: value for name, value in beside.explanation.items() if name not in {"caps", "before_caps"}}
        told |= {
            "also": True,
            "steps": [{"type": "fixed", "points": whole, "gives": str(whole)}],
            "unrounded": str(whole),
        }
        self.result.awards.append(
            replace(self.award(terms, member_id, points, told | _told_of_caps(caps, whole)), also=True)
        )

    def award(self, terms: Terms, member_id: int | None, points: int, explanation: dict[str, Any]) -> Award:
        definition, event = terms.definition, self.case.event
        at = event.occurred_at
        return Award(
            terms=terms,
            member_id=member_id,
            points=points,
            qualifying=points if definition.qualifies else 0,
            occurred_at=at,
            activates_at=_activates_at(definition.pending_days, at),
            expires_at=expiry_policy.expires_at(definition.expiry, at),
            idle_months=expiry_policy.idle_months(definition.expiry),
            explanation=explanation,
            uses={
                terms.cap_key(cap, event.local.date(), member_id): Used(points, points * self.point_value)
                for cap in definition.caps
                if cap.per != PURCHASE
            },
        )

    def _explanation(self, candidate: _Candidate) -> dict[str, Any]:
        """All that is needed to say in words why the points are there."""
        terms, event, gives = candidate.terms, self.case.event, candidate.exact
        told: dict[str, Any] = {
            "rule": terms.rule,
            "rule_id": terms.rule_id,
            "version": terms.version,
            "steps": list(candidate.given.steps),
            "unrounded": candidate.given.steps[-1]["gives"],
            "rounding": terms.definition.rounding,
        }
        if event.kind == PURCHASE:
            told |= {"value": f"{event.value:.2f}", "currency": settings.PROGRAMME_CURRENCY, "receipt": event.receipt}
        elif event.kind == SURVEY:
            told |= {"survey": event.survey, "score": event.score}
        else:
            told["interaction"] = event.interaction
        if occasion := occasions.occasion(terms.definition, self.case):
            told[occasions.OCCASION] = occasion
        if self.case.facts.tier is not None:
            told["tier"] = self.case.facts.tier
        if gives.lines is not None:
            told["lines"] = {str(number): str(share) for number, share in gives.lines.items()}
        return told | _told_of_caps(candidate.caps, candidate.uncut)


def _told_of_caps(caps: tuple[dict[str, Any], ...], uncut: int) -> dict[str, Any]:
    """What an explanation says where caps have cut."""
    return {"caps": list(caps), "before_caps": uncut} if caps else {}


def _activates_at(days: int | None, at: datetime) -> datetime | None:
    """At once, after some days, or not before they are released (None)."""
    return add_days(at, days) if days else None if days is None else at


def _excludes(first: Terms, second: Terms) -> bool:
    """Whether one that was taken keeps another out: either of them stands alone (in its group)."""
    for exclusive, other in ((first, second), (second, first)):
        stacking = exclusive.definition.stacking
        if stacking.mode == "exclusive" and stacking.group in {"", other.definition.stacking.group}:
            return True
    return False


def _multiplies(terms: Terms, base: Terms) -> bool:
    on = terms.definition.effects[0].on  # type: ignore[union-attr]
    return on in {"all", base.rule_id}
