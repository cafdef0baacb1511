"""The import pages: choose a file, say what its columns are, check, bring in, take back."""

import zoneinfo
from functools import cached_property
from pathlib import Path
from typing import Any

from django.contrib import messages
from django.http import FileResponse, Http404, HttpResponse
from django.shortcuts import get_object_or_404, redirect, render
from django.urls import reverse
from django.utils.translation import gettext as _
from django.views.decorators.http import require_http_methods, require_POST, require_safe

from members.importing import background, dates, kinds, mapping, runs, taking_back
from members.importing.encodings import Unreadable
from members.importing.forms import MapForms, ReadingForm, UploadForm
from members.importing.kinds import ImportKind
from members.importing.options import OptionError, Options
from members.importing.reading import Source, open_source
from members.importing.trial import samples
from members.importing.uploads import keep_upload
from members.models import ImportRun
from staff import audit
from staff.models import Approval
from staff.paging import newest_first
from staff.permissions import Permission, requires
from staff.requests import DeskRequest

State = ImportRun.State
WAITING = (State.UPLOADED, State.CHECKED, State.FAILED)


@requires(Permission.MEMBERS_IMPORT)
@require_safe
def import_list(request: DeskRequest) -> HttpResponse:
    """All imports, newest first."""
    found = ImportRun.objects.select_related("created_by")
    if (kind := request.GET.get("kind", "")) in {known.key for known in kinds.all_kinds()}:
        found = found.filter(kind=kind)
    if (state := request.GET.get("state", "")) in State.values:
        found = found.filter(state=state)
    if text := request.GET.get("q", "").strip().replace("\0", ""):
        found = found.filter(file_name__icontains=text)
    context = {
        "page": newest_first(found, request.GET),
        "kinds": [("", _("Any kind")), *((known.key, known.label) for known in kinds.all_kinds())],
        "states": [("", _("Any state")), *State.choices],
        "is_filtered": bool(kind or state or text),
    }
    return render(request, "members/imports/list.html", context)


@requires(Permission.MEMBERS_IMPORT)
@require_http_methods(["GET", "HEAD", "POST"])
def import_new(request: DeskRequest) -> HttpResponse:
    """Choose a file and what its rows are."""
    initial = {"kind": request.GET.get("kind", "members")}
    form = UploadForm(request.POST or None, request.FILES or None, initial=initial, meta=request.META)
    if request.method == "POST" and form.is_valid():
        upload = form.cleaned_data["file"]
        path = keep_upload(upload)
        try:
            source = open_source(path, Options())
        except Unreadable as error:
            path.unlink(missing_ok=True)
            form.add_error("file", str(error))
        else:
            options = Options(encoding=source.encoding, delimiter=source.delimiter, sheet=source.sheet)
            run = runs.create(
                kind=form.cleaned_data["kind"], path=path, file_name=upload.name, options=options, user=request.user
            )
            return redirect("members:import_columns", pk=run.pk)
    context = {"form": form, "steps": steps(None, "file")}
    return render(request, "members/imports/new.html", context, status=422 if form.errors else 200)


class ColumnsPage:
    """What the columns step shows of a run: the file as it is read now, and the forms over it."""

    def __init__(self, request: DeskRequest, run: ImportRun) -> None:
        self.run = run
        self.kind = kinds.get(run.kind)
        self.source: Source = open_source(Path(run.path), Options.from_json(run.options))
        options = Options.from_json(run.options)
        if not options.columns:
            options = runs.with_guesses(self.kind, self.source, options)
        self.forms = MapForms(self.kind, self.source, options, request.POST if request.method == "POST" else None)
        self._options = options

    @cached_property
    def is_valid(self) -> bool:
        """Whether the forms were filled in and make sense."""
        return self.forms.is_valid()

    def context(self, *, posted: bool) -> dict[str, object]:
        """What the template shows."""
        if posted:
            _checked = self.is_valid
        try:
            found = samples(self.kind, self.source, self.forms.options() if posted else self._options)
            problem = ""
        except (OptionError, Unreadable) as error:
            found, problem = {}, str(error)
        rows = [(form, found.get(form.name, [])) for form in self.forms.columns]
        reading = ReadingForm(
            initial=self.run.options, sheets=list(self.source.sheets), is_workbook=self.source.format == "xlsx"
        )
        return {
            "run": self.run,
            "kind": self.kind,
            "steps": steps(self.run, "columns"),
            "source": self.source,
            "rows": rows,
            "rest": self.forms.rest,
            "reading": reading,
            "errors": [*self.forms.errors, *([problem] if problem else [])],
            "warnings": mapping.warnings(self.kind, self.forms.options() if posted else self._options),
            "date_formats": dates.KNOWN,
            "time_zones": sorted(zoneinfo.available_timezones()),
        }


@requires(Permission.MEMBERS_IMPORT)
@require_http_methods(["GET", "HEAD", "POST"])
def import_columns(request: DeskRequest, pk: int) -> HttpResponse:
    """Say what each column becomes; htmx asks for how the first rows would be read."""
    run = _waiting(pk)
    try:
        page = ColumnsPage(request, run)
    except Unreadable as error:
        messages.error(request, str(error))
        return redirect("members:import", pk=run.pk)
    if request.htmx:
        return render(request, "members/imports/_columns.html", page.context(posted=request.method == "POST"))
    if request.method == "POST" and page.is_valid:
        ImportRun.objects.filter(pk=run.pk, state__in=WAITING).update(options=page.forms.options().to_json())
        background.start(background.CHECK, run, user=request.user)
        return redirect("members:import", pk=run.pk)
    context = page.context(posted=request.method == "POST")
    return render(request, "members/imports/columns.html", context, status=422 if request.method == "POST" else 200)


@requires(Permission.MEMBERS_IMPORT)
@require_POST
def import_read_again(request: DeskRequest, pk: int) -> HttpResponse:
    """Read the file in another encoding, with another delimiter, or another sheet of it."""
    run = _waiting(pk)
    said = {name: request.POST.get(name, run.options.get(name, "")) for name in ("encoding", "delimiter", "sheet")}
    try:
        source = open_source(Path(run.path), Options(**said))
    except (Unreadable, OptionError) as error:
        messages.error(request, str(error))
    else:
        found = Options(encoding=source.encoding, delimiter=source.delimiter, sheet=source.sheet)
        ImportRun.objects.filter(pk=run.pk, state__in=WAITING).update(options=found.to_json())
    return redirect("members:import_columns", pk=run.pk)


@requires(Permission.MEMBERS_IMPORT)
@require_safe
def import_run(request: DeskRequest, pk: int) -> HttpResponse:
    """One import: how far it is, what a check found, what came of it."""
    run = get_object_or_404(ImportRun.objects.select_related("created_by", "job"), pk=pk)
    kind = kinds.get(run.kind)
    context = {
        "run": run,
        "kind": kind,
        "steps": steps(run, "check" if run.state in WAITING else "import"),
        "columns": _columns_read(run, kind),
        "is_working": run.job is not None and not run.job.is_over,
    }
    return render(request, "members/imports/_run.html" if request.htmx else "members/imports/run.html", context)


@requires(Permission.MEMBERS_IMPORT)
@require_POST
def import_start(request: DeskRequest, pk: int) -> HttpResponse:
    """Bring the file in, as a job."""
    run = _waiting(pk)
    if "keep_good_rows" in request.POST:
        ImportRun.objects.filter(pk=run.pk).update(options={**run.options, "keep_good_rows": True})
    if run.job is None or run.job.is_over:
        background.start(background.IMPORT, run, user=request.user)
    return redirect("members:import", pk=run.pk)


@requires(Permission.MEMBERS_IMPORT)
@require_safe
def import_errors(request: DeskRequest, pk: int) -> FileResponse:
    """The bad rows as CSV. They hold personal data, so that the download is written down."""
    run = get_object_or_404(ImportRun, pk=pk)
    if not run.error_path or not Path(run.error_path).is_file():
        raise Http404
    audit.record(request.user, "import.errors", run)
    name = f"{Path(run.file_name).stem}-errors.csv"
    return FileResponse(Path(run.error_path).open("rb"), as_attachment=True, filename=name, content_type="text/csv")


@requires(Permission.MEMBERS_IMPORT)
@require_http_methods(["GET", "HEAD", "POST"])
def import_undo(request: DeskRequest, pk: int) -> HttpResponse:
    """Ask in numbers whether to take an import back (GET, a dialog); posted, it is a job, or asked for."""
    run = get_object_or_404(ImportRun.objects.select_related("job"), pk=pk, state=State.DONE)
    if request.method == "POST":
        if isinstance(taking_back.take_back(run, user=request.user), Approval):
            messages.success(request, _("Asked for: a second person decides."))
        return redirect("members:import", pk=run.pk)
    preview = runs.preview_undo(run)
    context = {
        "run": run,
        "preview": preview,
        "needs_second_person": taking_back.needs_second_person(run, preview, request.user),
        "waiting": taking_back.waiting(run),
        "may_see": request.user.may(Permission.APPROVALS_VIEW),
    }
    return render(request, "members/imports/_undo.html", context)


@requires(Permission.MEMBERS_IMPORT)
@require_POST
def import_remove(request: DeskRequest, pk: int) -> HttpResponse:
    """Remove an import that has written nothing."""
    run = _waiting(pk)
    try:
        runs.remove(run, user=request.user)
    except runs.Refused as refusal:
        messages.error(request, str(refusal))
        return redirect("members:import", pk=run.pk)
    messages.success(request, _("%(file)s was removed.") % {"file": run.file_name})
    return redirect("members:imports")


def steps(run: ImportRun | None, current: str) -> list[dict[str, Any]]:
    """The steps of an import for ``c-steps``; what was done can be gone back to while nothing is written."""
    names = [("file", _("File")), ("columns", _("Columns")), ("check", _("Check")), ("import", _("Import"))]
    now = [key for key, _label in names].index(current)
    found: list[dict[str, Any]] = []
    for place, (key, label) in enumerate(names):
        state = "done" if place < now else "current" if place == now else "later"
        found.append({"label": label, "state": state})
        if run is not None and key == "columns" and run.state in WAITING and run.path:
            found[-1]["url"] = reverse("members:import_columns", args=[run.pk])
    return found


def _columns_read(run: ImportRun, kind: ImportKind) -> list[tuple[str, str, list[str]]]:
    """Each column of the file: what it became, and how its values were read."""
    options = Options.from_json(run.options)
    labels = {column.name: str(column.label) for column in kind.columns}
    found = [(name, labels.get(field, field)) for name, field in run.report.get("columns", {}).items()]
    found += [(name, _("kept beside the fields")) for name in run.report.get("kept_beside", [])]
    rows = []
    for name, label in found:
        notes = [
            _("%(old)s is read as %(new)s") % {"old": old, "new": new or _("empty")}
            for old, new in options.translations.get(name, {}).items()
        ]
        if form := options.date_formats.get(name):
            notes.append(_("written as %(form)s, in %(zone)s") % {"form": form, "zone": options.zone_of(name)})
        rows.append((name, label, notes))
    return rows


def _waiting(pk: int) -> ImportRun:
    """A run that has written nothing yet and is not being worked on."""
    run = get_object_or_404(ImportRun.objects.select_related("job"), pk=pk)
    if run.state not in WAITING:
        raise Http404
    return run
