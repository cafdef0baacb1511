"""The breakage estimate against programmes whose breakage is known."""

from datetime import date

import pytest
from hypothesis import given
from hypothesis import strategies as st

from loyalty import breakage
from loyalty.breakage import Held, Move
from loyalty.months import months_after

START = date(2024, 1, 1)


def month(number: int) -> date:
    return months_after(START, number)


def programme(months: int, *, rate: float, lasts: int | None, start: int = 0) -> tuple[list[Move], list[Held]]:
    """1,000,000 points a month, of which ``rate`` is redeemed in each month of age, until they expire."""
    moves: list[Move] = []
    held: list[Held] = []
    for issued in range(start, months + 1):
        rest = 1_000_000
        moves.append(Move(issued=month(issued), month=month(issued), kind="issue", points=rest))
        for now in range(issued, months):
            if lasts is not None and now - issued == lasts:
                moves.append(Move(issued=month(issued), month=month(now), kind="expire", points=-rest))
                rest = 0
            spent = round(rest * rate)
            if spent:
                moves.append(Move(issued=month(issued), month=month(now), kind="redeem", points=-spent))
            rest -= spent
        if rest:
            expires = None if lasts is None else month(issued + lasts)
            held.append(Held(issued=month(issued), expires=expires, points=rest))
    return moves, held


@pytest.mark.parametrize("lasts", [6, 12, 24])
@pytest.mark.parametrize("rate", [0.0, 0.02, 0.1])
def test_a_steady_programme_breaks_by_what_its_rate_leaves_over(lasts: int, rate: float) -> None:
    found = breakage.estimate(*programme(18, rate=rate, lasts=lasts), month(18))
    assert found is not None
    assert found.share == pytest.approx((1 - rate) ** lasts, abs=0.001)
    assert found.low == pytest.approx(found.share, abs=0.001)
    assert found.seen_ages == min(18, lasts + 1)


def test_points_that_never_expire_never_break() -> None:
    found = breakage.estimate(*programme(18, rate=0.05, lasts=None), month(18))
    assert found is not None
    assert (found.share, found.of_outstanding) == (0, 0)


def test_points_that_were_taken_back_count_as_never_issued() -> None:
    moves, held = programme(12, rate=0.05, lasts=6)
    plain = breakage.estimate(moves, held, month(12))
    extra = [
        Move(issued=month(3), month=month(3), kind="issue", points=500_000),
        Move(issued=month(3), month=month(4), kind="clawback", points=-500_000),
    ]
    assert breakage.estimate(moves + extra, held, month(12)) == plain


def test_a_cancelled_redemption_was_none() -> None:
    moves, held = programme(12, rate=0.05, lasts=6)
    plain = breakage.estimate(moves, held, month(12))
    extra = [
        Move(issued=month(3), month=month(4), kind="redeem", points=-1_000),
        Move(issued=month(3), month=month(4), kind="return", points=1_000),
    ]
    assert breakage.estimate(moves + extra, held, month(12)) == plain


def test_nothing_is_said_too_early() -> None:
    assert breakage.estimate([], [], month(0)) is None
    assert breakage.estimate(*programme(3, rate=0.1, lasts=12), month(3)) is None
    early = breakage.estimate(*programme(4, rate=0.1, lasts=12), month(4))
    assert early is not None
    assert (early.low, early.high) == (None, None)


def test_issue_months_that_differ_widen_the_range() -> None:
    moves, held = programme(12, rate=0.02, lasts=24)
    dearer, more = programme(12, rate=0.2, lasts=24, start=6)
    steady = breakage.estimate(moves, held, month(12))
    mixed = breakage.estimate(moves + dearer, held + more, month(12))
    assert steady is not None
    assert mixed is not None
    assert steady.low is not None
    assert steady.high is not None
    assert mixed.low is not None
    assert mixed.high is not None
    assert steady.high - steady.low < 0.001 < mixed.high - mixed.low
    assert mixed.low < mixed.share < mixed.high


MOVES = st.builds(
    Move,
    issued=st.integers(0, 12).map(month),
    month=st.integers(0, 12).map(month),
    kind=st.sampled_from(["issue", "redeem", "return", "expire", "reverse"]),
    points=st.integers(-1000, 1000),
)
HELD = st.builds(
    Held,
    issued=st.integers(0, 12).map(month),
    expires=st.none() | st.integers(0, 40).map(month),
    points=st.integers(0, 1000),
)


@given(st.lists(MOVES, max_size=30), st.lists(HELD, max_size=10))
def test_no_data_breaks_the_arithmetic(moves: list[Move], held: list[Held]) -> None:
    found = breakage.estimate(moves, held, month(12))
    if found is not None:
        assert 0 <= found.of_outstanding <= 1
        assert sum(found.by_expiry.values()) == pytest.approx(sum(cohort.will_expire for cohort in found.cohorts))
