"""The import kinds ``interactions`` and ``survey-responses`` as this room brings them.

What members did and answered earns in the transaction that writes it.
"""

from collections.abc import Mapping, Sequence
from typing import ClassVar

from django.db.backends.utils import CursorWrapper
from django.utils import timezone
from psycopg import sql

from loyalty import ledger, rules, tiers
from loyalty.intake import taking_back
from loyalty.intake.earning import earn_for_done
from loyalty.intake.purchase_kind import refusal_of
from loyalty.rules.events import INTERACTION, SURVEY, EventKind
from loyalty.rules.gathering import members_named_in
from members.importing.interactions import InteractionKind
from members.importing.kinds import Counts, UndoPreview
from members.importing.survey_responses import SurveyResponseKind


class _EarningKind(taking_back.PointsKind):
    """What members do, and what it earns by the rules in force when they did it.

    ``event`` is what the rules call it; ``table`` and ``time`` are where it is written. It stands before the kind that
    writes, whose methods ``super()`` means.
    """

    event: ClassVar[EventKind]
    table: ClassVar[str]
    time: ClassVar[str]
    leaves = ("loyalty.CapUse",)

    def apply(self, cursor: CursorWrapper, run_id: int) -> Counts:
        """Write what was done, then what it earns."""
        terms = self._terms(cursor)
        if not any(one.definition.event == self.event for one in terms):
            return super().apply(cursor, run_id)  # type: ignore[safe-super]
        named = members_named_in(cursor, terms, "import_rows", "extra") if self.event == INTERACTION else {}
        # Before any key is written, as the API does: neither waits for a key while it keeps the other from an account.
        ledger.lock_accounts(
            cursor,
            sql.SQL(
                "SELECT member_id FROM import_rows WHERE member_id IS NOT NULL UNION SELECT unnest({}::bigint[])"
            ).format(sql.Literal(list(named.values()))),
        )
        added = super().apply(cursor, run_id).added  # type: ignore[safe-super]
        self._select_done(cursor, run_id)
        try:
            return Counts(added=added, notes=earn_for_done(cursor, self.event, now=timezone.now(), named=named))
        except rules.TooManyPoints as error:
            raise refusal_of(cursor, error, self.table) from error

    def preview_undo(self, cursor: CursorWrapper, run_id: int) -> UndoPreview:
        """What goes, and what becomes of points that members have spent."""
        removes = list(super().preview_undo(cursor, run_id).removes)  # type: ignore[safe-super]
        self._select_done(cursor, run_id)
        self._select_batch(cursor)
        return taking_back.preview(removes, ledger.preview_batch(cursor, "loyalty_batch"))

    def undo(self, cursor: CursorWrapper, run_id: int) -> Mapping[str, int]:
        """Reverse what was earned, and remove what was done."""
        self._select_done(cursor, run_id)
        self._select_batch(cursor)
        entries = taking_back.take_back(cursor, taking_back.explanation_of(run_id))
        cursor.execute("SELECT DISTINCT member_id FROM loyalty_entry JOIN loyalty_batch ON entry_id = id")
        members = [row[0] for row in cursor.fetchall()]
        removed = dict(super().undo(cursor, run_id))  # type: ignore[safe-super]
        if members:
            tiers.evaluate(cursor, members, ladder=tiers.ladder(), now=timezone.now())
        return removed | {"entries": entries}

    def _terms(self, cursor: CursorWrapper) -> Sequence[rules.Terms]:
        """The rules that were in force when it was done."""
        statement = sql.SQL("SELECT min({time}), max({time}) FROM import_rows WHERE member_id IS NOT NULL")
        cursor.execute(statement.format(time=sql.Identifier(self.time)).as_string())
        first, last = cursor.fetchone()
        return rules.Period(first, last).terms if first else []

    def _select_done(self, cursor: CursorWrapper, run_id: int) -> None:
        """Make ``loyalty_done``, what the run wrote of known members at known times."""
        cursor.execute("DROP TABLE IF EXISTS pg_temp.loyalty_done")
        statement = sql.SQL(
            "CREATE TEMPORARY TABLE loyalty_done ON COMMIT DROP AS SELECT id, member_id, {time} AS at, properties"
            " FROM {table} WHERE import_run_id = %s AND member_id IS NOT NULL AND {time} IS NOT NULL"
        ).format(time=sql.Identifier(self.time), table=sql.Identifier(self.table))
        cursor.execute(statement.as_string(), [run_id])
        cursor.execute("ANALYZE loyalty_done")

    def _select_batch(self, cursor: CursorWrapper) -> None:
        """Make ``loyalty_batch``, the entries that it earned: their keys begin with the event's."""
        cursor.execute("DROP TABLE IF EXISTS pg_temp.loyalty_batch")
        cursor.execute(
            "CREATE TEMPORARY TABLE loyalty_batch ON COMMIT DROP AS SELECT entry.id AS entry_id"
            " FROM loyalty_done done CROSS JOIN loyalty_earningrule rule"
            " CROSS JOIN unnest(ARRAY['', ':also']) AS part"
            " JOIN loyalty_entry entry ON entry.idempotency_key"
            " = %s || ':' || done.id || ':rule:' || rule.id || part",
            [self.event],
        )
        cursor.execute("ANALYZE loyalty_batch")


class EarningInteractionKind(_EarningKind, InteractionKind):
    """Interactions."""

    event, table, time = INTERACTION, "members_interaction", "occurred_at"


class EarningSurveyResponseKind(_EarningKind, SurveyResponseKind):
    """Survey answers. Anonymous ones earn nothing, and neither do those of an unknown day."""

    event, table, time = SURVEY, "members_surveyresponse", "answered_at"
