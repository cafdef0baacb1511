"""Who would move under what stands in the form of the tiers: counted by a job, shown in the form and on a page."""

from decimal import Decimal
from operator import attrgetter
from typing import Any

from django.http import Http404, HttpRequest, HttpResponse, QueryDict
from django.http.response import HttpResponseBase
from django.shortcuts import get_object_or_404, render
from django.urls import reverse
from django.utils.translation import gettext as _
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_POST, require_safe
from django_htmx.http import replace_url

from loyalty import words
from loyalty.models import ForeseenMove, Tier
from loyalty.tier_forms import SchemeForm
from loyalty.tiers import preview
from staff.exports import csv_response
from staff.models import Job
from staff.paging import SIZE, key_in, page_of
from staff.permissions import Permission, requires
from staff.requests import DeskRequest

CSV_CHUNK = 2_000


@requires(Permission.PROGRAMME_EDIT)
@require_POST
def start(request: DeskRequest) -> HttpResponse:
    """Let a job count who would move under what is in the form; nothing is saved.

    The address of the page becomes one that brings back what was typed.
    """
    form = SchemeForm(request.POST, tiers=list(Tier.objects.order_by("rank").prefetch_related("thresholds")))
    if not form.is_valid():
        return render(request, "loyalty/_tier_moves.html", {"is_unclear": True})
    job = preview.start(form.proposed, form=typed_in(request), user=request.user)
    return replace_url(render(request, "loyalty/_tier_moves.html", told(job)), form_url(job))


@requires(Permission.PROGRAMME_VIEW)
@require_safe
@never_cache
def result(request: DeskRequest, pk: int) -> HttpResponse:
    """How far it is; once it is done, who would move where and at what cost. For the form only the sentences."""
    job = _preview(pk)
    template = "loyalty/_tier_moves.html" if request.htmx.target == "tier-moves" else "loyalty/tier_preview.html"
    return render(request, template, told(job) | {"may_edit": request.user.may(Permission.PROGRAMME_EDIT)})


@requires(Permission.MEMBERS_VIEW)
@require_safe
def members(request: DeskRequest, pk: int) -> HttpResponse:
    """The members behind one number of a preview."""
    job = _counted(pk)
    from_tier, to_tier = (get_object_or_404(Tier, key=request.GET.get(name, "")) for name in ("from", "to"))
    moves = ForeseenMove.objects.filter(job=job, from_tier=from_tier, to_tier=to_tier).select_related("member")
    moves = moves.filter(member_id__gt=key_in(request.GET.get("after", ""))).order_by("member_id")
    found = [move.member for move in moves[: SIZE + 1]]
    context = {
        "job": job,
        "from": words.tier_name(from_tier),
        "to": words.tier_name(to_tier),
        "page": page_of(found, request.GET, place=attrgetter("pk"), size=SIZE),
        "may_see_members": request.user.may(Permission.MEMBERS_VIEW),
    }
    return render(request, "loyalty/tier_members.html", context)


@requires(Permission.MEMBERS_VIEW)
@require_safe
def members_csv(request: HttpRequest, pk: int) -> HttpResponseBase:
    """Everybody who would move, as a file of numbers and tiers."""
    job = _counted(pk)
    moves = ForeseenMove.objects.filter(job=job).order_by("from_tier__rank", "to_tier__rank", "member_id")
    rows = moves.values_list("member__number", "from_tier__key", "to_tier__key").iterator(CSV_CHUNK)
    return csv_response("tier-preview", [_("member"), _("from tier"), _("to tier")], rows)


def typed_in(request: HttpRequest) -> str:
    """What is in the form, as a query string for the address that brings it back."""
    fields = request.POST.copy()
    fields.pop("csrfmiddlewaretoken", None)
    return fields.urlencode()


def found(pk: str) -> Job | None:
    """The preview that an address names, if there is one."""
    return Job.objects.filter(kind=preview.JOB, pk=int(pk)).first() if pk.isdecimal() and len(pk) < 19 else None


def typed(job: Job) -> QueryDict:
    """What was in the form when the preview was asked for."""
    return QueryDict(job.payload["form"])


def form_url(job: Job) -> str:
    """The tier page with the form as it was then."""
    return f"{reverse('loyalty:tiers')}?preview={job.pk}"


def told(job: Job | None) -> dict[str, Any]:
    """A preview for its templates: how far it is, or what came of it."""
    if job is None:
        return {}
    context: dict[str, Any] = {"job": job, "form_url": form_url(job), "is_done": job.state == Job.State.DONE}
    if context["is_done"]:
        found = job.result["detail"]
        names = {tier.key: words.tier_name(tier) for tier in Tier.objects.order_by("rank")}
        context |= {
            "moves": [_move(move, names) for move in found["moves"]],
            # Previews of before have no "stays".
            "stays": [(names.get(key, key), points) for key, points in found.get("stays", {}).items()],
            "benefits": Decimal(found["benefits"]),
            "points": found["points"],
            "cost": Decimal(found["cost"]),
            "has_members": ForeseenMove.objects.filter(job=job).exists(),
        }
    return context


def _move(move: dict[str, Any], names: dict[str, str]) -> dict[str, Any]:
    named = {"from": names.get(move["from_tier"], move["from_tier"]), "to": names.get(move["to_tier"], move["to_tier"])}
    return move | named | {"benefits": Decimal(move["benefits"])}


def _counted(pk: int) -> Job:
    """A preview that came to its end: of one that was cancelled on the way the lists are not whole."""
    job = _preview(pk)
    if job.state != Job.State.DONE:
        raise Http404
    return job


def _preview(pk: int) -> Job:
    return get_object_or_404(Job.objects.select_related("created_by"), pk=pk, kind=preview.JOB)
