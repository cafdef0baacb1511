"""One import from the file to the rows, as a dry run or for good.

The file goes into temporary tables first, outside of any transaction. Checking and writing are one
transaction together with the run's state: either all of it happened or none.
"""

import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import Any

from django.conf import settings
from django.db import connection, transaction
from django.db.backends.utils import CursorWrapper
from django.utils import timezone
from django.utils.translation import gettext as _

from members.importing import kinds, staging
from members.importing.encodings import Unreadable
from members.importing.findings import Findings, collect, write_error_file
from members.importing.kinds import ImportKind
from members.importing.mapping import guess
from members.importing.options import OptionError, Options
from members.importing.reading import Source, open_source
from members.models import ImportRun
from staff import audit
from staff.models import User
from staff.progress import Superseded

State = ImportRun.State

KEEP_FILES = timedelta(days=30)
SETTLED_SECONDS = 24 * 3600

# (done, total, step): how far it is; may raise to stop.
Report = Callable[[int, int, str], None]


class Refused(Exception):
    """The import cannot be done; the text says why, in words for the person who started it."""


def media_directory() -> Path:
    """Where uploaded files and error files are kept. Never served as they are."""
    path = Path(settings.MEDIA_ROOT) / "imports"
    path.mkdir(parents=True, exist_ok=True, mode=0o700)
    return path


def create(*, kind: str, path: Path, file_name: str, options: Options, user: User | None) -> ImportRun:
    """Write down a run for a file that lies in :func:`media_directory`. Nothing is read yet."""
    return ImportRun.objects.create(
        kind=kinds.get(kind).key,
        file_name=Path(file_name).name[:255],
        path=str(path),
        size=path.stat().st_size,
        options=options.to_json(),
        created_by=user,
    )


def with_guesses(kind: ImportKind, source: Source, options: Options) -> Options:
    """The options with a guessed target for each column that they say nothing of."""
    taken = set(options.columns.values()) | set(options.constants)
    guesses = guess(kind, [name for name in source.header if name not in options.columns])
    columns = {name: target for name, target in guesses.items() if target not in taken}
    return Options.from_json({**options.to_json(), "columns": {**columns, **options.columns}})


def check(run: ImportRun, report: Report) -> Findings:
    """A dry run: everything is read and checked, nothing is written but the counts on the run."""
    with _told_plainly():
        findings = _work(run, report, dry=True)
    changed = ImportRun.objects.filter(pk=run.pk, state__in=[State.UPLOADED, State.CHECKED, State.FAILED]).update(
        state=State.CHECKED, **_columns(findings)
    )
    if not changed:
        raise Refused(_("This import has been run already."))
    run.refresh_from_db()
    return findings


def perform(run: ImportRun, report: Report, *, user: User | None = None) -> Findings:
    """Bring the file in. Raises :class:`Refused` with nothing written; then the run's state is failed.

    May be called again for a run whose process died: what it had not committed is gone.
    """
    startable = [State.UPLOADED, State.CHECKED, State.FAILED, State.RUNNING]
    if not ImportRun.objects.filter(pk=run.pk, state__in=startable).update(state=State.RUNNING):
        raise Refused(_("This import has been run already."))
    audit.record(user, "import.start", run, detail={"kind": run.kind, "file": run.file_name})
    try:
        with _told_plainly():
            findings = _work(run, report, dry=False)
    except Refused as refusal:
        _fail(run, str(refusal))
        raise
    except Superseded:
        # The run belongs to the worker that has taken over.
        raise
    except BaseException:
        _fail(run, _("The import was stopped. Nothing was written."))
        raise
    if findings.refusal:
        raise Refused(findings.refusal)
    _forget_file(run)
    return findings


def _forget_file(run: ImportRun) -> None:
    """Delete an uploaded file that is no longer needed: it is full of personal data."""
    path = Path(run.path)
    if path.parent == media_directory():
        path.unlink(missing_ok=True)
        ImportRun.objects.filter(pk=run.pk).update(path="")


def remove(run: ImportRun, *, user: User | None) -> None:
    """Remove a run that wrote nothing, with its files."""
    waiting = [State.UPLOADED, State.CHECKED, State.FAILED]
    if not ImportRun.objects.filter(pk=run.pk, state__in=waiting).delete()[0]:
        raise Refused(_("Only an import that has written nothing can be removed."))
    for name in (run.path, run.error_path):
        if name and Path(name).parent == media_directory():
            Path(name).unlink(missing_ok=True)
    audit.record(user, "import.remove", label="" if user else "command", detail={"file": run.file_name})


def sweep() -> int:
    """Delete files that belong to no run, and those of runs that were left lying for a month; returns how many.

    The beat calls it once a day. A file that was just uploaded may not have its run yet.
    """
    stale = timezone.now() - KEEP_FILES
    ImportRun.objects.filter(created_at__lt=stale).exclude(path="", error_path="").update(path="", error_path="")
    kept = {name for pair in ImportRun.objects.values_list("path", "error_path") for name in pair if name}
    swept = 0
    for path in media_directory().iterdir():
        if str(path) not in kept and path.stat().st_mtime < time.time() - SETTLED_SECONDS:
            path.unlink(missing_ok=True)
            swept += 1
    return swept


def _fail(run: ImportRun, reason: str) -> None:
    ImportRun.objects.filter(pk=run.pk, state=State.RUNNING).update(
        state=State.FAILED, finished_at=timezone.now(), report={**run.report, "refusal": reason}
    )


@contextmanager
def _told_plainly() -> Iterator[None]:
    """Turn what reading and mapping raise into :class:`Refused`."""
    try:
        yield
    except (Unreadable, OptionError) as error:
        raise Refused(str(error)) from error
    except FileNotFoundError as error:
        raise Refused(_("The file is no longer there.")) from error


@dataclass
class _Bar:
    """The progress bar of one import: reading is three quarters of it, the steps after it are the rest."""

    report: Report
    size: int

    def read(self, position: int) -> None:
        self.report(position, self.size * 4 // 3 + 1, _("reading the file"))

    def step(self, twelfths: int, words: str) -> None:
        self.report(self.size * twelfths // 9, self.size * 4 // 3 + 1, words)


def _work(run: ImportRun, report: Report, *, dry: bool) -> Findings:
    kind = kinds.get(run.kind)
    started = time.monotonic()
    kind.begin()
    source = open_source(Path(run.path), Options.from_json(run.options))
    options = with_guesses(kind, source, Options.from_json(run.options))
    plan = staging.plan_columns(kind, source, options)
    bar = _Bar(report, source.size)
    with connection.cursor() as cursor:
        try:
            rows = staging.load(cursor, source, bar.read)
            with transaction.atomic():
                findings = _decide(cursor, run, plan, rows, bar)
                if not dry and not findings.refusal:
                    bar.step(10, _("writing the rows"))
                    counts = kind.apply(cursor, run.pk)
                    findings.added, findings.updated, findings.notes = counts.added, counts.updated, dict(counts.notes)
                findings.seconds = time.monotonic() - started
                if not dry:
                    _write_outcome(run, findings)
        finally:
            if not connection.needs_rollback:
                staging.drop(cursor)
    return findings


def _decide(cursor: CursorWrapper, run: ImportRun, plan: staging.Plan, rows: int, bar: _Bar) -> Findings:
    """Find out what is to be written and whether it may be; leaves that in ``import_rows``."""
    # Two imports of one kind would each miss what the other is about to write.
    cursor.execute("SELECT pg_advisory_xact_lock(hashtext('import'), hashtext(%s))", [plan.kind.key])
    bar.step(9, _("checking the rows"))
    staging.type_rows(cursor, plan)
    staging.finish_checks(cursor, plan.kind)
    staging.match(cursor, plan.kind)
    plan.kind.check(cursor, run.pk)
    repeats = staging.count_repeats(cursor)
    findings = collect(cursor, plan, rows)
    findings.error_path = write_error_file(cursor, plan, findings, media_directory())
    staging.discard_bad(cursor)
    findings.unchanged = staging.discard_same(cursor) + repeats
    cursor.execute("SELECT count(*), count(m.id) FROM import_rows AS r LEFT JOIN import_matches AS m USING (row_no)")
    left, findings.updated = cursor.fetchone() or (0, 0)
    findings.added = left - findings.updated
    if findings.refused and not plan.options.keep_good_rows:
        findings.refusal = _("%(refused)d of %(rows)d rows are not right. Nothing was written.") % {
            "refused": findings.refused,
            "rows": rows,
        }
    return findings


def _columns(findings: Findings) -> Mapping[str, Any]:
    return {
        "rows_read": findings.rows,
        "rows_added": findings.added,
        "rows_updated": findings.updated,
        "rows_unchanged": findings.unchanged,
        "rows_refused": findings.refused,
        "report": findings.to_json(),
        "error_path": findings.error_path,
    }


def _write_outcome(run: ImportRun, findings: Findings) -> None:
    """The run's state, in the same transaction as its rows."""
    columns = dict(_columns(findings))
    if findings.refusal:
        columns |= {"state": State.FAILED, "rows_added": 0, "rows_updated": 0}
    else:
        columns["state"] = State.DONE
    if not ImportRun.objects.filter(pk=run.pk, state=State.RUNNING).update(finished_at=timezone.now(), **columns):
        raise Refused(_("This import has been run already."))
    audit.record(
        run.created_by,
        "import.refused" if findings.refusal else "import.done",
        run,
        detail={"added": columns["rows_added"], "updated": columns["rows_updated"], "refused": findings.refused}
        | findings.notes,
    )


def undo(run: ImportRun, *, user: User | None, alone: bool = False, report: Report | None = None) -> Mapping[str, int]:
    """Take an import back in one transaction; returns counts by name. Raises :class:`Refused`.

    What the person takes back ``alone`` is counted in their day in that transaction, or not done. Repeating it for a
    run whose undo died does it again from the start: nothing of it was committed.
    """
    kind = kinds.get(run.kind)
    if not ImportRun.objects.filter(pk=run.pk, state__in=[State.DONE, State.UNDOING]).update(state=State.UNDOING):
        raise Refused(_("Only an import that is done can be taken back."))
    try:
        with transaction.atomic(), connection.cursor() as cursor:
            cursor.execute("SELECT pg_advisory_xact_lock(hashtext('import'), hashtext(%s))", [kind.key])
            if report:
                report(0, 2, _("taking the rows back"))
            points = kind.preview_undo(cursor, run.pk).points if alone else 0
            counts = kind.undo(cursor, run.pk)
            # After the accounts, as all do who count a day.
            if alone and user and not kind.undo_alone(points, user):
                raise Refused(_("By now these are more points than you may move alone today. Take it back once more."))
            if report:
                report(1, 2, _("taking the rows back"))
            done = ImportRun.objects.filter(pk=run.pk, state=State.UNDOING).update(
                state=State.UNDONE, undone_at=timezone.now()
            )
            if not done:
                raise Refused(_("This import has been taken back already."))
            audit.record(user, "import.undo", run, detail=dict(counts))
    except BaseException:
        ImportRun.objects.filter(pk=run.pk, state=State.UNDOING).update(state=State.DONE)
        raise
    run.refresh_from_db()
    return counts


def preview_undo(run: ImportRun) -> kinds.UndoPreview:
    """What :func:`undo` would do, in numbers. Writes nothing."""
    with transaction.atomic(), connection.cursor() as cursor:
        return kinds.get(run.kind).preview_undo(cursor, run.pk)
