"""The tier page: the scheme, benefits, and downgrades ahead."""

from decimal import Decimal
from typing import Any

from django.conf import settings
from django.contrib import messages
from django.core.paginator import Paginator
from django.db.models import Count
from django.http import HttpResponse
from django.shortcuts import get_object_or_404, redirect, render
from django.utils import timezone
from django.utils.translation import gettext as _
from django.views.decorators.http import require_POST, require_safe

from loyalty import gifts, programme, tier_words, tiers, words
from loyalty.models import Tier, TierBenefit, TierStanding
from loyalty.policies import settings_now
from loyalty.tier_forms import BenefitForm, SchemeForm
from loyalty.tiers import ahead, benefits, proposals
from loyalty.tiers.progress import progress_of
from loyalty.views import tier_previews
from members.models import Member
from staff import approvals
from staff.models import Approval
from staff.paging import SIZE
from staff.permissions import Permission, requires
from staff.requests import DeskRequest


@requires(Permission.PROGRAMME_VIEW)
@require_safe
def tier_list(request: DeskRequest) -> HttpResponse:
    """All tiers with their members, benefits and downgrades ahead, and the form to change the scheme.

    ``?preview=`` fills the form with what a preview was asked for.
    """
    job = tier_previews.found(request.GET.get("preview", ""))
    form = SchemeForm(tier_previews.typed(job), tiers=_tiers()) if job else None
    return render(request, "loyalty/tiers.html", _page(request, form=form) | tier_previews.told(job))


@requires(Permission.PROGRAMME_EDIT)
@require_POST
def save(request: DeskRequest) -> HttpResponse:
    """Save the form and let a job move the members, or ask a second person for it."""
    form = SchemeForm(request.POST, tiers=_tiers())
    if not form.is_valid():
        return render(request, "loyalty/tiers.html", _page(request, form=form), status=422)
    done = proposals.save(form.proposed, form.names(), form=tier_previews.typed_in(request), user=request.user)
    if isinstance(done, Approval):
        messages.success(request, _("Asked for: a second person decides."))
    elif done is None:
        messages.success(request, _("The tiers are saved."))
    else:
        messages.success(request, _("The tiers are saved. Members are being moved."))
        if request.user.may(Permission.JOBS_VIEW):
            return redirect(done.get_absolute_url())
    return redirect("loyalty:tiers")


@requires(Permission.PROGRAMME_VIEW)
@require_safe
def downgrades(request: DeskRequest) -> HttpResponse:
    """Who loses a tier soon, when, and what would keep it."""
    now = timezone.now()
    found = ahead.standings(now).select_related("tier", "falls_to", "member")
    page = Paginator(found, SIZE).get_page(request.GET.get("page"))
    known = progress_of([standing.member_id for standing in page], now) if page else {}
    rows = [
        (standing, words.tier_name(standing.tier), _name(standing.falls_to), _keeps(known.get(standing.member_id)))
        for standing in page
    ]
    context = {"rows": rows, "warn_days": tiers.ladder().scheme.warn_days if Tier.objects.exists() else 0}
    context |= _pages(request, page)
    context["may_see_members"] = request.user.may(Permission.MEMBERS_VIEW)
    return render(request, "loyalty/tier_downgrades.html", context)


@requires(Permission.PROGRAMME_EDIT)
@require_POST
def benefit_add(request: DeskRequest) -> HttpResponse:
    """Write down something that a tier gives, or ask a second person for it."""
    form = BenefitForm(request.POST)
    if not form.is_valid():
        return render(request, "loyalty/tiers.html", _page(request, benefit_form=form), status=422)
    asked = isinstance(proposals.add_benefit(form.save(commit=False), user=request.user), Approval)
    written = _("The benefit is written down.")
    messages.success(request, _("Asked for: a second person decides.") if asked else written)
    return redirect("loyalty:tiers")


@requires(Permission.PROGRAMME_EDIT)
@require_POST
def benefit_remove(request: DeskRequest, pk: int) -> HttpResponse:
    """Take a benefit away."""
    benefits.remove(get_object_or_404(TierBenefit.objects.select_related("tier"), pk=pk), user=request.user)
    messages.success(request, _("The benefit is taken away."))
    return redirect("loyalty:tiers")


@requires(Permission.PROGRAMME_EDIT)
@require_POST
def start(request: DeskRequest) -> HttpResponse:
    """Give a new programme its four tiers and its earning rule."""
    try:
        if programme.start(user=request.user):
            text = _("The programme has started: four tiers, and 1 point for each unit of money spent.")
        else:
            text = _("The programme has started with four tiers. The earning rules stay as they are.")
        messages.success(request, text)
    except programme.StartedAlready:
        messages.info(request, _("The programme had started already. Nothing was changed."))
    return redirect("loyalty:tiers")


def _tiers() -> list[Tier]:
    return list(Tier.objects.order_by("rank").prefetch_related("thresholds", "benefits__reward"))


def _name(tier: Tier | None) -> str:
    return words.tier_name(tier) if tier else ""


def _keeps(progress: tiers.Progress | None) -> str:
    return tier_words.missing(progress.to_keep, progress.scheme) if progress else ""


def _pages(request: DeskRequest, page: Any) -> dict[str, Any]:
    def address(number: int) -> str:
        query = request.GET.copy()
        query["page"] = str(number)
        return f"?{query.urlencode()}"

    return {
        "count": page.paginator.count,
        "previous_url": address(page.previous_page_number()) if page.has_previous() else "",
        "next_url": address(page.next_page_number()) if page.has_next() else "",
    }


def _page(
    request: DeskRequest, *, form: SchemeForm | None = None, benefit_form: BenefitForm | None = None
) -> dict[str, Any]:
    all_tiers = _tiers()
    may_edit = request.user.may(Permission.PROGRAMME_EDIT)
    context: dict[str, Any] = {"may_edit": may_edit, "everybody": Member.objects.count(), "rows": []}
    if not all_tiers:
        return context
    ladder = tiers.ladder()
    context |= _standings(all_tiers, ladder, context["everybody"])
    context |= {
        "sentences": tier_words.sentences(ladder.scheme),
        "falling": [
            (words.tier_name(one.from_tier), words.tier_name(one.to_tier), one.members)
            for one in ahead.falling(timezone.now())
        ],
        "warn_days": ladder.scheme.warn_days,
        "waiting": [(words.reward_name(reward), number) for reward, number in gifts.without_stock()],
        "form": form or SchemeForm(tiers=all_tiers),
        "benefit_form": benefit_form or BenefitForm(initial={"tier": all_tiers[-1]}),
        "benefit_refused": bool(benefit_form),
        "may_see_asked": request.user.may(Permission.APPROVALS_VIEW),
        "asked": [(row, approvals.title(row)) for row in approvals.waiting_about(proposals.ABOUT)],
        "is_alone": not approvals.others_may_decide(proposals.KIND, request.user),
        "currency": settings.PROGRAMME_CURRENCY,
    }
    return context


def _standings(all_tiers: list[Tier], ladder: tiers.Ladder, everybody: int) -> dict[str, Any]:
    standing = dict(TierStanding.objects.order_by().values_list("tier").annotate(Count("pk")))
    stand_nowhere = everybody - sum(standing.values())
    worth, point_value = benefits.costs_by_tier(), settings_now().point_value
    rows = []
    for place, (tier, rung) in enumerate(zip(all_tiers, ladder.rungs, strict=True)):
        members = standing.get(tier.pk, 0) + (0 if place else stand_nowhere)
        rows.append(
            {
                "tier": tier,
                "name": words.tier_name(tier),
                "threshold": tier_words.threshold(rung, ladder),
                "members": members,
                "share": members / everybody if everybody else 0,
                "benefits": [
                    (benefit, words.benefit_text(benefit), words.given(benefit), benefits.cost(benefit, point_value))
                    for benefit in tier.benefits.all()
                ],
                "yearly": worth.get(tier.pk, Decimal(0)),
            }
        )
    return {"rows": rows, "arms": [(row["name"], row["members"]) for row in rows if row["members"]]}
