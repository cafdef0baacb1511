"""Tiers follow what was bought in the twelve months before."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from decimal import Decimal

import pytest
import time_machine
from django.db import connection
from django.utils import timezone

from loyalty import programme, tiers
from loyalty.intake import record_purchase
from loyalty.models import TierChange, TierStanding, TierThreshold
from loyalty.tiers.recalculation import recalculate
from members.models import Member
from tests.factories import make_member
from tests.loyalty.previews import foresee

pytestmark = pytest.mark.django_db

START = datetime(2025, 3, 1, 4, 0, tzinfo=UTC)


@pytest.fixture(autouse=True)
def _defaults() -> None:
    programme.ensure_defaults()


def buy(member: Member, amount: int, at: datetime, key: str = "") -> None:
    with time_machine.travel(at, tick=False):
        record_purchase(member_id=member.pk, key=key or f"{member.pk}:{at}", purchased_at=at, amount=Decimal(amount))


def history(member: Member) -> list[tuple[str, datetime, str]]:
    changes = TierChange.objects.filter(member=member).order_by("changed_at").select_related("to_tier")
    return [(change.to_tier.key, change.changed_at, change.evidence["cause"]) for change in changes]


def with_spend(**thresholds: int) -> tiers.Ladder:
    """The ladder with other thresholds of spend."""
    stands = tiers.ladder()
    rungs = [
        replace(rung, thresholds={"spend": Decimal(thresholds[rung.key])}) if rung.key in thresholds else rung
        for rung in stands.rungs
    ]
    return tiers.Ladder(rungs, stands.scheme)


def recalculate_all(now: datetime, *, everyone: bool = False) -> dict[str, int]:
    return recalculate(now, first=0, last=2**40, everyone=everyone)


def test_the_purchase_that_reaches_a_tier_upgrades_at_once_and_says_by_what() -> None:
    member = make_member()
    buy(member, 1_999, START)
    assert history(member) == []
    buy(member, 1, START + timedelta(days=1), key="the last yuan")
    change = TierChange.objects.get(member=member)
    assert (change.from_tier.key if change.from_tier else None, change.to_tier.key) == ("bronze", "silver")
    assert (change.evidence["value"], change.evidence["threshold"]) == ("2000.00", "2000.00")
    assert TierStanding.objects.get(member=member).since == START + timedelta(days=1)


def test_one_large_purchase_may_skip_tiers() -> None:
    member = make_member()
    buy(member, 25_000, START)
    assert [key for key, _at, _cause in history(member)] == ["platinum"]


def test_a_purchase_earns_by_the_tier_before_it() -> None:
    member = make_member()
    buy(member, 8_000, START)
    buy(member, 100, START + timedelta(days=1))
    entries = list(member.entries.order_by("seq"))
    assert [(entry.points, entry.explanation["tier"]) for entry in entries] == [(8_000, "bronze"), (125, "gold")]


def test_the_nightly_look_downgrades_whose_spend_left_the_window_and_dates_it_to_that_moment() -> None:
    member, idle = make_member(), make_member()
    buy(member, 8_000, START)
    buy(member, 2_500, START + timedelta(days=100))
    left = datetime(2026, 3, 1, 4, 0, tzinfo=UTC)
    assert recalculate_all(left - timedelta(seconds=1))["moves"] == 0
    assert recalculate_all(left + timedelta(hours=20))["moves"] == 1
    assert history(member)[-1] == ("silver", left, "window")
    assert TierStanding.objects.get(member=member).measures == {"spend": "2500.00"}
    assert recalculate_all(left + timedelta(hours=20))["moves"] == 0
    assert not TierStanding.objects.filter(member=idle).exists()


def test_new_thresholds_move_members_now_and_not_in_the_past() -> None:
    up, down = make_member(), make_member()
    buy(up, 1_500, START)
    buy(down, 2_100, START)
    TierThreshold.objects.filter(tier__key="silver").update(value=1_500)
    now = START + timedelta(days=30)
    assert recalculate_all(now, everyone=True)["moves"] == 1
    assert history(up) == [("silver", now, "scheme")]
    assert [key for key, _at, _cause in history(down)] == ["silver"]


def test_the_preview_counts_both_directions_and_changes_nothing() -> None:
    for amount in (1_500, 1_500, 2_100, 9_000):
        buy(make_member(), amount, START)
    now = START + timedelta(days=1)
    moves, _members = foresee(with_spend(silver=1_000, gold=10_000), now)
    assert [(m["from_tier"], m["to_tier"], m["members"], m["is_upgrade"]) for m in moves] == [
        ("gold", "silver", 1, False),
        ("bronze", "silver", 2, True),
    ]
    assert foresee(tiers.ladder(), now) == ([], {})
    assert TierThreshold.objects.get(tier__key="silver").value == 2_000


def test_progress_says_what_is_missing() -> None:
    member = make_member()
    buy(member, 5_000, START)
    progress = tiers.progress(member.pk, START + timedelta(days=1))
    assert progress.next_tier is not None
    assert (progress.tier.key, progress.next_tier.key, progress.parts[0].missing, progress.percent) == (
        "silver",
        "gold",
        Decimal(3_000),
        50,
    )
    buy(member, 20_000, START + timedelta(days=2))
    top = tiers.progress(member.pk, START + timedelta(days=3))
    assert (top.tier.key, top.next_tier, top.parts, top.percent) == ("platinum", None, (), 100)
    nobody = tiers.progress(make_member().pk, timezone.now())
    assert (nobody.tier.key, nobody.parts[0].missing) == ("bronze", Decimal(2_000))


def test_a_leap_day_purchase_counts_for_twelve_months_and_not_a_day_less() -> None:
    member = make_member()
    leap = datetime(2024, 2, 29, 10, 0, tzinfo=UTC)
    buy(member, 2_000, leap)
    with connection.cursor():
        assert recalculate_all(datetime(2025, 2, 28, 9, 59, tzinfo=UTC))["moves"] == 0
        assert recalculate_all(datetime(2025, 2, 28, 10, 0, tzinfo=UTC))["moves"] == 1
