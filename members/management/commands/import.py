"""``manage.py import KIND FILE``: the same as the import pages."""

import json
import sys
from argparse import ArgumentParser
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from django.core.management.base import BaseCommand, CommandError
from django.utils.translation import gettext as _

from members.importing import background, kinds, runs
from members.importing.options import OptionError, Options
from members.models import ImportRun
from staff import jobs
from staff.models import Job
from staff.templatetags.desk import words
from staff.terminal import ProgressLine


class Command(BaseCommand):
    """Bring a file in, try it (--dry-run), or take an import back (--undo).

    Exit code 0: done. 1: nothing was written, the message says why. 2: wrong use.
    3: done, but bad rows were left out (--keep-good-rows).
    """

    help = "Import a CSV or XLSX file, or take an import back."

    def add_arguments(self, parser: ArgumentParser) -> None:
        """Declare what the command takes."""
        known = ", ".join(kind.key for kind in kinds.all_kinds())
        parser.add_argument("kind", nargs="?", metavar="KIND", help=f"what the rows are: {known}")
        parser.add_argument("file", nargs="?", metavar="FILE", type=Path, help="CSV or XLSX")
        pair: dict[str, Any] = {"action": "append", "default": []}
        parser.add_argument("--map", metavar="COLUMN=FIELD", help="which field a column is; empty: left out", **pair)
        parser.add_argument("--translate", metavar="COLUMN:FROM=TO", help="read one value as another", **pair)
        parser.add_argument("--date-format", metavar="COLUMN=FORMAT", help="YYYYMMDD, %%d.%%m.%%Y …", **pair)
        parser.add_argument("--time-zone", metavar="[COLUMN=]ZONE", help="of times that name none", **pair)
        parser.add_argument("--set", metavar="FIELD=VALUE", help="one value for all rows", **pair)
        parser.add_argument(
            "--decimal", default=".", choices=[".", ","], metavar="SIGN", help="the decimal sign: . or ,"
        )
        parser.add_argument("--encoding", default="", help="instead of finding it out")
        parser.add_argument("--delimiter", default="", help="instead of finding it out")
        parser.add_argument("--sheet", default="", help="of a workbook; the first one if not said")
        parser.add_argument("--drop-rest", action="store_true", help="do not keep columns that are mapped to nothing")
        parser.add_argument("--keep-good-rows", action="store_true", help="leave bad rows out instead of refusing all")
        parser.add_argument("--dry-run", action="store_true", help="check everything, write nothing")
        parser.add_argument("--undo", metavar="RUN", type=int, help="take this import back")
        parser.add_argument("--json", action="store_true", help="print the result as JSON")

    def handle(self, *args: Any, **options: Any) -> None:
        """Do what was asked."""
        if options["undo"]:
            self._undo(options["undo"], as_json=options["json"])
            return
        if not options["kind"] or not options["file"]:
            raise CommandError("KIND and FILE are needed, or --undo RUN.", returncode=2)
        run = self._create(options)
        dry = options["dry_run"]
        job = background.create(background.CHECK if dry else background.IMPORT, run)
        done = jobs.run_inline(job, echo=ProgressLine(sys.stderr) if sys.stderr.isatty() else None)
        run.refresh_from_db()
        if done.state != Job.State.DONE:
            self._refuse(run, done.error or _("The import was stopped. Nothing was written."), as_json=options["json"])
        self._summary(run, dry=dry, as_json=options["json"])
        if run.rows_refused:
            sys.exit(1 if run.report["refusal"] else 3)

    def _create(self, options: dict[str, Any]) -> ImportRun:
        try:
            kinds.get(options["kind"])
        except KeyError:
            known = ", ".join(kind.key for kind in kinds.all_kinds())
            raise CommandError(f"There is no kind “{options['kind']}”. There are: {known}.", returncode=2) from None
        path: Path = options["file"]
        if not path.is_file():
            raise CommandError(f"There is no file {path}.", returncode=2)
        zones = [zone.split("=", 1) for zone in options["time_zone"]]
        try:
            meant = Options(
                encoding=options["encoding"],
                delimiter={"tab": "\t", "\\t": "\t"}.get(options["delimiter"], options["delimiter"]),
                sheet=options["sheet"],
                decimal=options["decimal"],
                columns=_pairs("--map", options["map"]),
                translations=_translations(options["translate"]),
                date_formats=_pairs("--date-format", options["date_format"]),
                time_zone=next((zone[0] for zone in zones if len(zone) == 1), ""),
                time_zones={zone[0]: zone[1] for zone in zones if len(zone) == 2},
                constants=_pairs("--set", options["set"]),
                keep_good_rows=options["keep_good_rows"],
                keep_rest=not options["drop_rest"],
            )
        except OptionError as error:
            raise CommandError(str(error), returncode=2) from error
        # The file is read where it lies; only uploads are kept.
        return runs.create(kind=options["kind"], path=path.resolve(), file_name=path.name, options=meant, user=None)

    def _refuse(self, run: ImportRun, reason: str, *, as_json: bool) -> None:
        if as_json:
            self.stdout.write(json.dumps(_result(run) | {"refusal": reason}, ensure_ascii=False, indent=2))
        else:
            self._errors(run)
            self.stderr.write(self.style.ERROR(reason))
        sys.exit(1)

    def _summary(self, run: ImportRun, *, dry: bool, as_json: bool) -> None:
        if as_json:
            self.stdout.write(json.dumps(_result(run) | {"dry_run": dry}, ensure_ascii=False, indent=2))
            return
        self._errors(run)
        if run.report["refusal"] and not dry:
            self.stderr.write(self.style.ERROR(run.report["refusal"]))
        counts = _(
            "%(read)s rows read: %(added)s added, %(updated)s updated, %(unchanged)s unchanged, %(refused)s refused."
        ) % {
            "read": f"{run.rows_read:,}",
            "added": f"{run.rows_added:,}",
            "updated": f"{run.rows_updated:,}",
            "unchanged": f"{run.rows_unchanged:,}",
            "refused": f"{run.rows_refused:,}",
        }
        self.stdout.write(counts)
        for name, count in run.report["notes"].items():
            self.stdout.write(f"  {words(name)}: {count:,}")
        if dry:
            self.stdout.write(_("This was a dry run: nothing was written."))
        else:
            self.stdout.write(
                _("Import %(run)d, %(seconds).1f s. To take it back: manage.py import --undo %(run)d")
                % {"run": run.pk, "seconds": run.report["seconds"]}
            )

    def _errors(self, run: ImportRun) -> None:
        for warning in run.report.get("warnings", []):
            self.stderr.write(self.style.WARNING(warning))
        for error in run.report.get("errors", [])[:10]:
            place = _("row %(row)s, %(column)s") % {"row": error["row"], "column": error["column"] or "–"}
            self.stderr.write(f"{place}: {error['value']!r} {error['reason']}")
        if run.error_path:
            self.stderr.write(_("All bad rows: %(path)s") % {"path": run.error_path})

    def _undo(self, run_id: int, *, as_json: bool) -> None:
        run = ImportRun.objects.filter(pk=run_id).first()
        if run is None:
            raise CommandError(f"There is no import {run_id}.", returncode=2)
        done = jobs.run_inline(background.create(background.UNDO, run))
        run.refresh_from_db()
        if done.state != Job.State.DONE:
            self._refuse(run, done.error, as_json=as_json)
        counts = {name: count for name, count in done.result.items() if isinstance(count, int) and "rows" not in name}
        if as_json:
            self.stdout.write(json.dumps({"run": run.pk, "state": run.state, "counts": counts}, indent=2))
            return
        self.stdout.write(_("Import %(run)d was taken back.") % {"run": run.pk})
        for name, count in counts.items():
            self.stdout.write(f"  {words(name)}: {count:,}")


def _pairs(option: str, texts: Iterable[str]) -> dict[str, str]:
    pairs = {}
    for text in texts:
        name, sign, value = text.partition("=")
        if not sign:
            raise CommandError(f"{option} {text}: an equals sign is missing.", returncode=2)
        pairs[name] = value
    return pairs


def _translations(texts: Iterable[str]) -> dict[str, dict[str, str]]:
    found: dict[str, dict[str, str]] = {}
    for text in texts:
        column, sign, pair = text.partition(":")
        old, equals, new = pair.partition("=")
        if not sign or not equals:
            raise CommandError(f"--translate {text}: it must be COLUMN:FROM=TO.", returncode=2)
        found.setdefault(column, {})[old] = new
    return found


def _result(run: ImportRun) -> dict[str, Any]:
    return {
        "run": run.pk,
        "kind": run.kind,
        "state": run.state,
        "rows_read": run.rows_read,
        "rows_added": run.rows_added,
        "rows_updated": run.rows_updated,
        "rows_unchanged": run.rows_unchanged,
        "rows_refused": run.rows_refused,
        "error_file": run.error_path,
        "report": run.report,
    }
