"""Letting points be used that wait for an event: a delivery, the end of a right of return, a check of what was done.

A person counts it towards the limits of an adjustment, and above them asks a second person. A machine releases what
its scope lets it record, without a limit: it says that the event has come.
"""

from collections.abc import Sequence
from dataclasses import dataclass

from django.db import connection, transaction
from django.db.models import QuerySet, Sum
from django.utils import timezone
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy

from loyalty import ledger, limits
from loyalty.intake import answers
from loyalty.intake.interactions import awards_of
from loyalty.models import Entry, Lot
from members.models import Interaction, Member, Purchase, SurveyResponse
from staff import approvals, audit, figures
from staff.models import Approval, User
from staff.permissions import Permission

KIND = "points.release"


@dataclass(frozen=True, kw_only=True)
class Released:
    """How many awards were held until now, and what can be spent of them."""

    awards: int
    points: int


def release_points(
    cause: Purchase | Interaction | SurveyResponse, *, user: User | None = None, label: str = ""
) -> Released | Approval:
    """Let the held points of what a member bought, did or answered be used from now on, also those of whom it names.

    Releasing twice changes nothing. ``label`` says in the audit which machine did it; for a ``user`` see
    :func:`release_awards`.
    """
    return _release(_earned_by(cause), cause.member, user, label)


def _earned_by(cause: Purchase | Interaction | SurveyResponse) -> QuerySet[Entry]:
    if isinstance(cause, Purchase):
        return Entry.objects.filter(purchase=cause, kind=Entry.Kind.EARN)
    return awards_of(cause) if isinstance(cause, Interaction) else answers.awards_of(cause)


def release_awards(member: Member, entry_ids: Sequence[int], *, user: User) -> Released | Approval:
    """The same for some awards of one member, chosen at the desk; what is not held is passed over.

    Above the limit it is asked for; repeated, that is the same request. Raises
    :class:`~loyalty.limits.DayLimitReached`.
    """
    return _release(Entry.objects.filter(pk__in=entry_ids, member=member), member, user, "")


def held_lots(member: Member) -> QuerySet[Lot]:
    """The points of a member that wait to be released, the oldest first, with the entries that brought them."""
    held = Lot.objects.filter(member=member, remaining__gt=0, activates_at__isnull=True).exclude(
        expires_at__lte=timezone.now()
    )
    return held.select_related("entry").order_by("pk")


def register() -> None:
    """Let releases above the limit be approved."""
    approvals.register(
        KIND,
        gettext_lazy("Held points released"),
        Permission.APPROVALS_DECIDE,
        _carry_out,
        outlook=_outlook,
        title=_title,
    )


@transaction.atomic
def _release(awards: QuerySet[Entry], member: Member | None, user: User | None, label: str) -> Released | Approval:
    held = _locked(awards)
    points = _points(held)
    # Nobody earned by what has no member.
    if user is not None and member is not None and limits.needs_second_person(points):
        return _ask(held, member, points, user)
    if user is not None:
        limits.take(limits.Limit.ADJUST, limits.counted_as(user), points, at=timezone.now())
    return _do(held, member, {"points": points}, user=user, label=label)


def _ask(held: QuerySet[Lot], member: Member, points: int, user: User) -> Approval:
    about, entries = f"member:{member.pk}", sorted(held.values_list("entry_id", flat=True))
    for waiting in approvals.waiting_about(about, kind=KIND):
        if waiting.payload["entries"] == entries:
            return waiting
    return approvals.request(
        KIND,
        subject=f"{points:+,} · {member.number} · release",
        payload={"member": member.pk, "number": member.number, "points": points, "entries": entries},
        user=user,
        about=about,
    )


def _do(
    held: QuerySet[Lot], member: Member | None, detail: dict[str, object], *, user: User | None, label: str = ""
) -> Released:
    """Release what is locked; ``detail`` has the points, and what else the audit keeps."""
    points = _points(held)
    released = ledger.release(list(held.values_list("entry_id", flat=True)), at=timezone.now())
    if released:
        audit.record(user, "points.release", member, detail=detail | {"entries": released}, label=label)
    return Released(awards=released, points=points)


def _locked(awards: QuerySet[Entry]) -> QuerySet[Lot]:
    """What of these awards is held, with the accounts of all who hold it locked."""
    held = Lot.objects.filter(entry__in=awards, activates_at__isnull=True)
    with connection.cursor() as cursor:
        ledger.lock_members(cursor, sorted(set(held.values_list("member_id", flat=True))))
    return held


def _points(held: QuerySet[Lot]) -> int:
    """How many points can be used of it; what has lapsed meanwhile cannot."""
    usable = held.exclude(expires_at__lte=timezone.now())
    return usable.aggregate(points=Sum("remaining"))["points"] or 0


def _carry_out(approval: Approval) -> None:
    member = Member.objects.get(pk=approval.payload["member"])
    held = _locked(_awards(approval))
    detail = {"points": _points(held), "asked_by": approval.requested_label}
    if not _do(held, member, detail, user=approval.decided_by).awards:
        raise approvals.CannotBeDone(_("This was released already."))


def _outlook(approval: Approval) -> approvals.Outlook:
    member = Member.objects.get(pk=approval.payload["member"])
    held = Lot.objects.filter(entry__in=_awards(approval), activates_at__isnull=True)
    points = _points(held)
    lines = [
        (_("Member"), f"{member.display_name} · {member.number}"),
        (_("Awards that are held"), figures.number(held.count())),
        (_("Points that can be used then"), figures.number(points)),
    ]
    return approvals.Outlook(lines, "" if points else _("This was released already."))


def _title(approval: Approval) -> str:
    names = {"points": figures.number(approval.payload["points"]), "member": approval.payload["number"]}
    return _("Release %(points)s held points of %(member)s") % names


def _awards(approval: Approval) -> QuerySet[Entry]:
    return Entry.objects.filter(pk__in=approval.payload["entries"])
