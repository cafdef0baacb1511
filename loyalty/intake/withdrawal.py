"""Taking refunds back until they are applied again: what undoing an import or a single refund needs."""

from collections.abc import Sequence
from datetime import timedelta
from typing import Final

from django.db import connection
from django.utils import timezone

from loyalty import ledger, policies
from loyalty.intake.refund_batch import apply_waiting
from loyalty.intake.refunds import entries_of
from loyalty.models import Entry, Redemption
from members.models import Purchase, Refund, RefundLine

State = Refund.State
# Purchases whose refunds are applied together.
CHUNK: Final = 2_000


def withdraw(purchases: Sequence[int], *, explanation: dict[str, object]) -> int:
    """Let the refunds of these purchases wait as if the purchases had not come; returns how many.

    What they took comes back, for the programme's days of grace where it would have expired; what they gave back
    goes by the programme's policy. The accounts of the members are locked.
    """
    refunds = list(Refund.objects.filter(purchase__in=purchases).exclude(state__in=[State.WAITING, State.UNDONE]))
    if not refunds:
        return 0
    settings = policies.settings_now()
    grace = timezone.now() + timedelta(days=settings.grace_days)
    entries = [entry for refund in refunds for entry in entries_of(refund) if not _stays(entry)]
    # The last first, so that each finds the account as it left it.
    for entry in sorted(entries, key=lambda entry: (entry.member_id, -entry.seq)):
        ledger.reverse(
            entry, explanation=explanation, policy=ledger.Policy(settings.clawback_policy), grace_until=grace
        )
    RefundLine.objects.filter(refund__in=refunds).delete()
    Refund.objects.filter(pk__in=[refund.pk for refund in refunds]).update(
        state=State.WAITING, problem="", purchase=None, member=None, amount=None, value=None, rate=None
    )
    Purchase.objects.filter(pk__in=purchases, refunded_value__gt=0).update(refunded_value=0)
    return len(refunds)


def _stays(entry: Entry) -> bool:
    """What a refund gave back of a redemption that is cancelled by now is the member's: the rest came with that."""
    if entry.kind == Entry.Kind.RETURN:
        redemption = entry.award.redemption if entry.award else None
        return redemption is not None and redemption.state == Redemption.State.CANCELLED
    return entry.kind == Entry.Kind.REVERSE


def give_once(purchases: Sequence[int], *, explanation: dict[str, object]) -> list[Entry]:
    """Take back what these purchases, whose refunds were withdrawn, earned for what others were rewarded meanwhile.

    Whoever bought again after a whole refund may have earned the same bonus a second time, which then stays with the
    later purchase. What goes has just come back: what of it paid a debt is owed again, whatever the policy says.
    Returns the awards that were taken back; the accounts of the members are locked.
    """
    with connection.cursor() as cursor:
        cursor.execute(_EARNED_MEANWHILE, [list(purchases)])
        ids = [row[0] for row in cursor.fetchall()]
    awards = list(Entry.objects.filter(pk__in=ids).order_by("member_id", "-seq"))
    told = explanation | {"reason": "earned_meanwhile"}
    for award in awards:
        ledger.reverse(award, explanation=told | {"rule": award.explanation["rule"]}, policy=ledger.Policy.DEBT)
    return awards


def apply_again(purchases: Sequence[int]) -> None:
    """Apply the refunds that wait for these purchases; the accounts of their members are locked."""
    for start in range(0, len(purchases), CHUNK):
        some = Purchase.objects.filter(pk__in=purchases[start : start + CHUNK])
        apply_waiting(list(some.order_by("member_id", "pk")))


# Awards of purchases that stand, where another purchase that stands has one of the same rule for the same occasion.
_EARNED_MEANWHILE: Final = """
SELECT DISTINCT award.id
  FROM loyalty_entry award JOIN members_purchase purchase ON purchase.id = award.purchase_id
  JOIN loyalty_entry other ON other.member_id = award.member_id AND other.kind = 'earn'
   AND other.explanation ? 'occasion' AND other.purchase_id <> award.purchase_id
   AND other.explanation->'occasion' = award.explanation->'occasion'
   AND other.explanation->'rule_id' = award.explanation->'rule_id'
  JOIN members_purchase bought ON bought.id = other.purchase_id
 WHERE award.purchase_id = ANY(%s) AND award.kind = 'earn' AND award.explanation ? 'occasion'
   AND (purchase.refunded_value < purchase.value OR purchase.value = 0)
   AND (bought.refunded_value < bought.value OR bought.value = 0)
   AND NOT EXISTS (SELECT FROM loyalty_entry reversal WHERE reversal.reverses_id IN (award.id, other.id))
"""
