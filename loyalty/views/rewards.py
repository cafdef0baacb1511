"""The catalogue of rewards."""

from typing import Any

from django.contrib import messages
from django.db.models import Count, Q
from django.http import HttpResponse
from django.shortcuts import get_object_or_404, redirect, render
from django.utils.translation import gettext as _
from django.views.decorators.http import require_http_methods, require_safe

from loyalty import catalogue, words
from loyalty.forms import RewardForm
from loyalty.models import Redemption, Reward
from staff import approvals
from staff.permissions import Permission, requires
from staff.requests import DeskRequest


@requires(Permission.PROGRAMME_VIEW)
@require_safe
def reward_list(request: DeskRequest) -> HttpResponse:
    """All rewards, the offered ones first."""
    counted = Count("redemptions", filter=~Q(redemptions__state=Redemption.State.CANCELLED))
    rewards = Reward.objects.annotate(redeemed=counted).order_by("-active", "points", "name")
    text = request.GET.get("q", "").strip()
    if text:
        rewards = rewards.filter(Q(name__icontains=text) | Q(name_zh__icontains=text))
    rows = [(reward, words.reward_name(reward), _stock_tone(reward)) for reward in rewards]
    return render(
        request,
        "loyalty/rewards.html",
        {"rows": rows, "text": text, "may_edit": request.user.may(Permission.PROGRAMME_EDIT)} | _asked(request),
    )


@requires(Permission.PROGRAMME_EDIT)
@require_http_methods(["GET", "HEAD", "POST"])
def create(request: DeskRequest) -> HttpResponse:
    """A new reward."""
    return _form(request, Reward())


@requires(Permission.PROGRAMME_EDIT)
@require_http_methods(["GET", "HEAD", "POST"])
def edit(request: DeskRequest, pk: int) -> HttpResponse:
    """Change a reward or its stock."""
    return _form(request, get_object_or_404(Reward, pk=pk))


def _form(request: DeskRequest, reward: Reward) -> HttpResponse:
    form = RewardForm(request.POST or None, instance=reward)
    if request.method == "POST" and form.is_valid():
        told = form.cleaned_data
        try:
            asked = catalogue.save(
                form.save(commit=False),
                unlimited=told["unlimited"],
                stock_change=told["stock_change"] or 0,
                user=request.user,
            )
        except catalogue.StockGone:
            form.add_error("stock_change", _("Fewer are left by now. Look again."))
        else:
            saved = _("“%(name)s” is saved.") % {"name": reward.name}
            messages.success(request, _("Asked for: a second person decides about the price.") if asked else saved)
            return redirect("loyalty:rewards")
    context = {"form": form, "reward": reward} | _asked(request, reward)
    return render(request, "loyalty/reward.html", context, status=422 if form.errors else 200)


def _asked(request: DeskRequest, reward: Reward | None = None) -> dict[str, Any]:
    """What waits for a second person, of one reward or of all, and whether there is one."""
    waiting = approvals.waiting_about(catalogue.ABOUT)
    if reward:
        waiting = [row for row in waiting if reward.pk and row.payload["reward"] == reward.pk]
    return {
        "asked": [(row, approvals.title(row)) for row in waiting],
        "may_see_asked": request.user.may(Permission.APPROVALS_VIEW),
        "is_alone": not approvals.others_may_decide(catalogue.KIND, request.user),
    }


def _stock_tone(reward: Reward) -> str:
    if reward.stock is None or reward.stock > catalogue.LOW_STOCK:
        return ""
    return "look" if reward.stock else "bad"
