"""What is given out and what is taken: points redeemed ÷ issued, and members who redeem ÷ active ones."""

from collections.abc import Iterable

from django.db.models import Sum

from analytics.models import PointsMonth, RewardMonth
from analytics.periods import Query, month_text
from analytics.readings import Figures, Reading, share
from loyalty.models import Reward, Tier

# What a cut calls its numerator and denominator in PointsMonth, and its numerator in RewardMonth.
POINTS = ("redeemed", "issued", "points")
MEMBERS = ("redeemers", "active", "members")
Columns = tuple[str, str, str]


def redemption_rate(query: Query) -> Figures:
    """Points redeemed ÷ points issued, by month, tier (at the month's end) or reward."""
    return _figures(query, POINTS)


def redeeming_members(query: Query) -> Figures:
    """Members who redeemed in a month ÷ members who bought or redeemed in it; months are added up."""
    return _figures(query, MEMBERS)


def _figures(query: Query, columns: Columns) -> Figures:
    rows = PointsMonth.objects.filter(month__range=(query.first, query.last))
    if query.tier:
        rows = rows.filter(tier_key=query.tier)
    sums = rows.aggregate(**{name: Sum(name, default=0) for name in columns[:2]}, expired=Sum("expired", default=0))
    total = _reading({}, query, sums[columns[0]], sums[columns[1]], expired=sums["expired"])
    if query.by == "reward":
        return Figures(total=total, rows=_by_reward(query, columns, sums[columns[1]]))
    key = "tier_key" if query.by == "tier" else "month"
    found = {
        row[key]: row
        for row in rows.values(key).annotate(
            **{f"of_{name}": Sum(name) for name in columns[:2]}, of_expired=Sum("expired")
        )
    }
    names = _tiers(query, found) if query.by == "tier" else query.months
    readings = [
        _reading(
            {"tier": str(name)} if query.by == "tier" else {"month": month_text(name)},  # type: ignore[arg-type]
            query,
            found.get(name, {}).get(f"of_{columns[0]}", 0),
            found.get(name, {}).get(f"of_{columns[1]}", 0),
            expired=found.get(name, {}).get("of_expired", 0),
        )
        for name in names
    ]
    return Figures(total=total, rows=readings)


def _tiers(query: Query, found: Iterable[object]) -> list[object]:
    """The tiers in their order; then any key that is no tier's, as of members without one."""
    known: list[object] = list(Tier.objects.order_by("rank").values_list("key", flat=True))
    if query.tier:
        known = [query.tier]
    return [*known, *(key for key in found if key not in known)]


def _by_reward(query: Query, columns: Columns, denominator: int) -> list[Reading]:
    """Rewards have no tier of their own: they are counted for all tiers together."""
    taken = (
        RewardMonth.objects.filter(month__range=(query.first, query.last))
        .values("reward_id")
        .annotate(counted=Sum(columns[2]), times=Sum("redemptions"))
        .order_by("-counted", "reward_id")
    )
    rewards = Reward.objects.in_bulk([row["reward_id"] for row in taken])
    return [
        _reading({"reward": str(row["reward_id"])}, query, row["counted"], denominator, times=row["times"])
        for row in taken
        if row["reward_id"] in rewards
    ]


def _reading(keys: dict[str, str], query: Query, numerator: int, denominator: int, **parts: float) -> Reading:
    if "month" not in keys:
        keys = keys | {"from": month_text(query.first), "to": month_text(query.last)}
    if query.tier and "reward" not in keys:
        keys = keys | {"tier": query.tier}
    return Reading(
        keys=keys,
        value=share(numerator, denominator),
        numerator=numerator,
        denominator=denominator,
        parts=parts,
    )
