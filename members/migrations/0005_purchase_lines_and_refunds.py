"""Lines of purchases, refunds, and what a purchase counts for after them (docs/adr/0010).

The database holds that refunds add up: of a purchase to no more than its amount and to exactly its
``refunded_value``, of a line to no more than its quantity and amount. The checks wait for the commit, since a refund
is written in several statements.
"""

from decimal import Decimal

import django.db.models.deletion
from django.conf import settings
from django.contrib.postgres.operations import AddConstraintNotValid
from django.db import migrations, models

# Purchases as they count. What refers to it is expanded in place, so it costs nothing.
NET = """
CREATE VIEW members_net_purchase AS
SELECT id, member_id, key, external_id, purchased_at, value - refunded_value AS value, channel, store, category,
       import_run_id
  FROM members_purchase
 WHERE refunded_value < value OR value = 0
"""

LINES = """
CREATE FUNCTION members_lines_fit() RETURNS trigger LANGUAGE plpgsql AS $$
DECLARE
    wrong record;
BEGIN
    SELECT purchase.id, purchase.amount, purchase.value, held.amount AS lines INTO wrong
      FROM (SELECT DISTINCT purchase_id AS id FROM new_rows) touched
      JOIN members_purchase purchase ON purchase.id = touched.id
      JOIN LATERAL (SELECT sum(amount) AS amount, sum(value) AS value FROM members_purchaseline line
                     WHERE line.purchase_id = touched.id OFFSET 0) held ON true
     WHERE held.amount > purchase.amount OR held.value > purchase.value
     LIMIT 1;
    IF FOUND THEN
        RAISE EXCEPTION 'the lines of purchase % come to %, which is more than its amount %',
            wrong.id, wrong.lines, wrong.amount
            USING ERRCODE = 'check_violation', CONSTRAINT = 'members_lines_fit';
    END IF;
    RETURN NULL;
END $$;
CREATE TRIGGER members_lines_fit AFTER INSERT ON members_purchaseline
    REFERENCING NEW TABLE AS new_rows EXECUTE FUNCTION members_lines_fit();

CREATE FUNCTION members_line_kept() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    RAISE EXCEPTION 'the line of a purchase is not changed' USING ERRCODE = 'restrict_violation';
END $$;
CREATE TRIGGER members_line_kept BEFORE UPDATE OF id, purchase_id, line_no, quantity, amount, value
    ON members_purchaseline EXECUTE FUNCTION members_line_kept();
"""

REFUNDS = """
CREATE FUNCTION members_check_refunds_of(touched bigint) RETURNS void LANGUAGE plpgsql AS $$
DECLARE
    wrong record;
BEGIN
    SELECT purchase.amount, purchase.refunded_value, given.amount AS refunded, given.value INTO wrong
      FROM members_purchase purchase
      JOIN LATERAL (SELECT coalesce(sum(amount), 0) AS amount, coalesce(sum(value), 0) AS value
                      FROM members_refund refund
                     WHERE refund.purchase_id = touched AND refund.state = 'applied') given ON true
     WHERE purchase.id = touched
       AND (given.amount > purchase.amount OR given.value <> purchase.refunded_value);
    IF FOUND THEN
        RAISE EXCEPTION 'purchase % of %: refunds of %, worth %, and % noted on it',
            touched, wrong.amount, wrong.refunded, wrong.value, wrong.refunded_value
            USING ERRCODE = 'check_violation', CONSTRAINT = 'members_refunds_add_up';
    END IF;
END $$;

CREATE FUNCTION members_purchase_refunded() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    PERFORM members_check_refunds_of(NEW.id);
    RETURN NULL;
END $$;
CREATE CONSTRAINT TRIGGER members_purchase_refunded AFTER UPDATE OF refunded_value, amount, value ON members_purchase
    DEFERRABLE INITIALLY DEFERRED FOR EACH ROW EXECUTE FUNCTION members_purchase_refunded();
CREATE CONSTRAINT TRIGGER members_purchase_born_refunded AFTER INSERT ON members_purchase
    DEFERRABLE INITIALLY DEFERRED FOR EACH ROW WHEN (NEW.refunded_value <> 0)
    EXECUTE FUNCTION members_purchase_refunded();

CREATE FUNCTION members_refund_moved() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF TG_OP <> 'INSERT' THEN
        PERFORM members_check_refunds_of(OLD.purchase_id);
    END IF;
    IF TG_OP <> 'DELETE' THEN
        PERFORM members_check_refunds_of(NEW.purchase_id);
        IF EXISTS (SELECT FROM members_refundline line
                    WHERE line.refund_id = NEW.id HAVING sum(line.amount) > coalesce(NEW.amount, 0)) THEN
            RAISE EXCEPTION 'the lines of refund % come to more than it gave back', NEW.id
                USING ERRCODE = 'check_violation', CONSTRAINT = 'members_refund_lines_fit';
        END IF;
    END IF;
    RETURN NULL;
END $$;
CREATE CONSTRAINT TRIGGER members_refund_moved AFTER INSERT OR UPDATE OR DELETE ON members_refund
    DEFERRABLE INITIALLY DEFERRED FOR EACH ROW EXECUTE FUNCTION members_refund_moved();

CREATE FUNCTION members_refund_line_moved() RETURNS trigger LANGUAGE plpgsql AS $$
DECLARE
    wrong record;
BEGIN
    SELECT line.id, line.purchase_id, line.quantity, line.amount, given.quantity AS refunded, given.amount AS paid_back
      INTO wrong
      FROM members_purchaseline line
      JOIN LATERAL (SELECT sum(quantity) AS quantity, sum(amount) AS amount, sum(value) AS value
                      FROM members_refundline part WHERE part.line_id = NEW.line_id) given ON true
     WHERE line.id = NEW.line_id
       AND (given.quantity > line.quantity OR given.amount > line.amount OR given.value > line.value);
    IF FOUND THEN
        RAISE EXCEPTION 'line % of % and %: % and % are given back',
            wrong.id, wrong.quantity, wrong.amount, wrong.refunded, wrong.paid_back
            USING ERRCODE = 'check_violation', CONSTRAINT = 'members_refund_within_line';
    END IF;
    IF EXISTS (
        SELECT FROM members_refundline part
          JOIN members_refund refund ON refund.id = part.refund_id
          JOIN members_purchaseline line ON line.id = part.line_id
         WHERE part.id = NEW.id
           AND (refund.state <> 'applied' OR refund.purchase_id IS DISTINCT FROM line.purchase_id)) THEN
        RAISE EXCEPTION 'refund % gives back a line that is not its purchase''s', NEW.refund_id
            USING ERRCODE = 'check_violation', CONSTRAINT = 'members_refund_line_of_purchase';
    END IF;
    IF EXISTS (SELECT FROM members_refundline part JOIN members_refund refund ON refund.id = part.refund_id
                WHERE refund.id = NEW.refund_id GROUP BY refund.id HAVING sum(part.amount) > refund.amount) THEN
        RAISE EXCEPTION 'the lines of refund % come to more than it gave back', NEW.refund_id
            USING ERRCODE = 'check_violation', CONSTRAINT = 'members_refund_lines_fit';
    END IF;
    RETURN NULL;
END $$;
CREATE CONSTRAINT TRIGGER members_refund_line_moved AFTER INSERT OR UPDATE ON members_refundline
    DEFERRABLE INITIALLY DEFERRED FOR EACH ROW EXECUTE FUNCTION members_refund_line_moved();
"""

# Temporary tables are looked for first unless pg_temp is named last.
PIN = """
DO $$
DECLARE
    guard regprocedure;
BEGIN
    FOR guard IN
        SELECT oid::regprocedure FROM pg_proc
         WHERE pronamespace = current_schema()::regnamespace
           AND proname IN ('members_lines_fit', 'members_line_kept', 'members_check_refunds_of',
                           'members_purchase_refunded', 'members_refund_moved', 'members_refund_line_moved')
    LOOP
        EXECUTE format('ALTER FUNCTION %s SET search_path = %I, pg_temp', guard, current_schema());
    END LOOP;
END $$;
"""

UNGUARDED = """
DROP TRIGGER members_refund_line_moved ON members_refundline;
DROP TRIGGER members_refund_moved ON members_refund;
DROP TRIGGER members_purchase_born_refunded ON members_purchase;
DROP TRIGGER members_purchase_refunded ON members_purchase;
DROP TRIGGER members_line_kept ON members_purchaseline;
DROP TRIGGER members_lines_fit ON members_purchaseline;
DROP FUNCTION members_refund_line_moved, members_refund_moved, members_purchase_refunded, members_check_refunds_of,
    members_line_kept, members_lines_fit;
"""


class Migration(migrations.Migration):
    dependencies = [
        ("members", "0004_member_fold_names"),
        migrations.swappable_dependency(settings.AUTH_USER_MODEL),
    ]

    operations = [
        migrations.CreateModel(
            name="PurchaseLine",
            fields=[
                ("id", models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name="ID")),
                ("line_no", models.PositiveIntegerField()),
                ("sku", models.CharField(blank=True, max_length=64, verbose_name="SKU")),
                ("product", models.CharField(blank=True, max_length=200, verbose_name="product")),
                ("brand", models.CharField(blank=True, max_length=64, verbose_name="brand")),
                ("category", models.CharField(blank=True, max_length=64, verbose_name="category")),
                (
                    "quantity",
                    models.DecimalField(decimal_places=3, default=Decimal(1), max_digits=12, verbose_name="quantity"),
                ),
                ("amount", models.DecimalField(decimal_places=2, max_digits=14, verbose_name="amount")),
                ("value", models.DecimalField(decimal_places=2, max_digits=14)),
            ],
            options={
                "ordering": ["line_no"],
            },
        ),
        migrations.CreateModel(
            name="Refund",
            fields=[
                ("id", models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name="ID")),
                ("key", models.CharField(max_length=128, unique=True)),
                ("external_id", models.CharField(blank=True, max_length=128, verbose_name="outside id")),
                ("purchase_key", models.CharField(max_length=128)),
                ("refunded_at", models.DateTimeField(verbose_name="time")),
                ("request", models.JSONField(default=dict)),
                ("amount", models.DecimalField(decimal_places=2, max_digits=14, null=True, verbose_name="amount")),
                ("currency", models.CharField(blank=True, max_length=3, verbose_name="currency")),
                ("rate", models.DecimalField(decimal_places=8, max_digits=18, null=True)),
                ("value", models.DecimalField(decimal_places=2, max_digits=14, null=True)),
                (
                    "state",
                    models.CharField(
                        choices=[
                            ("applied", "applied"),
                            ("waiting", "waiting for its purchase"),
                            ("refused", "refused"),
                        ],
                        max_length=8,
                    ),
                ),
                ("attempt", models.PositiveSmallIntegerField(default=0)),
                ("reason", models.CharField(blank=True, max_length=200, verbose_name="reason")),
                ("problem", models.CharField(blank=True, max_length=32)),
                ("created_at", models.DateTimeField(auto_now_add=True)),
            ],
        ),
        migrations.CreateModel(
            name="RefundLine",
            fields=[
                ("id", models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name="ID")),
                (
                    "quantity",
                    models.DecimalField(decimal_places=3, default=Decimal(0), max_digits=12, verbose_name="quantity"),
                ),
                ("amount", models.DecimalField(decimal_places=2, max_digits=14, verbose_name="amount")),
                ("value", models.DecimalField(decimal_places=2, max_digits=14)),
            ],
        ),
        migrations.AddField(
            model_name="purchase",
            name="refunded_value",
            field=models.DecimalField(db_default=Decimal(0), decimal_places=2, default=Decimal(0), max_digits=14),
        ),
        AddConstraintNotValid(
            model_name="purchase",
            constraint=models.CheckConstraint(
                condition=models.Q(("refunded_value__gte", 0), ("refunded_value__lte", models.F("value"))),
                name="members_purchase_refunded_in_range",
            ),
        ),
        migrations.AddField(
            model_name="purchaseline",
            name="purchase",
            field=models.ForeignKey(
                on_delete=django.db.models.deletion.CASCADE, related_name="lines", db_index=False, to="members.purchase"
            ),
        ),
        migrations.AddField(
            model_name="refund",
            name="created_by",
            field=models.ForeignKey(
                null=True, on_delete=django.db.models.deletion.SET_NULL, related_name="+", to=settings.AUTH_USER_MODEL
            ),
        ),
        migrations.AddField(
            model_name="refund",
            name="import_run",
            field=models.ForeignKey(
                null=True, on_delete=django.db.models.deletion.PROTECT, related_name="+", to="members.importrun"
            ),
        ),
        migrations.AddField(
            model_name="refund",
            name="member",
            field=models.ForeignKey(
                null=True, on_delete=django.db.models.deletion.PROTECT, related_name="refunds", to="members.member"
            ),
        ),
        migrations.AddField(
            model_name="refund",
            name="purchase",
            field=models.ForeignKey(
                null=True, on_delete=django.db.models.deletion.PROTECT, related_name="refunds", to="members.purchase"
            ),
        ),
        migrations.AddField(
            model_name="refundline",
            name="line",
            field=models.ForeignKey(
                on_delete=django.db.models.deletion.PROTECT, related_name="refunds", to="members.purchaseline"
            ),
        ),
        migrations.AddField(
            model_name="refundline",
            name="refund",
            field=models.ForeignKey(
                on_delete=django.db.models.deletion.CASCADE, related_name="lines", db_index=False, to="members.refund"
            ),
        ),
        migrations.AddConstraint(
            model_name="purchaseline",
            constraint=models.UniqueConstraint(fields=("purchase", "line_no"), name="members_purchase_line_once"),
        ),
        migrations.AddConstraint(
            model_name="purchaseline",
            constraint=models.CheckConstraint(
                condition=models.Q(("amount__gte", 0), ("quantity__gt", 0), ("value__gte", 0)),
                name="members_purchase_line_positive",
            ),
        ),
        migrations.AddIndex(
            model_name="refund",
            index=models.Index(fields=["member", "refunded_at"], name="members_refund_by_member"),
        ),
        migrations.AddIndex(
            model_name="refund",
            index=models.Index(
                condition=models.Q(("state", "waiting")), fields=["purchase_key"], name="members_refund_waiting"
            ),
        ),
        migrations.AddConstraint(
            model_name="refund",
            constraint=models.CheckConstraint(
                condition=models.Q(
                    models.Q(
                        ("amount__isnull", False),
                        ("member__isnull", False),
                        ("purchase__isnull", False),
                        ("rate__isnull", False),
                        ("state", "applied"),
                        ("value__isnull", False),
                    ),
                    models.Q(("purchase__isnull", True), ("state", "waiting")),
                    ("state", "refused"),
                    _connector="OR",
                ),
                name="members_refund_state_is_whole",
            ),
        ),
        migrations.AddConstraint(
            model_name="refund",
            constraint=models.CheckConstraint(
                condition=models.Q(
                    models.Q(("amount__isnull", True), ("amount__gte", 0), _connector="OR"),
                    models.Q(("value__isnull", True), ("value__gte", 0), _connector="OR"),
                ),
                name="members_refund_not_negative",
            ),
        ),
        migrations.AddConstraint(
            model_name="refundline",
            constraint=models.UniqueConstraint(fields=("refund", "line"), name="members_refund_line_once"),
        ),
        migrations.AddConstraint(
            model_name="refundline",
            constraint=models.CheckConstraint(
                condition=models.Q(("amount__gte", 0), ("quantity__gte", 0), ("value__gte", 0)),
                name="members_refund_line_not_negative",
            ),
        ),
        migrations.RunSQL(NET, "DROP VIEW members_net_purchase"),
        migrations.RunSQL(LINES + REFUNDS + PIN, UNGUARDED),
    ]
