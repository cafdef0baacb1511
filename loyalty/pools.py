"""Points that a household spends together (docs/adr/0015).

Each member keeps their own lots. A redemption takes them from all active members' lots, the one that expires
first first, and leaves one entry for each member who pays.
"""

from collections.abc import Iterable
from datetime import datetime

from loyalty import ledger
from loyalty.ledger import InsufficientPoints
from members.models import Member


def payers(member_id: int) -> list[int]:
    """Who pays for what a member redeems, in the order of locking: their household's active members, or they alone."""
    household = Member.objects.filter(pk=member_id).values_list("household_id", flat=True).first()
    if household is None:
        return [member_id]
    active = Member.objects.filter(household_id=household, status=Member.Status.ACTIVE)
    return sorted({member_id, *active.values_list("pk", flat=True)})


def lock(member_id: int) -> list[int]:
    """Lock the accounts of all who pay, in member order, and return who they are.

    Whoever joined meanwhile is left out, since their account is not locked; whoever left is no longer counted.
    """
    locked = payers(member_id)
    for payer in locked:
        ledger.lock(payer)
    return [payer for payer in payers(member_id) if payer in locked]


def available(member_ids: Iterable[int], at: datetime) -> int:
    """The points that these members can spend together at a moment."""
    return sum(ledger.available_to(member_ids, at).values())


def shares(member_ids: Iterable[int], points: int, at: datetime) -> dict[int, int]:
    """How many points each member pays, by member id, when the lots that expire first are taken first.

    Since a member's own lots are taken in the same order, a share is spent from just the lots it was reckoned from.
    Raises :class:`~loyalty.ledger.InsufficientPoints`.
    """
    usable = ledger.usable_lots(member_ids, at)
    paid: dict[int, int] = {}
    missing = points
    for member_id, remaining in usable.values_list("member_id", "remaining"):
        taken = min(remaining, missing)
        if not taken:
            break
        paid[member_id] = paid.get(member_id, 0) + taken
        missing -= taken
    if missing:
        raise InsufficientPoints(available=points - missing, needed=points)
    return dict(sorted(paid.items()))
