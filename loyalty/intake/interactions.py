"""What members do besides buying: written and rewarded in one transaction."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from django.db import connection, transaction
from django.db.backends.utils import CursorWrapper
from django.db.models import QuerySet
from django.utils import timezone

from loyalty import ledger, rules, tiers
from loyalty.intake.earning import earn_for_one
from loyalty.intake.recording import LiesInTheFuture
from loyalty.ledger.bulk import lock_members
from loyalty.ledger.expiry import expire_members
from loyalty.models import Entry
from loyalty.rules.caps import CapBook
from loyalty.rules.events import INTERACTION
from members.importing.dates import latest_moment
from members.models import Interaction


class InteractionDiffers(ledger.KeyReused):
    """The key of an interaction came back with another member, kind, time, channel or properties."""


@dataclass(frozen=True, kw_only=True)
class RecordedInteraction:
    """An interaction, the entries it earned (also those of a member whom it names), and whether it was new."""

    interaction: Interaction
    entries: Sequence[Entry]
    is_new: bool

    @property
    def points(self) -> int:
        """What the member who did it earned."""
        return sum(entry.points for entry in self.entries if entry.member_id == self.interaction.member_id)


@transaction.atomic
def record_interaction(
    *,
    member_id: int,
    key: str,
    kind: str,
    occurred_at: datetime,
    channel: str = "",
    properties: Mapping[str, Any] | None = None,
) -> RecordedInteraction:
    """Take one interaction in: it earns by the rules in force then.

    The same key with the same content returns what was recorded first; with other content it raises
    :class:`InteractionDiffers`. A time more than a day ahead is refused
    (:class:`~loyalty.intake.LiesInTheFuture`), and so is what would earn absurdly much
    (:class:`~loyalty.rules.TooManyPoints`).
    """
    if occurred_at > latest_moment():
        raise LiesInTheFuture(occurred_at.isoformat())
    told = dict(properties or {})
    terms = rules.Period(occurred_at, occurred_at).terms
    now = timezone.now()
    with connection.cursor() as cursor:
        named = members_named(cursor, [str(told[name]) for name in naming(terms) if told.get(name)])
        members = sorted({member_id, *named.values()})
        lock_members(cursor, members)
        interaction, is_new = Interaction.objects.get_or_create(
            key=key,
            defaults={
                "member_id": member_id,
                "kind": kind,
                "occurred_at": occurred_at,
                "channel": channel,
                "properties": told,
            },
        )
        if not is_new:
            return _recorded_before(interaction, (member_id, kind, occurred_at, channel, told))
        look = tiers.Look(cursor, members, ladder=tiers.ladder(), now=now, since={member_id: occurred_at})
        entries = earn_for_one(cursor, INTERACTION, interaction.pk, terms=terms, look=look, named=named)
        if any(entry.lot.expires_at and entry.lot.expires_at <= now for entry in entries):
            expire_members(cursor, members, now)
        look.settle()
    return RecordedInteraction(interaction=interaction, entries=entries, is_new=True)


def lock_for(cursor: CursorWrapper, members: Iterable[int], moments: Iterable[datetime]) -> None:
    """Lock what many interactions of one transaction need, in the one order, before the first is recorded.

    ``members`` are those who did them and those whom they may name, ``moments`` when they happened.
    """
    lock_members(cursor, sorted(set(members)))
    latest = latest_moment()
    possible = sorted(moment for moment in moments if moment <= latest)
    if possible:
        terms = [one for one in rules.Period(possible[0], possible[-1]).terms if one.definition.event == INTERACTION]
        zone = timezone.get_default_timezone()
        CapBook(cursor).lock_programme_on(terms, {timezone.localdate(moment, zone) for moment in possible})


def naming(terms: Sequence[rules.Terms]) -> set[str]:
    """The properties by which these rules name another member."""
    return {one.definition.also.also_property for one in terms if one.definition.also}


def members_named(cursor: CursorWrapper, numbers: Sequence[str]) -> dict[str, int]:
    """The members with these numbers or outside ids; a number goes before an outside id."""
    if not numbers:
        return {}
    cursor.execute(_NAMED, {"numbers": list(numbers)})
    return dict(cursor.fetchall())


def _recorded_before(interaction: Interaction, content: tuple[object, ...]) -> RecordedInteraction:
    known = (
        interaction.member_id,
        interaction.kind,
        interaction.occurred_at,
        interaction.channel,
        interaction.properties,
    )
    if known != content:
        raise InteractionDiffers(interaction.key)
    return RecordedInteraction(interaction=interaction, entries=list(awards_of(interaction)), is_new=False)


def awards_of(interaction: Interaction) -> QuerySet[Entry]:
    """What an interaction earned, also for a member whom it names."""
    keys = f"interaction:{interaction.pk}:"
    return Entry.objects.filter(idempotency_key__startswith=keys, kind=Entry.Kind.EARN).order_by("pk")


_NAMED = """
SELECT given.number, coalesce(
           (SELECT id FROM members_member WHERE number = given.number),
           (SELECT id FROM members_member WHERE external_id = given.number)) AS id
  FROM unnest(%(numbers)s::text[]) AS given(number)
 WHERE EXISTS (SELECT FROM members_member WHERE number = given.number OR external_id = given.number)
"""
