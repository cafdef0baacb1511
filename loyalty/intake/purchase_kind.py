"""The import kind ``purchases``: rows become purchases, and earn, in the same transaction."""

from collections.abc import Mapping

from django.conf import settings
from django.db import transaction
from django.db.backends.utils import CursorWrapper
from django.utils import timezone
from django.utils.translation import gettext
from django.utils.translation import gettext_lazy as _
from psycopg import sql

from loyalty import ledger, rules, tiers
from loyalty.intake import taking_back
from loyalty.intake.bought import earn_and_refund
from loyalty.intake.withdrawal import withdraw
from loyalty.rules import reasons
from members.importing.kinds import MEMBER_SYNONYMS, TIME_SYNONYMS, Column, Counts, Type, UndoPreview
from members.importing.runs import Refused


class PurchaseKind(taking_back.PointsKind):
    """Purchases by receipt, or by their content where they have none."""

    key = "purchases"
    label = _("Purchases")
    key_columns = ("receipt",)
    columns = (
        Column(
            name="receipt",
            label=_("receipt"),
            max_length=120,
            synonyms=(
                "receipt number",
                "receipt no",
                "receipt_id",
                "order",
                "order_id",
                "order number",
                "transaction",
                "transaction_id",
                "invoice",
                "id",
                "小票",
                "小票号",
                "订单号",
                "订单编号",
                "单号",
            ),
        ),
        Column(name="member", label=_("member"), type=Type.MEMBER, required=True, synonyms=MEMBER_SYNONYMS),
        Column(
            name="purchased_at",
            label=_("time"),
            type=Type.TIME,
            required=True,
            synonyms=(
                *TIME_SYNONYMS,
                "purchase date",
                "purchase time",
                "order date",
                "sold at",
                "购买时间",
                "下单时间",
            ),
        ),
        Column(
            name="amount",
            label=_("amount"),
            type=Type.MONEY,
            required=True,
            minimum=0,
            maximum=99_999_999_999,
            synonyms=("total", "value", "sum", "price", "paid", "revenue", "sales", "金额", "实付", "实付金额", "总额"),
        ),
        Column(
            name="currency",
            label=_("currency"),
            max_length=3,
            synonyms=("currency code", "币种"),
            help=_("The programme's where it is empty."),
        ),
        Column(
            name="programme_amount",
            label=_("amount in the programme's currency"),
            type=Type.MONEY,
            minimum=0,
            maximum=99_999_999_999,
            help=_("Only for purchases in another currency."),
        ),
        Column(name="channel", label=_("channel"), max_length=32, synonyms=("渠道",)),
        Column(name="store", label=_("store"), max_length=64, synonyms=("shop", "branch", "outlet", "门店", "店铺")),
        Column(name="category", label=_("category"), max_length=64, synonyms=("product category", "品类", "类别")),
    )
    reasons = {
        "differs": _("this receipt is already there with other content"),
        "needs_value": _("is not the programme's currency, and the row does not say what that is worth in it"),
    }
    leaves = (
        "loyalty.Account",
        "loyalty.Entry",
        "loyalty.Lot",
        "loyalty.TierStanding",
        "loyalty.TierChange",
        "loyalty.CapUse",
    )
    # Whoever has an entry that is neither reversed nor a reversal; the database refuses to let go of these too.
    holds_members_sql = """
        SELECT entry.member_id FROM loyalty_entry entry
         WHERE entry.reverses_id IS NULL
           AND NOT EXISTS (SELECT FROM loyalty_entry reversal WHERE reversal.reverses_id = entry.id)
    """
    match_sql = """
        SELECT r.row_no, p.id, (
            p.member_id = r.member_id AND p.purchased_at = r.purchased_at AND p.amount = r.amount
            AND p.currency = COALESCE(upper(r.currency), p.currency)
            AND (r.programme_amount IS NULL OR p.value IN (r.programme_amount, p.amount))
            AND p.channel = COALESCE(r.channel, p.channel) AND p.store = COALESCE(r.store, p.store)
            AND p.category = COALESCE(r.category, p.category)
        ) AS same
        FROM import_rows AS r JOIN members_purchase AS p ON p.key = r.row_key
    """

    def begin(self) -> None:
        """Refuse a programme without tiers."""
        try:
            tiers.ladder()
        except tiers.NoTiers as error:
            raise Refused(gettext("The programme has no tiers yet. Start it under Programme → Tiers first.")) from error

    def check(self, cursor: CursorWrapper, run_id: int) -> None:
        """Refuse amounts in other currencies that nobody can convert."""
        cursor.execute(
            "INSERT INTO import_errors SELECT row_no, 'currency', 'needs_value', currency FROM import_rows"
            " WHERE upper(currency) <> %s AND programme_amount IS NULL",
            [settings.PROGRAMME_CURRENCY],
        )

    def apply(self, cursor: CursorWrapper, run_id: int) -> Counts:
        """Write the purchases, then what they earn."""
        ledger.lock_accounts(cursor, sql.SQL("SELECT DISTINCT member_id FROM import_rows"))
        cursor.execute(_INSERT, {"run": run_id, "currency": settings.PROGRAMME_CURRENCY})
        added = cursor.rowcount
        ledger.refresh_plans(cursor, added)
        _select_bought(cursor, run_id)
        try:
            notes = earn_and_refund(cursor, now=timezone.now())
        except rules.TooManyPoints as error:
            raise refusal_of(cursor, error, "members_purchase") from error
        return Counts(added=added, notes=notes)

    def preview_undo(self, cursor: CursorWrapper, run_id: int) -> UndoPreview:
        """What goes, and what becomes of points that members have spent."""
        _select_bought(cursor, run_id)
        cursor.execute("SELECT count(*) FROM loyalty_bought")
        purchases = (cursor.fetchone() or (0,))[0]
        with transaction.atomic():
            _withdraw_refunds(cursor, {})
            batch = ledger.preview_batch(cursor, "loyalty_batch")
            transaction.set_rollback(True)
        return taking_back.preview([(_("purchases are removed"), purchases)], batch)

    def undo(self, cursor: CursorWrapper, run_id: int) -> Mapping[str, int]:
        """Reverse what the purchases earned, remove them, and find the tiers anew (docs/adr/0003)."""
        _select_bought(cursor, run_id)
        explanation = taking_back.explanation_of(run_id)
        _withdraw_refunds(cursor, explanation)
        reversed_entries = taking_back.take_back(cursor, explanation)
        tiers.rewind(cursor, "loyalty_bought")
        cursor.execute(
            "UPDATE loyalty_redemption SET purchase_id = NULL"
            " WHERE purchase_id IN (SELECT purchase_id FROM loyalty_bought)"
        )
        # One that was undone stays so, without its purchase.
        cursor.execute(
            "UPDATE members_refund SET purchase_id = NULL, member_id = NULL"
            " WHERE state = 'undone' AND purchase_id IN (SELECT purchase_id FROM loyalty_bought)"
        )
        cursor.execute("DELETE FROM members_purchaseline WHERE purchase_id IN (SELECT purchase_id FROM loyalty_bought)")
        cursor.execute("DELETE FROM members_purchase WHERE id IN (SELECT purchase_id FROM loyalty_bought)")
        removed = cursor.rowcount
        cursor.execute("SELECT DISTINCT member_id FROM loyalty_bought")
        members = [row[0] for row in cursor.fetchall()]
        ladder = tiers.ladder()
        tiers.evaluate(cursor, members, ladder=ladder, now=timezone.now())
        tiers.forget(cursor, members, ladder)
        return {"purchases": removed, "entries": reversed_entries}


def refusal_of(cursor: CursorWrapper, error: rules.TooManyPoints, table: str) -> Refused:
    """An import of which some rows would earn absurdly much: which rows they are."""
    statement = sql.SQL(
        "SELECT row_no FROM import_rows JOIN {} done ON done.key = row_key WHERE done.id = ANY(%s) ORDER BY 1 LIMIT 5"
    ).format(sql.Identifier(table))
    cursor.execute(statement.as_string(), [list(error.events)])
    rows = ", ".join(str(row[0]) for row in cursor.fetchall())
    return Refused(gettext("Row %(rows)s: %(why)s") % {"rows": rows, "why": reasons.too_many(error)})


def _select_bought(cursor: CursorWrapper, run_id: int) -> None:
    """Make ``loyalty_bought``, the run's purchases, and ``loyalty_batch``, the entries they earned."""
    cursor.execute("DROP TABLE IF EXISTS pg_temp.loyalty_bought, pg_temp.loyalty_batch")
    cursor.execute(
        "CREATE TEMPORARY TABLE loyalty_bought ON COMMIT DROP AS"
        " SELECT id AS purchase_id, member_id, purchased_at FROM members_purchase WHERE import_run_id = %s",
        [run_id],
    )
    cursor.execute("CREATE UNIQUE INDEX ON loyalty_bought (purchase_id)")
    cursor.execute(
        "CREATE TEMPORARY TABLE loyalty_batch ON COMMIT DROP AS SELECT entry.id AS entry_id"
        " FROM loyalty_entry entry JOIN loyalty_bought USING (purchase_id) WHERE entry.kind = 'earn'"
    )
    cursor.execute("ANALYZE loyalty_bought; ANALYZE loyalty_batch")


def _withdraw_refunds(cursor: CursorWrapper, explanation: dict[str, object]) -> None:
    """Let the refunds of ``loyalty_bought`` wait for their purchases to come again; locks the accounts."""
    ledger.lock_accounts(cursor, sql.SQL("SELECT DISTINCT member_id FROM loyalty_bought"))
    cursor.execute("SELECT DISTINCT purchase_id FROM members_refund JOIN loyalty_bought USING (purchase_id)")
    withdraw([row[0] for row in cursor.fetchall()], explanation=explanation)


_INSERT = """
INSERT INTO members_purchase (member_id, key, external_id, purchased_at, amount, currency, rate, value, channel, store,
                              category, import_run_id, created_at)
SELECT member_id, row_key, coalesce(receipt, ''), purchased_at, amount, coalesce(upper(currency), %(currency)s),
       CASE WHEN foreign_currency AND amount > 0 THEN round(programme_amount / amount, 8) ELSE 1 END,
       CASE WHEN foreign_currency THEN programme_amount ELSE amount END,
       coalesce(channel, ''), coalesce(store, ''), coalesce(category, ''), %(run)s, now()
  FROM (SELECT *, coalesce(upper(currency) <> %(currency)s, false) AS foreign_currency FROM import_rows) AS row
 ORDER BY member_id, purchased_at, row_no
"""
