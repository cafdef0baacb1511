"""The list of background jobs, and the page of one."""

from django.db.models import QuerySet
from django.http import HttpResponse
from django.shortcuts import get_object_or_404, redirect, render
from django.utils.translation import gettext as _
from django.views.decorators.http import require_POST, require_safe

from staff import audit, jobs
from staff.models import Job
from staff.paging import newest_first
from staff.permissions import Permission, requires
from staff.requests import DeskRequest
from staff.templatetags.desk import words


@requires(Permission.JOBS_VIEW)
@require_safe
def job_list(request: DeskRequest) -> HttpResponse:
    """All jobs, newest first."""
    page = newest_first(_filtered(request), request.GET)
    context = {
        "page": page,
        "states": [("", _("Any state")), *Job.State.choices],
        "kinds": [("", _("Any kind")), *((kind, words(kind)) for kind in jobs.kinds())],
        "owners": [("", _("Everybody's")), ("me", _("Mine"))],
        "is_filtered": any(request.GET.get(name) for name in ("q", "state", "kind", "of")),
        "is_live": any(not job.is_over for job in page.rows),
    }
    template = "staff/_job_rows.html" if request.htmx else "staff/jobs.html"
    return render(request, template, context)


@requires(Permission.JOBS_VIEW)
@require_safe
def job(request: DeskRequest, pk: int) -> HttpResponse:
    """One job; for htmx only the part that changes."""
    context = {"job": get_object_or_404(Job.objects.select_related("created_by"), pk=pk)}
    template = "staff/_job.html" if request.htmx else "staff/job.html"
    return render(request, template, context)


@requires(Permission.JOBS_VIEW)
@require_POST
def cancel(request: DeskRequest, pk: int) -> HttpResponse:
    """Ask a job to stop."""
    found = get_object_or_404(Job, pk=pk)
    if jobs.cancel(found):
        audit.record(request.user, "job.cancelled", found)
    found.refresh_from_db()
    if request.htmx:
        return render(request, "staff/_job.html", {"job": found})
    return redirect(found)


def _filtered(request: DeskRequest) -> QuerySet[Job]:
    found = Job.objects.select_related("created_by")
    if text := request.GET.get("q", "").strip().replace("\0", ""):
        found = found.filter(title__icontains=text)
    if (state := request.GET.get("state", "")) in Job.State.values:
        found = found.filter(state=state)
    if kind := request.GET.get("kind", "").replace("\0", ""):
        found = found.filter(kind=kind)
    if request.GET.get("of") == "me":
        found = found.filter(created_by=request.user)
    return found
