"""The earning rule: what it says now, a new version, its history."""

from typing import Any

from django.contrib import messages
from django.http import HttpResponse
from django.shortcuts import get_object_or_404, redirect, render
from django.utils.translation import gettext as _
from django.views.decorators.http import require_POST, require_safe

from loyalty import programme, rules
from loyalty.forms import RuleForm
from loyalty.models import EarningRule, RuleVersion
from loyalty.rules import sentences
from staff.permissions import Permission, requires
from staff.requests import DeskRequest

TONES = {
    RuleVersion.State.DRAFT: "look",
    RuleVersion.State.IN_REVIEW: "accent",
    RuleVersion.State.APPROVED: "accent",
    RuleVersion.State.ACTIVE: "good",
    RuleVersion.State.RETIRED: "idle",
}


@requires(Permission.PROGRAMME_VIEW)
@require_safe
def rule(request: DeskRequest) -> HttpResponse:
    """The version in force as a sentence, and all versions."""
    return render(request, "loyalty/rules.html", _page(request, RuleForm.of(rules.active_versions().first())))


@requires(Permission.PROGRAMME_EDIT)
@require_POST
def draft(request: DeskRequest) -> HttpResponse:
    """Write a new version as a draft."""
    form = RuleForm(request.POST)
    if not form.is_valid():
        return render(request, "loyalty/rules.html", _page(request, form), status=422)
    active = rules.active_versions().first()
    owner = active.rule if active else EarningRule.objects.get_or_create(name=programme.RULE)[0]
    version = rules.draft(owner, user=request.user, definition=form.definition())
    messages.success(
        request,
        _("Version %(version)d is written. Purchases earn by it once it is activated.") % {"version": version.version},
    )
    return redirect("loyalty:rules")


@requires(Permission.PROGRAMME_EDIT)
@require_POST
def activate(request: DeskRequest, pk: int) -> HttpResponse:
    """Submit a draft, or approve and activate what somebody else submitted."""
    version = get_object_or_404(RuleVersion.objects.select_related("rule"), pk=pk)
    try:
        if version.state == RuleVersion.State.DRAFT:
            rules.submit(version, user=request.user)
            messages.success(
                request, _("Version %(version)d waits for a second person.") % {"version": version.version}
            )
            return redirect("loyalty:rules")
        if version.state == RuleVersion.State.IN_REVIEW:
            rules.approve(version, user=request.user)
        rules.activate(version, user=request.user)
    except rules.SecondPersonNeeded:
        messages.error(request, _("A second person has to approve what you wrote."))
    except rules.WrongState:
        messages.error(request, _("Version %(version)d was retired; write a new one.") % {"version": version.version})
    else:
        messages.success(
            request, _("Purchases earn by version %(version)d from now on.") % {"version": version.version}
        )
    return redirect("loyalty:rules")


def _page(request: DeskRequest, form: RuleForm) -> dict[str, Any]:
    active = rules.active_versions().first()
    versions = RuleVersion.objects.select_related("rule", "created_by").order_by("-pk")[:100]
    return {
        "active": active,
        "sentence": sentences.of_version(active) if active else "",
        "rows": [
            (version, sentences.of_version(version), TONES[RuleVersion.State(version.state)]) for version in versions
        ],
        "open_states": [RuleVersion.State.DRAFT, RuleVersion.State.IN_REVIEW, RuleVersion.State.APPROVED],
        "form": form,
        "may_edit": request.user.may(Permission.PROGRAMME_EDIT),
    }
