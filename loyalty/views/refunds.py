"""A member's purchases, and giving one back: chosen, shown in numbers, then done. Fetched by the member's page."""

from typing import Any
from urllib.parse import urlsplit
from uuid import uuid4

from django import forms
from django.db.models import Q
from django.http import HttpResponse
from django.shortcuts import get_object_or_404, render
from django.urls import reverse
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy, ngettext
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_http_methods, require_safe

from loyalty import limits, refund_undo, refund_words, refunding
from loyalty.forms import RefundForm
from loyalty.intake import RecordedRefund, RefundDiffers, RefundRefused, preview_refund, refunds
from loyalty.models import Account
from loyalty.views import dialogs
from members.models import Member, Purchase, Refund
from staff import figures
from staff.models import Approval
from staff.paging import newest_first
from staff.permissions import Permission, requires
from staff.requests import DeskRequest

SHOWN = 5
TONES = {
    Refund.State.APPLIED: "good",
    Refund.State.WAITING: "look",
    Refund.State.REFUSED: "bad",
    Refund.State.UNDONE: "idle",
}


@requires(Permission.MEMBERS_VIEW)
@require_safe
def refund_list(request: DeskRequest) -> HttpResponse:
    """The newest refunds, those that wait for their purchase too; filters and place are in the address."""
    found = Refund.objects.select_related("member", "purchase", "created_by")
    state, text = request.GET.get("state", ""), request.GET.get("q", "").strip()
    if state in Refund.State.values:
        found = found.filter(state=state)
    if text:
        found = found.filter(Q(purchase_key=text) | Q(key=text) | Q(external_id=text) | Q(member__number__iexact=text))
    page = newest_first(found, request.GET)
    rows = [
        (item, TONES[Refund.State(item.state)], refund_words.refused(item.problem), refund_words.amount(item))
        for item in page.rows
    ]
    return render(
        request,
        "loyalty/refunds.html",
        {
            "rows": rows,
            "page": page,
            "states": [("", _("Every state")), *Refund.State.choices],
            "is_filtered": bool(state or text),
            "may_undo": request.user.may(Permission.POINTS_REVERSE),
            "undoable": refund_undo.STATES,
        },
    )


@requires(Permission.MEMBERS_VIEW)
@require_safe
@never_cache
def purchases(request: DeskRequest, number: str) -> HttpResponse:
    """What the member bought last, each with what of it was given back; ``?from=`` goes on from a place."""
    member = get_object_or_404(Member, number=number)
    place = request.GET.get("from", "")
    start = int(place) if place.isdecimal() and len(place) < 7 else 0
    found = list(member.purchases.order_by("-purchased_at", "-pk")[start : start + SHOWN + 1])
    context = {
        "member": member,
        "purchases": found[:SHOWN],
        "older": start + SHOWN if len(found) > SHOWN else None,
        "newer": max(start - SHOWN, 0) if start else None,
        "may_refund": request.user.may(Permission.POINTS_ADJUST),
    }
    return render(request, "loyalty/_member_purchases.html", context)


@requires(Permission.POINTS_ADJUST)
@require_http_methods(["GET", "HEAD", "POST"])
@never_cache
def refund(request: DeskRequest, pk: int) -> HttpResponse:
    """The dialog to give a purchase back: asked for, it shows what that will do; confirmed, it does it."""
    purchase = get_object_or_404(Purchase.objects.select_related("member"), pk=pk)
    standing = refunds.standings([purchase])[purchase.pk]
    posted = request.POST if request.method == "POST" else None
    names = {line.line_no: str(line) for line in purchase.lines.all()}
    form = RefundForm(posted, standing=standing, names=names, initial={"key": uuid4().hex})
    if posted is None or not form.is_valid() or posted.get("step") == "back":
        return render(request, "loyalty/_purchase_refund.html", _dialog(request, purchase, form))
    asked = form.asked()
    try:
        if posted.get("step") != "do":
            told = preview_refund(purchase_key=purchase.key, **asked)
            return render(
                request, "loyalty/_purchase_refund.html", _dialog(request, purchase, form) | _told(purchase, told)
            )
        done = refunding.refund(
            purchase,
            key=f"desk:{form.cleaned_data['key']}",
            reason=form.cleaned_data["reason"],
            user=request.user,
            **asked,
        )
    except RefundRefused as refusal:
        form.add_error("amount" if refusal.field == "amount" and asked["amount"] else None, refund_words.why(refusal))
        return render(request, "loyalty/_purchase_refund.html", _dialog(request, purchase, form))
    except (RefundDiffers, limits.DayLimitReached) as refusal:
        reasons: dict[type[Exception], str] = {RefundDiffers: _("This was refunded already. Look at the timeline.")}
        form.add_error(None, dialogs.why(refusal, reasons))
        return render(request, "loyalty/_purchase_refund.html", _dialog(request, purchase, form))
    return _done(done)


def _done(done: RecordedRefund | Approval) -> HttpResponse:
    if isinstance(done, Approval):
        return dialogs.done(_("Asked for: a second person decides."), "look")
    amount = done.refund.amount or 0
    text = _("%(amount)s refunded, %(points)s points taken back.") % {
        "amount": figures.money(amount, done.refund.currency),
        "points": figures.number(done.points_taken),
    }
    return dialogs.done(text)


class UndoForm(forms.Form):
    """Why."""

    comment = forms.CharField(label=gettext_lazy("Comment"), max_length=300, widget=forms.Textarea(attrs={"rows": 2}))


@requires(Permission.POINTS_REVERSE)
@require_http_methods(["GET", "HEAD", "POST"])
@never_cache
def undo(request: DeskRequest, pk: int) -> HttpResponse:
    """The dialog that says what undoing a refund does; posted, it does it (or asks for it)."""
    item = get_object_or_404(Refund, pk=pk)
    form = UndoForm(request.POST or None)
    if request.method != "POST" or not form.is_valid():
        return _undo_dialog(request, item, form)
    try:
        done = refund_undo.undo(item, comment=form.cleaned_data["comment"], user=request.user)
    except refund_undo.UndoRefused as refusal:
        return _undo_dialog(request, item, form, error=refund_undo.why(refusal))
    except limits.DayLimitReached as refusal:
        return _undo_dialog(request, item, form, error=dialogs.why(refusal, {}))
    if isinstance(done, Approval):
        answer = dialogs.done(_("Asked for: a second person decides."), "look")
    else:
        answer = dialogs.done(_("Undone: %(points)s points.") % {"points": figures.signed(done.points)}, "good")
    if urlsplit(request.headers.get("HX-Current-URL", "")).path == reverse("loyalty:refunds"):
        answer.headers["HX-Refresh"] = "true"
    return answer


def _undo_dialog(request: DeskRequest, item: Refund, form: UndoForm, *, error: str = "") -> HttpResponse:
    found = None
    try:
        found = refund_undo.preview(item)
    except refund_undo.UndoRefused as refusal:
        error = refund_undo.why(refusal)
    context = {"item": item, "form": form, "error": error, "preview": found}
    context["lines"] = refund_undo.told(found) if found else []
    return render(request, "loyalty/_refund_undo.html", context)


def _dialog(request: DeskRequest, purchase: Purchase, form: RefundForm) -> dict[str, Any]:
    earlier = purchase.refunds.filter(state=Refund.State.APPLIED).select_related("created_by").order_by("refunded_at")
    return {
        "purchase": purchase,
        "form": form,
        "standing": form.standing,
        "earlier": list(earlier),
        "may_undo": request.user.may(Permission.POINTS_REVERSE),
    }


def _told(purchase: Purchase, told: RecordedRefund) -> dict[str, Any]:
    """What confirming will do, in sentences with the numbers in them."""
    account = Account.objects.filter(member=purchase.member_id).first()
    taken, returned = told.points_taken, told.points_returned
    sentences = []
    if taken:
        words = ngettext(
            "%(points)s point that it earned is taken back.", "%(points)s points that it earned are taken back.", taken
        )
        sentences.append(words % {"points": figures.number(taken)})
    if told.debt > 0:
        words = ngettext(
            "%(debt)s of them is spent already and becomes debt, which later points pay off.",
            "%(debt)s of them are spent already and become debt, which later points pay off.",
            told.debt,
        )
        sentences.append(words % {"debt": figures.number(told.debt)})
    if returned:
        words = ngettext(
            "%(points)s point that was spent on it comes back.",
            "%(points)s points that were spent on it come back.",
            returned,
        )
        sentences.append(words % {"points": figures.number(returned)})
    if not told.entries:
        sentences.append(_("No points move."))
    before = account.balance if account else 0
    return {
        "told": told,
        "needs_second_person": refunding.needs_second_person(told),
        "sentences": sentences,
        "balance": before,
        "balance_after": before + sum(entry.points for entry in told.entries),
    }
