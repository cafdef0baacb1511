"""What members do besides buying: written and rewarded in one transaction."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final

from django.db import connection, transaction
from django.db.models import QuerySet
from django.utils import timezone

from loyalty import ledger, rules, tiers
from loyalty.intake.earning import earn_for_one
from loyalty.intake.recording import LiesInTheFuture
from loyalty.models import Entry
from loyalty.rules import gathering
from loyalty.rules.events import INTERACTION
from members.importing.dates import latest_moment
from members.models import Interaction
from members.repeats import same

_CONTENT: Final = ("member_id", "kind", "occurred_at", "channel", "properties")


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
        named = gathering.members_named(cursor, gathering.numbers_named(terms, [told]))
        members = sorted({member_id, *named.values()})
        ledger.lock_members(cursor, members)
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
            said = Interaction(
                member_id=member_id, kind=kind, occurred_at=occurred_at, channel=channel, properties=told
            )
            refuse_difference(interaction, said)
            return RecordedInteraction(interaction=interaction, entries=list(awards_of(interaction)), is_new=False)
        look = tiers.Look(cursor, members, ladder=tiers.ladder(), now=now, since={member_id: occurred_at})
        gathered = gathering.of_one(cursor, INTERACTION, interaction.pk, rules.needs(terms), look.before, named=named)
        entries = earn_for_one(cursor, gathered, terms=terms, look=look)
        if any(entry.lot.expires_at and entry.lot.expires_at <= now for entry in entries):
            ledger.expire_members(cursor, members, now)
        look.settle()
    return RecordedInteraction(interaction=interaction, entries=entries, is_new=True)


def refuse_difference(known: Interaction, said: Interaction) -> None:
    """Raise :class:`InteractionDiffers` where an interaction of this key was recorded with other content."""
    if not all(same(getattr(known, name), getattr(said, name)) for name in _CONTENT):
        raise InteractionDiffers(known.key)


def awards_of(interaction: Interaction) -> QuerySet[Entry]:
    """What an interaction earned, also for a member whom it names."""
    keys = f"interaction:{interaction.pk}:"
    return Entry.objects.filter(idempotency_key__startswith=keys, kind=Entry.Kind.EARN).order_by("pk")
