"""Refunding a purchase at the desk, by one person as long as not many points come back to the member by it.

What was spent on the purchase comes back, and can be spent again: it counts towards the same limits as an adjustment,
and above them becomes a request to a second person (docs/adr/0013). What the purchase earned goes without a limit.
"""

from collections.abc import Sequence
from decimal import Decimal
from typing import Any, Final

from django.db import transaction
from django.utils import timezone
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy

from loyalty import limits, refund_words
from loyalty.intake import (
    RecordedRefund,
    RefundLineInput,
    RefundRefused,
    preview_refund,
    record_refund,
    refund_locks,
    refund_requests,
)
from members.models import Purchase, Refund
from staff import approvals, figures
from staff.models import Approval, User
from staff.permissions import Permission

KIND: Final = "refund.record"


def needs_second_person(found: RecordedRefund) -> bool:
    """Whether one person may not do alone what a preview found."""
    return limits.needs_second_person(found.points_returned)


@transaction.atomic
def refund(
    purchase: Purchase,
    *,
    key: str,
    user: User,
    reason: str = "",
    amount: Decimal | None = None,
    lines: Sequence[RefundLineInput] = (),
) -> RecordedRefund | Approval:
    """Record it as :func:`~loyalty.intake.record_refund` does, or ask for it; sent twice, it is the same.

    Raises what that raises, and :class:`~loyalty.limits.DayLimitReached`.
    """
    # The same form sent twice at once counts once.
    refund_locks.lock_payers(purchase)
    if not Refund.objects.filter(key=key).exists():
        payload = _payload(purchase, refund_requests.request_of(amount, lines), key)
        if before := Approval.objects.filter(key=f"refund:{key}").first():
            if before.payload != payload:
                raise refund_requests.RefundDiffers(key)
            return before
        found = preview_refund(purchase_key=purchase.key, amount=amount, lines=lines)
        if needs_second_person(found):
            return _ask(purchase, found, payload, reason=reason, user=user)
        limits.take(limits.Limit.ADJUST, limits.counted_as(user), found.points_returned, at=timezone.now())
    return record_refund(key=key, purchase_key=purchase.key, amount=amount, lines=lines, reason=reason, user=user)


def register() -> None:
    """Let refunds be approved that give many points back."""
    approvals.register(
        KIND,
        gettext_lazy("Purchase refunded"),
        Permission.APPROVALS_DECIDE,
        _carry_out,
        outlook=_outlook,
        title=_title,
    )


def _payload(purchase: Purchase, request: dict[str, Any], key: str) -> dict[str, Any]:
    receipt = purchase.external_id or purchase.key
    return {"purchase": purchase.key, "receipt": receipt, "request": request, "key": key}


def _ask(purchase: Purchase, found: RecordedRefund, payload: dict[str, Any], *, reason: str, user: User) -> Approval:
    return approvals.request(
        KIND,
        subject=f"{payload['receipt']} · refund · {found.points_returned:+,}",
        payload=payload,
        user=user,
        about=f"member:{purchase.member_id}",
        key=f"refund:{payload['key']}",
        comment=reason,
    )


def _carry_out(approval: Approval) -> None:
    told = approval.payload
    purchase = _purchase(approval)
    amount, lines, _currency = refund_requests.asked_in(told["request"])
    try:
        record_refund(
            key=told["key"],
            purchase_key=purchase.key,
            amount=amount,
            lines=lines,
            reason=approval.comment,
            user=approval.requested_by,
        )
    except RefundRefused as refusal:
        raise approvals.CannotBeDone(refund_words.why(refusal)) from refusal


def _outlook(approval: Approval) -> approvals.Outlook:
    purchase = _purchase(approval)
    amount, lines, _currency = refund_requests.asked_in(approval.payload["request"])
    bought = (_("Purchase"), f"{approval.payload['receipt']} · {figures.when(purchase.purchased_at)}")
    member = (_("Member"), f"{purchase.member.display_name} · {purchase.member.number}")
    try:
        found = preview_refund(purchase_key=purchase.key, amount=amount, lines=lines)
    except RefundRefused as refusal:
        return approvals.Outlook([member, bought], refund_words.why(refusal))
    return approvals.Outlook(
        [
            member,
            bought,
            (_("Refunded"), figures.money(found.refund.amount or 0, found.refund.currency)),
            (_("Points that come back"), figures.number(found.points_returned)),
            (_("Points taken back"), figures.number(found.points_taken)),
        ]
    )


def _title(approval: Approval) -> str:
    return _("Refund order %(receipt)s") % {"receipt": approval.payload["receipt"]}


def _purchase(approval: Approval) -> Purchase:
    """Raises Purchase.DoesNotExist where it went with the import that brought it."""
    return Purchase.objects.select_related("member").get(key=approval.payload["purchase"])
