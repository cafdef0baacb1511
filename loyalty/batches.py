"""Taking back all that one version of a rule gave between two times: a mistake in a rule, undone as a whole.

It is looked at first (members, points, what is spent, what would be owed), asked for, approved by a second person,
and then done as a job in chunks of members; a job that is killed goes on where it was. What an import earned is taken
back with the import, on its own page.
"""

from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final

from django.db import connection, transaction
from django.db.backends.utils import CursorWrapper
from django.urls import reverse
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy, ngettext

from loyalty import ledger, tiers
from loyalty.models import Policy, RuleVersion
from loyalty.rules import caps
from members.models import Member
from staff import approvals, audit, figures, jobs
from staff.models import Approval, Job, User
from staff.permissions import Permission

KIND: Final = "points.undo-batch"
JOB: Final = "undo-batch"
# Members of one transaction: a killed job has kept what it committed, and goes on with the rest.
CHUNK: Final = 5_000


class EmptyBatch(Exception):
    """The rule gave nothing in that time that could be taken back."""


@dataclass(frozen=True, kw_only=True)
class Batch:
    """The awards of one version of a rule for what happened from ``since`` until before ``until``."""

    version: int
    since: datetime
    until: datetime

    def params(self) -> dict[str, Any]:
        """For the statements below."""
        return {"version": self.version, "since": self.since, "until": self.until}


def preview(batch: Batch) -> ledger.BatchPreview:
    """What taking it back would do now; writes nothing."""
    with transaction.atomic(), connection.cursor() as cursor:
        _select(cursor, batch, None)
        return ledger.preview_batch(cursor, "loyalty_batch")


def told(found: ledger.BatchPreview, policy: str) -> list[tuple[str, str]]:
    """The figures of a preview, as names and values."""
    lines = [
        (_("Awards taken back"), figures.number(found.entries)),
        (_("Members who lose points"), figures.number(found.members)),
        (_("Points taken back"), figures.number(found.points)),
        (_("Of these spent already"), figures.number(found.spent)),
    ]
    if found.spent_members:
        becomes = {
            Policy.REFUSE: _("missing, so that nothing is taken back"),
            Policy.TAKE: _("missing, and let go"),
            Policy.DEBT: _("missing, and owed: later points pay for them"),
        }[Policy(policy)]
        members = ngettext(
            "%(members)s member holds too little", "%(members)s members hold too little", found.spent_members
        ) % {"members": figures.number(found.spent_members)}
        lines.append((members, f"{figures.number(found.debt)} · {becomes}"))
    return lines


def request(batch: Batch, *, policy: str, comment: str, key: str, user: User | None) -> Approval:
    """Ask a second person to have it done. Raises :class:`EmptyBatch`.

    The same key for the same batch and policy returns the first request, whatever became of it.
    """
    found, key = preview(batch), f"undo-batch:{key}"
    if not found.entries and not Approval.objects.filter(key=key).exists():
        raise EmptyBatch
    version = RuleVersion.objects.select_related("rule").get(pk=batch.version)
    return approvals.request(
        KIND,
        subject=f"{-found.points:+,} · {version}",
        payload={
            "version": version.pk,
            "name": str(version),
            "since": batch.since.isoformat(),
            "until": batch.until.isoformat(),
            "policy": policy,
        },
        user=user,
        about=f"rule_version:{version.pk}",
        key=key,
        url=f"{reverse('loyalty:batches')}?version={version.pk}",
        comment=comment,
    )


def register() -> None:
    """Let batches be undone once somebody else approves it."""
    approvals.register(
        KIND,
        gettext_lazy("Batch taken back"),
        Permission.APPROVALS_DECIDE,
        _start,
        outlook=_outlook,
        title=_title,
    )


def jobs_of(requests: list[Approval]) -> dict[int, Job]:
    """The job of each request that was approved, by the request's id."""
    started = Job.objects.filter(kind=JOB, payload__approval__in=[found.pk for found in requests])
    return {job.payload["approval"]: job for job in started}


@jobs.handler(JOB)
def run(job: Job, progress: jobs.Progress) -> dict[str, Any]:
    """Take the batch back, chunk by chunk. What was taken back before is passed over."""
    approval = Approval.objects.select_related("decided_by").get(pk=job.payload["approval"])
    batch, policy = _batch(approval), approval.payload["policy"]
    explanation = {
        "batch": approval.payload["name"],
        "approval": approval.pk,
        "comment": approval.comment,
        "by": approval.requested_label,
        "approved_by": str(approval.decided_by or ""),
    }
    with connection.cursor() as cursor:
        cursor.execute(_COUNT_MEMBERS, batch.params())
        progress.update(0, total=cursor.fetchone()[0], step=_("taking points back"))
    entries = members = 0
    # All or nothing, where what is spent is not taken back.
    size = None if policy == Policy.REFUSE else CHUNK
    while True:
        undone, number = _undo_chunk(batch, size, explanation, policy)
        if not number:
            break
        entries, members = entries + undone, members + number
        progress.update(members)
    result = {"entries_taken_back": entries, "members": members}
    audit.record(approval.decided_by, "points.undo-batch", approval, detail=result)
    return result


@transaction.atomic
def _undo_chunk(batch: Batch, size: int | None, explanation: dict[str, Any], policy: str) -> tuple[int, int]:
    """Undo the awards of the next members; returns how many awards and members."""
    with connection.cursor() as cursor:
        _select(cursor, batch, size)
        cursor.execute(_MEMBERS)
        members = [row[0] for row in cursor.fetchall()]
        if not members:
            return 0, 0
        try:
            undone = ledger.undo_batch(cursor, "loyalty_batch", explanation=explanation, policy=policy)
        except ledger.AlreadySpent as refusal:
            raise jobs.Failed(
                _("%(count)d members have spent points of this batch. Nothing was taken back.")
                % {"count": refusal.members}
            ) from refusal
        caps.give_back(cursor, "loyalty_batch")
        tiers.look_again(members)
    return undone, len(members)


def _select(cursor: CursorWrapper, batch: Batch, members: int | None) -> None:
    """Make ``loyalty_batch``: the awards that are not taken back yet, of the first so many members or of all."""
    cursor.execute("DROP TABLE IF EXISTS pg_temp.loyalty_batch")
    cursor.execute(_SELECT, batch.params() | {"members": members})
    cursor.execute("ANALYZE loyalty_batch")


def _start(approval: Approval) -> None:
    jobs.start(JOB, title=_title(approval), payload={"approval": approval.pk}, user=approval.decided_by)


def _outlook(approval: Approval) -> approvals.Outlook:
    batch, payload = _batch(approval), approval.payload
    found = preview(batch)
    refused = payload["policy"] == Policy.REFUSE and found.spent_members
    return approvals.Outlook(
        [
            (_("Rule"), payload["name"]),
            (_("From"), figures.when(batch.since)),
            (_("Until before"), figures.when(batch.until)),
            *told(found, payload["policy"]),
        ],
        _("Members have spent points of it, and the policy refuses: nothing would be taken back.") if refused else "",
    )


def _title(approval: Approval) -> str:
    return _("Take back what “%(rule)s” gave, %(since)s to %(until)s") % {
        "rule": approval.payload["name"],
        "since": figures.moment(_batch(approval).since),
        "until": figures.moment(_batch(approval).until),
    }


def _batch(approval: Approval) -> Batch:
    told = approval.payload
    return Batch(
        version=told["version"],
        since=datetime.fromisoformat(told["since"]),
        until=datetime.fromisoformat(told["until"]),
    )


def short_members(found: ledger.BatchPreview) -> list[tuple[Member, int]]:
    """The members who lack most, and how many points each lacks."""
    members = Member.objects.in_bulk([member for member, _lacking in found.short])
    return [(members[member], lacking) for member, lacking in found.short if member in members]


_OF_BATCH: Final = """
  FROM loyalty_entry entry
 WHERE entry.rule_version_id = %(version)s AND entry.kind = 'earn'
   AND entry.occurred_at >= %(since)s AND entry.occurred_at < %(until)s
   AND NOT EXISTS (SELECT FROM loyalty_entry reversal WHERE reversal.reverses_id = entry.id)
"""

_MEMBERS: Final = """
SELECT DISTINCT member_id FROM loyalty_batch batch JOIN loyalty_entry entry ON entry.id = batch.entry_id ORDER BY 1
"""

_COUNT_MEMBERS: Final = f"SELECT count(DISTINCT entry.member_id) {_OF_BATCH}"

_SELECT: Final = f"""
CREATE TEMPORARY TABLE loyalty_batch ON COMMIT DROP AS
SELECT entry.id AS entry_id {_OF_BATCH}
   AND entry.member_id IN (SELECT DISTINCT entry.member_id {_OF_BATCH} ORDER BY entry.member_id LIMIT %(members)s)
"""
