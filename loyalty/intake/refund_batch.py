"""Refunds of many purchases, reckoned in memory as one by itself and written together."""

from collections.abc import Collection, Mapping, Sequence
from typing import Any, Final

from django.db import connection, transaction
from django.db.backends.utils import CursorWrapper
from django.db.models import Q

from loyalty import ledger, policies
from loyalty.intake import refund_locks, refund_requests, refunds
from loyalty.intake.one_go import in_one_go
from loyalty.intake.refund_requests import RefundDiffers
from loyalty.intake.refunds import RecordedRefund
from loyalty.intake.returning import RefundRefused
from loyalty.models import Account, Entry, Lot
from members.importing.dates import latest_moment
from members.models import Purchase, Refund, RefundLine
from staff import audit

State = Refund.State
# What came of one refund, or why it was refused.
Outcome = RecordedRefund | RefundRefused | RefundDiffers


def record_refunds(asked: Sequence[Mapping[str, Any]], *, label: str) -> list[Outcome]:
    """Take refunds in, each after the one before it as :func:`~loyalty.intake.record_refund` does.

    Each holds that function's arguments, all but ``user`` and ``label``. What one is refused for stands in its place
    instead of being raised. Tiers are looked at once, after all of them.
    """
    return in_one_go(lambda: _record(asked, label))


def apply_waiting(purchases: Sequence[Purchase]) -> list[RecordedRefund]:
    """Apply the refunds that waited for these purchases, the earliest of each first; their accounts are locked.

    Tiers are not looked at.

    One that cannot be applied is marked as refused, with the reason: the purchase comes in all the same.
    """
    by_key = {purchase.key: purchase for purchase in purchases}
    waiting: dict[str, list[Refund]] = {key: [] for key in by_key}
    found = Refund.objects.filter(purchase_key__in=by_key, state=State.WAITING)
    for refund in found.order_by("refunded_at", "pk").select_for_update():
        waiting[refund.purchase_key].append(refund)
    batch = _Batch([purchase for key, purchase in by_key.items() if waiting[key]])
    applied = []
    for key, some in waiting.items():
        for refund in some:
            try:
                entries = batch.apply(refund, by_key[key])
            except RefundRefused as refusal:
                refund.state, refund.problem = State.REFUSED, refusal.reason
                refund.purchase, refund.member_id = by_key[key], by_key[key].member_id
                refund.save(update_fields=["state", "problem", "purchase", "member"])
            else:
                applied.append(RecordedRefund(refund=refund, entries=entries, is_new=True))
    batch.write()
    return applied


def _record(asked: Sequence[Mapping[str, Any]], label: str) -> list[Outcome]:
    drawn = [_drawn(one) for one in asked]
    whole = [refund for refund in drawn if isinstance(refund, Refund)]
    with connection.cursor() as cursor:
        purchases = _held(cursor, {refund.purchase_key for refund in whole})
        _number(cursor, whole)
    before = Refund.objects.filter(key__in={refund.key for refund in whole}).select_related("member")
    done = {known.refund.key: known for known in _told_before(list(before))}
    batch = _Batch([purchase for key, purchase in purchases.items() if key in {one.purchase_key for one in whole}])
    outcomes: list[Outcome] = []
    for one, refund in zip(asked, drawn, strict=True):
        if isinstance(refund, RefundRefused):
            outcomes.append(refund)
            continue
        try:
            if first := done.get(refund.key):
                refund_requests.refuse_difference(first.refund, refund, is_timed=one.get("refunded_at") is not None)
                outcomes.append(RecordedRefund(refund=first.refund, entries=first.entries, is_new=False))
                continue
            entries = batch.take_in(refund, purchases.get(refund.purchase_key))
        except (RefundRefused, RefundDiffers) as refusal:
            outcomes.append(refusal)
        else:
            done[refund.key] = RecordedRefund(refund=refund, entries=entries, is_new=True)
            outcomes.append(done[refund.key])
    batch.write()
    new = [one for one in outcomes if isinstance(one, RecordedRefund) and one.is_new]
    refunds.look_at_tiers(sorted({one.refund.member_id for one in new if one.refund.member_id}))
    audit.record_all("refund.record", [(one.refund, refunds.detail_of(one)) for one in new], label=label)
    return outcomes


def _drawn(one: Mapping[str, Any]) -> Refund | RefundRefused:
    try:
        return refund_requests.draw_up(**one)
    except RefundRefused as refusal:
        return refusal


def _held(cursor: CursorWrapper, keys: Collection[str]) -> dict[str, Purchase]:
    """The purchases of these keys, with all accounts locked that their refunds may move; the other keys are held."""
    wanted = Purchase.objects.filter(key__in=keys)
    ledger.lock_members(cursor, refund_locks.touched_by(wanted))
    refund_locks.hold(sorted(keys))
    # What came in until its key was held is there now, and what an undo removed meanwhile is not.
    ledger.lock_members(cursor, refund_locks.touched_by(wanted))
    return {purchase.key: purchase for purchase in wanted.select_related("member")}


def _number(cursor: CursorWrapper, drawn: Sequence[Refund]) -> None:
    """Draw ids ahead: the ledger's keys are made of them."""
    cursor.execute(_IDS, [len(drawn)])
    for refund, (pk,) in zip(drawn, cursor.fetchall(), strict=True):
        refund.pk = pk


def _told_before(known: Sequence[Refund]) -> list[RecordedRefund]:
    """Refunds that are there, with what they did."""
    standing = [refund for refund in known if refund.state != State.UNDONE]
    entries: dict[str, list[Entry]] = {}
    purchases = {refund.purchase_id for refund in standing if refund.purchase_id}
    of_these = Q(purchase__in=purchases) | Q(award__redemption__purchase__in=purchases)
    for entry in Entry.objects.filter(of_these, kind__in=[Entry.Kind.CLAWBACK, Entry.Kind.RETURN]).order_by("seq"):
        entries.setdefault(entry.idempotency_key.rpartition(":")[0], []).append(entry)
    keys = {refund.pk: f"refund:{refund.pk}.{refund.attempt}" for refund in standing}
    return [
        RecordedRefund(refund=refund, entries=entries.get(keys.get(refund.pk, ""), []), is_new=False)
        for refund in known
    ]


class _Batch:
    """What is known of many purchases whose members' accounts are locked, and what refunds change of it.

    Members who paid with points, and those of whose points some have expired by now, are rare: theirs are applied and
    written one by one.
    """

    def __init__(self, purchases: Sequence[Purchase]) -> None:
        self._alone = _alone(purchases)
        together = [purchase for purchase in purchases if purchase.member_id not in self._alone]
        self._standings = refunds.standings(together)
        self._awards: dict[int | None, list[Entry]] = {purchase.pk: [] for purchase in together}
        for award in refunds.awards_of(together):
            self._awards[award.purchase_id].append(award)
        accounts = Account.objects.filter(member__in={purchase.member_id for purchase in together})
        self._holdings = ledger.Holdings(accounts, [award for some in self._awards.values() for award in some])
        self._policy = ledger.Policy(policies.settings_now().clawback_policy)
        self._new: list[Refund] = []
        self._applied: list[Refund] = []
        self._lines: list[RefundLine] = []
        self._purchases: dict[int, Purchase] = {}

    def take_in(self, refund: Refund, purchase: Purchase | None) -> list[Entry]:
        """Apply a new refund, or let it wait for its purchase. Raises :class:`RefundRefused`."""
        if purchase is not None and purchase.member_id in self._alone:
            with transaction.atomic():
                refund.save(force_insert=True)
                return refunds.apply(refund, purchase)
        entries = [] if purchase is None else self._apply(refund, purchase)
        self._new.append(refund)
        return entries

    def apply(self, refund: Refund, purchase: Purchase) -> list[Entry]:
        """Apply a refund that is there. Raises :class:`RefundRefused`."""
        if purchase.member_id in self._alone:
            with transaction.atomic():
                return refunds.apply(refund, purchase)
        entries = self._apply(refund, purchase)
        self._applied.append(refund)
        return entries

    def write(self) -> None:
        """Write what is not written yet."""
        Refund.objects.bulk_create(self._new)
        RefundLine.objects.bulk_create(self._lines)
        with connection.cursor() as cursor:
            if self._applied:
                columns = ("pk", "purchase_id", "member_id", "amount", "value", "currency", "rate", "attempt")
                cursor.execute(_UPDATE, [[getattr(refund, name) for refund in self._applied] for name in columns])
            if self._purchases:
                values = [purchase.refunded_value for purchase in self._purchases.values()]
                cursor.execute(_REFUNDED, [list(self._purchases), values])
        self._holdings.write()

    def _apply(self, refund: Refund, purchase: Purchase) -> list[Entry]:
        refunds.check_day(refund.refunded_at, purchase)
        before = self._standings[purchase.pk]
        allocation = refunds.allocation_of(refund, before)
        after = before.after(allocation)
        refunds.settle(refund, purchase, allocation)
        takings = refunds.takings(refund, purchase, self._awards[purchase.pk], before, after)
        try:
            entries = self._holdings.take(takings, self._policy)
        except ledger.InsufficientPoints as short:
            raise refunds.spent(short) from short
        self._standings[purchase.pk] = after
        self._lines += refunds.lines_of(refund, allocation)
        purchase.refunded_value = after.refunded_value
        self._purchases[purchase.pk] = purchase
        return entries


def _alone(purchases: Sequence[Purchase]) -> set[int]:
    """The members whose refunds are applied one by one."""
    members = {purchase.member_id for purchase in purchases}
    paid = Entry.objects.filter(redemption__purchase__in=purchases)
    due = Lot.objects.filter(member__in=members, remaining__gt=0, expires_at__lte=latest_moment())
    return {
        *(member for both in paid.values_list("member_id", "redemption__purchase__member_id") for member in both),
        *due.values_list("member_id", flat=True),
    }


_IDS: Final = """
SELECT nextval((SELECT pg_get_serial_sequence('members_refund', 'id')::regclass)) FROM generate_series(1, %s)
"""

_UPDATE: Final = """
UPDATE members_refund refund
   SET state = 'applied', purchase_id = done.purchase_id, member_id = done.member_id, amount = done.amount,
       value = done.value, currency = done.currency, rate = done.rate, attempt = done.attempt
  FROM unnest(%s::bigint[], %s::bigint[], %s::bigint[], %s::numeric[], %s::numeric[], %s::text[], %s::numeric[],
              %s::smallint[]) AS done(id, purchase_id, member_id, amount, value, currency, rate, attempt)
 WHERE refund.id = done.id
"""

_REFUNDED: Final = """
UPDATE members_purchase purchase SET refunded_value = done.value
  FROM unnest(%s::bigint[], %s::numeric[]) AS done(id, value)
 WHERE purchase.id = done.id AND purchase.refunded_value <> done.value
"""
