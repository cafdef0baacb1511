"""What one event earns, real or made up, by versions of one's choice. Nothing is written, no cap is used."""

from collections import Counter
from collections.abc import Collection, Mapping, Sequence
from dataclasses import replace
from datetime import datetime
from typing import Final

from django.db import connection
from django.db.backends.utils import CursorWrapper
from django.db.models import Q
from django.utils import timezone

from loyalty import tiers
from loyalty.models import CapUse, Entry, RuleVersion
from loyalty.policies import settings_now
from loyalty.rules import engine, gathering, versions
from loyalty.rules.events import INTERACTION, PURCHASE, SURVEY, Event, EventKind, Facts, Need
from loyalty.rules.results import CapKey, Reckoning, Terms, Used
from members.models import Interaction, Member, Purchase, SurveyResponse

Deed = Purchase | Interaction | SurveyResponse
_KINDS: Final[Mapping[type[Deed], EventKind]] = {Purchase: PURCHASE, Interaction: INTERACTION, SurveyResponse: SURVEY}


def explain(purchase: Purchase) -> Reckoning:
    """What a stored purchase earns by the versions in force when it was made, and why the others gave nothing."""
    terms = versions.Period(purchase.purchased_at, purchase.purchased_at).at(purchase.purchased_at)
    return simulate(event_of(purchase), purchase.member, terms, purchase)


def simulate(event: Event, member: Member | None, terms: Sequence[Terms], deed: Deed | None = None) -> Reckoning:
    """What an event earns; without a member, for somebody who has not bought before and has no tier.

    Of caps counts what others have used of them; what the stored ``deed`` itself used is given back first.
    """
    facts = facts_of(member, event, deed) if member else Facts(nth=1)
    if member and Need.KEPT in engine.needs(terms):
        with connection.cursor() as cursor:
            facts = replace(facts, kept=gathering.kept_of(cursor, member.pk, event.occurred_at))
    used = _used(engine.cap_keys(event, terms), deed)
    return engine.reckon(event, facts, terms, used, point_value=settings_now().point_value)


def beside(version: RuleVersion | None, at: datetime) -> list[Terms]:
    """The rules in force at a moment, with one version in the place of its rule's."""
    terms = versions.Period(at, at).at(at)
    if version is None:
        return terms
    return [one for one in terms if one.rule_id != version.rule_id] + [versions.terms_of(version)]


def event_of(deed: Deed) -> Event:
    """Something stored as the engine takes it; an answer of an unknown day is no event (:class:`ValueError`)."""
    if isinstance(deed, SurveyResponse) and deed.answered_at is None:
        raise ValueError(f"nobody knows when answer {deed.pk} was given")
    return gathering.event_of(_KINDS[type(deed)], deed.pk)


def members_named(numbers: Sequence[str]) -> dict[str, int]:
    """Who has these numbers, as intake finds them: for ``Event.named``."""
    with connection.cursor() as cursor:
        return gathering.members_named(cursor, numbers)


def facts_of(member: Member, event: Event, deed: Deed | None = None) -> Facts:
    """What was known of a member just before an event (before a purchase that came at the same moment)."""
    at, purchase = event.occurred_at, deed if isinstance(deed, Purchase) else None
    with connection.cursor() as cursor:
        history = gathering.history_of(cursor, event.kind, member.pk, at, purchase)
        known = {name: getattr(member, name) for name in gathering.PERSON}
        return gathering.facts_of(known | history, _rung(cursor, member, at))


def _rung(cursor: CursorWrapper, member: Member, at: datetime) -> tiers.Rung | None:
    try:
        ladder = tiers.ladder()
    except tiers.NoTiers:
        return None
    return tiers.Look(cursor, [member.pk], ladder=ladder, now=timezone.now(), since={member.pk: at}).before(
        member.pk, at
    )


def _used(keys: Collection[CapKey], deed: Deed | None) -> dict[CapKey, Used]:
    """What is used of these caps, without what this event used."""
    if not keys:
        return {}
    wanted = Q()
    for key in keys:
        wanted |= Q(**key._asdict())
    rows = CapUse.objects.filter(wanted)
    used = {
        CapKey(row.rule_id, row.per, row.of, row.period_start, row.member_id): Used(row.points, row.money)
        for row in rows
    }
    own = _used_by(deed) if deed else Counter()
    value = settings_now().point_value
    for key, before in used.items():
        mine = own[key.rule_id, key.member_id]
        used[key] = Used(before.points - mine, before.money - mine * value)
    return used


def _used_by(deed: Deed) -> Counter[tuple[int, int | None]]:
    """What an event earned, by rule and member, and by rule for all members (None)."""
    found: Counter[tuple[int, int | None]] = Counter()
    mine = Q(purchase=deed) if isinstance(deed, Purchase) else Q(idempotency_key__startswith=_key_of(deed))
    entries = Entry.objects.filter(mine, kind=Entry.Kind.EARN, reversed_by__isnull=True)
    for rule_id, member_id, points in entries.values_list("rule_version__rule_id", "member_id", "points"):
        found[rule_id, member_id] += points
        found[rule_id, None] += points
    return found


def _key_of(deed: Interaction | SurveyResponse) -> str:
    return f"{_KINDS[type(deed)]}:{deed.pk}:"
