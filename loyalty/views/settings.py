"""What the programme does where nothing else says otherwise: policies, limits, the value of a point, reasons."""

from typing import Any

from django import forms
from django.contrib import messages
from django.http import HttpResponse, QueryDict
from django.shortcuts import get_object_or_404, redirect, render
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy
from django.views.decorators.http import require_http_methods, require_POST

from loyalty import policies
from loyalty.models import AdjustReason, ProgrammeSettings
from staff import approvals, changes
from staff.models import Approval
from staff.permissions import Permission, requires
from staff.requests import DeskRequest

HISTORY = 20


class SettingsForm(forms.ModelForm):  # type: ignore[type-arg]
    """The one row of settings."""

    class Meta:
        model = ProgrammeSettings
        fields = (
            "clawback_policy",
            "grace_days",
            "adjust_daily_limit",
            "adjust_approval_above",
            "adjust_expires_after_months",
            "transfer_approval_above",
            "transfer_daily_limit",
            "giver_daily_limit",
            "household_approval_above",
            "point_value",
        )
        widgets = {"clawback_policy": forms.RadioSelect}
        labels = {
            "clawback_policy": gettext_lazy("When points are taken back that are spent already"),
            "grace_days": gettext_lazy("Days to spend points that come back after their expiry"),
            "adjust_daily_limit": gettext_lazy("Points that one person may give and take in a day"),
            "adjust_approval_above": gettext_lazy("Points given or taken at once above which a second person decides"),
            "adjust_expires_after_months": gettext_lazy("Months after which points given by service expire"),
            "transfer_approval_above": gettext_lazy(
                "Points moved between members at once above which a second person decides"
            ),
            "transfer_daily_limit": gettext_lazy("Points one person may move between members in a day"),
            "giver_daily_limit": gettext_lazy("Points that may be moved away from one member in a day"),
            "household_approval_above": gettext_lazy(
                "Points that one person may bring into reach of others in households in a day"
            ),
            "point_value": gettext_lazy("Value of a point, in the programme's currency"),
        }
        help_texts = {
            "clawback_policy": gettext_lazy("Refunds, entries that service takes back and undone batches go by it."),
            "adjust_daily_limit": gettext_lazy("Given and taken together, without what a second person approved."),
            "adjust_expires_after_months": gettext_lazy("Empty: never."),
            "transfer_daily_limit": gettext_lazy("What goes above it a second person decides."),
            "giver_daily_limit": gettext_lazy("Whoever moves them. What goes above it a second person decides."),
            "household_approval_above": gettext_lazy(
                "Of who joins and of the others, those not active yet too. What goes above it a second person decides."
            ),
            "point_value": gettext_lazy("For what the programme owes, and for the cost of an adjustment."),
        }

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        policy: Any = self.fields["clawback_policy"]
        policy.choices = ProgrammeSettings._meta.get_field("clawback_policy").choices
        self.fields["adjust_expires_after_months"].widget.attrs["max"] = 240

    def clean_adjust_expires_after_months(self) -> int | None:
        """Between one month and twenty years, or never."""
        months: int | None = self.cleaned_data["adjust_expires_after_months"]
        if months is not None and not 1 <= months <= 240:
            raise forms.ValidationError(_("Between 1 and 240 months, or empty."))
        return months


class ReasonForm(forms.ModelForm):  # type: ignore[type-arg]
    """A reason for points by hand."""

    class Meta:
        model = AdjustReason
        fields = ("name", "name_zh", "qualifies", "active")
        help_texts = {"qualifies": gettext_lazy("Points given for it count towards the member's tier.")}


@requires(Permission.PROGRAMME_EDIT)
@require_http_methods(["GET", "HEAD", "POST"])
def settings(request: DeskRequest) -> HttpResponse:
    """The form, and who changed what before."""
    if request.method != "POST":
        return _page(request, SettingsForm(instance=policies.settings_now()))
    form = SettingsForm(request.POST, instance=policies.settings_now())
    if not form.is_valid():
        return _page(request, form, status=422)
    _say(request, policies.change(form.cleaned_data, user=request.user))
    return redirect("loyalty:settings")


@requires(Permission.PROGRAMME_EDIT)
@require_POST
def reason(request: DeskRequest, pk: int) -> HttpResponse:
    """Change a reason, or put it out of use (or ask for it): what was given for it keeps it."""
    found = get_object_or_404(AdjustReason, pk=pk)
    form = _reason_form(found, request.POST)
    if not form.is_valid():
        return _page(request, SettingsForm(instance=policies.settings_now()), refused=form, status=422)
    _say(request, policies.change_reason(found, form.cleaned_data, user=request.user))
    return redirect("loyalty:settings")


def _say(request: DeskRequest, done: object) -> None:
    asked = isinstance(done, Approval)
    messages.success(request, _("Asked for: a second person decides.") if asked else _("Saved."))


def _reason_form(reason: AdjustReason, posted: QueryDict | None = None) -> ReasonForm:
    return ReasonForm(posted, instance=reason, prefix=f"reason-{reason.pk}")


def _page(
    request: DeskRequest, form: SettingsForm, *, refused: ReasonForm | None = None, status: int = 200
) -> HttpResponse:
    """The page; ``refused`` is the form of a reason that was wrong, and stands open with what was typed."""
    typed = {refused.instance.pk: refused} if refused else {}
    context = {
        "form": form,
        "asked": [(row, approvals.title(row)) for row in approvals.waiting_about(policies.ABOUT)],
        "is_alone": not approvals.others_may_decide(policies.KIND, request.user),
        "is_left_alone": not approvals.others_decide_now(policies.KIND, request.user),
        "reasons": [(found, typed.get(found.pk) or _reason_form(found)) for found in AdjustReason.objects.all()],
        "changes": _history(),
    }
    return render(request, "loyalty/settings.html", context, status=status)


def _history() -> list[changes.Change]:
    """The newest changes of settings and reasons, without those that made the rows."""
    found = [
        change
        for model in ("loyalty.programmesettings", "loyalty.adjustreason")
        for change in changes.newest(model=model, limit=HISTORY)
        if not change.is_new
    ]
    return sorted(found, key=lambda change: change.at, reverse=True)[:HISTORY]
