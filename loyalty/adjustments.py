"""Points given or taken by service: with a reason and a comment, within a day's limit, above it with a second person.

An adjustment is one entry of the ledger, or, above ``adjust_approval_above``, a request that becomes one when
somebody else approves it (docs/adr/0013). Its key makes a form that is sent twice count once.
"""

from dataclasses import dataclass
from datetime import datetime, timedelta
from decimal import Decimal
from typing import Any

from django.db import transaction
from django.db.models import Count, Sum
from django.utils import timezone
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy, ngettext

from loyalty import ledger, limits, tiers, words
from loyalty.ledger import InsufficientPoints, KeyReused
from loyalty.models import AdjustReason, Entry
from loyalty.months import add_months
from loyalty.policies import settings_now
from members.models import Member
from staff import approvals, audit, figures
from staff.models import Approval, User
from staff.permissions import Permission

KIND = "points.adjust"
YEAR = timedelta(days=365)


class AdjustmentError(Exception):
    """An adjustment was refused; nothing was written."""


class NotEligible(AdjustmentError):
    """The member has left the programme."""


class NoSuchReason(AdjustmentError):
    """The reason is not one of those in use."""


@dataclass(frozen=True, kw_only=True)
class Adjustment:
    """What somebody wants: ``points`` is signed, ``reason`` the key of a reason in use."""

    member_id: int
    points: int
    reason: str
    comment: str


@dataclass(frozen=True, kw_only=True)
class Preview:
    """What an adjustment would do. ``cost`` in programme currency, signed; ``left_today`` after it."""

    usable: int
    usable_after: int
    cost: Decimal
    needs_second_person: bool
    left_today: int
    given_in_year: int
    times_in_year: int

    @property
    def is_possible(self) -> bool:
        """Whether there are points enough to take, and enough of the day's limit."""
        return self.usable_after >= 0 and (self.needs_second_person or self.left_today >= 0)


def preview(wish: Adjustment, *, who: str, at: datetime | None = None) -> Preview:
    """What it would do now, of the day of ``who`` (``limits.counted_as``); writes nothing."""
    now = at or timezone.now()
    usable, size = ledger.available(wish.member_id, now), abs(wish.points)
    year = Entry.objects.filter(
        member_id=wish.member_id, kind=Entry.Kind.ADJUST, points__gt=0, created_at__gt=now - YEAR
    )
    given = year.standing().aggregate(points=Sum("points"), times=Count("pk"))
    return Preview(
        usable=usable,
        usable_after=usable + wish.points,
        cost=settings_now().point_value * wish.points,
        needs_second_person=limits.needs_second_person(size),
        left_today=limits.left(limits.Limit.ADJUST, who, at=now) - size,
        given_in_year=given["points"] or 0,
        times_in_year=given["times"],
    )


def told(found: Preview) -> list[tuple[str, str]]:
    """The figures of a preview, as names and values."""
    return [
        (_("Can be spent now"), figures.number(found.usable)),
        (_("Can be spent after it"), figures.number(found.usable_after)),
        (_("Worth"), figures.money(found.cost)),
        (
            _("Given by service in 12 months"),
            ngettext(
                "%(points)s points in %(times)s adjustment",
                "%(points)s points in %(times)s adjustments",
                found.times_in_year,
            )
            % {"points": figures.number(found.given_in_year), "times": figures.number(found.times_in_year)},
        ),
    ]


@transaction.atomic
def adjust(
    wish: Adjustment,
    *,
    key: str,
    user: User | None,
    agent: str = "",
    label: str = "",
    keeper: User | None = None,
) -> Entry | Approval:
    """Give or take the points, or ask for it where it takes a second person.

    A machine has no ``user``: it names itself (``agent``, "key:12") and has a ``label``. Who owns it is its
    ``keeper``: what it moves counts towards their day, and what it asks for somebody else decides. The same
    key with the same input returns what it led to the first time. Raises
    :class:`~loyalty.ledger.InsufficientPoints`, :class:`~loyalty.ledger.KeyReused`,
    :class:`~loyalty.limits.DayLimitReached`, :class:`NotEligible` and :class:`NoSuchReason`.
    """
    if not wish.points:
        raise ValueError("an adjustment gives or takes points")
    ledger.lock(wish.member_id)
    if before := _done_before(wish, key):
        return before
    reason = next((reason for reason in reasons() if reason.key == wish.reason), None)
    if reason is None:
        raise NoSuchReason(wish.reason)
    member = _eligible(wish)
    by, size = label or str(user or ""), abs(wish.points)
    if limits.needs_second_person(size):
        return _ask(wish, member, reason, key=key, user=user or keeper, label=label)
    now = timezone.now()
    limits.take(limits.Limit.ADJUST, limits.counted_as(user or keeper, agent or label), size, at=now)
    entry = _post(wish, reason, key=key, by=by, approved_by="", at=now)
    detail = {"member": member.number, "points": wish.points, "reason": reason.key, "comment": wish.comment}
    audit.record(user, "points.adjust", member, detail=detail, label=label)
    return entry


def register() -> None:
    """Let adjustments above the limit be approved."""
    approvals.register(
        KIND,
        gettext_lazy("Points by service"),
        Permission.APPROVALS_DECIDE,
        _carry_out,
        outlook=_outlook,
        title=_title,
    )


def reasons() -> list[AdjustReason]:
    """The reasons in use, in their order."""
    return list(AdjustReason.objects.filter(active=True))


def _done_before(wish: Adjustment, key: str) -> Entry | Approval | None:
    """What this key led to before. Raises :class:`KeyReused` where it was something else."""
    if entry := Entry.objects.filter(idempotency_key=_entry_key(key)).first():
        told = (entry.member_id, entry.points, entry.explanation.get("adjust"))
        if told != (wish.member_id, wish.points, wish.reason):
            raise KeyReused(key)
        return entry
    if approval := Approval.objects.filter(key=_entry_key(key)).first():
        if {name: approval.payload.get(name) for name in _payload(wish)} != _payload(wish):
            raise KeyReused(key)
        return approval
    return None


def _ask(
    wish: Adjustment, member: Member, reason: AdjustReason, *, key: str, user: User | None, label: str
) -> Approval:
    try:
        return approvals.request(
            KIND,
            subject=f"{wish.points:+,} · {member.number} · {reason.name}",
            payload=_payload(wish) | {"number": member.number, "key": key},
            user=user,
            label=label,
            about=f"member:{member.pk}",
            key=_entry_key(key),
            comment=wish.comment,
        )
    except approvals.KeyReused as error:
        raise KeyReused(key) from error


def _post(wish: Adjustment, reason: AdjustReason, *, key: str, by: str, approved_by: str, at: datetime) -> Entry:
    explanation: dict[str, Any] = {
        "adjust": reason.key,
        "reason": reason.name,
        "reason_zh": reason.name_zh,
        "comment": wish.comment,
        "by": by,
        "approved_by": approved_by,
    }
    if wish.points < 0:
        return ledger.spend(
            member_id=wish.member_id,
            points=-wish.points,
            key=_entry_key(key),
            occurred_at=at,
            explanation=explanation,
            kind=Entry.Kind.ADJUST,
        )
    months = settings_now().adjust_expires_after_months
    entry = ledger.award(
        member_id=wish.member_id,
        points=wish.points,
        qualifying=wish.points if reason.qualifies else 0,
        key=_entry_key(key),
        occurred_at=at,
        explanation=explanation,
        expires_at=add_months(at, months) if months else None,
        kind=Entry.Kind.ADJUST,
    )
    if entry.qualifying:
        tiers.look_again([wish.member_id])
    return entry


def _eligible(wish: Adjustment) -> Member:
    """The member, whose account is locked. Raises :class:`NotEligible`."""
    member = Member.objects.get(pk=wish.member_id)
    if member.status == Member.Status.CLOSED:
        raise NotEligible
    return member


def _carry_out(approval: Approval) -> None:
    wish = _wish(approval)
    reason = AdjustReason.objects.get(key=wish.reason)
    Member.objects.get(pk=wish.member_id)  # may have gone with the import that brought them
    ledger.lock(wish.member_id)
    try:
        member = _eligible(wish)
        _post(
            wish,
            reason,
            key=approval.payload["key"],
            by=approval.requested_label,
            approved_by=str(approval.decided_by or ""),
            at=timezone.now(),
        )
    except NotEligible as refusal:
        raise approvals.CannotBeDone(_("The member has left the programme.")) from refusal
    except InsufficientPoints as refusal:
        raise approvals.CannotBeDone(
            _("%(needed)s points would be taken; %(available)s can be spent.")
            % {"needed": figures.number(refusal.needed), "available": figures.number(refusal.available)}
        ) from refusal
    detail = {"points": wish.points, "reason": wish.reason, "comment": wish.comment}
    audit.record(approval.decided_by, "points.adjust", member, detail=detail)


def _outlook(approval: Approval) -> approvals.Outlook:
    wish = _wish(approval)
    found = preview(wish, who="")
    member = Member.objects.get(pk=wish.member_id)
    reason = AdjustReason.objects.get(key=wish.reason)
    warning = ""
    if found.usable_after < 0:
        warning = _("The member has fewer points than would be taken: approving it will be refused.")
    elif member.status == Member.Status.CLOSED:
        warning = _("The member has left the programme: approving it will be refused.")
    elif member.status != Member.Status.ACTIVE:
        warning = _("The member is not active.")
    return approvals.Outlook(
        [
            (_("Member"), f"{member.display_name} · {member.number}"),
            (_("Reason"), words.reason_name(reason)),
            (_("Points"), figures.signed(wish.points)),
            *told(found),
        ],
        warning,
    )


def _title(approval: Approval) -> str:
    wish = _wish(approval)
    names = {"points": figures.number(abs(wish.points)), "member": approval.payload["number"]}
    if wish.points > 0:
        return _("Give %(points)s points to %(member)s") % names
    return _("Take %(points)s points from %(member)s") % names


def _wish(approval: Approval) -> Adjustment:
    told = approval.payload
    return Adjustment(member_id=told["member"], points=told["points"], reason=told["reason"], comment=approval.comment)


def _payload(wish: Adjustment) -> dict[str, Any]:
    return {"member": wish.member_id, "points": wish.points, "reason": wish.reason}


def _entry_key(key: str) -> str:
    return f"adjust:{key}"
