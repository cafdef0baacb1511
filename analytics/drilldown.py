"""The very members that a figure counts, from the facts, by index.

A list is the metric, the part of it (numerator or denominator) and the keys of the reading. Each row is a
member and what they contribute; the contributions add up to the figure.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date
from typing import Any
from urllib.parse import urlencode

from django.db import connection
from django.urls import reverse
from django.utils.translation import gettext as _

from analytics import answers
from analytics.facts import TIER_PREFIX
from analytics.measures.standing import YEAR
from analytics.metrics import METRICS, Metric
from analytics.models import CohortKind
from analytics.periods import BadQuery, Query, month_end, read_query
from analytics.readings import Reading

IN_STATE = """
SELECT member_id, 1::bigint AS amount FROM analytics_memberspan
 WHERE state = %(state)s AND until_day > %(day)s AND from_day <= %(day)s
"""
COHORT = {
    CohortKind.FIRST_PURCHASE: "SELECT member_id, 1::bigint AS amount FROM analytics_memberfact"
    " WHERE first_purchase = %(cohort)s",
    CohortKind.ENROLMENT: "SELECT member_id, 1::bigint AS amount FROM analytics_memberfact"
    " WHERE enrolment = %(cohort)s",
}
BOUGHT_IN_MONTH = """
 AND EXISTS (SELECT FROM analytics_membermonth mm
              WHERE mm.member_id = analytics_memberfact.member_id AND mm.month = %(month)s AND mm.orders > 0)
"""
MONTHS = {
    ("redemption-rate", "numerator"): ("points_redeemed", "points_redeemed > 0"),
    ("redemption-rate", "denominator"): ("points_issued", "points_issued > 0"),
    ("redeeming-members", "numerator"): ("1", "points_redeemed > 0"),
    ("redeeming-members", "denominator"): ("1", "(orders > 0 OR points_redeemed > 0)"),
}
OF_REWARD = {
    "redemption-rate": "SELECT member_id, sum(points)::bigint AS amount FROM analytics_memberreward"
    " WHERE reward_id = %(reward)s AND month BETWEEN %(first)s AND %(last)s GROUP BY member_id",
    "redeeming-members": "SELECT member_id, count(*) AS amount FROM analytics_memberreward"
    " WHERE reward_id = %(reward)s AND month BETWEEN %(first)s AND %(last)s GROUP BY member_id",
}
OUTSTANDING = """
SELECT member_id, sum(points_net)::bigint AS amount FROM analytics_membermonth
 WHERE month <= %(last)s GROUP BY member_id HAVING sum(points_net) <> 0
"""
IN_ARM = """
SELECT member_id, 1::bigint AS amount FROM analytics_armmember WHERE campaign_id = %(campaign)s
"""
REVENUE_IN_ARM = """
SELECT member_id, revenue AS amount FROM analytics_armmember WHERE campaign_id = %(campaign)s AND revenue > 0
"""


@dataclass(frozen=True)
class MemberList:
    """A statement that selects ``member_id`` and ``amount``; what amounts are (points, money, or just 1)."""

    statement: str
    parameters: Mapping[str, Any]
    amounts: str = ""

    def size(self) -> tuple[int, float]:
        """How many members, and what they add up to."""
        with connection.cursor() as cursor:
            cursor.execute(
                f"SELECT count(*), coalesce(sum(amount), 0) FROM ({self.statement}) AS listed",  # noqa: S608
                self.parameters,
            )
            members, total = cursor.fetchone()
            return int(members), float(total)

    def page(self, after: int, limit: int) -> list[tuple[int, float]]:
        """The next members by id, with their amounts."""
        with connection.cursor() as cursor:
            cursor.execute(
                f"SELECT member_id, amount FROM ({self.statement}) AS listed"  # noqa: S608
                " WHERE member_id > %(after)s ORDER BY member_id LIMIT %(limit)s",
                {**self.parameters, "after": after, "limit": limit},
            )
            return [(int(member), float(amount)) for member, amount in cursor.fetchall()]


def url(metric_key: str, reading: Reading, part: str = "numerator") -> str:
    """Where the members behind a reading are listed; empty where there is no list, or nobody on it."""
    metric = METRICS[metric_key]
    counted = reading.numerator if part == "numerator" else reading.denominator
    if part not in metric.opens or not counted or not _opens(metric, reading):
        return ""
    if metric.opens[part] == "answers":
        return answers.url(reading.keys)
    keys = {"metric": metric.key, "part": part, **reading.keys}
    return f"{reverse('analytics:members')}?{urlencode(keys)}"


def _opens(metric: Metric, reading: Reading) -> bool:
    """Pooled cohorts add members of many months up; only single cells open a list."""
    return metric.key != "retention" or "cohort" in reading.keys


def members(metric: Metric, part: str, parameters: Mapping[str, str]) -> MemberList:
    """The list behind a reading with these keys. Raises :class:`~analytics.periods.BadQuery`."""
    if metric.opens.get(part) != "members":
        raise BadQuery("part", _("“%(metric)s” has no such list.") % {"metric": metric.name})
    month = parameters.get("month")
    query = read_query({**parameters, **({"from": month, "to": month} if month else {})}, span=metric.span())
    if metric.key in {"active-members", "retention-12m", "members-by-tier"}:
        return _in_state(metric, part, _day(parameters, query))
    if metric.key == "retention":
        return _in_cohort(part, parameters, query)
    if metric.key == "points-liability":
        return MemberList(OUTSTANDING, {"last": query.last}, "points")
    if metric.key == "lifetime-value":
        return _valued(part, parameters)
    if metric.key.startswith("campaign-"):
        return _in_arm(metric, part, parameters, query)
    return _in_months(metric, part, query)


def _day(parameters: Mapping[str, str], query: Query) -> tuple[date, str]:
    text = parameters.get("day", "")
    try:
        day = date.fromisoformat(text) if text else month_end(query.last)
    except ValueError:
        raise BadQuery("day", _("“day” is a day such as 2026-11-22.")) from None
    return day, parameters.get("tier", "")


def _in_state(metric: Metric, part: str, cut: tuple[date, str]) -> MemberList:
    day, tier = cut
    if metric.key == "active-members":
        state = "active"
    elif metric.key == "retention-12m":
        state = "kept_year" if part == "numerator" else "bought_year"
        day = day if part == "numerator" else day - YEAR
    elif not tier:
        statement = IN_STATE.replace("state = %(state)s", "starts_with(state, %(state)s)")
        return MemberList(statement, {"state": TIER_PREFIX, "day": day})
    else:
        state = TIER_PREFIX + tier
    return MemberList(IN_STATE, {"state": state, "day": day})


def _in_cohort(part: str, parameters: Mapping[str, str], query: Query) -> MemberList:
    text = parameters.get("cohort", "")
    cohort = read_query({"from": text, "to": text}).first if text else None
    if cohort is None:
        raise BadQuery("cohort", _("Say which cohort: “cohort” is a month such as 2026-11."))
    statement = COHORT[CohortKind(query.kind)] + (BOUGHT_IN_MONTH if part == "numerator" else "")
    return MemberList(statement, {"cohort": cohort, "month": query.first})


def _valued(part: str, parameters: Mapping[str, str]) -> MemberList:
    keys = {name: parameters[name] for name in ("band", "tier") if parameters.get(name)}
    amount = "value" if part == "numerator" else "1::bigint"
    statement = f"SELECT member_id, {amount} AS amount FROM analytics_membervalue WHERE true"  # noqa: S608 (our own)
    return MemberList(
        statement + "".join(f" AND {name} = %({name})s" for name in keys), keys, "money" if part == "numerator" else ""
    )


def _in_months(metric: Metric, part: str, query: Query) -> MemberList:
    values = {"first": query.first, "last": query.last, "tier": query.tier, "reward": query.reward}
    amounts = "points" if metric.key == "redemption-rate" else "months"
    if query.reward is not None and part == "numerator":
        return MemberList(OF_REWARD[metric.key], values, amounts)
    amount, condition = MONTHS[metric.key, part]
    tier = " AND tier_key = %(tier)s" if query.tier else ""
    return MemberList(
        f"SELECT member_id, sum({amount})::bigint AS amount FROM analytics_membermonth"  # noqa: S608 (our own)
        f" WHERE month BETWEEN %(first)s AND %(last)s AND {condition}{tier} GROUP BY member_id",
        values,
        amounts,
    )


def _in_arm(metric: Metric, part: str, parameters: Mapping[str, str], query: Query) -> MemberList:
    values = {"campaign": query.campaign, "arm": parameters.get("arm", "")}
    arm = " AND arm = %(arm)s" if values["arm"] else ""
    if part == "denominator":
        return MemberList(IN_ARM + arm, values)
    if metric.key == "campaign-revenue":
        return MemberList(REVENUE_IN_ARM + arm, values, "money")
    return MemberList(IN_ARM + " AND converted" + arm, values)
