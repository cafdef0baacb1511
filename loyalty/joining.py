"""Joining and leaving a household, with what comes into whose reach (docs/adr/0015).

Who joins can spend the points of all others, and they the joiner's: at once, or once they are active. Where one
person of the desk brings more than ``household_approval_above`` of them into reach in a day, a second person decides:
otherwise they could bring a friend into a household and redeem what it holds, or into one after the other.
"""

from dataclasses import dataclass
from typing import Any, Final

from django.db import transaction
from django.urls import reverse
from django.utils import timezone
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy

from loyalty import ledger, limits
from loyalty.limits import Limit
from members import households
from members.models import Household, Member
from staff import approvals, figures
from staff.models import Approval, User
from staff.permissions import Permission

KIND: Final = "household.join"


@dataclass(frozen=True, kw_only=True)
class Reach:
    """What comes into reach: ``theirs`` the member could spend, ``own`` the ``others`` could (points, people)."""

    theirs: int
    own: int
    others: int

    @property
    def points(self) -> int:
        """All that comes into reach of somebody else."""
        return self.theirs + self.own


def reach(household: Household, member: Member) -> Reach:
    """What the member and the others share from then on, or do while the member is in it; writes nothing.

    Who is blocked counts too: they may be let in again without a word of the household. So do points that are not
    active yet: they come into reach by themselves.
    """
    others = list(household.members.exclude(pk=member.pk).values_list("pk", flat=True))
    held = ledger.held_by([member.pk, *others], timezone.now())
    own = held.pop(member.pk, 0)
    return Reach(theirs=sum(held.values()), own=own if others else 0, others=len(others))


def alone(user: User) -> int:
    """How many points this person may still bring into reach today without a second one."""
    return limits.alone(Limit.JOINED, limits.counted_as(user))


def told(found: Reach, *, after: bool) -> list[tuple[str, str]]:
    """The figures as names and values: of joining, or with ``after`` of leaving."""
    theirs, own = (
        _("Points of the others that the member can spend then, or once they are active"),
        _("Points of theirs that the others can spend, or once they are active"),
    )
    if after:
        theirs, own = (
            _("Points of the others that they spend no more"),
            _("Points of theirs that the others spend no more"),
        )
    return [
        (_("Other members who spend together"), figures.number(found.others)),
        (theirs, figures.number(found.theirs)),
        (own, figures.number(found.own)),
    ]


@transaction.atomic
def join(household: Household, member: Member, *, user: User) -> Approval | None:
    """Put a member into it, or ask for it where it takes a second person; the same request while that waits.

    Raises as :func:`members.households.join`.
    """
    # Whoever joins meanwhile would bring points that were not reckoned with.
    households.lock(household)
    households.check(household, member)
    found = reach(household, member)
    if member.household is None and not limits.take_alone(
        Limit.JOINED, limits.counted_as(user), found.points, at=timezone.now()
    ):
        return _ask(household, member, user)
    households.join(household, member, user=user, told=_audited(found))
    return None


@transaction.atomic
def leave(household: Household, member: Member, *, user: User) -> None:
    """Take a member out of it; their points stay theirs. Raises :class:`~members.households.NotInIt`."""
    households.leave(household, member, user=user, told=_audited(reach(household, member)))


def why(refusal: households.HouseholdError, household: Household, member: Member) -> str:
    """A refusal in words."""
    names: dict[str, object] = {"member": member.display_name, "household": household}
    if isinstance(refusal, households.InAnother):
        names["household"] = refusal.household
        return _("%(member)s is in “%(household)s” already and must leave it first.") % names
    if isinstance(refusal, households.NotEligible):
        return _("%(member)s is blocked or has left.") % names
    if isinstance(refusal, households.Full):
        return _("%(most)d members is the most.") % {"most": households.MOST_MEMBERS}
    return _("%(member)s is not in “%(household)s”.") % names


def register() -> None:
    """Let joining above the limit be approved."""
    approvals.register(
        KIND,
        gettext_lazy("Joining a household"),
        Permission.APPROVALS_DECIDE,
        _carry_out,
        outlook=_outlook,
        title=_title,
    )


def _ask(household: Household, member: Member, user: User) -> Approval:
    about = f"household:{household.pk}"
    for waiting in approvals.waiting_about(about, kind=KIND):
        if waiting.payload["member"] == member.pk:
            return waiting
    payload = {"household": household.pk, "member": member.pk, "name": household.name, "number": member.number}
    return approvals.request(
        KIND,
        subject=f"{member.number} → {household.name}",
        payload=payload,
        user=user,
        about=about,
        url=reverse("members:household", args=[household.pk]),
    )


def _carry_out(approval: Approval) -> None:
    household, member = _both(approval)
    found = reach(household, member)
    detail = _audited(found) | {"asked_by": approval.requested_label}
    try:
        households.join(household, member, user=approval.decided_by, told=detail)
    except households.HouseholdError as refusal:
        raise approvals.CannotBeDone(why(refusal, household, member)) from refusal


def _outlook(approval: Approval) -> approvals.Outlook:
    household, member = _both(approval)
    warning = ""
    try:
        households.check(household, member)
    except households.HouseholdError as refusal:
        warning = why(refusal, household, member)
    lines = [
        (_("Member"), f"{member.display_name} · {member.number}"),
        (_("Household"), household.name),
        *told(reach(household, member), after=False),
    ]
    return approvals.Outlook(lines, warning)


def _title(approval: Approval) -> str:
    names = {"member": approval.payload["number"], "household": approval.payload["name"]}
    return _("Let %(member)s into “%(household)s”") % names


def _both(approval: Approval) -> tuple[Household, Member]:
    payload = approval.payload
    return Household.objects.get(pk=payload["household"]), Member.objects.get(pk=payload["member"])


def _audited(found: Reach) -> dict[str, Any]:
    return {"points_of_others": found.theirs, "points_of_member": found.own}
