"""Who a campaign matches, who of them can be written to, and what a test among so many can show."""

from dataclasses import dataclass
from datetime import datetime, timedelta
from math import sqrt
from statistics import NormalDist
from typing import Any

from django.db import connection

from campaigns.models import Campaign
from members import conditions
from members.experiments import CONTROL, Arm

# Over members_member m. The same is checked again when a message is claimed (delivery.py).
REACHABLE = """
    m.status = 'active' AND m.email <> '' AND EXISTS (
        SELECT 1 FROM members_consent c WHERE c.member_id = m.id AND c.channel = 'email' AND c.granted
    )
"""

REACH = """
    WITH audience AS MATERIALIZED ({audience}),
    known AS (
        SELECT m.status = 'active' AS active, m.email <> '' AS has_address,
            EXISTS (SELECT 1 FROM members_consent c
                WHERE c.member_id = m.id AND c.channel = 'email' AND c.granted) AS consents
        FROM audience a JOIN members_member m ON m.id = a.id
    )
    SELECT count(*),
        count(*) FILTER (WHERE active AND has_address AND consents),
        count(*) FILTER (WHERE NOT active),
        count(*) FILTER (WHERE active AND NOT has_address),
        count(*) FILTER (WHERE active AND has_address AND NOT consents),
        (SELECT count(*) FROM members_member)
    FROM known
"""

BUYERS = """
    WITH audience AS MATERIALIZED ({audience}),
    reachable AS (
        SELECT m.id FROM audience a JOIN members_member m ON m.id = a.id WHERE {reachable}
    )
    SELECT count(*), count(*) FILTER (WHERE EXISTS (
        SELECT 1 FROM members_net_purchase p WHERE p.member_id = r.id AND p.purchased_at >= %s AND p.purchased_at < %s
    ))
    FROM reachable r
"""


@dataclass(frozen=True)
class Reach:
    """How many members match, how many of them can be written to by e-mail, and why the others cannot.

    Each member who is left out counts under the first reason that applies.
    """

    matched: int
    reachable: int
    not_active: int
    no_address: int
    no_consent: int
    everybody: int

    @property
    def matched_percent(self) -> float:
        """Of all members."""
        return 100 * self.matched / self.everybody if self.everybody else 0.0

    @property
    def reachable_percent(self) -> float:
        """Of those who match."""
        return 100 * self.reachable / self.matched if self.matched else 0.0

    @property
    def left_out(self) -> int:
        """Those who match and cannot be written to."""
        return self.matched - self.reachable


@dataclass(frozen=True)
class Power:
    """What a campaign can show: the smallest change of the share of buyers, in percentage points."""

    members: int
    usual_percent: float
    points: float


def reach(audience: dict[str, Any]) -> Reach:
    """Count one audience. Raises ``ConditionError``."""
    conditions.validate(audience)
    sql, parameters = conditions.members_sql(audience)
    with connection.cursor() as cursor:
        cursor.execute(REACH.format(audience=sql), parameters)
        return Reach(*cursor.fetchone())


def power(campaign: Campaign, arms: list[Arm], now: datetime) -> Power | None:
    """What this campaign can show between its smallest variant and the holdout (without one: its two variants).

    The usual share of buyers is that of the same members over the last ``goal_days`` days. None where
    there is nothing to compare, or nobody ever buys.
    """
    conditions.validate(campaign.audience)
    sql, parameters = conditions.members_sql(campaign.audience)
    with connection.cursor() as cursor:
        cursor.execute(
            BUYERS.format(audience=sql, reachable=REACHABLE),
            [*parameters, now - timedelta(days=campaign.goal_days), now],
        )
        members, buyers = cursor.fetchone()
    shares = sorted(arm["share"] for arm in arms if arm["key"] != CONTROL)
    control = next((arm["share"] for arm in arms if arm["key"] == CONTROL), None)
    if not members or not buyers or not shares or (control is None and len(shares) < 2):
        return None
    other = control if control is not None else shares[1]
    usual = buyers / members
    smallest = smallest_change(usual, members * shares[0] / 100, members * other / 100)
    return Power(members, 100 * usual, 100 * smallest) if smallest is not None else None


def smallest_change(
    usual: float, first: float, second: float, *, alpha: float = 0.05, beta: float = 0.20
) -> float | None:
    """The smallest rise of a share that a two-sided test of two proportions finds with 1 - ``beta``.

    ``usual`` is the share without treatment (0 to 1), ``first`` and ``second`` the sizes of the groups.
    Solves the sample-size equation for unequal groups for the difference: Fleiss, Levin and Paik,
    Statistical Methods for Rates and Proportions, 3rd edition (2003), section 4.2, equation 4.14,
    without continuity correction. None if no rise would be found.
    """
    if first < 1 or second < 1 or not 0 < usual < 1:
        return None
    z_alpha, z_beta = NormalDist().inv_cdf(1 - alpha / 2), NormalDist().inv_cdf(1 - beta)

    def shortfall(difference: float) -> float:
        raised = usual + difference
        pooled = (first * raised + second * usual) / (first + second)
        under_null = sqrt(pooled * (1 - pooled) * (1 / first + 1 / second))
        under_change = sqrt(raised * (1 - raised) / first + usual * (1 - usual) / second)
        return difference - z_alpha * under_null - z_beta * under_change

    low, high = 0.0, 1 - usual
    if shortfall(high) < 0:
        return None
    for _step in range(60):
        middle = (low + high) / 2
        low, high = (low, middle) if shortfall(middle) >= 0 else (middle, high)
    return high
