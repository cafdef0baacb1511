"""What waits for a second person: the list, one request with what it would do, and the decision."""

from django.contrib import messages
from django.db.models import Q, QuerySet
from django.http import HttpResponse
from django.http.response import HttpResponseBase
from django.shortcuts import get_object_or_404, redirect, render
from django.utils.translation import gettext as _
from django.utils.translation import pgettext
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_POST, require_safe

from staff import approvals
from staff.exports import csv_response
from staff.models import Approval
from staff.paging import newest_first
from staff.permissions import Permission, requires
from staff.requests import DeskRequest

CSV_ROWS_AT_ONCE = 2000
LONGEST_REASON = 500
State = Approval.State


@requires(Permission.APPROVALS_VIEW)
@require_safe
@never_cache
def approval_list(request: DeskRequest) -> HttpResponse:
    """What waits, or everything that was decided; filters are in the address."""
    decided = request.GET.get("show") == "decided"
    page = newest_first(_found(request), request.GET)
    rows = [(row, *_words(row), approvals.TONES[State(row.state)]) for row in page.rows]
    context = {
        "page": page,
        "rows": rows,
        "decided": decided,
        "tabs": [
            (pgettext("requests", "Waiting"), "?", not decided),
            (pgettext("requests", "Decided"), "?show=decided", decided),
        ],
        "kinds": [("", _("Any kind")), *approvals.choices()],
        "whose": [
            ("", _("Anybody's")),
            ("mine", _("Asked for by me")),
            *([("to-decide", _("For me to decide"))] if not decided else []),
        ],
        "states": [("", _("Any decision")), *State.choices[1:]],
        "is_filtered": any(request.GET.get(name) for name in ("q", "kind", "whose", "state")),
    }
    return render(request, "staff/approvals.html", context)


@requires(Permission.APPROVALS_VIEW)
@require_safe
def approvals_csv(request: DeskRequest) -> HttpResponseBase:
    """The same list, whole, as a CSV file."""
    head = [
        _("asked for"),
        _("by"),
        _("kind"),
        _("what"),
        _("comment"),
        _("state"),
        _("decided at"),
        _("decided by"),
        _("reason"),
    ]
    found = _found(request).order_by("-pk")
    return csv_response("approvals", head, (_cells(row) for row in found.iterator(chunk_size=CSV_ROWS_AT_ONCE)))


@requires(Permission.APPROVALS_VIEW)
@require_safe
@never_cache
def approval(request: DeskRequest, pk: int) -> HttpResponse:
    """One request: who asked for what and why, what approving it does in numbers, and the decision."""
    return _page(request, _get(pk))


@requires(Permission.APPROVALS_DECIDE)
@require_POST
@never_cache
def approve(request: DeskRequest, pk: int) -> HttpResponse:
    """Decide for it; it is carried out at once."""
    found = _get(pk)
    try:
        approvals.approve(found, user=request.user, reason=request.POST.get("reason", "")[:LONGEST_REASON])
    except approvals.ApprovalError as refusal:
        return _refused(request, pk, refusal)
    messages.success(request, _("Approved and carried out: %(what)s") % {"what": approvals.title(found)})
    return redirect("staff:approvals")


@requires(Permission.APPROVALS_DECIDE)
@require_POST
@never_cache
def refuse(request: DeskRequest, pk: int) -> HttpResponse:
    """Decide against it, with a reason."""
    found = _get(pk)
    try:
        approvals.refuse(found, user=request.user, reason=request.POST.get("reason", "")[:LONGEST_REASON])
    except approvals.ApprovalError as refusal:
        return _refused(request, pk, refusal)
    messages.success(request, _("Refused: %(what)s") % {"what": approvals.title(found)})
    return redirect("staff:approvals")


@requires(Permission.APPROVALS_VIEW)
@require_POST
@never_cache
def withdraw(request: DeskRequest, pk: int) -> HttpResponse:
    """Take one's own request back."""
    found = _get(pk)
    try:
        approvals.withdraw(found, user=request.user)
    except approvals.ApprovalError as refusal:
        return _refused(request, pk, refusal)
    messages.success(request, _("Taken back: %(what)s") % {"what": approvals.title(found)})
    return redirect("staff:approvals")


def _get(pk: int) -> Approval:
    return get_object_or_404(Approval.objects.select_related("requested_by", "decided_by"), pk=pk)


def _found(request: DeskRequest) -> QuerySet[Approval]:
    """The requests that the address asks for."""
    query = request.GET
    whose, decided = query.get("whose", ""), query.get("show") == "decided"
    if whose == "to-decide" and not decided:
        found = approvals.waiting_for(request.user)
    elif decided:
        found = Approval.objects.exclude(state=State.REQUESTED)
    else:
        found = Approval.objects.filter(state=State.REQUESTED)
    if whose == "mine":
        found = found.filter(requested_by=request.user)
    if kind := query.get("kind", "")[:64].replace("\0", ""):
        found = found.filter(kind=kind)
    if decided and (state := query.get("state", "")) in State.values:
        found = found.filter(state=state)
    if text := query.get("q", "")[:200].replace("\0", "").strip():
        found = found.filter(Q(subject__icontains=text) | Q(requested_label__icontains=text))
    return found.select_related("requested_by", "decided_by")


def _words(row: Approval) -> tuple[str, str]:
    kind = approvals.kind_of(row)
    return approvals.title(row), str(kind.label) if kind else row.kind


def _cells(row: Approval) -> list[object]:
    title, kind = _words(row)
    decision = [row.get_state_display(), row.decided_at, row.decided_by, row.reason]
    return [row.requested_at, row.requested_label, kind, title, row.comment, *decision]


def _page(
    request: DeskRequest, found: Approval, *, error: str = "", reason_problem: str = "", status: int = 200
) -> HttpResponse:
    outlook = approvals.outlook(found)
    title, kind = _words(found)
    may_decide = approvals.may_decide(found, request.user)
    context = {
        "approval": found,
        "title": title,
        "kind": kind,
        "tone": approvals.TONES[State(found.state)],
        "outlook": outlook,
        "may_decide": may_decide,
        "is_own": found.requested_by_id == request.user.pk,
        "is_waiting": found.state == State.REQUESTED,
        "is_stuck": not may_decide and approvals.is_stuck(found),
        "error": error,
        "reason_problem": reason_problem,
        "longest_reason": LONGEST_REASON,
        "typed": request.POST.get("reason", ""),
    }
    return render(request, "staff/approval.html", context, status=status)


def _refused(request: DeskRequest, pk: int, refusal: approvals.ApprovalError) -> HttpResponse:
    """The page again with the reason: forbidden, decided by another meanwhile, or not to be done now."""
    reasons: dict[type[approvals.ApprovalError], tuple[str, int]] = {
        approvals.OwnRequest: (_("You asked for this yourself: somebody else decides it."), 403),
        approvals.NotTheirs: (_("This is not yours to decide."), 403),
        approvals.AlreadyDecided: (_("Somebody decided this before you."), 409),
    }
    if isinstance(refusal, approvals.ReasonMissing):
        return _page(request, _get(pk), reason_problem=_("Say why: whoever asked will read it."), status=422)
    error, status = reasons.get(type(refusal), (str(refusal), 409))
    return _page(request, _get(pk), error=error, status=status)
