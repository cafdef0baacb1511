"""Undoing a whole batch: what it would do, asking for it, and what became of earlier ones."""

from typing import Any
from uuid import uuid4

from django import forms
from django.contrib import messages
from django.http import HttpResponse
from django.shortcuts import redirect, render
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_http_methods

from loyalty import batches
from loyalty.models import Policy, RuleVersion
from loyalty.policies import settings_now
from staff import approvals
from staff.models import Approval
from staff.permissions import Permission, requires
from staff.requests import DeskRequest

SHOWN = 20


class BatchForm(forms.Form):
    """Which rule, and of which time; in the programme's time zone."""

    version = forms.ModelChoiceField(
        label=gettext_lazy("Version of a rule"),
        queryset=RuleVersion.objects.select_related("rule")
        .exclude(active_from=None)
        .order_by("rule__name", "-version"),
        empty_label=None,
    )
    since = forms.DateTimeField(
        label=gettext_lazy("What happened from"),
        widget=forms.DateTimeInput(attrs={"type": "datetime-local"}, format="%Y-%m-%dT%H:%M"),
    )
    until = forms.DateTimeField(
        label=gettext_lazy("Until before"),
        widget=forms.DateTimeInput(attrs={"type": "datetime-local"}, format="%Y-%m-%dT%H:%M"),
    )

    def clean(self) -> dict[str, Any]:
        """The end is after the beginning."""
        cleaned: dict[str, Any] = super().clean() or {}
        since, until = cleaned.get("since"), cleaned.get("until")
        if since and until and since >= until:
            self.add_error("until", _("The end is after the beginning."))
        return cleaned

    def batch(self) -> batches.Batch:
        """What was chosen. Only after ``is_valid``."""
        told = self.cleaned_data
        return batches.Batch(version=told["version"].pk, since=told["since"], until=told["until"])


class RequestForm(forms.Form):
    """What to do about spent points, and why."""

    policy = forms.ChoiceField(
        label=gettext_lazy("Points that are spent already"), choices=Policy.choices, widget=forms.RadioSelect
    )
    comment = forms.CharField(
        label=gettext_lazy("What went wrong"), max_length=300, widget=forms.Textarea(attrs={"rows": 2})
    )
    key = forms.CharField(max_length=100, widget=forms.HiddenInput)


@requires(Permission.POINTS_UNDO_BATCH)
@require_http_methods(["GET", "HEAD", "POST"])
@never_cache
def batch_list(request: DeskRequest) -> HttpResponse:
    """Choose a batch and see what undoing it does; posted, it asks a second person."""
    chosen = request.GET if "since" in request.GET else None
    form = BatchForm(chosen, initial={"version": request.GET.get("version")})
    if request.method != "POST":
        asked = RequestForm(initial={"policy": settings_now().clawback_policy, "key": uuid4().hex})
        return _page(request, form, asked)
    asked = RequestForm(request.POST)
    if not (chosen and form.is_valid() and asked.is_valid()):
        return _page(request, form, asked, status=422)
    told = asked.cleaned_data
    try:
        batches.request(
            form.batch(), policy=told["policy"], comment=told["comment"], key=told["key"], user=request.user
        )
    except batches.EmptyBatch:
        messages.error(request, _("The rule gave nothing in that time that could be taken back."))
    except approvals.KeyReused:
        messages.error(request, _("This form was sent already."))
    else:
        messages.success(request, _("Asked for: a second person decides."))
    return redirect("loyalty:batches")


def _page(request: DeskRequest, form: BatchForm, asked: RequestForm, *, status: int = 200) -> HttpResponse:
    found = batches.preview(form.batch()) if form.is_bound and form.is_valid() else None
    policy = asked["policy"].value() or Policy.DEBT
    past = list(
        Approval.objects.filter(kind=batches.KIND).select_related("requested_by", "decided_by").order_by("-pk")[:SHOWN]
    )
    started = batches.jobs_of(past)
    context = {
        "form": form,
        "asked": asked,
        "preview": found,
        "lines": batches.told(found, policy if policy in Policy.values else Policy.DEBT) if found else [],
        "short": batches.short_members(found) if found else [],
        "past": [
            (row, approvals.title(row), approvals.TONES[Approval.State(row.state)], started.get(row.pk)) for row in past
        ],
        "may_see_jobs": request.user.may(Permission.JOBS_VIEW),
        "may_import": request.user.may(Permission.MEMBERS_IMPORT),
    }
    return render(request, "loyalty/batches.html", context, status=status)
