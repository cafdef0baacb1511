"""Points by hand on a member's page: give or take, take an entry back, and what waits for a second person."""

from typing import Any
from uuid import uuid4

from django import forms
from django.http import HttpResponse
from django.shortcuts import get_object_or_404, render
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_http_methods, require_safe

from loyalty import adjustments, ledger, limits, reversals, words
from loyalty.models import Entry
from loyalty.views import dialogs
from members.models import Member
from staff import approvals, figures
from staff.models import Approval
from staff.permissions import Permission, requires
from staff.requests import DeskRequest

LARGEST = 1_000_000
LONGEST_KEY = 100


class AdjustForm(forms.Form):
    """How many points, which way, and why."""

    direction = forms.ChoiceField(
        label=gettext_lazy("What to do"),
        choices=[("give", gettext_lazy("give points")), ("take", gettext_lazy("take points"))],
        widget=forms.RadioSelect,
        initial="give",
    )
    points = forms.IntegerField(label=gettext_lazy("Points"), min_value=1, max_value=LARGEST)
    reason = forms.ChoiceField(label=gettext_lazy("Reason"))
    comment = forms.CharField(
        label=gettext_lazy("Comment"),
        max_length=300,
        widget=forms.Textarea(attrs={"rows": 2}),
        help_text=gettext_lazy("What happened, for the next person: “order 4711 was booked twice”."),
    )
    key = forms.CharField(max_length=LONGEST_KEY, widget=forms.HiddenInput)

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        choices = [(reason.key, words.reason_name(reason)) for reason in adjustments.reasons()]
        self.fields["reason"].choices = choices  # type: ignore[attr-defined]

    def wish(self, member: Member) -> adjustments.Adjustment:
        """What was asked for. Only after ``is_valid``."""
        told = self.cleaned_data
        points = told["points"] if told["direction"] == "give" else -told["points"]
        return adjustments.Adjustment(
            member_id=member.pk, points=points, reason=told["reason"], comment=told["comment"]
        )


class ReverseForm(forms.Form):
    """Why an entry is taken back."""

    comment = forms.CharField(
        label=gettext_lazy("Comment"),
        max_length=300,
        widget=forms.Textarea(attrs={"rows": 2}),
        help_text=gettext_lazy("Why it was wrong. It stays in the ledger beside the entry."),
    )


@requires(Permission.POINTS_ADJUST)
@require_http_methods(["GET", "HEAD", "POST"])
@never_cache
def adjust(request: DeskRequest, number: str) -> HttpResponse:
    """The dialog: what and why, then what it does in numbers, then done (or asked for)."""
    member = get_object_or_404(Member, number=number)
    if request.method != "POST":
        return _adjust_dialog(request, member, AdjustForm(initial={"key": uuid4().hex}))
    form = AdjustForm(request.POST)
    step = request.POST.get("step")
    if not form.is_valid() or step == "edit":
        return _adjust_dialog(request, member, form)
    wish = form.wish(member)
    if step != "do":
        return _adjust_dialog(request, member, form, wish=wish)
    try:
        done = adjustments.adjust(wish, key=f"desk:{form.cleaned_data['key']}", user=request.user)
    except (adjustments.AdjustmentError, ledger.LedgerError, limits.DayLimitReached) as refusal:
        return _adjust_dialog(request, member, form, error=_why(refusal))
    if isinstance(done, Approval):
        return dialogs.done(_("Asked for: a second person decides."), "look")
    text = _("%(points)s points given.") if done.points > 0 else _("%(points)s points taken.")
    return dialogs.done(text % {"points": figures.number(abs(done.points))}, "good")


@requires(Permission.POINTS_REVERSE)
@require_http_methods(["GET", "HEAD", "POST"])
@never_cache
def reverse_entry(request: DeskRequest, pk: int) -> HttpResponse:
    """The dialog that says what taking an entry back does; posted, it does it (or asks for it)."""
    entry = get_object_or_404(Entry.objects.select_related("member"), pk=pk, kind__in=reversals.KINDS)
    form = ReverseForm(request.POST or None)
    if request.method != "POST" or not form.is_valid():
        return _reverse_dialog(request, entry, form)
    try:
        done = reversals.reverse(entry, comment=form.cleaned_data["comment"], user=request.user)
    except (ledger.LedgerError, limits.DayLimitReached) as refusal:
        return _reverse_dialog(request, entry, form, error=_why(refusal))
    if isinstance(done, Approval):
        return dialogs.done(_("Asked for: a second person decides."), "look")
    return dialogs.done(_("Taken back: %(points)s points.") % {"points": figures.signed(done.points)}, "good")


@requires(Permission.MEMBERS_VIEW)
@require_safe
@never_cache
def waiting(request: DeskRequest, number: str) -> HttpResponse:
    """What somebody asked for about this member and nobody decided yet."""
    member = get_object_or_404(Member, number=number)
    may_see = request.user.may(Permission.APPROVALS_VIEW)
    rows = [(row, approvals.title(row)) for row in approvals.waiting_about(f"member:{member.pk}")]
    return render(request, "loyalty/_member_waiting.html", {"rows": rows, "may_see": may_see})


def _adjust_dialog(
    request: DeskRequest,
    member: Member,
    form: AdjustForm,
    *,
    wish: adjustments.Adjustment | None = None,
    error: str = "",
) -> HttpResponse:
    who = limits.counted_as(request.user)
    found = adjustments.preview(wish, who=who) if wish else None
    if found and (obstacle := _obstacle(found)):
        form.add_error("points", obstacle)
    context = {
        "member": member,
        "form": form,
        "error": error,
        "preview": found if found and found.is_possible else None,
        "lines": adjustments.told(found) if found else [],
        "points": abs(wish.points) if wish else 0,
        "gives": bool(wish and wish.points > 0),
        "reason": dict(form.fields["reason"].choices).get(wish.reason, "") if wish else "",  # type: ignore[attr-defined]
        "left_today": limits.left(limits.Limit.ADJUST, who),
        "approval_above": limits.approval_above(),
    }
    return render(request, "loyalty/_member_adjust.html", context)


def _reverse_dialog(request: DeskRequest, entry: Entry, form: ReverseForm, *, error: str = "") -> HttpResponse:
    try:
        found = reversals.preview(entry)
    except ledger.LedgerError as refusal:
        found, error = None, error or _why(refusal)
    context = {
        "entry": entry,
        "title": words.title(entry),
        "form": form,
        "lines": reversals.told(found) if found else [],
        "preview": found,
        "is_possible": found is not None and found.is_possible,
        "error": error,
    }
    return render(request, "loyalty/_entry_reverse.html", context)


def _obstacle(found: adjustments.Preview) -> str:
    """Why it cannot be done, from its preview; empty where it can."""
    if found.usable_after < 0:
        return _("Only %(points)s points can be taken: that is what can be spent.") % {
            "points": figures.number(found.usable)
        }
    if not found.is_possible:
        return _("It goes above what you may give and take in a day.")
    return ""


def _why(refusal: Exception) -> str:
    """A refusal in words."""
    reasons = {
        adjustments.NotEligible: _("This member has left the programme."),
        adjustments.NoSuchReason: _("This reason is not in use any more. Choose another."),
        ledger.AlreadyReversed: _("This entry was taken back already. An entry is taken back once."),
        ledger.NotReversible: _("This entry cannot be taken back by hand."),
    }
    return dialogs.why(refusal, reasons)
