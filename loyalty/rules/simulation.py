"""What one purchase earns, real or made up, by versions of one's choice. Nothing is written, no cap is used."""

from collections.abc import Sequence
from dataclasses import replace
from datetime import datetime
from fractions import Fraction

from django.db import connection
from django.db.models import Count, Max, Min, Q
from django.utils import timezone

from loyalty import tiers
from loyalty.models import CapUse, Entry, RuleVersion
from loyalty.policies import settings_now
from loyalty.rules import engine, gathering, versions
from loyalty.rules.events import PURCHASE, BasketLine, Event, Facts, Need
from loyalty.rules.results import CapKey, Reckoning, Terms, Used
from members.models import Member, Purchase


def explain(purchase: Purchase) -> Reckoning:
    """What a stored purchase earns by the versions in force when it was made, and why the others gave nothing."""
    terms = versions.Period(purchase.purchased_at, purchase.purchased_at).at(purchase.purchased_at)
    return simulate(event_of(purchase), purchase.member, terms, purchase)


def simulate(
    event: Event, member: Member | None, terms: Sequence[Terms], purchase: Purchase | None = None
) -> Reckoning:
    """What an event earns; without a member, for somebody who buys for the first time and has no tier.

    Of caps counts what others have used of them; what ``purchase`` itself used is given back first.
    """
    facts = facts_of(member, event.occurred_at, purchase) if member else Facts(nth=1)
    if member and Need.KEPT in engine.needs(terms):
        with connection.cursor() as cursor:
            facts = replace(facts, kept=gathering.kept_of(cursor, member.pk, event.occurred_at))
    used = _used(engine.cap_keys(event, terms), purchase)
    return engine.reckon(event, facts, terms, used, point_value=settings_now().point_value)


def beside(version: RuleVersion | None, at: datetime) -> list[Terms]:
    """The rules in force at a moment, with one version in the place of its rule's."""
    terms = versions.Period(at, at).at(at)
    if version is None:
        return terms
    return [one for one in terms if one.rule_id != version.rule_id] + [versions.terms_of(version)]


def event_of(purchase: Purchase) -> Event:
    """A stored purchase as the engine takes it."""
    return Event(
        kind=PURCHASE,
        member_id=purchase.member_id,
        occurred_at=purchase.purchased_at,
        value=purchase.value,
        receipt=purchase.external_id,
        channel=purchase.channel,
        store=purchase.store,
        category=purchase.category,
        lines=[
            BasketLine(
                line_no=line.line_no,
                value=line.value,
                quantity=line.quantity,
                product=line.product,
                sku=line.sku,
                brand=line.brand,
                category=line.category,
            )
            for line in purchase.lines.all()
        ],
    )


def facts_of(member: Member, at: datetime, purchase: Purchase | None = None) -> Facts:
    """What was known of a member just before a moment (before a purchase that came at the same one)."""
    before = Q(purchased_at__lt=at) | (Q(purchased_at=at, pk__lt=purchase.pk) if purchase else Q(purchased_at=at))
    history = member.purchases.filter(before).aggregate(
        count=Count("pk"), first_at=Min("purchased_at"), previous_at=Max("purchased_at")
    )
    facts = Facts(
        nth=history["count"] + 1,
        first_at=history["first_at"],
        previous_at=history["previous_at"],
        birth_date=member.birth_date,
        joined_at=member.joined_at,
        gender=member.gender,
        language=member.language,
        attributes=member.attributes,
    )
    try:
        ladder = tiers.ladder()
    except tiers.NoTiers:
        return facts
    with connection.cursor() as cursor:
        rung = tiers.Look(cursor, [member.pk], ladder=ladder, now=timezone.now(), since={member.pk: at}).before(
            member.pk, at
        )
    return replace(facts, tier=rung.key, tier_factor=Fraction(rung.multiplier))


def _used(keys: Sequence[CapKey], purchase: Purchase | None) -> dict[CapKey, Used]:
    """What is used of these caps, without what this purchase used."""
    if not keys:
        return {}
    wanted = Q()
    for rule_id, per, of, period_start, member_id in keys:
        wanted |= Q(rule_id=rule_id, per=per, of=of, period_start=period_start, member_id=member_id)
    rows = CapUse.objects.filter(wanted)
    used = {
        (row.rule_id, row.per, row.of, row.period_start, row.member_id): Used(row.points, row.money) for row in rows
    }
    own: dict[int, int] = {}
    if purchase:
        entries = Entry.objects.filter(purchase=purchase, kind=Entry.Kind.EARN, reversed_by__isnull=True)
        for rule_id, points in entries.values_list("rule_version__rule_id", "points"):
            own[rule_id] = own.get(rule_id, 0) + points
    value = settings_now().point_value
    return {
        key: Used(used[key].points - own.get(key[0], 0), used[key].money - own.get(key[0], 0) * value)
        for key in keys
        if key in used
    }
