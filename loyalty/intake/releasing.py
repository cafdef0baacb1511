"""Letting points be used that wait for an event: a delivery, the end of a right of return, a check of what was done."""

from collections.abc import Sequence
from dataclasses import dataclass

from django.db import connection, transaction
from django.db.models import QuerySet, Sum
from django.utils import timezone

from loyalty import ledger
from loyalty.intake import answers
from loyalty.intake.interactions import awards_of
from loyalty.models import Entry, Lot
from members.models import Interaction, Member, Purchase, SurveyResponse
from staff import audit
from staff.models import User


@dataclass(frozen=True, kw_only=True)
class Released:
    """How many awards were held until now, and what can be spent of them."""

    awards: int
    points: int


def release_points(cause: Purchase | Interaction | SurveyResponse, *, label: str = "") -> Released:
    """Let the held points of what a member bought, did or answered be used from now on, also those of whom it names.

    Releasing twice changes nothing. ``label`` says in the audit who did it.
    """
    return _release(_earned_by(cause), cause.member, user=None, label=label)


def _earned_by(cause: Purchase | Interaction | SurveyResponse) -> QuerySet[Entry]:
    if isinstance(cause, Purchase):
        return Entry.objects.filter(purchase=cause, kind=Entry.Kind.EARN)
    return awards_of(cause) if isinstance(cause, Interaction) else answers.awards_of(cause)


def release_awards(member: Member, entry_ids: Sequence[int], *, user: User) -> Released:
    """The same for some awards of one member, chosen at the desk; what is not held is passed over."""
    return _release(Entry.objects.filter(pk__in=entry_ids, member=member), member, user=user)


def held_lots(member: Member) -> QuerySet[Lot]:
    """The points of a member that wait to be released, the oldest first, with the entries that brought them."""
    held = Lot.objects.filter(member=member, remaining__gt=0, activates_at__isnull=True).exclude(
        expires_at__lte=timezone.now()
    )
    return held.select_related("entry").order_by("pk")


@transaction.atomic
def _release(awards: QuerySet[Entry], member: Member | None, *, user: User | None, label: str = "") -> Released:
    held = Lot.objects.filter(entry__in=awards, activates_at__isnull=True)
    with connection.cursor() as cursor:
        ledger.lock_members(cursor, sorted(set(held.values_list("member_id", flat=True))))
    points = held.aggregate(points=Sum("remaining"))["points"] or 0
    released = ledger.release(list(held.values_list("entry_id", flat=True)), at=timezone.now())
    if released:
        detail = {"points": points, "entries": released}
        audit.record(user, "points.release", member, detail=detail, label=label)
    return Released(awards=released, points=points)
