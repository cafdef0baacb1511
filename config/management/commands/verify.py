"""``manage.py verify``: proof over the live data, for the terminal and for machines."""

import json
import sys
from typing import Any

from django.core.management.base import BaseCommand, CommandError, CommandParser

from config import verification
from config.verification import Verification
from loyalty.ledger import sealing
from staff import jobs
from staff.models import Job
from staff.terminal import ProgressLine


class Command(BaseCommand):
    """Run every check; exit 1 and show the offending rows where one does not hold."""

    help = "Prove over the live data that what must always hold does hold. Exit 1 with the offending rows otherwise."

    def add_arguments(self, parser: CommandParser) -> None:
        """Text or JSON."""
        parser.add_argument("--json", action="store_true", help="print the findings as JSON")

    def handle(self, *args: Any, **options: Any) -> None:
        """Verify, and print what was found."""
        job = jobs.create(verification.KIND, title=str(verification.TITLE), payload={}, user=None)
        done = jobs.run_inline(job, echo=ProgressLine(sys.stderr) if sys.stderr.isatty() else None)
        if done.state != Job.State.DONE:
            raise CommandError(done.error or done.get_state_display())
        result = verification.read(done)
        self.stdout.write(as_json(result) if options["json"] else as_text(result))
        if result.broken:
            sys.exit(1)


def as_text(result: Verification) -> str:
    """One line per check, and under one that does not hold the first rows that break it."""
    lines = []
    for finding in result.findings:
        lines.append(f"{'ok    ' if finding.holds else 'BROKEN'}  {finding.name}")
        lines += ["        " + ", ".join(f"{name}={value}" for name, value in row.items()) for row in finding.rows]
    lines.append(f"{len(result.findings) - len(result.broken)} of {len(result.findings)} checks hold.")
    return "\n".join(lines)


def as_json(result: Verification) -> str:
    """The same for machines."""
    checks = [
        {
            "key": finding.key,
            "invariant": finding.invariant,
            "name": finding.name,
            "ok": finding.holds,
            "offending": finding.rows,
        }
        for finding in result.findings
    ]
    sealed = sealing.last()
    found = {"ok": not result.broken, "sealed": sealed.as_json() if sealed else None, "checks": checks}
    return json.dumps(found, ensure_ascii=False, indent=2)
