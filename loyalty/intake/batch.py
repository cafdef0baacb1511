"""Many purchases in one transaction, by sets as an import takes them in, and with a word on each."""

from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import Any, TypeVar

from django.db import connection
from django.db.backends.utils import CursorWrapper
from django.utils import timezone

from loyalty import ledger
from loyalty.intake.bought import earn_and_refund
from loyalty.intake.lines import WrongLines
from loyalty.intake.one_go import in_one_go
from loyalty.intake.recording import LiesInTheFuture, PurchaseDiffers, RateMissing, draw_up, refuse_difference
from loyalty.models import Lot
from loyalty.rules import TooManyPoints
from members.models import Purchase, PurchaseLine

Drawn = tuple[Purchase, list[PurchaseLine]]
# What came of one: the purchase and whether it is new, or why it was refused.
Outcome = tuple[Purchase, bool] | LiesInTheFuture | RateMissing | WrongLines | PurchaseDiffers | TooManyPoints

T = TypeVar("T")


class TooMuch(Exception):
    """Some of a batch would earn absurdly much, by key: the others are taken in without them."""

    def __init__(self, refused: Mapping[str, TooManyPoints]) -> None:
        self.refused = refused
        super().__init__()


def without_refused(record: Callable[[Mapping[str, TooManyPoints]], list[T]]) -> list[T]:
    """Record a batch in one go; ``record`` is told by key what was found to earn too much, and tried again."""
    refused: dict[str, TooManyPoints] = {}
    while True:
        try:
            return in_one_go(partial(record, refused))
        except TooMuch as more:
            refused |= more.refused


def record_purchases(sales: Sequence[Mapping[str, Any]]) -> list[Outcome]:
    """Take purchases in, each as :func:`~loyalty.intake.record_purchase` does, and say in order what came of each.

    A sale holds that function's arguments, all but ``redemptions``. What one is refused for stands in its place
    instead of being raised.
    Each earns by the tier that its member had just before it, reckoned from all purchases of the batch.
    """
    return without_refused(partial(_record, sales))


def _record(sales: Sequence[Mapping[str, Any]], refused: Mapping[str, TooManyPoints]) -> list[Outcome]:
    drawn = [_drawn(sale) for sale in sales]
    whole = [one for one in drawn if isinstance(one, tuple)]
    members = sorted({purchase.member_id for purchase, _lines in whole})
    with connection.cursor() as cursor:
        ledger.lock_members(cursor, members)
        keys = [purchase.key for purchase, _lines in whole]
        known = {found.key: found for found in Purchase.objects.filter(key__in=keys).prefetch_related("lines")}
        new: dict[str, Drawn] = {}
        outcomes = [
            one if isinstance(one, Exception) else refused.get(one[0].key) or _sorted_out(one, known, new)
            for one in drawn
        ]
        if new:
            _write(list(new.values()))
            _earn(cursor, [purchase for purchase, _lines in new.values()])
    return outcomes


def _drawn(sale: Mapping[str, Any]) -> Drawn | LiesInTheFuture | RateMissing | WrongLines:
    try:
        return draw_up(**sale)
    except (LiesInTheFuture, RateMissing, WrongLines) as refusal:
        return refusal


def _sorted_out(one: Drawn, known: Mapping[str, Purchase], new: dict[str, Drawn]) -> Outcome:
    """New, a repetition of what is there or stands earlier in the batch, or something else under the same key."""
    purchase, lines = one
    first, _lines = new.get(purchase.key, (None, []))
    try:
        if purchase.key in known:
            refuse_difference(known[purchase.key], purchase, lines)
            return known[purchase.key], False
        if first is None:
            new[purchase.key] = one
            return purchase, True
        refuse_difference(first, purchase, lines)
    except PurchaseDiffers as refusal:
        return refusal
    return first, False


def _write(new: Sequence[Drawn]) -> None:
    # What comes in at once is numbered by time.
    Purchase.objects.bulk_create(sorted((one[0] for one in new), key=lambda purchase: purchase.purchased_at))
    for purchase, lines in new:
        for line in lines:
            line.purchase = purchase
    PurchaseLine.objects.bulk_create([line for _purchase, lines in new for line in lines])


def _earn(cursor: CursorWrapper, new: Sequence[Purchase]) -> None:
    """Give what they earn, then what refunds that waited for them take back; the accounts are locked."""
    cursor.execute("DROP TABLE IF EXISTS pg_temp.loyalty_bought")
    cursor.execute(
        "CREATE TEMPORARY TABLE loyalty_bought ON COMMIT DROP AS SELECT id AS purchase_id, member_id, purchased_at"
        " FROM members_purchase WHERE id = ANY(%s)",
        [[purchase.pk for purchase in new]],
    )
    cursor.execute("CREATE UNIQUE INDEX ON loyalty_bought (purchase_id)")
    cursor.execute("ANALYZE loyalty_bought")
    try:
        earn_and_refund(cursor, now=timezone.now())
    except TooManyPoints as error:
        keys = {purchase.pk: purchase.key for purchase in new}
        raise TooMuch({keys[pk]: TooManyPoints(error.rule) for pk in error.events}) from error
    members = {purchase.member_id for purchase in new}
    if Lot.objects.filter(member__in=members, idle_months__isnull=False, remaining__gt=0).exists():
        for purchase in sorted(new, key=lambda one: one.purchased_at):
            ledger.prolong([purchase.member_id], purchase.purchased_at)
