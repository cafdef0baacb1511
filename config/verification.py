"""Proof over the live data that what must always hold does hold: the checks of all rooms, run as one job.

A room brings its checks in a module ``verify`` with a function ``checks()``.
"""

import importlib
import importlib.util
import json
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Protocol

from django.core.serializers.json import DjangoJSONEncoder
from django.utils.functional import Promise
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy

from staff import jobs
from staff.models import Job, User

KIND = "verify"
ROOMS = ("staff", "members", "loyalty", "campaigns", "analytics")
TITLE = gettext_lazy("Verify the data")


class Check(Protocol):
    """One thing that must hold. ``invariant`` is its number in the list of what must always hold."""

    @property
    def key(self) -> str:
        """Its name for machines."""

    @property
    def invariant(self) -> int:
        """Its number."""

    @property
    def name(self) -> str | Promise:
        """What holds, as a sentence."""

    def offending(self) -> list[dict[str, Any]]:
        """The first rows that break it, each as column → value."""


@dataclass(frozen=True)
class Finding:
    """A check and the rows that break it: none where it holds."""

    key: str
    name: str
    invariant: int
    rows: Sequence[dict[str, Any]]

    @property
    def holds(self) -> bool:
        """Whether no row breaks it."""
        return not self.rows

    @property
    def columns(self) -> list[str]:
        """The heads of a table of the rows."""
        return list(self.rows[0]) if self.rows else []

    @property
    def cells(self) -> list[list[Any]]:
        """The rows in the order of ``columns``."""
        return [[row.get(column) for column in self.columns] for row in self.rows]


@dataclass(frozen=True)
class Verification:
    """What one run over the data found, and when it ended."""

    at: datetime | None
    findings: Sequence[Finding]

    @property
    def broken(self) -> list[Finding]:
        """The checks that do not hold."""
        return [finding for finding in self.findings if not finding.holds]


def checks() -> list[Check]:
    """The checks of every room that has some, from the bottom of the house to the top."""
    found: list[Check] = []
    for room in ROOMS:
        if importlib.util.find_spec(f"{room}.verify"):
            found += importlib.import_module(f"{room}.verify").checks()
    return found


@jobs.handler(KIND)
def verify(job: Job, progress: jobs.Progress) -> dict[str, Any]:
    """Run every check; the result holds the rows that break one, by its key."""
    found: dict[str, list[dict[str, Any]]] = {}
    wanted = checks()
    for number, check in enumerate(wanted):
        progress.update(number, total=len(wanted), step=str(check.name)[:120])
        if rows := check.offending():
            # Amounts and times as text, so that the result can be kept.
            found[check.key] = json.loads(json.dumps(rows, cls=DjangoJSONEncoder))
    progress.update(len(wanted))
    return {"checked": [check.key for check in wanted], "broken": len(found), "found": found}


def start(user: User | None) -> Job:
    """Have a worker verify the data; the run that is under way, if there is one."""
    return running() or jobs.start(KIND, title=_("Verify the data"), payload={}, user=user)


def running() -> Job | None:
    """The verification that is not over yet."""
    return Job.objects.filter(kind=KIND, state__in=[Job.State.QUEUED, Job.State.RUNNING]).order_by("-pk").first()


def last() -> Verification | None:
    """What the last complete run found; None where there was none."""
    job = Job.objects.filter(kind=KIND, state=Job.State.DONE).order_by("-pk").first()
    return read(job) if job else None


def read(job: Job) -> Verification:
    """The findings of a finished job, with the names of the checks in the reader's language."""
    known = {check.key: check for check in checks()}
    found = job.result.get("found", {})
    return Verification(
        at=job.finished_at,
        findings=[
            Finding(key, str(known[key].name), known[key].invariant, found.get(key, []))
            for key in job.result.get("checked", [])
            if key in known
        ],
    )
