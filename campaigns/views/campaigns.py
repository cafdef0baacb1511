"""All campaigns, and the page of one: how far it is, what came of each message, and what can be done."""

from collections.abc import Callable
from typing import Any

from django.contrib import messages
from django.db.models import Q, QuerySet
from django.http import Http404, HttpResponse
from django.shortcuts import get_object_or_404, redirect, render
from django.urls import reverse
from django.utils import timezone
from django.utils.translation import gettext as _
from django.utils.translation import ngettext
from django.views.decorators.http import require_POST, require_safe

from campaigns import drafts, progress, reasons, runs, timeline
from campaigns.models import Campaign, Message, Run
from members import conditions
from members.experiments import CONTROL
from staff.figures import number
from staff.models import User
from staff.paging import newest_first
from staff.permissions import Permission, requires
from staff.requests import DeskRequest

State = Campaign.State


@requires(Permission.CAMPAIGNS_VIEW)
@require_safe
def campaign_list(request: DeskRequest) -> HttpResponse:
    """All campaigns, newest first, with how far each is."""
    page = newest_first(_filtered(request), request.GET, size=25)
    now = timezone.now()
    latest = {run.campaign_id: run for run in Run.objects.filter(campaign__in=page.rows).order_by("due_at")}
    rows = [
        {"campaign": one, "progress": progress.of_run(latest[one.pk], now) if one.pk in latest else None}
        for one in page.rows
    ]
    coming = Campaign.objects.filter(state=State.SCHEDULED).order_by("scheduled_at").first()
    context = {
        "page": page,
        "rows": rows,
        "coming": coming,
        "now": now,
        "states": [("", _("Any state")), *State.choices],
        "origins": [("", _("Ours and imported")), ("ours", _("Ours")), ("imported", _("Imported"))],
        "is_filtered": any(request.GET.get(name) for name in ("q", "state", "origin")),
        "is_live": any(one.state in {State.SCHEDULED, State.RUNNING} for one in page.rows),
    }
    return render(request, "campaigns/_rows.html" if request.htmx else "campaigns/list.html", context)


@requires(Permission.CAMPAIGNS_VIEW)
@require_safe
def campaign(request: DeskRequest, pk: int) -> HttpResponse:
    """One campaign; for htmx only the part that moves."""
    found = get_object_or_404(Campaign.objects.select_related("created_by", "import_run"), pk=pk)
    if found.state == State.DRAFT and request.user.may(Permission.CAMPAIGNS_EDIT) and not request.htmx:
        return redirect("campaigns:edit", pk=pk, step=next(iter(drafts.problems(found, timezone.now())), "review"))
    now = timezone.now()
    run = found.runs.order_by("-due_at").first()
    context: dict[str, Any] = {
        "campaign": found,
        "run": run,
        "progress": progress.of_run(run, now) if run and run.state != Run.State.PLANNING else None,
        "arms": _arm_rows(found),
        "is_live": found.state in {State.SCHEDULED, State.RUNNING, State.PAUSED},
        "starts_in": found.scheduled_at - now if found.scheduled_at and found.scheduled_at > now else None,
        "asks": found.state == State.PAUSED and (run is None or run.state == Run.State.CANCELLED),
        "run_note": reasons.in_words(run.note) if run and run.note else "",
        "may_launch": request.user.may(Permission.CAMPAIGNS_LAUNCH),
        "may_edit": request.user.may(Permission.CAMPAIGNS_EDIT),
    }
    if not request.htmx:
        context |= {"sentence": _sentence(found), "split": _split(found)}
    return render(request, "campaigns/_run.html" if request.htmx else "campaigns/campaign.html", context)


@requires(Permission.CAMPAIGNS_VIEW)
@require_safe
def message_list(request: DeskRequest, pk: int) -> HttpResponse:
    """The very messages that a figure counts, with why each is where it is."""
    found = get_object_or_404(Campaign, pk=pk)
    rows = Message.objects.filter(run__campaign=found).select_related("member", "variant")
    if (state := request.GET.get("state", "")) in Message.State.values:
        rows = rows.filter(state=state)
    if variant := request.GET.get("variant", ""):
        rows = rows.filter(variant__key=variant[:16])
    page = newest_first(rows, request.GET)
    context = {
        "campaign": found,
        "page": page,
        "rows": [{"message": row, "reason": reasons.in_words(row.reason)} for row in page.rows],
        "states": [("", _("Any state")), *Message.State.choices],
        "variants": [("", _("Any variant")), *((one.key, one.key) for one in found.variants.all())],
        "may_see_members": request.user.may(Permission.MEMBERS_VIEW),
    }
    return render(request, "campaigns/messages.html", context)


@requires(Permission.CAMPAIGNS_LAUNCH)
@require_POST
def act(request: DeskRequest, pk: int, action: str) -> HttpResponse:
    """Pause, resume, cancel and the like: one press, one change."""
    get_object_or_404(Campaign, pk=pk)
    if action not in ACTIONS:
        raise Http404
    try:
        messages.success(request, ACTIONS[action](pk, request.user))
    except runs.NotPossible:
        messages.error(request, _("That is no longer possible: the campaign has moved on."))
    return redirect("campaigns:campaign", pk=pk)


@requires(Permission.CAMPAIGNS_EDIT)
@require_POST
def copy(request: DeskRequest, pk: int) -> HttpResponse:
    """A new draft like this one."""
    found = get_object_or_404(Campaign, pk=pk, imported=False)
    made = drafts.copy(found, name=_("Copy of %(name)s") % {"name": found.name[:100]}, user=request.user)
    return redirect("campaigns:edit", pk=made.pk, step="goal")


@requires(Permission.CAMPAIGNS_EDIT)
@require_POST
def delete(request: DeskRequest, pk: int) -> HttpResponse:
    """Throw a draft away."""
    found = get_object_or_404(Campaign, pk=pk)
    try:
        drafts.delete(pk)
    except drafts.Changed:
        messages.error(request, _("Only a draft that was never started can be deleted."))
        return redirect("campaigns:campaign", pk=pk)
    messages.success(request, _("“%(name)s” was deleted.") % {"name": found.name})
    return redirect(reverse("campaigns:list"))


def _filtered(request: DeskRequest) -> QuerySet[Campaign]:
    found = Campaign.objects.select_related("created_by")
    if text := request.GET.get("q", "").strip().replace("\0", ""):
        found = found.filter(Q(name__icontains=text) | Q(external_id__icontains=text))
    if (state := request.GET.get("state", "")) in State.values:
        found = found.filter(state=state)
    if (origin := request.GET.get("origin", "")) in {"ours", "imported"}:
        found = found.filter(imported=origin == "imported")
    return found


def _arm_rows(found: Campaign) -> list[dict[str, Any]]:
    arms = progress.arms_of(found)
    events = sorted({event for arm in arms for event in arm.events}, key=_event_order)
    return [
        {
            "arm": arm,
            "events": [(timeline.event_in_words(event), arm.events.get(event, 0)) for event in events],
        }
        for arm in arms
    ]


def _event_order(event: str) -> tuple[int, str]:
    order = ["received", "opened", "viewed", "clicked", "completed", "unsubscribed"]
    return (order.index(event) if event in order else len(order), event)


def _sentence(found: Campaign) -> str:
    if found.imported:
        return ""
    try:
        return conditions.sentence(found.audience)
    except conditions.ConditionError:
        return _("The conditions can no longer be read.")


def _split(found: Campaign) -> list[tuple[str, int]]:
    if found.experiment is not None:
        arms = found.experiment.arms
    elif not found.imported and found.variants.exists():
        arms = runs.arms(found)
    else:
        return []
    return [(_("Holdout") if arm["key"] == CONTROL else arm["key"], arm["share"]) for arm in arms if arm.get("share")]


def _paused(pk: int, user: User) -> str:
    runs.pause(pk, user=user)
    return _("Paused. What is being handed over in this second still goes.")


def _resumed(pk: int, user: User) -> str:
    runs.resume(pk, user=user)
    return _("It goes on.")


def _cancelled(pk: int, user: User) -> str:
    runs.cancel(pk, user=user)
    return _("Cancelled. Nothing more is sent.")


def _drafted(pk: int, user: User) -> str:
    runs.back_to_draft(pk, user=user)
    return _("Taken off the schedule. It is a draft again.")


def _started_late(pk: int, user: User) -> str:
    runs.start_late(pk, user=user)
    return _("It begins in a few seconds.")


def _resent(pk: int, user: User) -> str:
    count = runs.resend_unknown(pk, user=user)
    return ngettext("%(count)s message is sent again.", "%(count)s messages are sent again.", count) % {
        "count": number(count)
    }


ACTIONS: dict[str, Callable[[int, User], str]] = {
    "pause": _paused,
    "resume": _resumed,
    "cancel": _cancelled,
    "back-to-draft": _drafted,
    "start-late": _started_late,
    "resend-unknown": _resent,
}
