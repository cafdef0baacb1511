"""Points to another member: the dialog on the page of the one who gives."""

from uuid import uuid4

from django import forms
from django.http import HttpResponse
from django.shortcuts import get_object_or_404, render
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_http_methods

from loyalty import ledger, limits, transfers
from loyalty.views import dialogs
from loyalty.views.adjusting import LARGEST, LONGEST_KEY
from members.models import Member
from staff import figures
from staff.models import Approval
from staff.permissions import Permission, requires
from staff.requests import DeskRequest


class TransferForm(forms.Form):
    """To whom, how many, and why. ``member`` is a number that was chosen from what the search found."""

    member = forms.CharField(
        label=gettext_lazy("To"),
        max_length=64,
        error_messages={"required": gettext_lazy("Search for the member and choose them.")},
    )
    points = forms.IntegerField(label=gettext_lazy("Points"), min_value=1, max_value=LARGEST)
    comment = forms.CharField(
        label=gettext_lazy("Comment"),
        max_length=300,
        widget=forms.Textarea(attrs={"rows": 2}),
        help_text=gettext_lazy("Who asked for it, and how we know that they may."),
    )
    key = forms.CharField(max_length=LONGEST_KEY, widget=forms.HiddenInput)

    def receiver(self) -> Member | None:
        """The member who was chosen, if there is such a one."""
        number = str(self.data.get("member", "")).replace("\0", "")
        return Member.objects.filter(number=number).first() if number else None

    def clean_member(self) -> str:
        """There is a member of this number."""
        if self.receiver() is None:
            raise forms.ValidationError(_("There is no such member."))
        return str(self.cleaned_data["member"])


@requires(Permission.POINTS_TRANSFER)
@require_http_methods(["GET", "HEAD", "POST"])
@never_cache
def transfer(request: DeskRequest, number: str) -> HttpResponse:
    """To whom and how many, then what it does to both, then done (or asked for)."""
    member = get_object_or_404(Member, number=number)
    if request.method != "POST":
        return _dialog(request, member, TransferForm(initial={"key": uuid4().hex}))
    form = TransferForm(request.POST)
    step, receiver = request.POST.get("step"), form.receiver()
    if not form.is_valid() or step == "edit" or receiver is None:
        return _dialog(request, member, form)
    told = form.cleaned_data
    wish = transfers.Transfer(
        from_member=member.pk, to_member=receiver.pk, points=told["points"], comment=told["comment"]
    )
    if receiver == member:
        form.add_error("member", _("Points are moved to another member."))
        return _dialog(request, member, form)
    if step != "do":
        return _dialog(request, member, form, wish=wish)
    try:
        done = transfers.send(wish, key=f"desk:{told['key']}", user=request.user)
    except (transfers.TransferError, ledger.LedgerError) as refusal:
        return _dialog(request, member, form, error=_why(refusal))
    if isinstance(done, Approval):
        text, tone = _("Asked for: a second person decides."), "look"
    else:
        names = {"points": figures.number(told["points"]), "member": receiver.display_name}
        text, tone = _("%(points)s points moved to %(member)s.") % names, "good"
    return dialogs.done(text, tone)


def _dialog(
    request: DeskRequest,
    member: Member,
    form: TransferForm,
    *,
    wish: transfers.Transfer | None = None,
    error: str = "",
) -> HttpResponse:
    found = transfers.preview(wish, who=limits.counted_as(request.user)) if wish else None
    if found and not found.is_possible:
        most = {"points": figures.number(found.giver_before)}
        form.add_error("points", _("Only %(points)s points can be moved: that is what can be spent.") % most)
    receiver = form.receiver() if form.is_bound else None
    context = {
        "member": member,
        "receiver": receiver,
        "searched": receiver.number if receiver else request.POST.get("q", ""),
        "form": form,
        "error": error,
        "preview": found if found and found.is_possible else None,
        "lines": transfers.told(found) if found else [],
        "points": wish.points if wish else 0,
    }
    return render(request, "loyalty/_member_transfer.html", context)


def _why(refusal: Exception) -> str:
    reasons: dict[type[Exception], str] = {
        transfers.NotEligible: _("The giver has left, or the receiver is blocked or has left."),
        transfers.SameMember: _("Points are moved to another member."),
    }
    return dialogs.why(refusal, reasons)
