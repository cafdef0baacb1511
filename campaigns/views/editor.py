"""The editor: a draft in five steps, each saved as it is."""

import smtplib
from typing import Any

from csp.decorators import csp_replace
from django.contrib import messages
from django.http import Http404, HttpResponse
from django.shortcuts import get_object_or_404, redirect, render
from django.urls import reverse
from django.utils import timezone
from django.utils.translation import gettext as _
from django.views.decorators.cache import never_cache
from django.views.decorators.clickjacking import xframe_options_sameorigin
from django.views.decorators.http import require_http_methods, require_POST, require_safe

from campaigns import audiences, content, drafts, liquid, preview, runs
from campaigns.content import ContentError, RenderError
from campaigns.forms import GoalForm, ScheduleForm, VariantForm
from campaigns.models import Campaign, Variant
from members import conditions
from members.conditions import editing
from members.experiments import CONTROL, Arm
from members.models import Member
from staff.permissions import Permission, requires
from staff.requests import DeskRequest

STEPS = (*drafts.STEPS, "review")


@requires(Permission.CAMPAIGNS_EDIT)
@require_http_methods(["GET", "HEAD", "POST"])
def create(request: DeskRequest) -> HttpResponse:
    """A new campaign: its name and goal, then on to whom it is for."""
    form = GoalForm(request.POST or None, initial={"goal_days": 14})
    if request.method == "POST" and form.is_valid():
        campaign = drafts.create(**form.cleaned_data, user=request.user)
        return redirect("campaigns:edit", pk=campaign.pk, step="audience")
    return render(request, "campaigns/new.html", {"form": form}, status=422 if form.errors else 200)


@requires(Permission.CAMPAIGNS_EDIT)
@require_http_methods(["GET", "HEAD", "POST"])
@never_cache
def edit(request: DeskRequest, pk: int, step: str) -> HttpResponse:
    """One step of a draft. Posted, it is saved and the next step comes; what is wrong stands beside its field."""
    if step not in STEPS:
        raise Http404
    campaign = get_object_or_404(Campaign.objects.select_related("created_by"), pk=pk)
    if campaign.state != Campaign.State.DRAFT:
        return redirect("campaigns:campaign", pk=pk)
    if request.method != "POST":
        return _page(request, campaign, step, {})
    try:
        problem = _save(request, campaign, step)
    except drafts.Changed:
        messages.error(request, _("Somebody else changed this campaign meanwhile. This is how it is now."))
        return redirect("campaigns:edit", pk=pk, step=step)
    if problem is not None:
        return _page(request, campaign, step, problem, status=422)
    after = step if _wants_copy(request) else request.POST.get("then", "")
    return redirect("campaigns:edit", pk=pk, step=after if after in STEPS else STEPS[STEPS.index(step) + 1])


@requires(Permission.CAMPAIGNS_EDIT)
@require_POST
def reach(request: DeskRequest, pk: int) -> HttpResponse:
    """How many the audience in the form matches, and how many of them can be written to."""
    get_object_or_404(Campaign, pk=pk)
    context: dict[str, Any] = {}
    try:
        context["reach"] = audiences.reach(editing.load(request.POST.get("audience", "")))
    except conditions.ConditionError as error:
        context["problem"] = str(error)
    return render(request, "campaigns/_reach.html", context)


@requires(Permission.CAMPAIGNS_EDIT)
@require_POST
def split(request: DeskRequest, pk: int) -> HttpResponse:
    """The arms and what they can show, for the numbers in the form; nothing is saved."""
    campaign = get_object_or_404(Campaign, pk=pk)
    variants = list(campaign.variants.all())
    holdout = _percent(request, "holdout_percent", campaign.holdout_percent, 0, 90)
    weights = [variant.share for variant in variants]
    if len(variants) > 1:
        first = _percent(request, "share", weights[0], 1, 99)
        weights = [first, 100 - first]
    shares = runs.arms_by(holdout, [variant.key for variant in variants], weights)
    return render(request, "campaigns/_split.html", {"campaign": campaign} | _split(campaign, shares))


@requires(Permission.CAMPAIGNS_EDIT)
@require_POST
def keep_content(request: DeskRequest, pk: int) -> HttpResponse:
    """Save the content while it is being written; answers with the preview and what is wrong."""
    campaign = get_object_or_404(Campaign, pk=pk)
    try:
        revision = _save_content(request, campaign)
    except drafts.Changed:
        response = HttpResponse(status=204)
        response["HX-Redirect"] = reverse("campaigns:edit", args=[pk, "content"])
        messages.error(request, _("Somebody else changed this campaign meanwhile. This is how it is now."))
        return response
    campaign.refresh_from_db()
    found = drafts.problems(campaign, timezone.now())
    context = _preview(request, campaign) | {"revision": revision, "is_oob": True}
    context["steps"] = _steps(campaign, "content", found)
    return render(request, "campaigns/_preview.html", context)


@requires(Permission.CAMPAIGNS_EDIT)
@require_safe
@never_cache
@xframe_options_sameorigin
@csp_replace(preview.CSP)  # type: ignore[arg-type]
def preview_frame(request: DeskRequest, pk: int, key: str) -> HttpResponse:
    """The message as one member would see it: a page of its own that may do nothing."""
    variant = get_object_or_404(Variant, campaign=pk, key=key)
    member = get_object_or_404(Member, number=request.GET.get("member", ""))
    try:
        return HttpResponse(preview.as_member(variant, member).html)
    except (ContentError, RenderError) as error:
        return render(request, "campaigns/preview_problem.html", {"problem": str(error)})


@requires(Permission.CAMPAIGNS_EDIT)
@require_POST
def send_test(request: DeskRequest, pk: int) -> HttpResponse:
    """Send a variant to the person who asks, as a member would get it."""
    variant = get_object_or_404(Variant, campaign=pk, key=request.POST.get("key", "A"))
    member = get_object_or_404(Member, number=request.POST.get("member", ""))
    try:
        preview.send_test(variant, member, request.user)
    except (ContentError, RenderError) as error:
        messages.error(request, _("Not sent: %(why)s") % {"why": error})
    except (OSError, smtplib.SMTPException) as error:
        messages.error(request, _("The mail server did not take it: %(why)s") % {"why": error})
    else:
        messages.success(
            request, _("Variant %(key)s is on its way to %(to)s.") % {"key": variant.key, "to": request.user.email}
        )
    return redirect(f"{reverse('campaigns:edit', args=[pk, 'content'])}?member={member.number}&variant={variant.key}")


@requires(Permission.CAMPAIGNS_EDIT)
@require_POST
def one_variant(request: DeskRequest, pk: int) -> HttpResponse:
    """Take variant B away again."""
    campaign = get_object_or_404(Campaign, pk=pk)
    try:
        drafts.save(pk, revision=campaign.revision, variants=_rows(campaign)[:1])
    except drafts.Changed:
        messages.error(request, _("This campaign can no longer be changed."))
    return redirect("campaigns:edit", pk=pk, step="content")


@requires(Permission.CAMPAIGNS_LAUNCH)
@require_POST
def launch(request: DeskRequest, pk: int) -> HttpResponse:
    """Schedule the draft as it was reviewed."""
    get_object_or_404(Campaign, pk=pk)
    try:
        runs.launch(pk, revision=_revision(request), user=request.user)
    except drafts.Incomplete as error:
        messages.error(request, str(error))
    except drafts.Changed:
        messages.error(request, _("The campaign was changed after you opened this page. Review it again."))
    except runs.NotPossible:
        messages.info(request, _("Somebody has launched it already."))
        return redirect("campaigns:campaign", pk=pk)
    else:
        return redirect("campaigns:campaign", pk=pk)
    return redirect("campaigns:edit", pk=pk, step="review")


def _save(request: DeskRequest, campaign: Campaign, step: str) -> dict[str, Any] | None:
    """Save what was posted for a step; returns the context of the page that says what is wrong, or None."""
    revision = _revision(request)
    if step == "goal":
        goal = GoalForm(request.POST)
        if not goal.is_valid():
            return {"form": goal}
        drafts.save(campaign.pk, revision=revision, **goal.cleaned_data)
    elif step == "audience":
        tree = editing.load(request.POST.get("audience", ""))
        found = conditions.problems(tree)
        if found:
            return {"tree": tree, "tree_problem": _("Something is missing in the conditions.")}
        drafts.save(campaign.pk, revision=revision, audience=tree)
    elif step == "content":
        _save_content(request, campaign)
    elif step == "schedule":
        form = ScheduleForm(request.POST, has_two=campaign.variants.count() > 1)
        if not form.is_valid():
            return {"form": form}
        _save_schedule(campaign, revision, form.cleaned_data)
        if form.note:
            messages.info(request, form.note)
    return None


def _save_schedule(campaign: Campaign, revision: int, told: dict[str, Any]) -> None:
    rows = _rows(campaign)
    if len(rows) > 1 and told.get("share"):
        rows[0]["share"], rows[1]["share"] = told["share"], 100 - told["share"]
    drafts.save(
        campaign.pk,
        revision=revision,
        variants=rows,
        scheduled_at=told["scheduled_at"],
        time_zone=told["time_zone"],
        late_policy=told["late_policy"],
        holdout_percent=told["holdout_percent"],
    )


def _save_content(request: DeskRequest, campaign: Campaign) -> int:
    rows = _rows(campaign)
    for row in rows:
        subject, body = (request.POST.get(f"{row['key']}-{name}") for name in ("subject", "body"))
        if subject is not None:
            row["subject"] = subject.replace("\0", "")[:200]
        if body is not None:
            row["body"] = body.replace("\0", "").replace("\r\n", "\n")[: liquid.MAX_SOURCE + 1]
    if _wants_copy(request) and len(rows) == 1:
        rows = [rows[0] | {"share": 50}, rows[0] | {"key": "B", "share": 50}]
    return drafts.save(campaign.pk, revision=_revision(request), variants=rows)


def _wants_copy(request: DeskRequest) -> bool:
    """Whether variant B is to be added, as a copy of what was just written for A."""
    return request.POST.get("then") == "copy"


def _rows(campaign: Campaign) -> list[dict[str, Any]]:
    return [dict(row) for row in campaign.variants.values("key", "name", "share", "subject", "body")]


def _revision(request: DeskRequest) -> int:
    text = request.POST.get("revision", "")
    return int(text) if text.isdecimal() and len(text) < 9 else 0


def _page(
    request: DeskRequest, campaign: Campaign, step: str, more: dict[str, Any], *, status: int = 200
) -> HttpResponse:
    problems = drafts.problems(campaign, timezone.now())
    following = STEPS[STEPS.index(step) + 1] if step != "review" else ""
    context: dict[str, Any] = {
        "campaign": campaign,
        "step": step,
        "steps": _steps(campaign, step, problems),
        "next_step": following,
        "next_words": _("Next: %(step)s") % {"step": _WORDS[following]()} if following else "",
        "problems": problems,
        "revision": campaign.revision,
    }
    context |= _STEP_CONTEXT[step](request, campaign) | more
    return render(request, f"campaigns/edit_{step}.html", context, status=status)


_WORDS = {
    "goal": lambda: _("Goal & name"),
    "audience": lambda: _("Audience"),
    "content": lambda: _("Content"),
    "schedule": lambda: _("Schedule & test"),
    "review": lambda: _("Review"),
}


def _steps(campaign: Campaign, current: str, problems: drafts.Problems) -> list[dict[str, Any]]:
    rows = []
    for step in STEPS:
        state = "todo" if step in problems else "done"
        # The schedule is valid as it comes: it is done where a time was chosen, or once the person has come past it.
        if step == "review" or (step == "schedule" and current != "review" and not campaign.scheduled_at):
            state = "later"
        rows.append(
            {
                "label": _WORDS[step](),
                "url": reverse("campaigns:edit", args=[campaign.pk, step]),
                "state": "current" if step == current else state,
                "needs_work": step in problems,
            }
        )
    return rows


def _goal(request: DeskRequest, campaign: Campaign) -> dict[str, Any]:
    return {"form": GoalForm(initial={"name": campaign.name, "goal_days": campaign.goal_days})}


def _audience(request: DeskRequest, campaign: Campaign) -> dict[str, Any]:
    return {"tree": campaign.audience}


def _content(request: DeskRequest, campaign: Campaign) -> dict[str, Any]:
    return _preview(request, campaign) | {"fields": content.MERGE_FIELDS.items()}


def _preview(request: DeskRequest, campaign: Campaign) -> dict[str, Any]:
    """The variants with what is wrong in each, and the member they are shown to."""
    told = request.POST or request.GET
    member = preview.member_like(told.get("member", ""), campaign, request.user)
    variants = list(campaign.variants.all())
    chosen = next((one for one in variants if one.key == told.get("variant")), variants[0] if variants else None)
    context: dict[str, Any] = {
        "campaign": campaign,
        "member": member,
        "member_text": told.get("member", ""),
        "chosen": chosen,
        "variants": [
            {
                "variant": variant,
                "form": VariantForm(prefix=variant.key, initial={"subject": variant.subject, "body": variant.body}),
                "problems": content.problems(variant.subject, variant.body),
            }
            for variant in variants
        ],
    }
    if member and chosen:
        try:
            context["rendered"] = preview.as_member(chosen, member)
        except (ContentError, RenderError) as error:
            context["render_problem"] = str(error)
    return context


def _schedule(request: DeskRequest, campaign: Campaign) -> dict[str, Any]:
    has_two = campaign.variants.count() > 1
    return {
        "form": ScheduleForm(initial=ScheduleForm.initial_of(campaign), has_two=has_two),
        "has_two": has_two,
    } | _split(campaign)


def _percent(request: DeskRequest, name: str, otherwise: int, low: int, high: int) -> int:
    text = request.POST.get(name, "")
    return min(high, max(low, int(text))) if text.isdecimal() and len(text) < 4 else otherwise


def _split(campaign: Campaign, shares: list[Arm] | None = None) -> dict[str, Any]:
    if not campaign.variants.exists():
        return {}
    shares = shares or runs.arms(campaign)
    named = [(_("Holdout") if arm["key"] == CONTROL else arm["key"], arm["share"]) for arm in shares]
    try:
        power = audiences.power(campaign, shares, timezone.now()) if campaign.audience else None
    except conditions.ConditionError:
        power = None
    return {"arms": named, "power": power}


def _review(request: DeskRequest, campaign: Campaign) -> dict[str, Any]:
    context: dict[str, Any] = _split(campaign) | {"variants": list(campaign.variants.all())}
    try:
        reached = audiences.reach(campaign.audience)
    except conditions.ConditionError:
        return context
    held_out = round(reached.reachable * campaign.holdout_percent / 100)
    context |= {
        "reach": reached,
        "sentence": conditions.sentence(campaign.audience),
        "held_out": held_out,
        "to_send": reached.reachable - held_out,
        "starts_in": campaign.scheduled_at - timezone.now() if campaign.scheduled_at else None,
    }
    return context


_STEP_CONTEXT = {
    "goal": _goal,
    "audience": _audience,
    "content": _content,
    "schedule": _schedule,
    "review": _review,
}
