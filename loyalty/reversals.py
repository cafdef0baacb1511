"""Taking one entry back by hand: at most once, with what happens to points that are spent said before.

Counts towards the same limits as an adjustment, and above them becomes a request to a second person.
"""

from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from django.db import transaction
from django.utils import timezone
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy

from loyalty import ledger, limits, tiers, words
from loyalty.ledger import AlreadyReversed, InsufficientPoints, NotReversible
from loyalty.models import Entry, Policy
from loyalty.policies import settings_now
from staff import approvals, audit, figures
from staff.models import Approval, User
from staff.permissions import Permission

KIND = "points.reverse"
# A redemption is cancelled, a transfer sent back and a refund undone as a whole, not entry by entry.
KINDS = (Entry.Kind.EARN, Entry.Kind.ADJUST, Entry.Kind.EXPIRE)


@dataclass(frozen=True, kw_only=True)
class Preview:
    """What taking an entry back would do, as the ledger does it: ``does``.

    What is missing of points that it brought the programme's policy decides. Points that it took come back, those
    whose lot has expired until ``grace_until``.
    """

    points: int
    does: ledger.ReversalPreview
    policy: Policy
    grace_until: datetime
    needs_second_person: bool

    @property
    def is_possible(self) -> bool:
        """Whether the policy lets it be taken back."""
        return not self.does.missing or self.policy != Policy.REFUSE


def is_reversible(entry: Entry) -> bool:
    """Whether an entry of this kind can be taken back by hand (not whether it was already)."""
    return entry.kind in KINDS


def preview(entry: Entry, *, at: datetime | None = None) -> Preview:
    """What :func:`reverse` would do now, and raises what it raises of the entry; writes nothing."""
    now, told = at or timezone.now(), settings_now()
    grace_until = now + timedelta(days=told.grace_days)
    return Preview(
        points=entry.points,
        does=ledger.preview_reversal(entry, occurred_at=now, grace_until=grace_until),
        policy=Policy(told.clawback_policy),
        grace_until=grace_until,
        needs_second_person=limits.needs_second_person(abs(entry.points)),
    )


@transaction.atomic
def reverse(entry: Entry, *, comment: str, user: User | None, label: str = "") -> Entry | Approval:
    """Take it back, or ask for it where it takes a second person.

    Repeating it returns the same reversal or request. Raises :class:`~loyalty.ledger.NotReversible`,
    :class:`~loyalty.ledger.AlreadyReversed`, :class:`~loyalty.ledger.InsufficientPoints` (under the policy to
    refuse) and :class:`~loyalty.limits.DayLimitReached`.
    """
    if not is_reversible(entry):
        raise NotReversible
    ledger.lock(entry.member_id)
    if Entry.objects.filter(reverses=entry).exists():
        raise AlreadyReversed(entry.pk)
    if ledger.counts_as_given_back(entry):
        raise NotReversible
    for waiting in approvals.waiting_about(f"member:{entry.member_id}", kind=KIND):
        if waiting.payload["entry"] == entry.pk:
            return waiting
    size = abs(entry.points)
    if limits.needs_second_person(size):
        return approvals.request(
            KIND,
            subject=f"{-entry.points:+,} · {entry.member.number} · reversal",
            payload={"entry": entry.pk, "points": entry.points, "number": entry.member.number},
            user=user,
            label=label,
            about=f"member:{entry.member_id}",
            comment=comment,
        )
    limits.take(limits.Limit.ADJUST, limits.counted_as(user, label), size, at=timezone.now())
    return _post(entry, comment=comment, user=user, by=label or str(user or ""), approved_by="")


def register() -> None:
    """Let reversals above the limit be approved."""
    approvals.register(
        KIND,
        gettext_lazy("Entry taken back"),
        Permission.APPROVALS_DECIDE,
        _carry_out,
        outlook=_outlook,
        title=_title,
    )


def _post(entry: Entry, *, comment: str, user: User | None, by: str, approved_by: str) -> Entry:
    told, now = settings_now(), timezone.now()
    explanation: dict[str, Any] = {
        "reversed": words.title(entry),
        "comment": comment,
        "by": by,
        "approved_by": approved_by,
    }
    reversal = ledger.reverse(
        entry,
        explanation=explanation,
        policy=Policy(told.clawback_policy),
        grace_until=now + timedelta(days=told.grace_days),
    )
    if reversal.qualifying:
        tiers.look_again([entry.member_id])
    detail = {"member": entry.member.number, "points": reversal.points, "comment": comment}
    audit.record(user, "points.reverse", entry.member, detail=detail)
    return reversal


def _carry_out(approval: Approval) -> None:
    entry = _entry(approval)
    try:
        _post(
            entry,
            comment=approval.comment,
            user=approval.decided_by,
            by=approval.requested_label,
            approved_by=str(approval.decided_by or ""),
        )
    except NotReversible as refusal:
        raise approvals.CannotBeDone(_("This entry cannot be taken back by hand.")) from refusal
    except AlreadyReversed as refusal:
        raise approvals.CannotBeDone(_("It was taken back meanwhile.")) from refusal
    except InsufficientPoints as refusal:
        raise approvals.CannotBeDone(
            _("%(needed)s points would be taken; %(available)s are there, and the programme refuses what is missing.")
            % {"needed": figures.number(refusal.needed), "available": figures.number(refusal.available)}
        ) from refusal


def _outlook(approval: Approval) -> approvals.Outlook:
    entry = _entry(approval)
    member = (_("Member"), f"{entry.member.display_name} · {entry.member.number}")
    what = (_("Entry"), f"{words.title(entry)} · {figures.when(entry.occurred_at)}")
    try:
        return approvals.Outlook([member, what, *told(preview(entry))], "")
    except AlreadyReversed:
        return approvals.Outlook([member, what], _("It was taken back meanwhile."))
    except NotReversible:
        return approvals.Outlook([member, what], _("This entry cannot be taken back by hand."))


def told(found: Preview) -> list[tuple[str, str]]:
    """The figures of a preview, as names and values."""
    does = found.does
    if found.points < 0:
        lines = [(_("Points that come back"), figures.signed(-found.points))]
        if does.pays_debt:
            lines.append((_("Pay what is owed"), figures.number(does.pays_debt)))
        if does.in_grace:
            until = f"{figures.number(does.in_grace)} · {figures.when(found.grace_until)}"
            lines.append((_("Where their lot has expired, until"), until))
        return lines
    lines = [(_("Points taken back"), figures.signed(-found.points))]
    if does.gone:
        lines.append((_("Taken back or expired before"), figures.number(does.gone)))
    lines += [
        (_("Not spent yet"), figures.number(does.own)),
        (_("Spent: taken from other points"), figures.number(does.others)),
    ]
    if does.missing:
        becomes = {
            Policy.REFUSE: _("missing: it is refused"),
            Policy.TAKE: _("missing: they are let go"),
            Policy.DEBT: _("missing: they become debt, paid off by later points"),
        }[found.policy]
        lines.append((_("Spent and not there"), f"{figures.number(does.missing)} · {becomes}"))
    return lines


def _title(approval: Approval) -> str:
    names = {"points": figures.signed(-approval.payload["points"]), "member": approval.payload["number"]}
    return _("Take an entry back: %(points)s points for %(member)s") % names


def _entry(approval: Approval) -> Entry:
    return Entry.objects.select_related("member").get(pk=approval.payload["entry"])
