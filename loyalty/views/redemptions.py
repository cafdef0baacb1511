"""Redemptions: the list, handing over, cancelling."""

from typing import Any

from django.contrib import messages
from django.db.models import Q, QuerySet
from django.http import HttpResponse
from django.shortcuts import get_object_or_404, redirect, render
from django.utils.http import url_has_allowed_host_and_scheme
from django.utils.translation import gettext as _
from django.utils.translation import ngettext
from django.views.decorators.http import require_POST, require_safe

from loyalty import rewards, words
from loyalty.models import Redemption, Reward
from staff import figures
from staff.paging import newest_first
from staff.permissions import Permission, requires
from staff.requests import DeskRequest


@requires(Permission.PROGRAMME_VIEW)
@require_safe
def redemption_list(request: DeskRequest) -> HttpResponse:
    """The newest redemptions; filters and place are in the address."""
    found = _filtered(request).select_related("member", "reward", "created_by")
    page = newest_first(found, request.GET, by="redeemed_at")
    rows = [(item, words.reward_name(item.reward), words.state_tone(item.state)) for item in page.rows]
    return render(
        request,
        "loyalty/redemptions.html",
        {
            "rows": rows,
            "page": page,
            "states": [("", _("Every state")), *Redemption.State.choices],
            "rewards": [("", _("Every reward")), *((str(r.pk), words.reward_name(r)) for r in Reward.objects.all())],
            "text": request.GET.get("q", ""),
            "may_redeem": request.user.may(Permission.POINTS_REDEEM),
            "may_view_members": request.user.may(Permission.MEMBERS_VIEW),
            "is_filtered": any(request.GET.get(name) for name in ("q", "state", "reward")),
        },
    )


@requires(Permission.POINTS_REDEEM)
@require_POST
def advance(request: DeskRequest, pk: int) -> HttpResponse:
    """Take the step that the button named: confirm, or hand over. A second click of it takes no other."""
    redemption = get_object_or_404(Redemption.objects.select_related("reward"), pk=pk)
    try:
        if request.POST.get("step") == "confirm":
            rewards.confirm(redemption, user=request.user)
            messages.success(request, _("The redemption is confirmed."))
        else:
            rewards.fulfil(redemption, user=request.user)
            messages.success(request, _("The member has the reward."))
    except rewards.WrongState as refusal:
        messages.error(request, _("It is %(state)s by now.") % {"state": Redemption.State(refusal.state).label})
    return _back(request)


@requires(Permission.POINTS_REDEEM)
@require_POST
def cancel(request: DeskRequest, pk: int) -> HttpResponse:
    """Give the points and the reward back."""
    redemption = get_object_or_404(Redemption.objects.select_related("reward"), pk=pk)
    try:
        rewards.cancel(redemption, user=request.user)
    except rewards.WrongState as refusal:
        messages.error(request, _("It is %(state)s by now.") % {"state": Redemption.State(refusal.state).label})
    else:
        text = ngettext("%(points)s point went back.", "%(points)s points went back.", redemption.points)
        given_back = text % {"points": figures.number(redemption.points)}
        messages.success(request, given_back if redemption.points else _("The gift is taken back."))
    return _back(request)


def _filtered(request: DeskRequest) -> QuerySet[Redemption]:
    wanted: dict[str, Any] = {}
    if request.GET.get("state") in Redemption.State.values:
        wanted["state"] = request.GET["state"]
    reward = request.GET.get("reward", "")
    if reward.isdecimal() and len(reward) < 19:
        wanted["reward"] = int(reward)
    found = Redemption.objects.filter(**wanted)
    text = request.GET.get("q", "").strip()
    if text:
        found = found.filter(Q(member__number__iexact=text) | Q(member__external_id=text) | Q(reward__name=text))
    return found


def _back(request: DeskRequest) -> HttpResponse:
    """To where the person was, if that is a page of ours."""
    target = request.POST.get("next", "")
    is_ours = url_has_allowed_host_and_scheme(target, allowed_hosts={request.get_host()})
    return redirect(target if is_ours else "loyalty:redemptions")
