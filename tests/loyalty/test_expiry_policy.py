"""When points expire: ends of periods, short months, leap days and days on which the clocks change."""

from datetime import UTC, datetime, timedelta
from typing import Any
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from loyalty import expiry_policy
from loyalty.expiry_policy import TYPES, expires_at

# Clocks that change by an hour, by half an hour, at midnight, and never.
ZONES = ["Europe/Berlin", "Australia/Lord_Howe", "America/Sao_Paulo", "America/Havana", "Asia/Shanghai"]
EPOCH = datetime(2010, 1, 1, tzinfo=UTC)
MOMENTS = st.integers(0, 25 * 366 * 24 * 60).map(lambda minutes: EPOCH + timedelta(minutes=minutes))


def moment(text: str, zone: str = "Asia/Shanghai") -> datetime:
    return datetime.fromisoformat(text).replace(tzinfo=ZoneInfo(zone))


@pytest.mark.parametrize(
    ("kind", "n", "earned", "expires"),
    [
        ("days", 1, "2026-02-28T23:59", "2026-03-01T23:59"),
        ("days", 365, "2024-02-29T10:00", "2025-02-28T10:00"),
        ("months", 1, "2026-01-31T10:00", "2026-02-28T10:00"),
        ("months", 1, "2024-01-31T10:00", "2024-02-29T10:00"),
        ("months", 12, "2024-02-29T10:00", "2025-02-28T10:00"),
        ("months", 48, "2024-02-29T10:00", "2028-02-29T10:00"),
        ("idle_months", 18, "2026-08-31T10:00", "2028-02-29T10:00"),
        ("end_of_month", 0, "2026-02-28T23:59:59", "2026-03-01"),
        ("end_of_month", 0, "2026-03-01", "2026-04-01"),
        ("end_of_month", 2, "2026-11-30T10:00", "2027-02-01"),
        ("end_of_quarter", 0, "2026-03-31T23:59", "2026-04-01"),
        ("end_of_quarter", 1, "2026-04-01", "2026-10-01"),
        ("end_of_quarter", 3, "2026-12-31T23:59", "2027-10-01"),
        ("end_of_year", 0, "2026-01-01", "2027-01-01"),
        ("end_of_year", 1, "2026-12-31T23:59:59", "2028-01-01"),
    ],
)
def test_a_policy_says_when_points_expire(kind: str, n: int, earned: str, expires: str, settings: Any) -> None:
    settings.TIME_ZONE = "Asia/Shanghai"
    assert expires_at({"type": kind, "n": n}, moment(earned)) == moment(expires)


def test_points_that_never_expire_do_not() -> None:
    assert expires_at({"type": "never"}, moment("2026-01-01")) is None


def test_periods_end_at_midnight_of_the_programme_and_not_of_the_server(settings: Any) -> None:
    settings.TIME_ZONE = "Asia/Shanghai"
    before, after = (datetime(2026, 1, 31, 15, 59, tzinfo=UTC), datetime(2026, 1, 31, 16, 0, tzinfo=UTC))
    assert expires_at({"type": "end_of_month"}, before) == after
    assert expires_at({"type": "end_of_month"}, after) == datetime(2026, 2, 28, 16, tzinfo=UTC)


def test_a_time_of_day_that_the_clocks_skip_or_repeat_still_exists(settings: Any) -> None:
    settings.TIME_ZONE = "Europe/Berlin"
    skipped = expires_at({"type": "days", "n": 1}, datetime(2026, 3, 28, 1, 30, tzinfo=UTC))
    assert skipped == datetime(2026, 3, 29, 1, 30, tzinfo=UTC)
    repeated = expires_at({"type": "days", "n": 1}, datetime(2026, 10, 24, 0, 30, tzinfo=UTC))
    assert repeated == datetime(2026, 10, 25, 1, 30, tzinfo=UTC)


@pytest.mark.parametrize("zone", ZONES)
def test_a_clock_change_neither_skips_nor_repeats_a_day(zone: str, settings: Any) -> None:
    settings.TIME_ZONE = zone
    clock = ZoneInfo(zone)

    @given(MOMENTS, st.integers(1, 800))
    def check(earned: datetime, days: int) -> None:
        expires = expires_at({"type": "days", "n": days}, earned)
        assert expires is not None
        assert (expires.astimezone(clock).date() - earned.astimezone(clock).date()).days == days
        # Midnight after midnight: the day that is over expires, and no other.
        midnight = expires_at({"type": "end_of_month"}, earned)
        assert midnight is not None
        eve = midnight - timedelta(microseconds=1)
        assert (eve.astimezone(clock).month, eve.astimezone(clock).year) == (
            earned.astimezone(clock).month,
            earned.astimezone(clock).year,
        )
        assert midnight.astimezone(clock).day == 1

    check()


@pytest.mark.parametrize("zone", ZONES)
def test_later_points_never_expire_earlier(zone: str, settings: Any) -> None:
    settings.TIME_ZONE = zone

    @given(st.sampled_from([kind for kind in TYPES if kind != "never"]), st.integers(1, 40), MOMENTS, MOMENTS)
    def check(kind: str, n: int, one: datetime, other: datetime) -> None:
        policy = {"type": kind, "n": n}
        earlier, later = (expires_at(policy, earned) for earned in sorted([one, other]))
        assert earlier is not None
        assert later is not None
        assert min(one, other) < earlier
        # The clocks go back: an hour of wall time comes twice, and both expire after the second.
        assert earlier <= later + timedelta(hours=1)

    check()


@pytest.mark.parametrize(
    "policy",
    [
        {},
        {"type": "weeks", "n": 1},
        {"type": "days"},
        {"type": "months", "n": 0},
        {"type": "months", "n": True},
        {"type": "months", "n": "24"},
        {"type": "end_of_year", "n": -1},
        {"type": "days", "n": 10**9},
    ],
)
def test_what_is_no_policy_is_refused(policy: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match="expiry"):
        expires_at(policy, moment("2026-01-01"))


def test_only_sliding_points_are_moved_by_activity() -> None:
    assert expiry_policy.idle_months({"type": "idle_months", "n": 12}) == 12
    assert expiry_policy.idle_months({"type": "months", "n": 12}) is None
