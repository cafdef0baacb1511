"""How figures are written: see staff/figures.py."""

import itertools
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal

import pytest
from django.utils import translation
from hypothesis import given
from hypothesis import strategies as st

from staff import figures


@pytest.mark.parametrize(
    ("value", "places", "text"),
    [
        (1234567, 0, "1,234,567"),
        (-2000, 0, "−2,000"),
        (Decimal("-0.004"), 2, "0.00"),
        (Decimal("12.345"), 1, "12.3"),
        (0, 0, "0"),
        (Decimal("200.16666"), 2, "200.17"),
        (Decimal("2.5"), 0, "3"),
        (38.46, 1, "38.5"),
        (999.999, 2, "1,000.00"),
    ],
)
def test_numbers_have_separators_and_a_true_minus(value: Decimal, places: int, text: str) -> None:
    assert figures.number(value, places) == text


def test_points_gained_and_lost_carry_their_sign() -> None:
    assert [figures.signed(value) for value in (1965, -248, 0)] == ["+1,965", "−248", "0"]


@pytest.mark.parametrize(
    ("value", "currency", "text"),
    [
        (Decimal(1286), "CNY", "¥1,286.00"),
        (Decimal("-199.5"), "CNY", "−¥199.50"),
        (Decimal(15640), "JPY", "¥15,640"),
        (Decimal(12), "CHF", "CHF\u00a012.00"),
        (Decimal(1), "KWD", "KWD\u00a01.000"),
    ],
)
def test_money_has_the_decimals_of_its_currency(value: Decimal, currency: str, text: str) -> None:
    assert figures.money(value, currency) == text


def test_times_are_in_the_programmes_zone_and_say_so() -> None:
    moment = datetime(2026, 11, 21, 17, 30, tzinfo=UTC)
    assert figures.when(moment) == "22 Nov 2026 01:30 (Asia/Shanghai)"
    with translation.override("zh-hans"):
        assert figures.when(moment) == "2026年11月22日 01:30 (Asia/Shanghai)"
    assert figures.day(moment) == "22 Nov 2026"
    assert figures.day(date(2026, 1, 3)) == "3 Jan 2026"


def test_a_length_of_time_is_said_in_one_or_two_units() -> None:
    spans = [timedelta(seconds=5), timedelta(minutes=12, seconds=50), timedelta(hours=5, minutes=10), timedelta(days=3)]
    assert [figures.duration(span) for span in spans] == ["5 s", "12 min", "5 h 10 min", "3 days"]


def test_a_sparkline_leaves_gaps_where_nothing_is_known() -> None:
    path = figures.spark_path([1, 2, None, 4, 3])
    assert path.count("M") == 2
    assert figures.spark_path([5]) == ""
    assert "14.00" in figures.spark_path([5, 5, 5])


@given(st.lists(st.floats(min_value=0, max_value=1e6), min_size=1, max_size=8))
def test_the_arms_of_a_split_bar_fill_it_without_overlap(shares: list[float]) -> None:
    placed = figures.arms_placed([(str(index), share) for index, share in enumerate(shares)])
    edges = [(float(arm.x), float(arm.x) + float(arm.width)) for arm in placed]
    assert all(left[1] == pytest.approx(right[0], abs=0.01) for left, right in itertools.pairwise(edges))
    assert edges[-1][1] == pytest.approx(100 if sum(shares) else 0, abs=0.01)
