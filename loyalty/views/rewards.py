"""The catalogue of rewards."""

from django.contrib import messages
from django.db.models import Count, Q
from django.http import HttpResponse
from django.shortcuts import get_object_or_404, redirect, render
from django.utils.translation import gettext as _
from django.views.decorators.http import require_http_methods, require_safe

from loyalty import catalogue, words
from loyalty.forms import RewardForm
from loyalty.models import Redemption, Reward
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
        {"rows": rows, "text": text, "may_edit": request.user.may(Permission.PROGRAMME_EDIT)},
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
            catalogue.save(
                form.save(commit=False),
                unlimited=told["unlimited"],
                stock_change=told["stock_change"] or 0,
                user=request.user,
            )
        except catalogue.StockGone:
            form.add_error("stock_change", _("Fewer are left by now. Look again."))
        else:
            messages.success(request, _("“%(name)s” is saved.") % {"name": reward.name})
            return redirect("loyalty:rewards")
    return render(request, "loyalty/reward.html", {"form": form, "reward": reward}, status=422 if form.errors else 200)


def _stock_tone(reward: Reward) -> str:
    if reward.stock is None or reward.stock > catalogue.LOW_STOCK:
        return ""
    return "look" if reward.stock else "bad"
