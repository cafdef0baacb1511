"""One member's way through the tiers, against a simulation that looks at each noon and each midnight."""

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from loyalty.months import add_days, add_months
from loyalty.tier_models import TierScheme
from loyalty.tiers import windows
from loyalty.tiers.ladder import Ladder, Rung, problems
from loyalty.tiers.walk import Fact, Grant, Walk, ahead

# Noon and midnight in Shanghai, the programme's zone.
NOON = datetime(2023, 1, 1, 4, 0, tzinfo=UTC)
DAY = timedelta(days=1)
JOINED = NOON + timedelta(days=58)  # 28 February
END = NOON + timedelta(days=1_300)
STEPS = {"bronze": (0, 0), "silver": (100, 2), "gold": (300, 4), "platinum": (700, 9)}


def make_ladder(**scheme: Any) -> Ladder:
    rungs = [
        Rung(
            id=number,
            key=key,
            thresholds={"spend": Decimal(spend), "orders": Decimal(orders)} if number > 1 else {},
        )
        for number, (key, (spend, orders)) in enumerate(STEPS.items(), 1)
    ]
    return Ladder(rungs, TierScheme(**scheme))


def purchase(ladder: Ladder, day: int, amount: int, refunded_after: int | None = None) -> list[Fact]:
    """The facts of a purchase at noon, and of its whole refund so many days later."""
    at = NOON + day * DAY
    leaves = windows.leaves(ladder.scheme, JOINED, at)
    units = {"spend": amount * 100, "orders": 1}
    facts = [Fact(at, leaves, n, units[m], units[m], purchase=day + 1) for n, m in enumerate(ladder.measures)]
    if refunded_after is not None:
        back = at + refunded_after * DAY
        keeps = ladder.scheme.on_refund == "keep"
        facts += [
            Fact(back, leaves, n, -units[m], 0 if keeps else -units[m], cause="refund")
            for n, m in enumerate(ladder.measures)
        ]
    return facts


@dataclass
class Simulated:
    """The same rules said once more, without any notion of what comes next."""

    ladder: Ladder
    facts: list[Fact]
    grants: list[Grant]
    place: int = 0
    valid_until: datetime | None = None
    grace_until: datetime | None = None

    def values(self, at: datetime, which: str, *, and_leaving: bool = False) -> list[int]:
        sums = [0] * len(self.ladder.measures)
        for fact in self.facts:
            is_in = fact.leaves_at is None or fact.leaves_at > at or (and_leaving and fact.leaves_at == at)
            if fact.at <= at and is_in and (fact.leaves_at is None or fact.leaves_at > fact.at):
                sums[fact.measure] += getattr(fact, which)
        return sums

    def judge(self, at: datetime, *, and_leaving: bool = False) -> None:
        rule = self.ladder.scheme
        reached = self.ladder.place(self.values(at, "net", and_leaving=and_leaving))
        if reached > self.place:
            self.place, self.grace_until = reached, None
            self.valid_until = windows.valid_until(rule, JOINED, at)
            return
        if not self.place or rule.downgrade == "none":
            return
        if rule.valid_months and self.valid_until and at < self.valid_until:
            return
        held = self.ladder.place(self.values(at, "held", and_leaving=and_leaving))
        if held >= self.place:
            self.grace_until = None
            self.valid_until = windows.valid_until(rule, JOINED, at, renewed=True)
        elif rule.grace_days and self.grace_until is None:
            self.grace_until = add_days(at, rule.grace_days)
        elif self.grace_until is None or at >= self.grace_until:
            self.place = held if rule.downgrade == "to_earned" else max(held, self.place - 1)
            self.valid_until = windows.valid_until(rule, JOINED, at) if self.place else None
            self.grace_until = None
            if self.place > held and rule.grace_days and not rule.valid_months:
                self.grace_until = add_days(at, rule.grace_days)

    def run(self) -> list[tuple[datetime, int, int]]:
        moves, stood = [], 0
        at = NOON - DAY / 2
        while at <= END:
            if self.ladder.scheme.window in windows.YEARS and self.ladder.scheme.valid_months:
                self.judge(at, and_leaving=True)
            self.judge(at)
            granted = [grant.place for grant in self.grants if grant.starts_at <= at < grant.ends_at]
            stands = max([self.place, *granted])
            if stands != stood:
                moves.append((at, stood, stands))
            stood = stands
            at += DAY / 2
        return moves


SCHEMES = st.fixed_dictionaries(
    {
        "window": st.sampled_from(TierScheme.Window.values),
        "months": st.sampled_from([1, 6, 12]),
        "measures": st.sampled_from([["spend"], ["orders"], ["spend", "orders"]]),
        "needs": st.sampled_from(["any", "all"]),
        "valid_months": st.sampled_from([0, 0, 3, 12]),
        "grace_days": st.sampled_from([0, 0, 20]),
        "downgrade": st.sampled_from(["none", "one_step", "to_earned", "to_earned"]),
        "on_refund": st.sampled_from(["keep", "recheck"]),
    }
    # The others cannot be saved: one tier at a time, and nothing that says how long a time is.
).filter(lambda scheme: scheme["downgrade"] != "one_step" or scheme["valid_months"] or scheme["grace_days"])
SALES = st.lists(
    st.tuples(
        st.integers(0, 1_200), st.sampled_from([20, 60, 100, 250, 700]), st.sampled_from([None, None, 5, 90, 500])
    ),
    max_size=10,
)
GRANTS = st.lists(st.tuples(st.integers(0, 1_000), st.integers(1, 300), st.integers(1, 3)), max_size=2)


def clear(ladder: Ladder) -> bool:
    return not problems(ladder, {rung.id: rung.key for rung in ladder.rungs})


@settings(max_examples=120, deadline=None)
@given(scheme=SCHEMES, sales=SALES, given_by_hand=GRANTS)
def test_the_walk_moves_when_a_day_by_day_simulation_does(
    scheme: dict[str, Any], sales: list[tuple[int, int, int | None]], given_by_hand: list[tuple[int, int, int]]
) -> None:
    ladder = make_ladder(**scheme)
    if not clear(ladder):
        return
    facts = [fact for sale in sales for fact in purchase(ladder, *sale)]
    grants = [
        Grant(NOON + start * DAY, NOON + (start + days) * DAY, place, "r") for start, days, place in given_by_hand
    ]
    walk = Walk(ladder, joined_at=JOINED, facts=facts, grants=grants)
    walk.advance(END)
    assert [(move.at, move.before, move.after) for move in walk.moves] == Simulated(ladder, facts, grants).run()


@settings(max_examples=80, deadline=None)
@given(scheme=SCHEMES, sales=SALES, stops=st.lists(st.integers(0, 1_300), max_size=4))
def test_a_walk_with_stops_is_the_walk_without_and_tells_the_place_before_each_purchase(
    scheme: dict[str, Any], sales: list[tuple[int, int, int | None]], stops: list[int]
) -> None:
    ladder = make_ladder(**scheme)
    facts = [fact for sale in sales for fact in purchase(ladder, *sale)]
    whole = Walk(ladder, joined_at=JOINED, facts=facts)
    whole.advance(END)
    first = Walk(ladder, joined_at=JOINED, facts=facts)
    moves = []
    walk = first
    for stop in sorted(stops):
        at = NOON + stop * DAY
        walk.advance(at)
        moves += walk.moves
        walk = Walk(ladder, joined_at=JOINED, start=at, state=walk.state, facts=facts)
    walk.advance(END)
    assert [(move.at, move.after) for move in [*moves, *walk.moves]] == [(move.at, move.after) for move in whole.moves]
    for day, _amount, _refund in sales:
        at = NOON + day * DAY
        earlier = [fact for fact in facts if fact.at < at]
        alone = Walk(ladder, joined_at=JOINED, facts=earlier)
        alone.advance(at)
        assert whole.before(at) == alone.place


@settings(max_examples=80, deadline=None)
@given(scheme=SCHEMES, sales=SALES, now=st.integers(0, 1_250))
def test_what_lies_ahead_is_what_comes_if_nothing_more_is_done(
    scheme: dict[str, Any], sales: list[tuple[int, int, int | None]], now: int
) -> None:
    ladder = make_ladder(**scheme)
    at = NOON + now * DAY
    facts = [fact for sale in sales for fact in purchase(ladder, *sale) if fact.at <= at]
    walk = Walk(ladder, joined_at=JOINED, facts=facts)
    walk.advance(at)
    seen = len(walk.moves)
    to_come = ahead(walk, at + timedelta(days=700))
    later = Walk(ladder, joined_at=JOINED, facts=facts)
    later.advance(at + timedelta(days=700))
    falls = [move for move in later.moves[seen:] if move.after < move.before]
    assert (to_come.falls_at, to_come.falls_to) == ((falls[0].at, falls[0].after) if falls else (None, None))
    assert to_come.next_at is None or to_come.next_at > at
    assert to_come.falls_at is None or (to_come.next_at is not None and to_come.next_at <= to_come.falls_at)


def moves_of(ladder: Ladder, *sales: tuple[int, int] | tuple[int, int, int]) -> list[tuple[datetime, str, str]]:
    walk = Walk(ladder, joined_at=JOINED, facts=[fact for sale in sales for fact in purchase(ladder, *sale)])
    walk.advance(END)
    return [(move.at, ladder.rungs[move.after].key, move.evidence["cause"]) for move in walk.moves]


def test_a_calendar_year_counts_until_midnight_and_a_tier_valid_for_a_year_lasts_through_the_next() -> None:
    new_year = datetime(2023, 12, 31, 16, 0, tzinfo=UTC)  # midnight in Shanghai
    as_long = make_ladder(window="calendar_year")
    assert moves_of(as_long, (364, 350)) == [
        (NOON + 364 * DAY, "gold", "purchase"),
        (new_year, "bronze", "window"),
    ]
    valid = make_ladder(window="calendar_year", valid_months=12)
    assert moves_of(valid, (100, 350)) == [
        (NOON + 100 * DAY, "gold", "purchase"),
        (datetime(2024, 12, 31, 16, 0, tzinfo=UTC), "bronze", "validity"),
    ]
    again = moves_of(valid, (100, 350), (500, 320))
    assert again[-1] == (datetime(2025, 12, 31, 16, 0, tzinfo=UTC), "bronze", "validity")


def test_the_year_of_a_membership_begun_on_a_leap_day_ends_on_28_february() -> None:
    scheme = TierScheme(window="membership_year")
    joined = datetime(2024, 2, 29, 10, 0, tzinfo=UTC)

    def leaves(*moment: int) -> datetime | None:
        return windows.leaves(scheme, joined, datetime(*moment, tzinfo=UTC))  # type: ignore[arg-type]

    assert leaves(2024, 12, 1) == datetime(2025, 2, 27, 16, 0, tzinfo=UTC)
    assert leaves(2025, 2, 27, 15, 59) == datetime(2025, 2, 27, 16, 0, tzinfo=UTC)
    assert leaves(2025, 2, 27, 16, 0) == datetime(2026, 2, 27, 16, 0, tzinfo=UTC)
    assert leaves(2027, 6, 1) == datetime(2028, 2, 28, 16, 0, tzinfo=UTC)


def test_a_lifetime_never_lets_go() -> None:
    assert moves_of(make_ladder(window="lifetime"), (0, 60), (1_000, 60)) == [
        (NOON + 1_000 * DAY, "silver", "purchase")
    ]


def test_days_of_grace_keep_a_tier_and_what_is_bought_in_them_saves_it() -> None:
    ladder = make_ladder(months=1, grace_days=20)
    left = add_months(NOON, 1)
    assert moves_of(ladder, (0, 100)) == [(NOON, "silver", "purchase"), (left + 20 * DAY, "bronze", "grace")]
    assert moves_of(ladder, (0, 100), (45, 100))[1] == (add_months(NOON + 45 * DAY, 1) + 20 * DAY, "bronze", "grace")


def test_a_downgrade_goes_one_step_at_a_time_or_never_where_the_scheme_says_so() -> None:
    stepwise = make_ladder(months=1, valid_months=3, downgrade="one_step")
    ends = [add_months(NOON, 3 * number) for number in (1, 2, 3)]
    assert moves_of(stepwise, (0, 700))[1:] == [
        (ends[0], "gold", "validity"),
        (ends[1], "silver", "validity"),
        (ends[2], "bronze", "validity"),
    ]
    assert len(moves_of(make_ladder(months=1, downgrade="none"), (0, 700))) == 1


@pytest.mark.parametrize(("policy", "lost_after"), [("recheck", 5), ("keep", None)])
def test_the_purchase_that_reached_a_tier_goes_back(policy: str, lost_after: int | None) -> None:
    ladder = make_ladder(on_refund=policy)
    moves = moves_of(ladder, (0, 300, 5))
    lost_at = NOON + lost_after * DAY if lost_after else add_months(NOON, 12)
    assert moves[1] == (lost_at, "bronze", "refund" if lost_after else "window")


def test_buying_and_giving_back_again_and_again_climbs_nowhere() -> None:
    ladder = make_ladder(on_refund="keep")
    assert [key for _at, key, _cause in moves_of(ladder, (0, 300, 1), (2, 300, 1), (4, 300, 1))] == ["gold", "bronze"]


def test_a_grant_holds_until_its_end_and_what_was_earned_stands_after_it() -> None:
    ladder = make_ladder()
    grants = [Grant(NOON + 10 * DAY, NOON + 60 * DAY, 3, "apology")]
    walk = Walk(ladder, joined_at=JOINED, facts=purchase(ladder, 20, 100), grants=grants)
    walk.advance(NOON + 100 * DAY)
    told = [(move.at, move.after, move.evidence["cause"]) for move in walk.moves]
    assert told == [(grants[0].starts_at, 3, "granted"), (grants[0].ends_at, 1, "grant_ended")]
    assert walk.moves[0].evidence["reason"] == "apology"


def test_the_evidence_names_the_measure_that_decided() -> None:
    every = make_ladder(measures=["spend", "orders"], needs="all")
    walk = Walk(every, joined_at=JOINED, facts=[*purchase(every, 0, 250), *purchase(every, 3, 10)])
    walk.advance(END)
    evidence = walk.moves[0].evidence
    assert (evidence["measure"], evidence["value"], evidence["threshold"]) == ("orders", "2", "2")
    assert evidence["values"] == {"spend": "260.00", "orders": "2"}
    assert evidence["purchase"] == 4


def test_a_window_of_months_keeps_the_time_of_day_when_clocks_change(settings: Any) -> None:
    settings.TIME_ZONE = "Europe/Berlin"
    scheme = TierScheme(months=6)
    winter = datetime(2025, 1, 31, 11, 0, tzinfo=UTC)  # noon in Berlin
    assert windows.leaves(scheme, JOINED, winter) == datetime(2025, 7, 31, 10, 0, tzinfo=UTC)
    assert add_days(datetime(2025, 3, 29, 11, 0, tzinfo=UTC), 1) == datetime(2025, 3, 30, 10, 0, tzinfo=UTC)
    year = TierScheme(window="calendar_year")
    assert windows.leaves(year, JOINED, winter) == datetime(2025, 12, 31, 23, 0, tzinfo=UTC)


def test_an_ambiguous_scheme_is_refused_in_words() -> None:
    names = dict(enumerate(STEPS, 1))
    flat = make_ladder()
    rungs = [*flat.rungs[:2], Rung(id=3, key="gold", thresholds={"spend": Decimal(100)}), flat.rungs[3]]
    assert problems(Ladder(rungs, flat.scheme), names) == {(3, "spend"): "must be more than for silver"}
    missing = [*flat.rungs[:3], Rung(id=4, key="platinum")]
    assert "say from how much" in problems(Ladder(missing, flat.scheme), names)[4, "spend"]
    assert "downgrade" in problems(make_ladder(downgrade="one_step"), names)
    assert "measures" in problems(make_ladder(measures=[]), names)
