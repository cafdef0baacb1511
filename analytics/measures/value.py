"""Figures of the last valuation: what members will probably spend, and how a forecast came out."""

from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime
from typing import Any

from analytics import clv
from analytics.models import ValueFit
from analytics.periods import Query
from analytics.readings import Figures, Reading, share
from loyalty.models import Tier

Group = Mapping[str, Any]


def last_fit() -> ValueFit | None:
    """The newest valuation of all members."""
    return ValueFit.objects.order_by("-pk").first()


def as_of() -> datetime | None:
    """When members were last valued."""
    fit = last_fit()
    return fit.as_of if fit else None


def lifetime_value(query: Query) -> Figures:
    """What members will spend in the 12 months after the valuation, each on average, by band or by tier."""
    fit = last_fit()
    groups = [group for group in (fit.groups if fit else ()) if not query.tier or group["tier"] == query.tier]
    everything = sum(group["value"] for group in groups)
    asked = {"tier": query.tier} if query.tier else {}
    rows = []
    for key in _order(query.by):
        some = [group for group in groups if group[query.by] == key]
        if some:
            rows.append(_valued(asked | {query.by: key}, some, everything))
    return Figures(total=_valued(asked, groups, everything), rows=rows)


def forecast(query: Query) -> Figures:
    """What was bought in the weeks held out against what was foretold, by how often members had bought before."""
    fit = last_fit()
    groups: Sequence[Group] = fit.holdout.get("groups", ()) if fit else ()
    return Figures(
        total=_foretold({}, groups), rows=[_foretold({"purchases": group["purchases"]}, [group]) for group in groups]
    )


def _order(by: str) -> Iterable[str]:
    if by == "band":
        return [name for name, _end in clv.BANDS]
    return [*Tier.objects.order_by("rank").values_list("key", flat=True), ""]


def _valued(keys: Mapping[str, str], groups: Sequence[Group], everything: float) -> Reading:
    members = sum(group["members"] for group in groups)
    value = round(sum(group["value"] for group in groups), 2)
    alive = sum(group["alive"] for group in groups)
    return Reading(
        keys=keys,
        value=round(value / members, 2) if members else None,
        numerator=value,
        denominator=members,
        parts={
            "purchases": round(sum(group["purchases"] for group in groups), 2),
            "active_share": share(alive, members),
            "value_share": share(value, everything),
        },
    )


def _foretold(keys: Mapping[str, str], groups: Sequence[Group]) -> Reading:
    foretold = round(sum(group["foretold"] for group in groups), 2)
    bought = sum(group["bought"] for group in groups)
    members = sum(group["members"] for group in groups)
    return Reading(
        keys=keys,
        value=share(bought, foretold),
        numerator=bought,
        denominator=foretold,
        parts={"members": members},
    )
