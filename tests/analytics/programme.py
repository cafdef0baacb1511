"""A small programme written by hand for the tests: points, tiers and campaigns around the factories."""

from datetime import datetime, timedelta
from itertools import count
from typing import Any
from zoneinfo import ZoneInfo

from django.db.models import Model
from django.utils import timezone

from analytics import collect
from analytics import models as analytics
from campaigns.models import Campaign, CampaignEvent, Variant
from loyalty import ledger
from loyalty.models import Entry, Redemption, Reward, Tier, TierChange
from members.models import Experiment, Exposure, Member
from tests.factories import make_member, make_purchase, make_response

SHANGHAI = ZoneInfo("Asia/Shanghai")
_serial = count(1)


def at(year: int, month: int, day: int, hour: int = 12, minute: int = 0) -> datetime:
    """A moment in the programme's zone."""
    return datetime(year, month, day, hour, minute, tzinfo=SHANGHAI)


def make_tiers() -> dict[str, Tier]:
    """Bronze, silver and gold."""
    return {
        key: Tier.objects.create(key=key, name=key.title(), name_zh=key, rank=rank)
        for rank, key in enumerate(("bronze", "silver", "gold"))
    }


def post(member: Member, points: int, when: datetime, kind: str = "earn") -> Entry:
    """One entry: points given, or with a minus sign taken."""
    move = ledger.award if points > 0 else ledger.spend
    return move(
        member_id=member.pk,
        points=abs(points),
        key=f"entry:{next(_serial)}",
        occurred_at=when,
        explanation={},
        kind=kind,
    )


def make_reward(points: int = 100, name: str | None = None) -> Reward:
    """Something to redeem."""
    return Reward.objects.create(name=name or f"Reward {next(_serial)}", points=points)


def redeem(member: Member, reward: Reward, when: datetime) -> Entry:
    """One redemption and the entry that pays for it."""
    redemption = Redemption.objects.create(
        member=member,
        reward=reward,
        points=reward.points,
        state=Redemption.State.CONFIRMED,
        idempotency_key=f"redemption:{next(_serial)}",
        redeemed_at=when,
        confirmed_at=when,
    )
    return ledger.spend(
        member_id=member.pk,
        points=reward.points,
        key=f"entry:{next(_serial)}",
        occurred_at=when,
        explanation={},
        redemption=redemption,
    )


def take_back(entry: Entry, when: datetime) -> Entry:
    """The entry that reverses another."""
    return ledger.reverse(entry, explanation={}, occurred_at=when)


def move_tier(member: Member, to: Tier, when: datetime, came_from: Tier | None = None) -> TierChange:
    """One change of tier."""
    return TierChange.objects.create(member=member, from_tier=came_from, to_tier=to, changed_at=when)


def make_campaign(arms: dict[str, int] | None = None, **fields: Any) -> Campaign:
    """A campaign of ours with planned shares, or without ``arms`` one that was imported."""
    number = next(_serial)
    experiment = arms and Experiment.objects.create(
        key=f"campaign-{number}",
        name=f"Campaign {number}",
        arms=[{"key": key, "share": share} for key, share in arms.items()],
    )
    values = {"name": f"Campaign {number}", "imported": not arms, "experiment": experiment or None, "state": "done"}
    return Campaign.objects.create(**(values | fields))


def expose(campaign: Campaign, member: Member, arm: str, when: datetime) -> Exposure:
    """Put a member into an arm."""
    return Exposure.objects.create(experiment=campaign.experiment, member=member, arm=arm, exposed_at=when)


def happen(campaign: Campaign, member: Member, arm: str, event: str, when: datetime, **fields: Any) -> CampaignEvent:
    """One event of a campaign."""
    return CampaignEvent.objects.create(
        campaign=campaign, member=member, arm=arm, event=event, occurred_at=when, key=f"event:{next(_serial)}", **fields
    )


def half_a_year_of_everything() -> str:
    """Something to see on every KPI page, up to today, collected; returns the address of the overview."""
    tiers = make_tiers()
    coffee = make_reward(60, "Coffee")
    campaign = make_campaign({"control": 50, "A": 50}, name="Autumn offer")
    Variant.objects.create(campaign=campaign, key="A", name="10% off")
    imported = make_campaign(name="bogo", goal_days=7)
    now = timezone.now()
    for place in range(80):
        started = now - timedelta(days=30 * (place % 6) + 20)
        member = make_member(joined_at=started)
        for month in range(place % 6 + 1):
            if (place + month) % 3:
                make_purchase(member, amount=50 + place, purchased_at=started + timedelta(days=30 * month))
        post(member, 100, started)
        if place % 2:
            redeem(member, coffee, started + timedelta(hours=1))
            move_tier(member, tiers["silver"], started + timedelta(hours=2), tiers["bronze"])
        make_response(member, score=place % 11, answered_at=started, comment="谢谢" if place % 2 else "Quick delivery")
        expose(campaign, member, "A" if place % 2 else "control", now - timedelta(days=20))
        happen(imported, member, "ae264", "received", now - timedelta(days=60))
    collect.collect()
    return "/analytics/overview/"


def an_ab_result() -> str:
    """The A/B result in that programme."""
    return f"/analytics/ab/{Campaign.objects.get(name='Autumn offer').pk}/"


def an_imported_result() -> str:
    """The imported campaign in that programme."""
    return f"/analytics/ab/{Campaign.objects.get(name='bogo').pk}/"


COLLECTED: list[type[Model]] = [
    analytics.MemberFact,
    analytics.MemberSpan,
    analytics.MemberMonth,
    analytics.MemberReward,
    analytics.ArmMember,
    analytics.CohortSize,
    analytics.CohortMonth,
    analytics.PointsMonth,
    analytics.RewardMonth,
    analytics.SpanDay,
    analytics.NpsMonth,
    analytics.ArmDay,
    analytics.ArmEvent,
]


def everything_collected() -> dict[str, list[str]]:
    """All facts and rollups in an order that does not depend on how they came about."""
    return {
        model.__name__: sorted(
            repr(sorted((key, value) for key, value in row.items() if key != "id"))
            for row in model._default_manager.values()
        )
        for model in COLLECTED
    }
