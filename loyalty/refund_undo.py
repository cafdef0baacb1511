"""Undoing one refund by hand: what it took comes back, what it gave back goes again, and the others stay (ADR 0010).

Counts towards the same limits as an adjustment, and above them becomes a request to a second person.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from django.db import connection, transaction
from django.utils import timezone
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy

from loyalty import ledger, limits
from loyalty.intake import refund_locks, refunds, withdrawal
from loyalty.models import Account
from loyalty.rules import sentences
from members.models import Purchase, Refund
from staff import approvals, audit, figures
from staff.models import Approval, User
from staff.permissions import Permission

KIND = "refund.undo"
State = Refund.State
# What somebody can take back; one that was refused has done nothing.
STATES = (State.APPLIED, State.WAITING)


class UndoRefused(Exception):
    """A refund cannot be undone: ``reason`` is ``not_there`` (undone already), ``points_spent`` or ``others``.

    ``others``: one of the purchase's other refunds could not be applied without it.
    """

    def __init__(self, reason: str) -> None:
        self.reason = reason
        super().__init__(reason)


@dataclass(frozen=True, kw_only=True)
class Undone:
    """What undoing a refund did, or would do: to the balances and the debts of all whom it touches, together.

    ``moved`` is what some of them gain or others lose, whichever is more: of a household one may gain what another
    loses, and together nothing changes. ``elsewhere`` are the rules, with their points, whose bonus stays away
    because another purchase has earned it meanwhile.
    """

    refund: Refund
    points: int
    debt: int
    moved: int
    elsewhere: Sequence[tuple[str, int]] = ()

    @property
    def needs_second_person(self) -> bool:
        """Whether one person may not do it alone."""
        return limits.needs_second_person(self.moved)


def preview(refund: Refund) -> Undone:
    """What undoing it would do now. It is done and rolled back. Raises :class:`UndoRefused`."""
    with transaction.atomic():
        found = _perform(refund, {})
        transaction.set_rollback(True)
    return found


@transaction.atomic
def undo(refund: Refund, *, comment: str, user: User) -> Undone | Approval:
    """Undo it, or ask for it where it takes a second person; repeated, the same request.

    Raises :class:`UndoRefused` and :class:`~loyalty.limits.DayLimitReached`.
    """
    _lock(refund)
    for waiting in approvals.waiting_about(_about(refund), kind=KIND):
        if waiting.payload["refund"] == refund.pk:
            return waiting
    found = preview(refund)
    if found.needs_second_person:
        return approvals.request(
            KIND,
            subject=f"{found.points:+,} · {refund.purchase_key} · refund undone",
            payload={"refund": refund.pk, "points": found.points, "receipt": refund.purchase_key},
            user=user,
            about=_about(refund),
            comment=comment,
        )
    if found.moved:
        limits.take(limits.Limit.ADJUST, limits.counted_as(user), found.moved, at=timezone.now())
    return _do(refund, comment=comment, user=user, by=str(user), approved_by="")


def register() -> None:
    """Let undoing above the limit be approved."""
    approvals.register(
        KIND,
        gettext_lazy("Refund undone"),
        Permission.APPROVALS_DECIDE,
        _carry_out,
        outlook=_outlook,
        title=_title,
    )


def told(found: Undone) -> list[tuple[str, str]]:
    """The figures of a preview, as names and values."""
    lines = []
    if found.refund.amount is not None:
        lines.append((_("No longer refunded"), figures.money(found.refund.amount, found.refund.currency)))
    lines.append((_("Change of points"), figures.signed(found.points)))
    lines += [
        (_("“%(rule)s” stays with a later purchase") % {"rule": rule}, sentences.points(points))
        for rule, points in found.elsewhere
    ]
    if found.debt:
        lines.append((_("Change of what is owed"), figures.signed(found.debt)))
    return lines


def why(refusal: UndoRefused) -> str:
    """A refusal in words."""
    return {
        "not_there": _("This refund was undone already."),
        "points_spent": _(
            "The points that this refund gave back are spent, and the programme refuses what is missing."
        ),
        "others": _("Another refund of this purchase could not stand without this one."),
    }[refusal.reason]


def _about(refund: Refund) -> str:
    return f"member:{refund.member_id}" if refund.member_id else f"refund:{refund.pk}"


def _lock(refund: Refund) -> None:
    """Lock the accounts that it touches, in member order."""
    if refund.purchase_id is not None:
        with connection.cursor() as cursor:
            ledger.lock_members(cursor, refund_locks.touched_by(Purchase.objects.filter(pk=refund.purchase_id)))


def _do(refund: Refund, *, comment: str, user: User | None, by: str, approved_by: str) -> Undone:
    explanation = {"comment": comment, "by": by, "approved_by": approved_by}
    done = _perform(refund, explanation)
    detail = {"purchase": refund.purchase_key, "points": done.points, "comment": comment}
    audit.record(user, "refund.undo", refund, detail=detail)
    return done


def _perform(refund: Refund, explanation: dict[str, Any]) -> Undone:
    """Let what stands be as if the refund had never been: withdraw all of its purchase, and apply the others again."""
    _lock(refund)
    standing = _standing(refund)
    if standing.purchase is None:
        Refund.objects.filter(pk=standing.pk).update(state=State.UNDONE)
        return Undone(refund=standing, points=0, debt=0, moved=0)
    purchase = standing.purchase
    before = Account.objects.in_bulk(refund_locks.touched_by(Purchase.objects.filter(pk=purchase.pk)))
    refused = _refused(purchase)
    _take_out(standing, purchase, explanation)
    withdrawal.apply_again([purchase.pk])
    if _refused(purchase) - refused:
        raise UndoRefused("others")
    told = _reason(standing, purchase) | explanation
    awards = withdrawal.give_once([purchase.pk], explanation=told)
    refunds.look_at_tiers([purchase.member_id])
    elsewhere = [(award.explanation["rule"], award.points) for award in awards]
    return replace(_compared(standing, before), elsewhere=elsewhere)


def _standing(refund: Refund) -> Refund:
    """The refund as it stands now, locked. Raises :class:`UndoRefused` where it does not stand any more."""
    now = Refund.objects.select_for_update(of=("self",)).select_related("purchase").get(pk=refund.pk)
    if now.state not in STATES or now.purchase_id != refund.purchase_id:
        raise UndoRefused("not_there")
    return now


def _refused(purchase: Purchase) -> set[int]:
    return set(purchase.refunds.filter(state=State.REFUSED).values_list("pk", flat=True))


def _take_out(refund: Refund, purchase: Purchase, explanation: dict[str, Any]) -> None:
    """Withdraw all refunds of the purchase; this one is undone, with what it gave back, and the others wait."""
    try:
        withdrawal.withdraw([purchase.pk], explanation=_reason(refund, purchase) | explanation)
    except ledger.InsufficientPoints as short:
        raise UndoRefused("points_spent") from short
    Refund.objects.filter(pk=refund.pk).update(
        state=State.UNDONE,
        purchase=purchase,
        member_id=refund.member_id,
        amount=refund.amount,
        value=refund.value,
        rate=refund.rate,
    )


def _reason(refund: Refund, purchase: Purchase) -> dict[str, Any]:
    return {"reason": "refund_undone", "refund": refund.pk, "receipt": purchase.external_id}


def _compared(refund: Refund, before: Mapping[int, Account]) -> Undone:
    """What became of these accounts."""
    after = Account.objects.in_bulk(before)
    changes = [after[member].balance - account.balance for member, account in before.items()]
    return Undone(
        refund=refund,
        points=sum(changes),
        debt=sum(after[member].debt - account.debt for member, account in before.items()),
        moved=max(sum(change for change in changes if change > 0), -sum(change for change in changes if change < 0)),
    )


def _carry_out(approval: Approval) -> None:
    try:
        _do(
            _refund(approval),
            comment=approval.comment,
            user=approval.decided_by,
            by=approval.requested_label,
            approved_by=str(approval.decided_by or ""),
        )
    except UndoRefused as refusal:
        raise approvals.CannotBeDone(why(refusal)) from refusal


def _outlook(approval: Approval) -> approvals.Outlook:
    refund = _refund(approval)
    what = (_("Refund"), f"{refund.purchase_key} · {figures.when(refund.refunded_at)}")
    try:
        return approvals.Outlook([what, *told(preview(refund))], "")
    except UndoRefused as refusal:
        return approvals.Outlook([what], why(refusal))


def _title(approval: Approval) -> str:
    names = {"points": figures.signed(approval.payload["points"]), "receipt": approval.payload["receipt"]}
    return _("Undo the refund of order %(receipt)s: %(points)s points") % names


def _refund(approval: Approval) -> Refund:
    return Refund.objects.get(pk=approval.payload["refund"])
