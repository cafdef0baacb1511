"""Against published tables and against formulas written out a second time."""

from fractions import Fraction
from math import sqrt

import pytest
from hypothesis import given
from hypothesis import strategies as st

from analytics.statistics import (
    Interval,
    NetPromoter,
    Proportion,
    Sample,
    check_ratio,
    compare_means,
    compare_proportions,
    detectable_difference,
    p_text,
)


def sample(*values: float) -> Sample:
    return Sample(len(values), sum(values), sum(value * value for value in values))


# Newcombe 1998, table II, method 10 ("score, no continuity correction").
NEWCOMBE = [
    ((56, 70), (48, 80), 0.0524, 0.3339),
    ((9, 10), (3, 10), 0.1705, 0.8090),
    ((6, 7), (2, 7), 0.0582, 0.8062),
    ((5, 56), (0, 29), -0.0381, 0.1926),
    ((0, 10), (0, 20), -0.1611, 0.2775),
    ((0, 10), (0, 10), -0.2775, 0.2775),
    ((10, 10), (0, 20), 0.6791, 1.0000),
    ((10, 10), (0, 10), 0.6075, 1.0000),
]


@pytest.mark.parametrize(("arm", "control", "low", "high"), NEWCOMBE)
def test_the_interval_of_a_difference_is_as_newcombe_published_it(arm, control, low, high):
    found = compare_proportions(Proportion(*arm), Proportion(*control)).interval
    assert found == Interval(pytest.approx(low, abs=6e-5), pytest.approx(high, abs=6e-5))


def test_the_pooled_z_test_equals_the_chi_square_of_the_two_by_two_table():
    """Doll and Hill 1950, smoking among men with and without lung cancer: 647/649 and 622/649."""
    result = compare_proportions(Proportion(647, 649), Proportion(622, 649))
    # χ² = n(ad − bc)² / (the four margins), one degree of freedom; 22.04 as published.
    chi_square = Fraction(1298 * (647 * 27 - 2 * 622) ** 2, 649 * 649 * 1269 * 29)
    from scipy.special import chdtrc

    assert float(chi_square) == pytest.approx(22.04, abs=0.005)
    assert result.p == pytest.approx(float(chdtrc(1, float(chi_square))), rel=1e-9)
    assert result.difference == pytest.approx(25 / 649)


def test_the_arms_of_the_picture_come_out_as_drawn():
    holdout, a, b = Proportion(301, 12_784), Proportion(702, 25_561), Proportion(831, 25_573)
    first, second = compare_proportions(a, holdout), compare_proportions(b, holdout)
    assert (round(first.difference * 100, 2), round(second.difference * 100, 2)) == (0.39, 0.90)
    assert p_text(first.p) == "0.023"
    assert p_text(second.p) == "< 0.0001"
    assert first.is_significant
    assert first.interval.low > 0


@pytest.mark.parametrize(("arm", "control"), [((0, 5), (0, 7)), ((5, 5), (7, 7)), ((0, 1), (0, 1)), ((1, 1), (1, 1))])
def test_two_arms_without_any_difference_are_never_significant(arm, control):
    result = compare_proportions(Proportion(*arm), Proportion(*control))
    assert (result.difference, result.p) == (0, 1)
    assert result.interval.low < 0 < result.interval.high


def test_an_empty_arm_says_nothing():
    nothing = compare_proportions(Proportion(0, 0), Proportion(1, 3))
    assert (nothing.difference, nothing.interval, nothing.p) == (None, None, None)
    assert compare_means(Sample(0, 0, 0), sample(1, 2)).difference is None
    assert Proportion(0, 0).wilson() is None
    assert Sample(0, 0, 0).mean is None
    assert NetPromoter(0, 0, 0).score is None
    assert NetPromoter(0, 0, 0).interval() is None


@given(st.integers(0, 40), st.integers(1, 40), st.integers(0, 40), st.integers(1, 40))
def test_the_interval_holds_the_difference_and_stays_within_the_possible(a, n, b, m):
    result = compare_proportions(Proportion(min(a, n), n), Proportion(min(b, m), m))
    assert -1 - 1e-9 <= result.interval.low <= result.difference <= result.interval.high <= 1 + 1e-9
    assert 0 <= result.p <= 1
    mirrored = compare_proportions(Proportion(min(b, m), m), Proportion(min(a, n), n))
    assert mirrored.interval.low == pytest.approx(-result.interval.high)
    assert mirrored.p == pytest.approx(result.p)


def test_wilsons_interval_is_as_published():
    """Newcombe, "Two-sided confidence intervals for the single proportion" (1998), table I, method 3."""
    for successes, n, low, high in [(81, 263, 0.2553, 0.3662), (15, 148, 0.0624, 0.1605), (0, 20, 0, 0.1611)]:
        assert Proportion(successes, n).wilson() == Interval(
            pytest.approx(low, abs=6e-5), pytest.approx(high, abs=6e-5)
        )


def test_welchs_t_is_as_in_students_sleep_data():
    """Student 1908 (R's "sleep"): t = -1.8608, df = 17.776, p = 0.07939, interval -3.3655 to 0.2055."""
    one = sample(0.7, -1.6, -0.2, -1.2, -0.1, 3.4, 3.7, 0.8, 0.0, 2.0)
    two = sample(1.9, 0.8, 1.1, 0.1, -0.1, 4.4, 5.5, 1.6, 4.6, 3.4)
    result = compare_means(one, two)
    assert result.difference == pytest.approx(-1.58)
    assert result.p == pytest.approx(0.07939, abs=5e-6)
    assert result.interval == Interval(pytest.approx(-3.3654832, abs=5e-6), pytest.approx(0.2054832, abs=5e-6))
    assert not result.is_significant


def test_welchs_t_says_nothing_where_amounts_do_not_vary_or_one_member_is_all():
    assert compare_means(sample(2, 2, 2), sample(1, 1, 1)).p is None
    assert compare_means(sample(2), sample(1, 4)).interval is None
    assert compare_means(sample(0, 0), sample(0, 0)).difference == 0
    # One arm without variance is enough to say something.
    assert compare_means(sample(0, 0, 0), sample(1, 2, 3)).p is not None


def test_a_sample_ratio_mismatch_is_found_and_chance_is_not():
    # Mendel's peas: 315, 108, 101, 32 in 9:3:3:1, χ² = 0.470 with three degrees of freedom, p = 0.925.
    peas = check_ratio([315, 108, 101, 32], [9, 3, 3, 1])
    assert peas.chi_square == pytest.approx(0.470, abs=5e-4)
    assert peas.p == pytest.approx(0.9254, abs=5e-5)
    assert not peas.is_mismatch
    # Fabijan et al. 2019: 821,588 against 815,482 looks like 50/50 and is not.
    known = check_ratio([821_588, 815_482], [50, 50])
    assert known.is_mismatch
    assert known.p == pytest.approx(1.8e-6, rel=0.05)


def test_a_ratio_is_not_checked_where_there_is_nothing_to_check():
    assert check_ratio([100], [100]) is None
    assert check_ratio([0, 0], [50, 50]) is None
    assert check_ratio([10, 10, 0], [50, 50, 0]).p == 1
    assert check_ratio([10, 10, 1], [50, 50, 0]).is_mismatch
    with pytest.raises(ValueError, match="2 arms, but 1 shares"):
        check_ratio([1, 2], [100])


def test_what_can_be_seen_shrinks_with_the_root_of_the_members():
    small = detectable_difference(0.03, 1_000, 1_000)
    assert small == pytest.approx((1.959964 + 0.841621) * sqrt(0.03 * 0.97 * 2 / 1000), rel=1e-6)
    assert detectable_difference(0.03, 4_000, 4_000) == pytest.approx(small / 2)
    assert detectable_difference(0.0, 10, 10) is None
    assert detectable_difference(0.5, 0, 10) is None


def test_nps_and_its_interval():
    seats = NetPromoter(151, 241, 865)
    assert round(seats.score, 2) == -56.80
    found = seats.interval()
    # Wald over n + 2 with half an answer in each cell, written out.
    plus, minus, n = 151.5 / 1259, 865.5 / 1259, 1259
    half = 1.959963985 * sqrt((plus + minus - (plus - minus) ** 2) / n)
    assert found == Interval(pytest.approx(100 * (plus - minus - half)), pytest.approx(100 * (plus - minus + half)))
    assert found.low < seats.score < found.high
    assert round(found.low) == -61
    assert round(found.high) == -53


def test_one_happy_answer_does_not_prove_that_all_are_happy():
    found = NetPromoter(1, 0, 0).interval()
    assert found.low < 0
    assert found.high == 100


def test_a_p_value_is_never_printed_as_zero():
    assert [p_text(p) for p in (None, 1e-9, 0.00031, 0.0234, 0.64, 1.0)] == [
        "–", "< 0.0001", "0.0003", "0.023", "0.64", "1.00",
    ]  # fmt: skip
