"""Taking back the points of an import: what its kinds have in common, said before and then done."""

from django.db.backends.utils import CursorWrapper
from django.utils import timezone
from django.utils.translation import gettext
from django.utils.translation import gettext_lazy as _

from loyalty import ledger, limits
from loyalty.limits import Limit
from loyalty.policies import settings_now
from loyalty.rules import caps
from members.importing.kinds import ImportKind, Text, UndoPreview
from members.importing.runs import Refused
from members.models import ImportRun, Member
from staff.models import User

Told = list[tuple[Text, int]]


class PointsKind(ImportKind):
    """A kind whose undo moves points: one person does so within the limits of an adjustment (docs/adr/0013)."""

    def may_undo_alone(self, points: int, user: User) -> bool:
        """Up to what one person may still move at once today."""
        return points <= limits.alone(Limit.ADJUST, limits.counted_as(user))

    def undo_alone(self, points: int, user: User) -> bool:
        """Counted towards the person's day."""
        return limits.take_alone(Limit.ADJUST, limits.counted_as(user), points, at=timezone.now())


def preview(removes: Told, batch: ledger.BatchPreview) -> UndoPreview:
    """What goes beside ``removes``, and what the programme's policy does about points that are spent."""
    removes, obstacles = list(removes), []
    if batch.points:
        removes.append((_("points are taken back"), batch.points))
        removes.append((_("members lose points"), batch.members))
    if batch.spent:
        removes.append((_("of these points are spent already"), batch.spent))
    policy = settings_now().clawback_policy
    if batch.spent_members and policy == ledger.Policy.REFUSE:
        some = [member_id for member_id, _lacking in batch.short][:5]
        numbers = Member.objects.filter(pk__in=some).order_by("number").values_list("number", flat=True)
        words = gettext("members have spent points of this import, so it cannot be taken back (%(numbers)s …)")
        obstacles.append((words % {"numbers": ", ".join(numbers)}, batch.spent_members))
    elif batch.spent_members:
        owed = _("points are owed, and later earnings pay for them")
        removes.append((_("members hold too few points to give them back"), batch.spent_members))
        removes.append((owed if policy == ledger.Policy.DEBT else _("points are let go"), batch.debt))
    return UndoPreview(removes=removes, obstacles=obstacles, points=batch.points)


def explanation_of(run_id: int) -> dict[str, object]:
    """What the entries say that take an import back."""
    file_name = ImportRun.objects.only("file_name").get(pk=run_id).file_name
    return {"reason": "import_undone", "run": run_id, "file": file_name}


def take_back(cursor: CursorWrapper, explanation: dict[str, object]) -> int:
    """Reverse the entries of the temporary table ``loyalty_batch`` and free their caps; returns how many they were.

    Raises :class:`~members.importing.runs.Refused` where the policy refuses to take spent points back.
    """
    try:
        entries = ledger.undo_batch(
            cursor, "loyalty_batch", explanation=explanation, policy=settings_now().clawback_policy
        )
    except ledger.AlreadySpent as refusal:
        raise Refused(
            gettext("%(count)d members have spent points of this import. Nothing was taken back.")
            % {"count": refusal.members}
        ) from refusal
    caps.give_back(cursor, "loyalty_batch")
    return entries
