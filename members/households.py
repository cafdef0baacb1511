"""Households and companies: who spends points together.

A member is in one at most. Each member keeps their own points and tier; only spending looks at all of them
(``loyalty.pools``). Before many points come into reach of somebody else a second person is asked
(``loyalty.joining``). Every move is audited and kept as history (``HouseholdMove``).
"""

from collections.abc import Mapping

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
def join(household: Household, member: Member, *, user: User | None, told: Mapping[str, object] | None = None) -> None:
    """Put a member into it. Joining twice changes nothing. ``told``: what else the audit keeps.

    Raises :class:`InAnother`, :class:`NotEligible` and :class:`Full`.
    """
    # The household's row, so that two joins at once do not pass the limit together.
    lock(household)
    check(household, member)
    if member.household_id is None:
        # Conditional, for one who joins another or is blocked at this very moment.
        alone = Member.objects.filter(pk=member.pk, household=None, status=Member.Status.ACTIVE)
        if not alone.update(household=household):
            check(household, member)
        member.refresh_from_db()
        audit.record(user, "household.join", household, detail={"member": member.number, **(told or {})})


def lock(household: Household) -> None:
    """Let nobody else join it until the end of the transaction."""
    Household.objects.select_for_update().get(pk=household.pk)


def check(household: Household, member: Member) -> None:
    """Whether the member could join it now, or is in it. Raises :class:`InAnother`, NotEligible and :class:`Full`."""
    member.refresh_from_db()
    if member.household == household:
        return
    if member.household is not None:
        raise InAnother(member.household)
    if member.status != Member.Status.ACTIVE:
        raise NotEligible
    if household.members.count() >= MOST_MEMBERS:
        raise Full


@transaction.atomic
def leave(household: Household, member: Member, *, user: User | None, told: Mapping[str, object] | None = None) -> None:
    """Take a member out of it; their points stay theirs. Raises :class:`NotInIt`. ``told`` as in :func:`join`."""
    if not Member.objects.filter(pk=member.pk, household=household).update(household=None):
        raise NotInIt
    member.refresh_from_db()
    audit.record(user, "household.leave", household, detail={"member": member.number, **(told or {})})
