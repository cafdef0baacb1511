"""A draft over real history: exactly what intake would have given, beside what it gave, and nothing written."""

from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any

import pytest
import time_machine

from loyalty import programme, rewards, rules
from loyalty.intake import record_interaction, record_purchase
from loyalty.models import Account, CapUse, EarningRule, Entry, Reward, RuleVersion, TierStanding
from loyalty.rules import backtest
from staff import jobs
from tests.factories import make_member
from tests.loyalty.test_earning import in_force

NOW = datetime(2026, 6, 1, 4, 0, tzinfo=UTC)

pytestmark = pytest.mark.django_db


def result(version: RuleVersion, months: int = 12) -> dict[str, Any]:
    job = jobs.run_inline(backtest.start(version, months, None))
    assert job.state == "done", job.error
    told: dict[str, Any] = job.result["detail"]
    return told


@time_machine.travel(NOW, tick=False)
def test_the_rule_that_gave_the_history_gives_the_same_again() -> None:
    programme.ensure_defaults()
    members = [make_member() for _ in range(3)]
    for number, member in enumerate(members):
        for place, (days, amount) in enumerate([(500, 900), (200, "3000.50"), (100, "19.99"), (40, 7_000)]):
            at = NOW - timedelta(days=days + number)
            record_purchase(member_id=member.pk, key=f"{number}:{place}", purchased_at=at, amount=Decimal(amount))
    entries, standings = Entry.objects.count(), list(TierStanding.objects.values_list("member", "tier"))
    active = RuleVersion.objects.get()
    told = result(active)
    since = NOW - timedelta(days=365)
    given = sum(Entry.objects.filter(occurred_at__gt=since).values_list("points", flat=True))
    total = told["total"]
    assert (total["events"], total["would"], total["really"], total["all_would"]) == (9, given, given, given)
    assert (told["members"], told["more"], told["less"], total["cost_change"]) == (3, 0, 0, "0.00")
    assert sum(sums["events"] for sums in told["by_month"].values()) == 9
    assert set(told["by_tier"]) == {"bronze", "silver"}

    double = rules.draft(active.rule, definition=rules.usual(points="2"), user=None)
    told = result(double)
    assert told["total"]["would"] >= 2 * given > 0
    assert told["total"]["really"] == given
    assert told["more"] == 3
    # Nothing of it stays.
    assert (Entry.objects.count(), CapUse.objects.count()) == (entries, 0)
    assert list(TierStanding.objects.values_list("member", "tier")) == standings


@time_machine.travel(NOW, tick=False)
def test_a_draft_with_a_cap_and_a_multiplier_stand_beside_the_active_rules() -> None:
    programme.ensure_defaults()
    member = make_member()
    for place in range(3):
        record_purchase(
            member_id=member.pk, key=str(place), purchased_at=NOW - timedelta(hours=place), amount=Decimal(100)
        )
    definition = {
        "event": "purchase",
        "effects": [{"type": "multiplier", "factor": "2"}],
        "caps": [{"per": "total", "of": "member", "points": 150}],
    }
    told = result(rules.draft(EarningRule.objects.create(name="Double"), definition=definition, user=None))
    total = told["total"]
    assert (total["would"], total["really"], total["all_would"], total["all_really"]) == (150, 0, 450, 300)
    assert total["cost_change"] == "1.50"
    assert Account.objects.get(member=member).balance == 300


@time_machine.travel(NOW, tick=False)
def test_interactions_are_reckoned_too() -> None:
    programme.ensure_defaults()
    member = make_member()
    for place in range(4):
        record_interaction(member_id=member.pk, key=str(place), kind="review", occurred_at=NOW - timedelta(days=place))
    definition = {
        "event": "interaction",
        "when": {"fact": "interaction.kind", "op": "in", "value": ["review"]},
        "effects": [{"type": "fixed", "points": 50}],
        "caps": [{"per": "total", "of": "programme", "points": 120}],
    }
    told = result(rules.draft(EarningRule.objects.create(name="Review"), definition=definition, user=None))
    assert (told["total"]["would"], told["total"]["really"], told["members"]) == (120, 0, 1)


@time_machine.travel(NOW, tick=False)
def test_a_cap_that_members_share_is_used_up_in_order_of_time() -> None:
    programme.ensure_defaults()
    late, early = make_member(), make_member()
    for member, days in ((late, 10), (early, 100), (late, 50)):
        at = NOW - timedelta(days=days)
        record_purchase(member_id=member.pk, key=f"{days}", purchased_at=at, amount=Decimal(100))
    capped = {
        "event": "purchase",
        "effects": [{"type": "per_amount", "points": "1", "per": "1"}],
        "caps": [{"per": "total", "of": "programme", "points": 150}],
    }
    told = result(rules.draft(EarningRule.objects.create(name="First come"), definition=capped, user=None))
    assert {month: sums["would"] for month, sums in told["by_month"].items()} == {
        "2026-02": 100,
        "2026-04": 50,
        "2026-05": 0,
    }


@time_machine.travel(NOW, tick=False)
def test_the_friends_points_are_reckoned_and_compared_too() -> None:
    programme.ensure_defaults()
    definition = {
        "event": "interaction",
        "effects": [{"type": "fixed", "points": 200, "also": {"points": 300, "member_property": "referred"}}],
    }
    member, friend = make_member(), make_member(number="M-FRIEND")
    active = in_force("Referral", *definition["effects"], event="interaction")
    for number in range(2):
        at = NOW - timedelta(days=9 - number)
        told = {"referred": friend.number}
        record_interaction(member_id=member.pk, key=str(number), kind="referral", occurred_at=at, properties=told)
    total = result(active)["total"]
    assert (total["would"], total["really"], total["all_would"], total["all_really"]) == (1_000,) * 4
    capped = definition | {"caps": [{"per": "total", "of": "member", "points": 350}]}
    told = result(rules.draft(active.rule, definition=capped, user=None))
    assert (told["total"]["would"], told["members"], told["less"]) == (700, 2, 2)


@time_machine.travel(NOW, tick=False)
def test_the_liability_is_what_would_be_left_after_what_was_really_spent() -> None:
    programme.ensure_defaults()
    member = make_member()
    at = NOW - timedelta(days=40)
    record_purchase(member_id=member.pk, key="p", purchased_at=at, amount=Decimal(100))
    rewards.redeem(member_id=member.pk, reward_id=Reward.objects.create(name="R", points=30).pk, key="r", user=None)
    active = RuleVersion.objects.get()

    def owed(**fields: Any) -> tuple[str, str]:
        draft = rules.draft(active.rule, definition=rules.usual(**fields), user=None)
        told = result(draft)
        assert told["by_tier"]["bronze"]["liability_would"] == told["total"]["liability_would"]
        return told["total"]["liability_would"], told["total"]["liability_really"]

    assert owed() == ("0.70", "0.70")
    assert owed(points="3") == ("2.70", "0.70")
    assert owed(months=1) == ("0.00", "0.70")
