"""The import kind ``interactions`` as this room brings it: what members did earns in the same transaction."""

from collections.abc import Mapping

from django.db.backends.utils import CursorWrapper
from django.utils import timezone
from django.utils.translation import gettext
from django.utils.translation import gettext_lazy as _
from psycopg import sql

from loyalty import ledger, rules, tiers
from loyalty.intake.earning import earn_for_done
from loyalty.intake.interactions import members_named, naming
from loyalty.intake.purchase_kind import refusal_of
from loyalty.ledger.bulk import lock_accounts
from loyalty.policies import settings_now
from loyalty.rules import caps
from members.importing.interactions import InteractionKind
from members.importing.kinds import Counts, Text, UndoPreview
from members.importing.runs import Refused
from members.models import ImportRun


class EarningInteractionKind(InteractionKind):
    """Interactions that earn by the rules in force when they happened."""

    leaves = ("loyalty.CapUse",)

    def apply(self, cursor: CursorWrapper, run_id: int) -> Counts:
        """Write the interactions, then what they earn."""
        added = super().apply(cursor, run_id).added
        _select_done(cursor, run_id)
        cursor.execute("SELECT min(occurred_at), max(occurred_at) FROM loyalty_done")
        first, last = cursor.fetchone()
        terms = rules.Period(first, last).terms if first else []
        if not any(one.definition.event == "interaction" for one in terms):
            return Counts(added=added)
        named = _named(cursor, naming(terms))
        lock_accounts(
            cursor,
            sql.SQL("SELECT member_id FROM loyalty_done UNION SELECT unnest({}::bigint[])").format(
                sql.Literal(list(named.values()))
            ),
        )
        try:
            return Counts(added=added, notes=earn_for_done(cursor, now=timezone.now(), named=named))
        except rules.TooManyPoints as error:
            raise refusal_of(cursor, error, "members_interaction") from error

    def preview_undo(self, cursor: CursorWrapper, run_id: int) -> UndoPreview:
        """What goes, the points that go with it, and whether members have spent them."""
        removes = list(super().preview_undo(cursor, run_id).removes)
        obstacles: list[tuple[Text, int]] = []
        _select_done(cursor, run_id)
        _select_batch(cursor)
        batch = ledger.preview_batch(cursor, "loyalty_batch")
        if batch.points:
            removes.append((_("points are taken back"), batch.points))
        if batch.spent_members:
            obstacles.append((_("members have spent points of this import"), batch.spent_members))
        return UndoPreview(removes=removes, obstacles=obstacles)

    def undo(self, cursor: CursorWrapper, run_id: int) -> Mapping[str, int]:
        """Reverse what the interactions earned, and remove them."""
        _select_done(cursor, run_id)
        _select_batch(cursor)
        file_name = ImportRun.objects.only("file_name").get(pk=run_id).file_name
        explanation = {"reason": "import_undone", "run": run_id, "file": file_name}
        policy = settings_now().clawback_policy
        try:
            entries = ledger.undo_batch(cursor, "loyalty_batch", explanation=explanation, policy=policy)
        except ledger.AlreadySpent as refusal:
            raise Refused(
                gettext("%(count)d members have spent points of this import. Nothing was taken back.")
                % {"count": refusal.members}
            ) from refusal
        caps.give_back(cursor, "loyalty_batch")
        cursor.execute("SELECT DISTINCT member_id FROM loyalty_entry JOIN loyalty_batch ON entry_id = id")
        members = [row[0] for row in cursor.fetchall()]
        removed = dict(super().undo(cursor, run_id))
        if members:
            tiers.evaluate(cursor, members, ladder=tiers.ladder(), now=timezone.now())
        return removed | {"entries": entries}


def _select_done(cursor: CursorWrapper, run_id: int) -> None:
    """Make ``loyalty_done``, the run's interactions."""
    cursor.execute("DROP TABLE IF EXISTS pg_temp.loyalty_done")
    cursor.execute(
        "CREATE TEMPORARY TABLE loyalty_done ON COMMIT DROP AS SELECT id AS interaction_id, member_id, occurred_at,"
        " properties FROM members_interaction WHERE import_run_id = %s",
        [run_id],
    )
    cursor.execute("ANALYZE loyalty_done")


def _select_batch(cursor: CursorWrapper) -> None:
    """Make ``loyalty_batch``, the entries that the interactions earned: their keys begin with the interaction's."""
    cursor.execute("DROP TABLE IF EXISTS pg_temp.loyalty_batch")
    cursor.execute(
        "CREATE TEMPORARY TABLE loyalty_batch ON COMMIT DROP AS SELECT entry.id AS entry_id"
        " FROM loyalty_done CROSS JOIN loyalty_earningrule rule"
        " CROSS JOIN unnest(ARRAY['', ':also']) AS part"
        " JOIN loyalty_entry entry ON entry.idempotency_key"
        " = 'interaction:' || loyalty_done.interaction_id || ':rule:' || rule.id || part"
    )
    cursor.execute("ANALYZE loyalty_batch")


def _named(cursor: CursorWrapper, properties: set[str]) -> dict[str, int]:
    """The members whom the interactions name."""
    if not properties:
        return {}
    cursor.execute(
        "SELECT DISTINCT properties->>name FROM loyalty_done, unnest(%s::text[]) AS name"
        " WHERE properties->>name IS NOT NULL",
        [sorted(properties)],
    )
    return members_named(cursor, [row[0] for row in cursor.fetchall()])
