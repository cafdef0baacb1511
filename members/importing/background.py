"""The jobs of imports: check, bring in, take back."""

from typing import Any

from django.urls import NoReverseMatch, reverse
from django.utils.translation import gettext as _
from django.utils.translation import ngettext

from members.importing import runs
from members.models import ImportRun
from staff import figures, jobs
from staff.models import Job, User
from staff.progress import Progress

CHECK, IMPORT, UNDO = "import-check", "import", "import-undo"


def start(kind: str, run: ImportRun, *, user: User | None, alone: bool = False) -> Job:
    """Queue a job of one of the three kinds for a run, and note it on the run.

    What is taken back ``alone`` has to fit into the day of its ``user`` when the job does it.
    """
    job = jobs.start(kind, title=_title(kind, run), payload={"run": run.pk, "alone": alone}, user=user)
    ImportRun.objects.filter(pk=run.pk).update(job=job)
    return job


def create(kind: str, run: ImportRun) -> Job:
    """The same for a command, which does the job itself."""
    job = jobs.create(kind, title=_title(kind, run), payload={"run": run.pk}, user=None)
    ImportRun.objects.filter(pk=run.pk).update(job=job)
    return job


def _title(kind: str, run: ImportRun) -> str:
    titles = {CHECK: _("Check %(file)s"), IMPORT: _("Import %(file)s"), UNDO: _("Take back %(file)s")}
    return titles[kind] % {"file": run.file_name}


@jobs.handler(CHECK)
def check(job: Job, progress: Progress) -> dict[str, Any]:
    """Read and check a file, write nothing."""
    run = ImportRun.objects.get(pk=job.payload["run"])
    try:
        with progress.interruptible():
            findings = runs.check(run, _report(progress))
    except runs.Refused as refusal:
        raise jobs.Failed(str(refusal)) from refusal
    verdict = "" if findings.refused else _("The file is right.")
    return _result(run, findings.refusal or verdict)


@jobs.handler(IMPORT)
def bring_in(job: Job, progress: Progress) -> dict[str, Any]:
    """Bring a file in. If its worker died after the rows were committed, there is nothing left to do."""
    run = ImportRun.objects.get(pk=job.payload["run"])
    if run.state != ImportRun.State.DONE or job.attempt == 1:
        try:
            with progress.interruptible():
                runs.perform(run, _report(progress), user=job.created_by)
        except runs.Refused as refusal:
            raise jobs.Failed(str(refusal)) from refusal
    run.refresh_from_db()
    added = ngettext("%(count)s row added.", "%(count)s rows added.", run.rows_added)
    return _result(run, added % {"count": figures.number(run.rows_added)})


@jobs.handler(UNDO)
def take_back(job: Job, progress: Progress) -> dict[str, Any]:
    """Take an import back."""
    run = ImportRun.objects.get(pk=job.payload["run"])
    counts: dict[str, int] = {}
    if run.state != ImportRun.State.UNDONE or job.attempt == 1:
        try:
            with progress.interruptible():
                alone = job.payload.get("alone", False)
                counts = dict(runs.undo(run, user=job.created_by, alone=alone, report=_report(progress)))
        except runs.Refused as refusal:
            raise jobs.Failed(str(refusal)) from refusal
    return {**_result(run, _("%(file)s was taken back.") % {"file": run.file_name}), **counts}


def _report(progress: Progress) -> runs.Report:
    def report(done: int, total: int, step: str) -> None:
        progress.update(done, total=total, step=step)

    return report


def _result(run: ImportRun, summary: str) -> dict[str, Any]:
    try:
        links = [{"label": run.file_name, "url": reverse("members:import", args=[run.pk])}]
    except NoReverseMatch:
        links = []
    return {
        "summary": summary,
        "links": links,
        "rows read": run.rows_read,
        "rows added": run.rows_added,
        "rows updated": run.rows_updated,
        "rows unchanged": run.rows_unchanged,
        "rows refused": run.rows_refused,
    }
