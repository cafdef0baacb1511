"""Points moved from one member to another by service: what is spendable, with the expiry it has.

What is above ``transfer_approval_above`` at once, above what one person moves in a day or above what one member
gives away in a day becomes a request that a second person decides (docs/adr/0013).
"""

from dataclasses import dataclass
from datetime import datetime
from typing import Any

from django.db import connection, transaction
from django.utils import timezone
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy

from loyalty import ledger, limits
from loyalty.ledger import InsufficientPoints, KeyReused
from loyalty.limits import Limit
from loyalty.models import Entry
from members.models import Member
from staff import approvals, audit, figures
from staff.models import Approval, User
from staff.permissions import Permission

KIND = "points.transfer"


class TransferError(Exception):
    """A transfer was refused; nothing was written."""


class SameMember(TransferError):
    """Points are moved to another member."""


class NotEligible(TransferError):
    """The one who gives has left, or the one who receives is not active."""


@dataclass(frozen=True, kw_only=True)
class Transfer:
    """What somebody wants: whole points, more than none, from one member to another."""

    from_member: int
    to_member: int
    points: int
    comment: str


@dataclass(frozen=True, kw_only=True)
class Preview:
    """What both can spend before and after it, and what of it only pays off what the receiver owes.

    ``alone`` is how many points this person could move of this member's now without a second person.
    """

    giver_before: int
    giver_after: int
    receiver_before: int
    receiver_after: int
    pays_debt: int
    alone: int
    needs_second_person: bool

    @property
    def is_possible(self) -> bool:
        """Whether there are points enough."""
        return self.giver_after >= 0


def preview(wish: Transfer, *, who: str) -> Preview:
    """What it would do now, of the day of ``who`` (``limits.counted_as``); writes nothing."""
    alone = min(limits.alone(Limit.TRANSFER, who), limits.left(Limit.GIVEN, _giver_of(wish)))
    usable = ledger.available_to([wish.from_member, wish.to_member], timezone.now())
    giver, receiver = usable.get(wish.from_member, 0), usable.get(wish.to_member, 0)
    pays_debt = min(ledger.debt_of(wish.to_member), wish.points)
    return Preview(
        giver_before=giver,
        giver_after=giver - wish.points,
        receiver_before=receiver,
        receiver_after=receiver + wish.points - pays_debt,
        pays_debt=pays_debt,
        alone=alone,
        needs_second_person=wish.points > alone,
    )


def told(found: Preview) -> list[tuple[str, str]]:
    """The figures of a preview, as names and values."""
    change = _("%(before)s → %(after)s")
    giver = {"before": figures.number(found.giver_before), "after": figures.number(found.giver_after)}
    receiver = {"before": figures.number(found.receiver_before), "after": figures.number(found.receiver_after)}
    lines = [
        (_("The giver can spend"), change % giver),
        (_("The receiver can spend"), change % receiver),
    ]
    if found.pays_debt:
        lines.append((_("Of it pays what the receiver owes"), figures.number(found.pays_debt)))
    return lines


@transaction.atomic
def send(
    wish: Transfer,
    *,
    key: str,
    user: User | None,
    agent: str = "",
    label: str = "",
    keeper: User | None = None,
) -> Entry | Approval:
    """Move the points, or ask for it where it takes a second person; returns the giver's entry, or the request.

    A machine names itself as in :func:`~loyalty.adjustments.adjust` (``agent``, ``label``, ``keeper``). The same
    key with the same input returns what it led to the first time. Raises
    :class:`~loyalty.ledger.InsufficientPoints`, :class:`~loyalty.ledger.KeyReused`, :class:`SameMember` and
    :class:`NotEligible`.
    """
    if wish.from_member == wish.to_member:
        raise SameMember
    _lock(wish)
    if before := _done_before(wish, key):
        return before
    giver, receiver = _eligible(wish)
    if _take_alone(wish, limits.counted_as(user or keeper, agent or label), at=timezone.now()):
        by = label or str(user or "")
        return _post(wish, giver, receiver, key=key, user=user, by=by, approved_by="")
    return approvals.request(
        KIND,
        subject=f"{wish.points:,} · {giver.number} → {receiver.number}",
        payload=_payload(wish) | {"giver": giver.number, "receiver": receiver.number, "key": key},
        user=user or keeper,
        label=label,
        about=f"member:{giver.pk}",
        key=_entry_key(key),
        comment=wish.comment,
    )


def register() -> None:
    """Let transfers above the limit be approved."""
    approvals.register(
        KIND,
        gettext_lazy("Points to another member"),
        Permission.APPROVALS_DECIDE,
        _carry_out,
        outlook=_outlook,
        title=_title,
    )


def _done_before(wish: Transfer, key: str) -> Entry | Approval | None:
    """What this key led to before. Raises :class:`KeyReused` where it was something else."""
    if entry := Entry.objects.filter(idempotency_key=_entry_key(key)).first():
        same = (entry.member_id, -entry.points, entry.explanation.get("member"))
        if same != (wish.from_member, wish.points, wish.to_member):
            raise KeyReused(key)
        return entry
    if approval := Approval.objects.filter(key=_entry_key(key)).first():
        if {name: approval.payload.get(name) for name in _payload(wish)} != _payload(wish):
            raise KeyReused(key)
        return approval
    return None


def _lock(wish: Transfer) -> None:
    with connection.cursor() as cursor:
        ledger.lock_members(cursor, [wish.from_member, wish.to_member])


def _take_alone(wish: Transfer, who: str, *, at: datetime) -> bool:
    """Count it towards the day of who moves and of who gives; False, and nothing counted, where it goes above."""
    if wish.points > limits.at_once(Limit.TRANSFER):
        return False
    try:
        with transaction.atomic():
            limits.take(Limit.TRANSFER, who, wish.points, at=at)
            limits.take(Limit.GIVEN, _giver_of(wish), wish.points, at=at)
    except limits.DayLimitReached:
        return False
    return True


def _post(
    wish: Transfer, giver: Member, receiver: Member, *, key: str, user: User | None, by: str, approved_by: str
) -> Entry:
    explanation: dict[str, Any] = {
        "from": giver.number,
        "to": receiver.number,
        "comment": wish.comment,
        "by": by,
        "approved_by": approved_by,
    }
    entry = ledger.transfer(
        from_member=giver.pk,
        to_member=receiver.pk,
        points=wish.points,
        key=_entry_key(key),
        occurred_at=timezone.now(),
        explanation=explanation,
    )
    detail = {"from": giver.number, "to": receiver.number, "points": wish.points, "comment": wish.comment}
    audit.record(user, "points.transfer", giver, detail=detail, label="" if user else by)
    return entry


def _carry_out(approval: Approval) -> None:
    wish = _wish(approval)
    _both(wish)
    _lock(wish)
    try:
        giver, receiver = _eligible(wish)
        _post(
            wish,
            giver,
            receiver,
            key=approval.payload["key"],
            user=approval.decided_by,
            by=approval.requested_label,
            approved_by=str(approval.decided_by or ""),
        )
    except NotEligible as refusal:
        raise approvals.CannotBeDone(_("The giver has left, or the receiver is blocked or has left.")) from refusal
    except InsufficientPoints as refusal:
        raise approvals.CannotBeDone(
            _("%(needed)s points would be moved; %(available)s can be spent.")
            % {"needed": figures.number(refusal.needed), "available": figures.number(refusal.available)}
        ) from refusal


def _outlook(approval: Approval) -> approvals.Outlook:
    wish = _wish(approval)
    giver, receiver = _both(wish)
    found = preview(wish, who="")
    warning = "" if found.is_possible else _("The giver has fewer points than that: approving it will be refused.")
    if not _may_move(giver, receiver):
        warning = _("The giver has left, or the receiver is blocked or has left: approving it will be refused.")
    return approvals.Outlook(
        [
            (_("From"), f"{giver.display_name} · {giver.number}"),
            (_("To"), f"{receiver.display_name} · {receiver.number}"),
            (_("Points"), figures.number(wish.points)),
            *told(found),
        ],
        warning,
    )


def _title(approval: Approval) -> str:
    told = approval.payload
    return _("Move %(points)s points from %(giver)s to %(receiver)s") % {
        "points": figures.number(told["points"]),
        "giver": told["giver"],
        "receiver": told["receiver"],
    }


def _both(wish: Transfer) -> tuple[Member, Member]:
    """Giver and receiver. Raises Member.DoesNotExist where one went with the import that brought them."""
    return Member.objects.get(pk=wish.from_member), Member.objects.get(pk=wish.to_member)


def _eligible(wish: Transfer) -> tuple[Member, Member]:
    """Both, as they are under their locks. Raises :class:`NotEligible`."""
    giver, receiver = _both(wish)
    if not _may_move(giver, receiver):
        raise NotEligible
    return giver, receiver


def _may_move(giver: Member, receiver: Member) -> bool:
    return giver.status != Member.Status.CLOSED and receiver.status == Member.Status.ACTIVE


def _wish(approval: Approval) -> Transfer:
    told = approval.payload
    return Transfer(from_member=told["from"], to_member=told["to"], points=told["points"], comment=approval.comment)


def _payload(wish: Transfer) -> dict[str, Any]:
    return {"from": wish.from_member, "to": wish.to_member, "points": wish.points}


def _giver_of(wish: Transfer) -> str:
    return f"member:{wish.from_member}"


def _entry_key(key: str) -> str:
    return f"transfer:{key}"
