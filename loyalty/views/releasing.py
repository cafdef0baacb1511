"""Letting a member use points that wait for an event: chosen in a dialog, then released (or asked for)."""

from django.http import HttpResponse
from django.shortcuts import get_object_or_404, render
from django.utils.translation import gettext as _
from django.utils.translation import ngettext
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_http_methods

from loyalty import limits, words
from loyalty.intake import held_lots, release_awards
from loyalty.views import dialogs
from members.models import Member
from staff import figures
from staff.models import Approval
from staff.permissions import Permission, requires
from staff.requests import DeskRequest

SHOWN = 50


@requires(Permission.POINTS_ADJUST)
@require_http_methods(["GET", "HEAD", "POST"])
@never_cache
def release(request: DeskRequest, number: str) -> HttpResponse:
    """What is held, each with why; posted, what was chosen of it can be used."""
    member = get_object_or_404(Member, number=number)
    if request.method != "POST":
        return _dialog(request, member)
    chosen = [int(pk) for pk in request.POST.getlist("entry") if pk.isdecimal() and len(pk) < 19]
    if not chosen:
        return _dialog(request, member, error=_("Choose what is released."))
    try:
        done = release_awards(member, chosen, user=request.user)
    except limits.DayLimitReached as refusal:
        return _dialog(request, member, error=dialogs.why(refusal, {}))
    if isinstance(done, Approval):
        return dialogs.done(_("Asked for: a second person decides."), "look")
    if not done.awards:
        return _dialog(request, member, error=_("This was released already."))
    text = ngettext("%(points)s point can be used now.", "%(points)s points can be used now.", done.points)
    return dialogs.done(text % {"points": figures.number(done.points)})


def _dialog(request: DeskRequest, member: Member, *, error: str = "") -> HttpResponse:
    found = list(held_lots(member)[: SHOWN + 1])
    rows = [(lot, words.title(lot.entry)) for lot in found[:SHOWN]]
    context = {
        "member": member,
        "rows": rows,
        "error": error,
        "more": len(found) > SHOWN,
        "left_today": limits.left(limits.Limit.ADJUST, limits.counted_as(request.user)),
        "approval_above": limits.approval_above(),
    }
    return render(request, "loyalty/_member_release.html", context)
