"""Who is kept waiting while a refund is made: the accounts that it moves, and a purchase that has not come."""

from collections.abc import Sequence
from typing import Final

from django.db import connection
from django.db.models import QuerySet

from loyalty import ledger
from loyalty.models import Entry
from members.models import Purchase


def hold(purchase_keys: Sequence[str]) -> None:
    """Keep purchases of these keys from coming in before this transaction ends; those that have come are left alone.

    Whoever writes a purchase of a key that another transaction has just written waits for that one to end, also
    where it has removed it again: so the purchase finds the refund that waits for it. It costs purchases nothing.
    """
    with connection.cursor() as cursor:
        cursor.execute(_WRITE_KEYS, {"keys": sorted(purchase_keys)})
        cursor.execute("DELETE FROM members_purchase WHERE member_id = 0")


def lock_purchase(purchase_key: str) -> Purchase | None:
    """The purchase of a key with its member's account locked; None where it has not come, its key held."""
    is_held = False
    while True:
        purchase = Purchase.objects.filter(key=purchase_key).first()
        if purchase is not None:
            lock_payers(purchase)
            # Read again under the lock: an undo may have removed it meanwhile.
            if locked := Purchase.objects.filter(pk=purchase.pk).first():
                return locked
        elif is_held:
            return None
        else:
            # It may just have come, and is then looked for once more.
            hold([purchase_key])
            is_held = True


def touched_by(purchases: QuerySet[Purchase]) -> list[int]:
    """Whose accounts refunds of these may move, in order: their members', and those of who paid with points."""
    paid = Entry.objects.filter(redemption__purchase__in=purchases, reverses__isnull=True)
    return sorted({*purchases.values_list("member_id", flat=True), *paid.values_list("member_id", flat=True)})


def lock_payers(purchase: Purchase) -> None:
    """Lock the accounts that a refund may move, in member order."""
    for member_id in touched_by(Purchase.objects.filter(pk=purchase.pk)):
        ledger.lock(member_id)


# No member has the id 0: the rows are gone before the database asks for one, at the end of the transaction.
_WRITE_KEYS: Final = """
INSERT INTO members_purchase (member_id, key, external_id, purchased_at, amount, currency, rate, value, channel, store,
                              category, created_at)
SELECT 0, key, '', now(), 0, '', 1, 0, '', '', '', now() FROM unnest(%(keys)s::text[]) AS key
    ON CONFLICT (key) DO NOTHING
"""
