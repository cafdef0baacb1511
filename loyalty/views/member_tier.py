"""The tier on a member's page: how far to the next, how long this one lasts, and giving one by hand."""

from typing import Any

from django.http import HttpResponse
from django.shortcuts import get_object_or_404, render
from django.utils import timezone
from django.utils.translation import gettext as _
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_http_methods, require_safe

from loyalty import tier_words, tiers, words
from loyalty.gifts import due
from loyalty.models import Tier
from loyalty.tier_forms import GrantForm
from loyalty.tiers import grants
from loyalty.tiers.progress import Part
from loyalty.views import dialogs
from members.models import Member
from staff.permissions import Permission, requires
from staff.requests import DeskRequest


@requires(Permission.MEMBERS_VIEW)
@require_safe
@never_cache
def card(request: DeskRequest, number: str) -> HttpResponse:
    """Progress by each measure, validity, what threatens, and what was given by hand."""
    member = get_object_or_404(Member, number=number)
    if not Tier.objects.exists():
        return HttpResponse()
    progress = tiers.progress(member.pk, timezone.now())
    context = {
        "member": member,
        "progress": progress,
        "tier_name": words.tier_name(progress.tier),
        "next_name": words.tier_name(progress.next_tier) if progress.next_tier else "",
        "falls_to": words.tier_name(progress.falls_to) if progress.falls_to else "",
        "parts": [_part(part) for part in progress.parts],
        "is_any": progress.scheme.needs == "any",
        "to_keep": tier_words.missing(progress.to_keep, progress.scheme),
        "benefits": [words.benefit_text(benefit) for benefit in progress.tier.benefits.all()],
        "gifts": [
            (words.given(gift), words.tier_name(gift.tier), tier_words.waits(gift))
            for gift in due().filter(member=member).select_related("tier", "reward", "member")
        ],
        "window": tier_words.window(progress.scheme.window, progress.scheme.months),
        "may_grant": request.user.may(Permission.TIERS_GRANT),
        "can_grant": Tier.objects.filter(rank__gt=progress.tier.rank).exists() or progress.grant is not None,
    }
    return render(request, "loyalty/_member_tier.html", context)


def _part(part: Part) -> dict[str, Any]:
    return {
        "percent": part.percent,
        "value": tier_words.amount(part.measure, part.value),
        "threshold": tier_words.amount(part.measure, part.threshold),
        "missing": tier_words.amount(part.measure, part.missing) if part.missing else "",
    }


@requires(Permission.TIERS_GRANT)
@require_http_methods(["GET", "HEAD", "POST"])
@never_cache
def grant(request: DeskRequest, number: str) -> HttpResponse:
    """The dialog to give a tier; posted, it gives it and tells the page that the tier has moved."""
    member = get_object_or_404(Member, number=number)
    above = tiers.progress(member.pk, timezone.now())
    floor = Tier.objects.order_by("rank")[0] if above.grant else above.tier
    form = GrantForm(request.POST if request.method == "POST" else None, above=floor)
    if request.method == "POST" and form.is_valid():
        told = form.cleaned_data
        try:
            grants.grant(
                member=member, tier=told["tier"], until=told["until"], reason=told["reason"], user=request.user
            )
        except grants.NotHigher:
            form.add_error("tier", _("The member has earned this tier or a higher one."))
        else:
            return dialogs.done(_("%(tier)s was given.") % {"tier": words.tier_name(told["tier"])})
    context = {"form": form, "member": member, "running": above.grant}
    return render(request, "loyalty/_member_grant.html", context)


@requires(Permission.TIERS_GRANT)
@require_http_methods(["GET", "HEAD", "POST"])
@never_cache
def withdraw(request: DeskRequest, number: str) -> HttpResponse:
    """The dialog to end a tier given by hand before its day."""
    member = get_object_or_404(Member, number=number)
    progress = tiers.progress(member.pk, timezone.now())
    reason = request.POST.get("reason", "").strip()[:200]
    if request.method == "POST" and reason:
        grants.withdraw(member=member, reason=reason, user=request.user)
        return dialogs.done(_("What was given ended. The member stands in the tier that is earned."))
    context = {"member": member, "running": progress.grant, "lacks_reason": request.method == "POST"}
    return render(request, "loyalty/_member_withdraw.html", context)
