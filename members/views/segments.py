"""Segments: the list, one with its size and its members, making, changing, building and deleting them."""

from datetime import timedelta
from typing import Any

from django.contrib import messages
from django.core.paginator import Paginator
from django.db.models import F, QuerySet
from django.http import HttpResponse
from django.http.response import HttpResponseBase
from django.shortcuts import get_object_or_404, redirect, render
from django.utils import timezone
from django.utils.translation import gettext as _
from django.utils.translation import ngettext
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_http_methods, require_POST, require_safe

from members import charts, conditions, lookup, segments
from members.conditions.facts import choices_kept
from members.forms import ConditionsForm, ListForm
from members.models import Segment, SegmentMember
from staff import audit, figures
from staff.exports import csv_response
from staff.paging import SIZE, newest_first
from staff.permissions import Permission, requires
from staff.requests import DeskRequest

YEAR = timedelta(days=365)
FOUND_AT_ONCE = 50
Kind = Segment.Kind
ORDERS = {"name": F("name"), "size": F("size"), "built": F("built_at")}


@requires(Permission.MEMBERS_VIEW)
@require_safe
def segment_list(request: DeskRequest) -> HttpResponse:
    """All segments by name; search, filters and order are in the address."""
    found = _filtered(request)
    page = Paginator(found, SIZE).get_page(request.GET.get("page"))
    with choices_kept():
        rows = [(row, _sentence(row)) for row in page]
    context = {
        "page": page,
        "rows": rows,
        "kinds": [("", _("Any kind")), *Kind.choices],
        "is_filtered": any(request.GET.get(name) for name in ("q", "kind")),
        "may_edit": request.user.may(Permission.SEGMENTS_EDIT),
    }
    return render(request, "members/segments/list.html", context)


def _filtered(request: DeskRequest) -> QuerySet[Segment]:
    found = Segment.objects.all()
    if text := request.GET.get("q", "")[:80].replace("\0", "").strip():
        found = found.filter(name__icontains=text)
    if (kind := request.GET.get("kind", "")) in Kind.values:
        found = found.filter(kind=kind)
    sort = request.GET.get("sort", "name")
    column = ORDERS.get(sort.lstrip("-"), ORDERS["name"])
    order = column.desc(nulls_last=True) if sort.startswith("-") else column.asc(nulls_last=True)
    return found.order_by(order, "pk")


def _sentence(segment: Segment) -> str:
    if not segment.is_dynamic:
        return _("A fixed list.")
    try:
        return conditions.sentence(segment.conditions)
    except conditions.ConditionError:
        return _("The conditions can no longer be read.")


@requires(Permission.SEGMENTS_EDIT)
@require_http_methods(["GET", "HEAD", "POST"])
def create(request: DeskRequest) -> HttpResponse:
    """A new one, by conditions or (``?kind=static``) as a list."""
    kind = Kind.STATIC if request.GET.get("kind") == Kind.STATIC else Kind.DYNAMIC
    return _edit(request, Segment(kind=kind))


@requires(Permission.SEGMENTS_EDIT)
@require_http_methods(["GET", "HEAD", "POST"])
@never_cache
def edit(request: DeskRequest, pk: int) -> HttpResponse:
    """Another name, other conditions, another list."""
    return _edit(request, get_object_or_404(Segment, pk=pk))


def _edit(request: DeskRequest, segment: Segment) -> HttpResponse:
    form_class = ConditionsForm if segment.is_dynamic else ListForm
    form = form_class(request.POST or None, request.FILES or None, instance=segment)
    if request.method == "POST" and form.is_valid():
        members = form.cleaned_data.get("members")
        try:
            segments.save(segment, user=request.user, members=members)
        except segments.Circle as circle:
            way = " → ".join(circle.names)
            form.add_error(None, _("Segments may not contain each other in a circle: %(way)s.") % {"way": way})
        else:
            messages.success(request, _saved(segment, lists=members is not None))
            return redirect(segment)
    context = {
        "segment": segment if segment.pk else None,
        "form": form,
        "is_dynamic": segment.is_dynamic,
        "kinds": [
            (_("By conditions"), "?", segment.is_dynamic),
            (_("A fixed list"), "?kind=static", not segment.is_dynamic),
        ],
        "title": Segment.objects.get(pk=segment.pk).name if segment.pk else _("New segment"),
    }
    return render(request, "members/segments/edit.html", context, status=422 if form.errors else 200)


def _saved(segment: Segment, *, lists: bool) -> str:
    if not lists:
        return _("“%(name)s” is saved.") % {"name": segment.name}
    said = ngettext("%(members)s member is in “%(name)s”.", "%(members)s members are in “%(name)s”.", segment.size)
    return said % {"members": figures.number(segment.size), "name": segment.name}


@requires(Permission.MEMBERS_VIEW)
@require_safe
@never_cache
def segment(request: DeskRequest, pk: int) -> HttpResponse:
    """What it says, how large it was, who uses it, and who is in it or was."""
    found = get_object_or_404(Segment.objects.select_related("created_by", "job"), pk=pk)
    builds = segments.sizes(found, timezone.now() - YEAR)
    with choices_kept():
        said = _sentence(found)
    context = {
        "segment": found,
        "sentence": said,
        "last": segments.last_build(found),
        "figure": charts.sizes(builds),
        "builds": builds[::-1],
        "uses": [(use, request.user.may(use.permission)) for use in segments.used_by(found)],
        "job": found.job if _shows_job(request, found) else None,
        "may_edit": request.user.may(Permission.SEGMENTS_EDIT),
        **_members(request, found),
    }
    return render(request, "members/segments/segment.html", context)


def _shows_job(request: DeskRequest, found: Segment) -> bool:
    return found.job is not None and not found.job.is_over and request.user.may(Permission.JOBS_VIEW)


def _members(request: DeskRequest, found: Segment) -> dict[str, Any]:
    """A page by an index: of who is in it, the newest members first, or of who left, the last first."""
    rows = SegmentMember.objects.filter(segment=found).select_related("member")
    shows_left = request.GET.get("show") == "left"
    text = request.GET.get("q", "").strip()
    if text:
        who = lookup.find(text, FOUND_AT_ONCE, contacts=lookup.contacts_for(request.user))
        rows = rows.filter(member__in=who)
    if shows_left:
        page = newest_first(rows.filter(left_at__isnull=False), request.GET, by="left_at")
    else:
        page = newest_first(rows.filter(left_at=None), request.GET, key="member_id")
    return {
        "page": page,
        "shows_left": shows_left,
        "text": text,
        "choices": [("", _("In it now")), ("left", _("Left it"))],
    }


@requires(Permission.SEGMENTS_EDIT)
@require_POST
def build(request: DeskRequest, pk: int) -> HttpResponse:
    """Build it now, as a job."""
    found = get_object_or_404(Segment, pk=pk, kind=Kind.DYNAMIC)
    segments.start([found.pk], user=request.user)
    messages.success(request, _("“%(name)s” is being built.") % {"name": found.name})
    return redirect(found)


@requires(Permission.SEGMENTS_EDIT)
@require_POST
def delete(request: DeskRequest, pk: int) -> HttpResponse:
    """Delete it, unless something uses it."""
    found = get_object_or_404(Segment, pk=pk)
    try:
        segments.remove(found, user=request.user)
    except segments.InUse as refusal:
        names = ", ".join(f"{use.what} “{use.name}”" for use in refusal.uses[:5])
        messages.error(request, _("“%(name)s” stays, for it is used by %(uses)s.") % {"name": found, "uses": names})
        return redirect(found)
    except segments.BeingBuilt:
        messages.error(request, _("“%(name)s” is being built just now. Try again when that is over.") % {"name": found})
        return redirect(found)
    messages.success(request, _("“%(name)s” is deleted.") % {"name": found.name})
    return redirect("members:segments")


@requires(Permission.MEMBERS_VIEW)
@require_safe
def export(request: DeskRequest, pk: int) -> HttpResponseBase:
    """The numbers of who is in it, and since when, as CSV. Audited."""
    found = get_object_or_404(Segment, pk=pk)
    audit.record(request.user, "segment.export", found, detail={"members": found.size})
    rows = SegmentMember.objects.filter(segment=found, left_at=None).order_by("-member_id")
    return csv_response(
        f"segment-{found.pk}",
        [_("number"), _("in it since")],
        rows.values_list("member__number", "entered_at").iterator(chunk_size=5_000),
    )
