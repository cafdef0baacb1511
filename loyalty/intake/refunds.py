"""Refunds: what is given back of a purchase, and the points that go and come back with it (docs/adr/0010).

What a purchase earned is taken back by what each entry says of itself: by its lines where it names them, by the
amount otherwise. No rule and no tier of today has a say in it.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from decimal import Decimal
from fractions import Fraction
from typing import Any
from uuid import uuid4

from django.db import connection, transaction
from django.db.models import Count, F, QuerySet, Sum
from django.utils import timezone

from loyalty import ledger, policies, tiers
from loyalty.intake.refund_locks import lock_purchase
from loyalty.intake.refund_requests import asked_in, draw_up, refuse_difference
from loyalty.intake.returning import (
    ZERO,
    Allocation,
    Line,
    RefundLineInput,
    RefundRefused,
    Standing,
    allocate,
    points_until,
)
from loyalty.models import Entry, Redemption
from members.models import Purchase, PurchaseLine, Refund, RefundLine
from staff import audit
from staff.models import User

State = Refund.State


@dataclass(frozen=True, kw_only=True)
class RecordedRefund:
    """A refund, what it did in the ledger, and whether it was new."""

    refund: Refund
    entries: Sequence[Entry]
    is_new: bool

    @property
    def points_taken(self) -> int:
        """Points taken back, of those that the purchase earned."""
        return -sum(entry.points for entry in self.entries if entry.points < 0)

    @property
    def points_returned(self) -> int:
        """Points given back, of those that were spent on the purchase."""
        return sum(entry.points for entry in self.entries if entry.points > 0)

    @property
    def debt(self) -> int:
        """How much of what was taken back the member owes now, because it was spent."""
        return sum(entry.debt for entry in self.entries if entry.points < 0)


@transaction.atomic
def record_refund(
    *,
    key: str,
    purchase_key: str,
    refunded_at: datetime | None = None,
    amount: Decimal | None = None,
    lines: Sequence[RefundLineInput] = (),
    currency: str = "",
    external_id: str = "",
    reason: str = "",
    user: User | None = None,
    label: str = "",
) -> RecordedRefund:
    """Give back all that is left of a purchase, an ``amount`` of it (in its currency), or what ``lines`` say.

    ``refunded_at`` is now where it is left out. A refund of a purchase that has not come is kept and applied in the
    transaction in which it comes. The same key with the same content returns what was done first; otherwise it raises
    :class:`RefundDiffers`. What cannot be given back raises :class:`RefundRefused`, and nothing is written. ``label``
    says in the audit which machine it was.
    """
    drawn = draw_up(
        key=key,
        purchase_key=purchase_key,
        refunded_at=refunded_at,
        amount=amount,
        lines=lines,
        currency=currency,
        external_id=external_id,
        reason=reason,
    )
    purchase = lock_purchase(purchase_key)
    said = ("purchase_key", "external_id", "refunded_at", "request", "state", "reason")
    refund, is_new = Refund.objects.get_or_create(
        key=key, defaults={name: getattr(drawn, name) for name in said} | {"created_by": user}
    )
    if not is_new:
        refuse_difference(refund, drawn, is_timed=refunded_at is not None)
        return RecordedRefund(refund=refund, entries=entries_of(refund), is_new=False)
    entries = []
    if purchase is not None:
        entries = apply(refund, purchase)
        look_at_tiers([purchase.member_id])
    done = RecordedRefund(refund=refund, entries=entries, is_new=True)
    audit.record(user, "refund.record", refund, detail=detail_of(done), label=label)
    return done


def detail_of(done: RecordedRefund) -> dict[str, Any]:
    """What the audit says of a refund; one that waits has no amount yet."""
    refund = done.refund
    if refund.amount is None:
        return {"purchase": refund.purchase_key, "state": refund.state}
    return {"purchase": refund.purchase_key, "amount": f"{refund.amount:.2f}", "points": -done.points_taken}


def preview_refund(
    *, purchase_key: str, amount: Decimal | None = None, lines: Sequence[RefundLineInput] = ()
) -> RecordedRefund:
    """What :func:`record_refund` would do now. It is done and rolled back, so that nothing is left of it."""
    with transaction.atomic():
        done = record_refund(
            key=f"preview:{uuid4().hex}",
            purchase_key=purchase_key,
            amount=amount,
            lines=lines,
        )
        transaction.set_rollback(True)
    return done


def apply(refund: Refund, purchase: Purchase) -> list[Entry]:
    """Give back what a refund asks for, and move the points; the member's account is locked.

    Tiers are not looked at. Raises :class:`RefundRefused`.
    """
    check_day(refund.refunded_at, purchase)
    before = standings([purchase])[purchase.pk]
    allocation = allocation_of(refund, before)
    settle(refund, purchase, allocation)
    _write(refund, purchase, allocation)
    try:
        return _take_back(refund, purchase, before, before.after(allocation))
    except ledger.InsufficientPoints as short:
        raise spent(short) from short


def spent(short: ledger.InsufficientPoints) -> RefundRefused:
    """The refusal where the policy refuses to take points back that are spent."""
    return RefundRefused("amount", "points_spent", left=Decimal(short.available))


def check_day(refunded_at: datetime, purchase: Purchase) -> None:
    """Nothing is given back on a day before it was bought, in the programme's days (:class:`RefundRefused`)."""
    zone = timezone.get_default_timezone()
    if timezone.localdate(refunded_at, zone) < timezone.localdate(purchase.purchased_at, zone):
        raise RefundRefused("refunded_at", "before_purchase")


def standings(purchases: Iterable[Purchase]) -> dict[int, Standing]:
    """Each of these purchases, by id, and what of it was given back so far. Three queries, however many they are."""
    by_id = {purchase.pk: purchase for purchase in purchases}
    applied = Refund.objects.filter(purchase__in=by_id, state=State.APPLIED).order_by()
    given = {
        pk: (amount, count)
        for pk, amount, count in applied.values_list("purchase").annotate(amount=Sum("amount"), count=Count("pk"))
    }
    lines: dict[int, list[Line]] = {}
    rows = PurchaseLine.objects.filter(purchase__in=by_id).annotate(
        back_quantity=Sum("refunds__quantity"), back_amount=Sum("refunds__amount"), back_value=Sum("refunds__value")
    )
    for row in rows:
        lines.setdefault(row.purchase_id, []).append(_line(row))
    return {
        pk: Standing(
            amount=purchase.amount,
            value=purchase.value,
            currency=purchase.currency,
            refunded_amount=given.get(pk, (ZERO, 0))[0],
            refunded_value=purchase.refunded_value,
            refunds=given.get(pk, (ZERO, 0))[1],
            lines=lines.get(pk, []),
        )
        for pk, purchase in by_id.items()
    }


def _line(row: Any) -> Line:
    return Line(
        id=row.pk,
        line_no=row.line_no,
        quantity=row.quantity,
        amount=row.amount,
        value=row.value,
        refunded_quantity=row.back_quantity or ZERO,
        refunded_amount=row.back_amount or ZERO,
        refunded_value=row.back_value or ZERO,
    )


def entries_of(refund: Refund) -> list[Entry]:
    """What a refund did in the ledger, as it stands; nothing where it was undone."""
    if refund.state == State.UNDONE:
        return []
    keys = f"refund:{refund.pk}.{refund.attempt}:"
    return list(Entry.objects.filter(idempotency_key__startswith=keys).order_by("seq"))


def settle(refund: Refund, purchase: Purchase, allocation: Allocation) -> None:
    """Note on a refund what it gives back; not written yet."""
    refund.purchase, refund.member_id = purchase, purchase.member_id
    refund.amount, refund.value = allocation.amount, allocation.value
    refund.currency, refund.rate = purchase.currency, purchase.rate
    refund.state, refund.attempt = State.APPLIED, refund.attempt + 1


def lines_of(refund: Refund, allocation: Allocation) -> list[RefundLine]:
    """What a refund gives back of each line; not written yet."""
    return [
        RefundLine(refund=refund, line_id=part.line_id, quantity=part.quantity, amount=part.amount, value=part.value)
        for part in allocation.parts
    ]


def _write(refund: Refund, purchase: Purchase, allocation: Allocation) -> None:
    refund.save(update_fields=["purchase", "member", "amount", "value", "currency", "rate", "state", "attempt"])
    RefundLine.objects.bulk_create(lines_of(refund, allocation))
    if allocation.value:
        Purchase.objects.filter(pk=purchase.pk).update(refunded_value=F("refunded_value") + allocation.value)
        purchase.refresh_from_db(fields=["refunded_value"])


def _take_back(refund: Refund, purchase: Purchase, before: Standing, after: Standing) -> list[Entry]:
    """Give back what was spent on the purchase, and take from each award what this refund adds to its cause's return.

    Points come back first, so that they can pay for what is taken.
    """
    entries = _give_back(refund, purchase, before.share, after.share)
    policy = ledger.Policy(policies.settings_now().clawback_policy)
    for taking in takings(refund, purchase, list(awards_of([purchase])), before, after):
        if entry := ledger.claw_back(**vars(taking), policy=policy):
            entries.append(entry)
    return entries


def awards_of(purchases: Sequence[Purchase]) -> QuerySet[Entry]:
    """What these purchases earned and was not reversed."""
    earned = Entry.objects.filter(purchase__in=purchases, kind=Entry.Kind.EARN, reversed_by__isnull=True)
    return earned.order_by("member_id", "seq")


def takings(
    refund: Refund, purchase: Purchase, awards: Sequence[Entry], before: Standing, after: Standing
) -> list[ledger.Taking]:
    """What a refund takes of each award of its purchase: what it adds to the share of its cause that is given back."""
    taken = []
    for award in awards:
        was, becomes = before.share_of(award.explanation), after.share_of(award.explanation)
        points = points_until(award.points, becomes) - points_until(award.points, was)
        qualifying = points_until(award.qualifying, becomes) - points_until(award.qualifying, was)
        if points or qualifying:
            taking = ledger.Taking(
                award=award,
                points=points,
                qualifying=qualifying,
                key=f"refund:{refund.pk}.{refund.attempt}:{award.pk}",
                occurred_at=refund.refunded_at,
                explanation=_explanation(refund, purchase, award),
            )
            taken.append(taking)
    return taken


def _give_back(refund: Refund, purchase: Purchase, was: Fraction, becomes: Fraction) -> list[Entry]:
    """Give back the share of the points that redemptions spent on the purchase."""
    spent = Entry.objects.filter(redemption__purchase=purchase, kind=Entry.Kind.REDEEM, reversed_by__isnull=True)
    spent = spent.exclude(redemption__state=Redemption.State.CANCELLED)
    entries = []
    for spend in spent.order_by("member_id", "seq"):
        points = points_until(-spend.points, becomes) - points_until(-spend.points, was)
        if points:
            entry = ledger.give_back(
                spend,
                points=points,
                key=f"refund:{refund.pk}.{refund.attempt}:{spend.pk}",
                occurred_at=refund.refunded_at,
                explanation=_explanation(refund, purchase, spend),
                grace_until=timezone.now() + timedelta(days=policies.settings_now().grace_days),
            )
            entries.append(entry)
    return entries


def _explanation(refund: Refund, purchase: Purchase, award: Entry) -> dict[str, Any]:
    """All that is needed to say why in words, from the entry alone."""
    return {
        "reason": "refund",
        "refund": refund.pk,
        "receipt": purchase.external_id,
        "amount": f"{refund.amount:.2f}",
        "of_amount": f"{purchase.amount:.2f}",
        "currency": purchase.currency,
        "of": abs(award.points),
        "rule": award.explanation.get("rule", ""),
    }


def look_at_tiers(members: Sequence[int]) -> int:
    """Find out where these members stand now; their accounts are locked. Returns how many moved."""
    with connection.cursor() as cursor:
        return tiers.evaluate(cursor, members, ladder=tiers.ladder(), now=timezone.now())


def allocation_of(refund: Refund, standing: Standing) -> Allocation:
    """What a refund gives back of what is left. Raises :class:`RefundRefused`."""
    amount, lines, currency = asked_in(refund.request)
    return allocate(standing, amount=amount, lines=lines, currency=currency)
