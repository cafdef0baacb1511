"""The import kind ``refunds``: each row gives back a purchase, a part of its amount, or one of its lines."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from typing import Final

from django.db.backends.utils import CursorWrapper
from django.utils.translation import gettext_lazy as _
from psycopg import sql

from loyalty import ledger, refund_words
from loyalty.intake import refund_locks, refunds
from loyalty.intake.refund_batch import apply_waiting
from loyalty.intake.returning import RefundLineInput, RefundRefused, Standing, allocate
from loyalty.intake.taking_back import PointsKind
from loyalty.intake.withdrawal import apply_again, give_once, withdraw
from members.importing.kinds import TIME_SYNONYMS, Column, Counts, Type, UndoPreview
from members.models import ImportRun, Purchase, Refund

# Purchases that are looked at together.
CHUNK: Final = 2_000

# As ``refunds.record_refund`` keeps what was asked for, so that the same row is recognised.
_REQUEST: Final = """jsonb_build_object(
    'amount', CASE WHEN r.line_no IS NULL THEN trim_scale(r.amount)::text END,
    'currency', coalesce(upper(r.currency), ''),
    'lines', CASE WHEN r.line_no IS NULL THEN '[]'::jsonb ELSE jsonb_build_array(jsonb_build_object(
        'line_no', r.line_no, 'quantity', trim_scale(r.quantity)::text, 'amount', trim_scale(r.amount)::text)) END)"""


class RefundKind(PointsKind):
    """Refunds by their own number, or by their content where they have none."""

    key = "refunds"
    label = _("Refunds")
    key_columns = ("refund",)
    columns = (
        Column(
            name="refund",
            label=_("outside id"),
            max_length=120,
            synonyms=("refund_id", "refund number", "return", "return_id", "credit note", "id", "退款单号", "退货单号"),
        ),
        Column(
            name="receipt",
            label=_("receipt"),
            required=True,
            max_length=120,
            synonyms=(
                "receipt number",
                "receipt no",
                "receipt_id",
                "order",
                "order_id",
                "order number",
                "purchase",
                "purchase_id",
                "invoice",
                "小票",
                "小票号",
                "订单号",
                "订单编号",
            ),
            help=_("Of the purchase. A refund whose purchase is not there yet waits for it."),
        ),
        Column(
            name="refunded_at",
            label=_("time"),
            type=Type.TIME,
            required=True,
            synonyms=(*TIME_SYNONYMS, "refund date", "refund time", "returned at", "退款时间", "退货时间"),
        ),
        Column(
            name="amount",
            label=_("amount"),
            type=Type.MONEY,
            minimum=0,
            maximum=99_999_999_999,
            synonyms=("total", "value", "sum", "refund amount", "refunded", "金额", "退款金额"),
            help=_("In the currency of the purchase. All that is left where it is empty."),
        ),
        Column(name="currency", label=_("currency"), max_length=3, synonyms=("currency code", "币种")),
        Column(
            name="line_no",
            label=_("line"),
            type=Type.INTEGER,
            minimum=1,
            maximum=1_000_000,
            synonyms=("line", "line number", "line_number", "position", "行号"),
            help=_("Of the purchase, where only this one is given back."),
        ),
        Column(
            name="quantity",
            label=_("quantity"),
            type=Type.MONEY,
            minimum=0,
            maximum=99_999_999,
            synonyms=("qty", "pieces", "数量"),
            help=_("How many of that line."),
        ),
        Column(name="reason", label=_("reason"), max_length=200, synonyms=("note", "comment", "原因")),
    )
    match_sql = f"""
        SELECT r.row_no, refund.id, (
            refund.purchase_key = r.receipt AND refund.request = {_REQUEST} AND refund.refunded_at = r.refunded_at
            AND refund.reason = COALESCE(r.reason, refund.reason)
        ) AS same
          FROM import_rows AS r JOIN members_refund AS refund ON refund.key = r.row_key
    """  # noqa: S608
    reasons = {
        **refund_words.REASONS,
        "differs": _("this refund is already there with other content"),
        "without_line": _("needs the line that it is of"),
    }

    def check(self, cursor: CursorWrapper, run_id: int) -> None:
        """Refuse what cannot be given back: each row is tried after those before it."""
        cursor.execute(
            "INSERT INTO import_errors SELECT row_no, 'quantity', 'without_line', quantity::text FROM import_rows"
            " WHERE quantity IS NOT NULL AND line_no IS NULL"
        )
        cursor.execute(_TO_TRY)
        rows: dict[int, list[_Row]] = {}
        for purchase_id, *row in cursor.fetchall():
            rows.setdefault(purchase_id, []).append(_Row(*row))
        ids = list(rows)
        for start in range(0, len(ids), CHUNK):
            purchases = Purchase.objects.in_bulk(ids[start : start + CHUNK])
            standings = refunds.standings(purchases.values())
            for pk, standing in standings.items():
                for error in _try(rows[pk], purchases[pk], standing):
                    cursor.execute("INSERT INTO import_errors VALUES (%s, %s, %s, %s)", error)

    def apply(self, cursor: CursorWrapper, run_id: int) -> Counts:
        """Write the refunds as waiting, and apply those whose purchase is there."""
        ledger.lock_accounts(cursor, sql.SQL(_MEMBERS))
        cursor.execute(_INSERT, {"run": run_id})
        added = cursor.rowcount
        cursor.execute(_MISSING)
        refund_locks.hold([row[0] for row in cursor.fetchall()])
        # What came in until its key was held is there now.
        ledger.lock_accounts(cursor, sql.SQL(_MEMBERS))
        of_run = Refund.objects.filter(import_run=run_id)
        taken = given = 0
        members: set[int] = set()
        wanted = Purchase.objects.filter(key__in=of_run.values("purchase_key")).order_by("member_id", "pk")
        ids = list(wanted.values_list("pk", flat=True))
        for start in range(0, len(ids), CHUNK):
            purchases = list(wanted.filter(pk__in=ids[start : start + CHUNK]))
            for done in apply_waiting(purchases):
                taken, given = taken + done.points_taken, given + done.points_returned
            members |= {purchase.member_id for purchase in purchases}
        moves = refunds.look_at_tiers(sorted(members))
        notes = {
            "refunds_waiting": of_run.filter(state=Refund.State.WAITING).count(),
            "refunds_refused": of_run.filter(state=Refund.State.REFUSED).count(),
            "points_taken_back": taken,
            "points_given_back": given,
            "tier_changes": moves,
        }
        return Counts(added=added, notes={name: count for name, count in notes.items() if count})

    def preview_undo(self, cursor: CursorWrapper, run_id: int) -> UndoPreview:
        """How many refunds would go, and what comes back with them."""
        cursor.execute(_TAKEN, {"run": run_id})
        members, points, moved = cursor.fetchone()
        return UndoPreview(
            removes=[(_("refunds are removed"), Refund.objects.filter(import_run=run_id).count())],
            restores=[(_("points come back"), int(points)), (_("members get points back"), members)],
            points=int(moved),
        )

    def undo(self, cursor: CursorWrapper, run_id: int) -> Mapping[str, int]:
        """Withdraw all refunds of the purchases concerned, remove the run's, and apply the others again."""
        ledger.lock_accounts(cursor, sql.SQL(_MEMBERS_OF_RUN).format(sql.Literal(run_id)))
        of_run = Refund.objects.filter(import_run=run_id)
        purchases = list(of_run.filter(purchase__isnull=False).values_list("purchase_id", flat=True).distinct())
        file_name = ImportRun.objects.only("file_name").get(pk=run_id).file_name
        explanation: dict[str, object] = {"reason": "import_undone", "run": run_id, "file": file_name}
        withdraw(purchases, explanation=explanation)
        removed, _by_model = of_run.delete()
        apply_again(purchases)
        give_once(purchases, explanation=explanation)
        members = Purchase.objects.filter(pk__in=purchases).values_list("member_id", flat=True)
        refunds.look_at_tiers(sorted(set(members)))
        return {"refunds": removed}


@dataclass(frozen=True)
class _Row:
    """One row of the file."""

    row_no: int
    refunded_at: datetime
    amount: Decimal | None
    currency: str
    line_no: int | None
    quantity: Decimal | None


def _try(rows: list[_Row], purchase: Purchase, standing: Standing) -> list[tuple[int, str, str, str]]:
    """The errors of the rows of one purchase, each tried on what the ones before it leave."""
    errors = []
    for row in rows:
        lines = []
        if row.line_no is not None:
            lines.append(RefundLineInput(line_no=row.line_no, quantity=row.quantity, amount=row.amount))
        try:
            refunds.check_day(row.refunded_at, purchase)
            amount = None if lines else row.amount
            standing = standing.after(allocate(standing, amount=amount, lines=lines, currency=row.currency))
        except RefundRefused as refusal:
            field = "line_no" if refusal.field == "lines" else refusal.field
            value = "" if refusal.left is None else f"{refusal.left.normalize():f}"
            errors.append((row.row_no, field, refusal.reason, value))
    return errors


_TO_TRY: Final = """
SELECT purchase.id, r.row_no, r.refunded_at, r.amount, coalesce(upper(r.currency), ''), r.line_no, r.quantity
  FROM import_rows AS r JOIN members_purchase AS purchase ON purchase.key = r.receipt
 WHERE NOT EXISTS (SELECT FROM import_errors AS error WHERE error.row_no = r.row_no)
   AND NOT EXISTS (SELECT FROM import_matches AS match WHERE match.row_no = r.row_no)
 ORDER BY purchase.member_id, purchase.id, r.refunded_at, r.row_no
"""

# Whose accounts may move: the members', and those of a household who paid with points (``refund_locks.touched_by``).
_MEMBERS: Final = """
SELECT purchase.member_id
  FROM import_rows AS r JOIN members_purchase AS purchase ON purchase.key = r.receipt
UNION
SELECT entry.member_id
  FROM import_rows AS r JOIN members_purchase AS purchase ON purchase.key = r.receipt
  JOIN loyalty_redemption redemption ON redemption.purchase_id = purchase.id
  JOIN loyalty_entry entry ON entry.redemption_id = redemption.id
"""

_MEMBERS_OF_RUN: Final = """
WITH undone AS (SELECT member_id, purchase_id FROM members_refund WHERE import_run_id = {} AND member_id IS NOT NULL)
SELECT member_id FROM undone
UNION
SELECT entry.member_id
  FROM undone JOIN loyalty_redemption redemption USING (purchase_id)
  JOIN loyalty_entry entry ON entry.redemption_id = redemption.id
"""

_MISSING: Final = """
SELECT DISTINCT r.receipt FROM import_rows AS r
 WHERE NOT EXISTS (SELECT FROM members_purchase AS purchase WHERE purchase.key = r.receipt)
"""

_INSERT: Final = f"""
INSERT INTO members_refund (key, external_id, purchase_key, refunded_at, request, currency, state, attempt, reason,
                            problem, import_run_id, created_at)
SELECT r.row_key, coalesce(r.refund, ''), r.receipt, r.refunded_at, {_REQUEST}, '', 'waiting', 0,
       coalesce(r.reason, ''), '', %(run)s, now()
  FROM import_rows AS r ORDER BY r.refunded_at, r.row_no
"""  # noqa: S608

_TAKEN: Final = """
SELECT count(DISTINCT entry.member_id), coalesce(-sum(entry.points), 0),
       greatest(coalesce(-sum(entry.points) FILTER (WHERE entry.points < 0), 0),
                coalesce(sum(entry.points) FILTER (WHERE entry.points > 0), 0))
  FROM members_refund refund
  JOIN loyalty_entry entry ON entry.purchase_id = refund.purchase_id
   AND entry.idempotency_key LIKE 'refund:' || refund.id || '.' || refund.attempt || ':%%'
 WHERE refund.import_run_id = %(run)s
"""
