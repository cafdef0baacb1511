"""Taking an import back from the desk: alone, or asked of a second person where many points go or come with it.

How many are too many the import's kind says: at once, and of all that one person moves in a day.
"""

from typing import Final

from django.db import transaction
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy

from members.importing import background, kinds, runs
from members.importing.kinds import UndoPreview
from members.models import ImportRun
from staff import approvals, figures
from staff.models import Approval, Job, User
from staff.permissions import Permission

KIND: Final = "import.undo"


def needs_second_person(run: ImportRun, preview: UndoPreview, user: User) -> bool:
    """Whether somebody else has to decide it; where nobody else could, it is done at once (docs/adr/0013)."""
    alone = kinds.get(run.kind).may_undo_alone(preview.points, user)
    return not alone and approvals.others_may_decide(KIND, user)


@transaction.atomic
def take_back(run: ImportRun, *, user: User) -> Job | Approval:
    """Start the job, or ask a second person for it; the same job or request while that is not over.

    What one person takes back alone counts in the transaction that does it: the job fails where it does not fit by
    then into their day, and counts nothing where it fails or is cancelled.
    """
    # Two clicks at once start it once.
    run = ImportRun.objects.select_for_update(of=("self",)).select_related("job").get(pk=run.pk)
    if run.job is not None and not run.job.is_over:
        return run.job
    if not approvals.others_may_decide(KIND, user):
        return background.start(background.UNDO, run, user=user)
    if asked := waiting(run):
        return asked
    if kinds.get(run.kind).may_undo_alone(runs.preview_undo(run).points, user):
        return background.start(background.UNDO, run, user=user, alone=True)
    payload = {"run": run.pk, "file": run.file_name}
    return approvals.request(KIND, subject=run.file_name, payload=payload, user=user, about=_about(run))


def waiting(run: ImportRun) -> Approval | None:
    """The request to take it back that nobody has decided yet."""
    return next(iter(approvals.waiting_about(_about(run), kind=KIND)), None)


def register() -> None:
    """Let imports that moved many points be taken back once somebody else approves it."""
    approvals.register(
        KIND,
        gettext_lazy("Import taken back"),
        Permission.APPROVALS_DECIDE,
        _start,
        outlook=_outlook,
        title=lambda approval: _("Take %(file)s back") % {"file": approval.payload["file"]},
    )


def _start(approval: Approval) -> None:
    run = _standing(approval)
    if run is None or (run.job is not None and not run.job.is_over):
        raise approvals.CannotBeDone(_("This import was taken back already."))
    background.start(background.UNDO, run, user=approval.decided_by)


def _outlook(approval: Approval) -> approvals.Outlook:
    run = _standing(approval)
    if run is None:
        return approvals.Outlook(warning=_("This import was taken back already."))
    preview = runs.preview_undo(run)
    lines = [*preview.removes, *preview.restores, *preview.obstacles]
    file = (_("File"), f"{run.file_name} · {figures.when(run.created_at)}")
    return approvals.Outlook([file, *((str(words), figures.number(count)) for words, count in lines)])


def _standing(approval: Approval) -> ImportRun | None:
    done = ImportRun.objects.filter(pk=approval.payload["run"], state=ImportRun.State.DONE)
    return done.select_related("job").first()


def _about(run: ImportRun) -> str:
    return f"import:{run.pk}"
