"""Joining and leaving a household: what comes into whose reach, in numbers, then done (or asked for)."""

from django.contrib import messages
from django.http import HttpResponse
from django.shortcuts import get_object_or_404, redirect, render
from django.utils.translation import gettext as _
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_http_methods

from loyalty import joining
from members import households
from members.models import Household, Member
from staff.permissions import Permission, requires
from staff.requests import DeskRequest


@requires(Permission.MEMBERS_EDIT)
@require_http_methods(["GET", "HEAD", "POST"])
@never_cache
def join(request: DeskRequest, pk: int) -> HttpResponse:
    """The dialog that says what joining lets the chosen member and the others spend; posted, it is done."""
    household, member = get_object_or_404(Household, pk=pk), _chosen(request)
    if request.method != "POST":
        return _dialog(request, household, member, leaves=False)
    if member is None:
        messages.error(request, _("Search for a member and choose one."))
        return redirect(household)
    try:
        asked = joining.join(household, member, user=request.user)
    except households.HouseholdError as refusal:
        messages.error(request, joining.why(refusal, household, member))
    else:
        names = {"member": member.display_name, "household": household}
        done = _("%(member)s is in “%(household)s” now.") % names
        messages.success(request, _("Asked for: a second person decides.") if asked else done)
    return redirect(household)


@requires(Permission.MEMBERS_EDIT)
@require_http_methods(["GET", "HEAD", "POST"])
@never_cache
def leave(request: DeskRequest, pk: int) -> HttpResponse:
    """The same of leaving."""
    household, member = get_object_or_404(Household, pk=pk), _chosen(request)
    if request.method != "POST" or member is None:
        return _dialog(request, household, member, leaves=True)
    try:
        joining.leave(household, member, user=request.user)
    except households.NotInIt as refusal:
        messages.error(request, joining.why(refusal, household, member))
    else:
        names = {"member": member.display_name, "household": household}
        messages.success(request, _("%(member)s has left “%(household)s” with their own points.") % names)
    return redirect(household)


def _chosen(request: DeskRequest) -> Member | None:
    asked = request.POST if request.method == "POST" else request.GET
    return Member.objects.filter(number=asked.get("member", "").replace("\0", "")).first()


def _dialog(request: DeskRequest, household: Household, member: Member | None, *, leaves: bool) -> HttpResponse:
    error = "" if member else _("Search for a member and choose one.")
    if member and not leaves:
        try:
            households.check(household, member)
        except households.HouseholdError as refusal:
            error = joining.why(refusal, household, member)
    found = joining.reach(household, member) if member and not error else None
    alone = joining.alone(request.user)
    context = {
        "household": household,
        "member": member,
        "leaves": leaves,
        "error": error,
        "alone": alone,
        "needs_second_person": found is not None and found.points > alone and not leaves,
        "lines": joining.told(found, after=leaves) if found else [],
    }
    return render(request, "loyalty/_household_move.html", context)
