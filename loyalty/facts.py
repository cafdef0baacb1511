"""What this room answers for in conditions: tier, balance, points expiring, points earned in all."""

from collections.abc import Sequence
from datetime import timedelta

from django.utils.translation import gettext_lazy as _

from loyalty import ledger, words
from loyalty.models import Tier
from members.conditions import facts
from members.conditions.facts import Choice, Fact, FactType, Parameter, Rows, Scalar, Test

LOYALTY = _("Loyalty")
USABLE = ledger.usable_sql("%s")


def tiers() -> Sequence[Choice]:
    """The tiers, lowest first."""
    return [(tier.key, words.tier_name(tier)) for tier in Tier.objects.order_by("rank")]


def _expiring(test: Test) -> tuple[object, ...]:
    return (test.now, test.now + timedelta(days=int(test.parameter)))


def _now_twice(test: Test) -> tuple[object, ...]:
    return test.now, test.now


FACTS = [
    Fact(
        key="member.tier",
        group=LOYALTY,
        label=_("Tier"),
        type=FactType.CHOICE,
        choices=tiers,
        sql=Scalar(
            "coalesce((SELECT t.key FROM loyalty_tierstanding s JOIN loyalty_tier t ON t.id = s.tier_id"
            " WHERE s.member_id = m.id), (SELECT key FROM loyalty_tier ORDER BY rank LIMIT 1))"
        ),
        phrases={"in": _("are in %(value)s"), "not_in": _("are not in %(value)s")},
    ),
    Fact(
        key="member.tier_ends_in",
        group=LOYALTY,
        label=_("Days until the tier is lost"),
        type=FactType.INTEGER,
        minimum=0,
        maximum=731,
        unit=_("days"),
        sql=Rows(
            "SELECT s.member_id, ceil(extract(epoch FROM s.falls_at - %s) / 86400)::int AS value"
            " FROM loyalty_tierstanding s WHERE s.falls_at > %s",
            params=_now_twice,
        ),
        phrases={
            "gte": _("lose their tier in %(value)s days or later"),
            "lte": _("lose their tier within %(value)s days"),
            "gt": _("lose their tier in more than %(value)s days"),
            "lt": _("lose their tier in less than %(value)s days"),
            "eq": _("lose their tier in exactly %(value)s days"),
            "between": _("lose their tier in %(low)s to %(high)s days"),
        },
    ),
    Fact(
        key="member.balance",
        group=LOYALTY,
        label=_("Points"),
        type=FactType.INTEGER,
        minimum=0,
        sql=Rows(
            f"SELECT lot.member_id, sum(lot.remaining) AS value FROM loyalty_lot lot WHERE {USABLE} GROUP BY 1",  # noqa: S608
            params=_now_twice,
            missing=0,
        ),
        phrases={
            "gte": _("have at least %(value)s points"),
            "lte": _("have at most %(value)s points"),
            "gt": _("have more than %(value)s points"),
            "lt": _("have less than %(value)s points"),
            "eq": _("have exactly %(value)s points"),
            "between": _("have %(low)s to %(high)s points"),
        },
    ),
    Fact(
        key="member.points_expiring",
        group=LOYALTY,
        label=_("Points expiring"),
        type=FactType.INTEGER,
        minimum=0,
        parameter=Parameter(key="days", pattern=_("within … days"), default=30),
        sql=Rows(
            "SELECT l.member_id, sum(l.remaining) AS value FROM loyalty_lot l"
            " WHERE l.remaining > 0 AND l.expires_at > %s AND l.expires_at <= %s GROUP BY l.member_id",
            params=_expiring,
            missing=0,
        ),
        phrases={
            "gte": _("have at least %(value)s points that expire within %(days)s days"),
            "lte": _("have at most %(value)s points that expire within %(days)s days"),
            "gt": _("have more than %(value)s points that expire within %(days)s days"),
            "lt": _("have less than %(value)s points that expire within %(days)s days"),
            "eq": _("have exactly %(value)s points that expire within %(days)s days"),
            "between": _("have %(low)s to %(high)s points that expire within %(days)s days"),
        },
    ),
    Fact(
        key="member.points_earned",
        group=LOYALTY,
        label=_("Points earned in all"),
        type=FactType.INTEGER,
        minimum=0,
        sql=Rows(
            "SELECT e.member_id, sum(e.points) AS value FROM loyalty_entry e"
            " WHERE e.kind IN ('earn', 'clawback')"
            " AND NOT EXISTS (SELECT FROM loyalty_entry r WHERE r.reverses_id = e.id)"
            " GROUP BY e.member_id",
            missing=0,
        ),
        phrases={
            "gte": _("have earned at least %(value)s points in all"),
            "lte": _("have earned at most %(value)s points in all"),
            "gt": _("have earned more than %(value)s points in all"),
            "lt": _("have earned less than %(value)s points in all"),
            "eq": _("have earned exactly %(value)s points in all"),
            "between": _("have earned %(low)s to %(high)s points in all"),
        },
    ),
]


def register() -> None:
    """Make them known to conditions."""
    for fact in FACTS:
        facts.register(fact)
