"""A time by the clock of a zone, also when that clock jumps."""

from datetime import UTC, datetime

import pytest
import time_machine

from campaigns import quiet
from campaigns.forms import ScheduleForm
from campaigns.schedule import NoSuchTime, moment_of

wall = datetime.fromisoformat  # what a clock on the wall shows


def test_a_time_is_meant_by_the_clock_of_its_zone() -> None:
    assert moment_of(wall("2026-07-01 09:00"), "Asia/Shanghai").moment == datetime(2026, 7, 1, 1, 0, tzinfo=UTC)


def test_a_time_that_the_clock_skips_is_refused_with_the_next_one() -> None:
    with pytest.raises(NoSuchTime, match=r"2026.*02:30.*03:30"):
        moment_of(wall("2026-03-29 02:30"), "Europe/Berlin")


def test_a_time_that_comes_twice_is_the_first_and_says_so() -> None:
    chosen = moment_of(wall("2026-10-25 02:30"), "Europe/Berlin")
    assert chosen.moment == datetime(2026, 10, 25, 0, 30, tzinfo=UTC)
    assert "twice" in chosen.note


@time_machine.travel(datetime(2026, 3, 1, tzinfo=UTC), tick=False)
@pytest.mark.parametrize(
    ("at", "zone", "words"),
    [
        ("2026-03-29T02:30", "Europe/Berlin", "skip"),
        ("2026-02-28T10:00", "Asia/Shanghai", "in the past"),
        ("", "Asia/Shanghai", "Say when"),
        ("tomorrow", "Asia/Shanghai", "no day and time"),
        ("9999-99-99T10:00", "Asia/Shanghai", "no day and time"),
    ],
)
def test_the_form_says_what_is_wrong_with_a_time(at: str, zone: str, words: str) -> None:
    told = {"when": "at", "at": at, "time_zone": zone, "late_policy": "ask", "holdout_percent": "10"}
    form = ScheduleForm(told, has_two=False)
    assert not form.is_valid()
    assert words in str(form.errors["at"])


@pytest.mark.parametrize(
    ("now", "zone", "until"),
    [
        (datetime(2026, 6, 1, 12, 59, tzinfo=UTC), "Asia/Shanghai", None),  # 20:59
        (datetime(2026, 6, 1, 13, 0, tzinfo=UTC), "Asia/Shanghai", datetime(2026, 6, 2, 0, 0, tzinfo=UTC)),
        (datetime(2026, 6, 1, 23, 59, tzinfo=UTC), "Asia/Shanghai", datetime(2026, 6, 2, 0, 0, tzinfo=UTC)),
        (datetime(2026, 6, 2, 0, 0, tzinfo=UTC), "Asia/Shanghai", None),  # 08:00
        (datetime(2026, 6, 1, 13, 0, tzinfo=UTC), "", None),
        (datetime(2026, 6, 1, 13, 0, tzinfo=UTC), "No/Where", None),
    ],
)
def test_quiet_hours_end_in_the_morning_where_the_member_is(now: datetime, zone: str, until: datetime | None) -> None:
    assert quiet.until(now, zone) == until
