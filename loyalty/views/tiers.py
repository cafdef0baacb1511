"""The tier page: thresholds, and who would move under others."""

from typing import Any

from django.contrib import messages
from django.db.models import Count
from django.http import HttpResponse
from django.shortcuts import redirect, render
from django.utils import timezone
from django.utils.translation import gettext as _
from django.views.decorators.http import require_POST, require_safe

from loyalty import programme, tiers, words
from loyalty.forms import TiersForm
from loyalty.models import Tier, TierStanding
from loyalty.tiers import editing
from members.models import Member
from staff import audit
from staff.permissions import Permission, requires
from staff.requests import DeskRequest


@requires(Permission.PROGRAMME_VIEW)
@require_safe
def tier_list(request: DeskRequest) -> HttpResponse:
    """All tiers with their members, and the form to change them."""
    return render(request, "loyalty/tiers.html", _page(request, TiersForm(tiers=_tiers())))


@requires(Permission.PROGRAMME_EDIT)
@require_POST
def preview(request: DeskRequest) -> HttpResponse:
    """Who would move under what is in the form, counted; nothing is saved."""
    form = TiersForm(request.POST, tiers=_tiers())
    context: dict[str, Any] = {"form": form}
    if form.is_valid():
        context["moves"] = _moves(form)
    return render(request, "loyalty/_tier_moves.html", context)


@requires(Permission.PROGRAMME_EDIT)
@require_POST
def save(request: DeskRequest) -> HttpResponse:
    """Save the form and let a job move the members."""
    form = TiersForm(request.POST, tiers=_tiers())
    if not form.is_valid():
        return render(request, "loyalty/tiers.html", _page(request, form), status=422)
    job = editing.save(form.proposed(), form.names(), user=request.user)
    messages.success(request, _("The tiers are saved. Members are being moved.") if job else _("The tiers are saved."))
    return redirect("loyalty:tiers")


@requires(Permission.PROGRAMME_EDIT)
@require_POST
def start(request: DeskRequest) -> HttpResponse:
    """Give a new programme its four tiers and its earning rule."""
    programme.ensure_defaults()
    audit.record(request.user, "programme.start")
    messages.success(request, _("The programme has started: four tiers, and 1 point for each unit of money spent."))
    return redirect("loyalty:tiers")


def _tiers() -> list[Tier]:
    return list(Tier.objects.order_by("rank").prefetch_related("thresholds"))


def _moves(form: TiersForm) -> list[tuple[str, str, int, bool]]:
    moves = tiers.preview_moves(form.proposed(), now=timezone.now())
    return [
        (words.tier_name(move.from_tier), words.tier_name(move.to_tier), move.members, move.is_upgrade)
        for move in moves
    ]


def _page(request: DeskRequest, form: TiersForm) -> dict[str, Any]:
    counted = TierStanding.objects.order_by().values_list("tier").annotate(Count("pk"))
    standing = {tier: (members, 0) for tier, members in counted}
    everybody = Member.objects.count()
    stand_nowhere = everybody - sum(members for members, _spend in standing.values())
    rows = []
    for place, tier in enumerate(form.tiers):
        members, spend = standing.get(tier.pk, (0, 0))
        members += 0 if place else stand_nowhere
        rows.append((tier, words.tier_name(tier), members, members / everybody if everybody else 0, spend))
    return {
        "rows": rows,
        "form": form,
        "everybody": everybody,
        "may_edit": request.user.may(Permission.PROGRAMME_EDIT),
        "arms": [(name, members) for _tier, name, members, _share, _spend in rows if members],
    }
