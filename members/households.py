"""Households and companies: who spends points together.

A member is in one at most. Each member keeps their own points and tier; only spending looks at all of them
(``loyalty.pools``). Every move is audited and kept as history (``HouseholdMove``).
"""

from django.db import transaction

from members.models import Household, Member
from staff import audit
from staff.models import User

# A redemption locks the accounts of all of them.
MOST_MEMBERS = 200


class HouseholdError(Exception):
    """A change was refused; nothing was written."""


class InAnother(HouseholdError):
    """The member is in a household already."""

    def __init__(self, household: Household) -> None:
        self.household = household
        super().__init__(f"already in household {household.pk}")


class NotEligible(HouseholdError):
    """The member is blocked, or has left the programme."""


class Full(HouseholdError):
    """There are as many members in it as can be."""


class NotInIt(HouseholdError):
    """The member is not in this household (any more)."""


@transaction.atomic
def create(*, name: str, kind: str, user: User | None) -> Household:
    """Found an empty one."""
    household = Household.objects.create(name=name, kind=kind, created_by=user)
    audit.record(user, "household.create", household, detail={"kind": kind})
    return household


@transaction.atomic
def rename(household: Household, *, name: str, kind: str, user: User | None) -> Household:
    """Give it another name or kind."""
    household.name, household.kind = name, kind
    household.save(update_fields=["name", "kind"])
    audit.record(user, "household.rename", household, detail={"kind": kind})
    return household


@transaction.atomic
def join(household: Household, member: Member, *, user: User | None) -> None:
    """Put a member into it. Joining twice changes nothing.

    Raises :class:`InAnother`, :class:`NotEligible` and :class:`Full`.
    """
    # The household's row, so that two joins at once do not pass the limit together.
    Household.objects.select_for_update().get(pk=household.pk)
    if household.members.count() >= MOST_MEMBERS:
        raise Full
    joined = Member.objects.filter(pk=member.pk, household=None, status=Member.Status.ACTIVE).update(
        household=household
    )
    member.refresh_from_db()
    if joined:
        audit.record(user, "household.join", household, detail={"member": member.number})
    elif member.household is None:
        raise NotEligible
    elif member.household != household:
        raise InAnother(member.household)


@transaction.atomic
def leave(household: Household, member: Member, *, user: User | None) -> None:
    """Take a member out of it; their points stay theirs. Raises :class:`NotInIt`."""
    if not Member.objects.filter(pk=member.pk, household=household).update(household=None):
        raise NotInIt
    member.refresh_from_db()
    audit.record(user, "household.leave", household, detail={"member": member.number})
