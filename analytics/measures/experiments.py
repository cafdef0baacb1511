"""What a campaign brought: each arm against the holdout, and whether the experiment can be trusted."""

from collections import defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import date, timedelta
from decimal import Decimal
from functools import cached_property

from django.db.models import Max, Min, Sum
from django.utils.translation import gettext as _

from analytics.models import ArmDay, ArmEvent
from analytics.periods import BadQuery, Query, today
from analytics.readings import Figures, Reading, share
from analytics.statistics import (
    Comparison,
    Interval,
    Proportion,
    RatioCheck,
    Sample,
    check_ratio,
    compare_means,
    compare_proportions,
    detectable_difference,
)
from campaigns.models import Campaign, Variant
from members.experiments import CONTROL


@dataclass(frozen=True, kw_only=True)
class Arm:
    """One arm of a campaign: its members and what they did within the days to buy. ``share`` is planned (%)."""

    key: str
    name: str = ""
    share: int | None = None
    members: int = 0
    conversions: int = 0
    revenue: Decimal = Decimal(0)
    revenue_squares: Decimal = Decimal(0)
    elsewhere: int = 0
    events: Mapping[str, tuple[int, int]]

    @property
    def is_control(self) -> bool:
        """Whether these members were sent nothing."""
        return self.key == CONTROL

    @property
    def conversion(self) -> Proportion:
        """Members who bought, out of all of the arm."""
        return Proportion(self.conversions, self.members)

    @property
    def revenue_sample(self) -> Sample:
        """What each member of the arm bought for."""
        return Sample(self.members, float(self.revenue), float(self.revenue_squares))

    def reached(self, event: str) -> int:
        """To how many members of the arm the event happened."""
        return self.events.get(event, (0, 0))[1]


@dataclass(frozen=True, kw_only=True)
class Lift:
    """An arm against the control arm."""

    conversion: Comparison
    revenue: Comparison


@dataclass(frozen=True)
class Result:
    """All that is known of one campaign. Arms are in order: control first, then by key."""

    campaign: Campaign
    arms: list[Arm]
    first_day: date | None
    last_day: date | None

    @property
    def members(self) -> int:
        """Members of all arms; one who stands in two counts in both."""
        return sum(arm.members for arm in self.arms)

    @property
    def conversions(self) -> int:
        """Members of all arms who bought."""
        return sum(arm.conversions for arm in self.arms)

    @property
    def elsewhere(self) -> int:
        """Memberships of an arm beyond a member's first: 0 when nobody is in two."""
        return sum(arm.elsewhere for arm in self.arms)

    @cached_property
    def control(self) -> Arm | None:
        """The holdout, if there is one with members."""
        return next((arm for arm in self.arms if arm.is_control and arm.members), None)

    @property
    def plans_holdout(self) -> bool:
        """Whether there is a control arm at all, be it empty."""
        return any(arm.is_control for arm in self.arms)

    @property
    def variants(self) -> list[Arm]:
        """Everybody but the holdout."""
        return [arm for arm in self.arms if not arm.is_control]

    @cached_property
    def ratio(self) -> RatioCheck | None:
        """Whether arms are as large as planned; None where no shares were planned (imported campaigns)."""
        planned = [arm.share for arm in self.arms]
        if any(share is None for share in planned):
            return None
        return check_ratio([arm.members for arm in self.arms], [share or 0 for share in planned])

    @cached_property
    def lifts(self) -> dict[str, Lift]:
        """Each variant against the holdout, by key; empty without one."""
        control = self.control
        if control is None:
            return {}
        return {
            arm.key: Lift(
                conversion=compare_proportions(arm.conversion, control.conversion),
                revenue=compare_means(arm.revenue_sample, control.revenue_sample),
            )
            for arm in self.variants
            if arm.members
        }

    @property
    def detectable(self) -> float | None:
        """The smallest lift (share of members) that the smallest variant would show in four of five cases."""
        sizes = [arm.members for arm in self.variants if arm.members]
        if self.control is None or not sizes or self.control.conversion.rate is None:
            return None
        rate = self.conversions / self.members
        return detectable_difference(rate, min(sizes), self.control.members)

    @property
    def days_to_go(self) -> int:
        """Days until the last member's days to buy are over."""
        if self.last_day is None:
            return self.campaign.goal_days
        return max(0, (self.last_day + timedelta(days=self.campaign.goal_days) - today()).days)

    @property
    def event_names(self) -> list[str]:
        """The events of the campaign, the most frequent first."""
        totals: dict[str, int] = defaultdict(int)
        for arm in self.arms:
            for name, (events, __) in arm.events.items():
                totals[name] += events
        return sorted(totals, key=lambda name: (-totals[name], name))


def results(campaigns: Iterable[Campaign]) -> list[Result]:
    """The results of these campaigns, in their order, in four queries however many they are."""
    chosen = list(campaigns)
    ids = [campaign.pk for campaign in chosen]
    sums: dict[int, dict[str, dict[str, object]]] = defaultdict(dict)
    columns = ["members", "conversions", "revenue", "revenue_squares", "elsewhere"]
    days: dict[int, tuple[date, date]] = {}
    of_arms = ArmDay.objects.filter(campaign_id__in=ids).values_list("campaign_id", "arm")
    for campaign_id, arm, first, last, *summed in of_arms.annotate(
        Min("day"), Max("day"), *(Sum(name) for name in columns)
    ):
        sums[campaign_id][arm] = dict(zip(columns, summed, strict=True))
        known = days.get(campaign_id, (first, last))
        days[campaign_id] = (min(known[0], first), max(known[1], last))
    events: dict[tuple[int, str], dict[str, tuple[int, int]]] = defaultdict(dict)
    for happened in ArmEvent.objects.filter(campaign_id__in=ids):
        events[happened.campaign_id, happened.arm][happened.event] = (happened.events, happened.members)
    names = {
        (campaign_id, key): name
        for campaign_id, key, name in Variant.objects.filter(campaign_id__in=ids).values_list(
            "campaign_id", "key", "name"
        )
    }
    return [
        Result(campaign, _arms(campaign, sums[campaign.pk], events, names), *days.get(campaign.pk, (None, None)))
        for campaign in chosen
    ]


def _arms(
    campaign: Campaign,
    sums: Mapping[str, Mapping[str, object]],
    events: Mapping[tuple[int, str], Mapping[str, tuple[int, int]]],
    names: Mapping[tuple[int, str], str],
) -> list[Arm]:
    """The arms that were planned, and those that have members though nobody planned them."""
    planned = {arm["key"]: int(arm["share"]) for arm in campaign.experiment.arms} if campaign.experiment else {}
    keys = sorted({*planned, *sums}, key=lambda key: (key != CONTROL, key))
    return [
        Arm(
            key=key,
            name=names.get((campaign.pk, key), ""),
            share=planned.get(key, 0) if planned else None,
            events=events.get((campaign.pk, key), {}),
            **sums.get(key, {}),  # type: ignore[arg-type]
        )
        for key in keys
        if planned.get(key) or key in sums
    ]


def campaign_conversion(query: Query) -> Figures:
    """The share of each arm's members who bought; ``interval`` and parts are its lift over the holdout, in points."""
    result = _result(query)
    rows = [
        _reading(
            query,
            arm,
            value=share(arm.conversions, arm.members),
            numerator=arm.conversions,
            lift=_of(result, arm, "conversion"),
            scale=100,
        )
        for arm in result.arms
    ]
    total = share(result.conversions, result.members)
    keys = {"campaign": str(query.campaign)}
    return Figures(
        total=Reading(keys=keys, value=total, numerator=result.conversions, denominator=result.members), rows=rows
    )


def campaign_revenue(query: Query) -> Figures:
    """Revenue per member of each arm; ``interval`` and parts are its lift over the holdout."""
    result = _result(query)
    rows = [
        _reading(
            query,
            arm,
            value=arm.revenue_sample.mean,
            numerator=float(arm.revenue),
            lift=_of(result, arm, "revenue"),
            scale=1,
        )
        for arm in result.arms
    ]
    revenue = float(sum(arm.revenue for arm in result.arms))
    return Figures(
        total=Reading(
            keys={"campaign": str(query.campaign)},
            value=revenue / result.members if result.members else None,
            numerator=revenue,
            denominator=result.members,
        ),
        rows=rows,
    )


def _result(query: Query) -> Result:
    """The campaign that was asked for. Raises :class:`~analytics.periods.BadQuery` where there is none."""
    if query.campaign is None:
        raise BadQuery("campaign", _("Say which campaign: “campaign” is its id."))
    campaign = Campaign.objects.select_related("experiment").filter(pk=query.campaign).first()
    if campaign is None:
        raise BadQuery("campaign", _("There is no campaign %(id)s.") % {"id": query.campaign})
    return results([campaign])[0]


def _of(result: Result, arm: Arm, what: str) -> Comparison | None:
    lift = result.lifts.get(arm.key)
    return getattr(lift, what) if lift else None


def _reading(
    query: Query, arm: Arm, *, value: float | None, numerator: float, lift: Comparison | None, scale: int
) -> Reading:
    interval = lift.interval if lift else None
    return Reading(
        keys={"campaign": str(query.campaign), "arm": arm.key},
        value=value,
        numerator=numerator,
        denominator=arm.members,
        interval=interval and Interval(interval.low * scale, interval.high * scale),
        parts={
            "planned_share": arm.share,
            "lift": None if lift is None or lift.difference is None else lift.difference * scale,
            "p": lift.p if lift else None,
        },
    )
