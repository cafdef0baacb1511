"""Qualifying points, debt, clawbacks, transfers, held and sliding lots; the settings of the programme.

What an entry counts for tiers is set to what it earned, in the rewrite of the table that a new column type
asks for: the trigger that keeps entries as they are has no say in that, and no row is there twice.
"""

from decimal import Decimal

import django.db.models.deletion
import django.db.models.expressions
import pgtrigger.compiler
import pgtrigger.migrations
from django.db import migrations, models

EARNED_COUNTS = """
ALTER TABLE loyalty_entry ALTER COLUMN qualifying TYPE bigint USING
    CASE WHEN kind = 'earn' OR (kind = 'reverse' AND points < 0) THEN points ELSE 0 END
"""


class Migration(migrations.Migration):
    dependencies = [
        ("loyalty", "0006_narrow_lot_expiring"),
        ("members", "0004_member_fold_names"),
        ("pghistory", "0007_auto_20250421_0444"),
    ]

    operations = [
        migrations.CreateModel(
            name="ProgrammeSettings",
            fields=[
                ("id", models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name="ID")),
                (
                    "clawback_policy",
                    models.CharField(
                        choices=[
                            ("refuse", "refuse to take them back"),
                            ("take", "take what is there"),
                            ("debt", "let later earnings pay for them"),
                        ],
                        default="debt",
                        max_length=8,
                        verbose_name="points taken back that are spent",
                    ),
                ),
                (
                    "grace_days",
                    models.PositiveSmallIntegerField(default=30, verbose_name="days to spend returned points"),
                ),
                (
                    "adjust_daily_limit",
                    models.PositiveIntegerField(default=5000, verbose_name="points one person may adjust in a day"),
                ),
                (
                    "adjust_approval_above",
                    models.PositiveIntegerField(
                        default=1000, verbose_name="points above which a second person decides"
                    ),
                ),
                (
                    "point_value",
                    models.DecimalField(
                        decimal_places=4, default=Decimal("0.01"), max_digits=10, verbose_name="value of a point"
                    ),
                ),
            ],
        ),
        migrations.CreateModel(
            name="ProgrammeSettingsEvent",
            fields=[
                ("pgh_id", models.AutoField(primary_key=True, serialize=False)),
                ("pgh_created_at", models.DateTimeField(auto_now_add=True)),
                ("pgh_label", models.TextField(help_text="The event label.")),
                ("id", models.BigIntegerField()),
                (
                    "clawback_policy",
                    models.CharField(
                        choices=[
                            ("refuse", "refuse to take them back"),
                            ("take", "take what is there"),
                            ("debt", "let later earnings pay for them"),
                        ],
                        default="debt",
                        max_length=8,
                        verbose_name="points taken back that are spent",
                    ),
                ),
                (
                    "grace_days",
                    models.PositiveSmallIntegerField(default=30, verbose_name="days to spend returned points"),
                ),
                (
                    "adjust_daily_limit",
                    models.PositiveIntegerField(default=5000, verbose_name="points one person may adjust in a day"),
                ),
                (
                    "adjust_approval_above",
                    models.PositiveIntegerField(
                        default=1000, verbose_name="points above which a second person decides"
                    ),
                ),
                (
                    "point_value",
                    models.DecimalField(
                        decimal_places=4, default=Decimal("0.01"), max_digits=10, verbose_name="value of a point"
                    ),
                ),
            ],
            options={
                "abstract": False,
            },
        ),
        migrations.RemoveConstraint(
            model_name="account",
            name="loyalty_account_balance_not_negative",
        ),
        migrations.RemoveConstraint(
            model_name="entry",
            name="loyalty_entry_points_not_zero",
        ),
        migrations.RemoveConstraint(
            model_name="entry",
            name="loyalty_entry_balance_not_negative",
        ),
        migrations.RemoveConstraint(
            model_name="entry",
            name="loyalty_entry_sign_of_kind",
        ),
        migrations.AddField(
            model_name="account",
            name="debt",
            field=models.BigIntegerField(db_default=0, default=0),
        ),
        migrations.AddField(
            model_name="entry",
            name="award",
            field=models.ForeignKey(
                db_constraint=False,
                db_index=False,
                null=True,
                on_delete=django.db.models.deletion.PROTECT,
                related_name="parts",
                to="loyalty.entry",
            ),
        ),
        migrations.AddField(
            model_name="entry",
            name="counts_at",
            field=models.DateTimeField(null=True),
        ),
        migrations.AddField(
            model_name="entry",
            name="debt",
            field=models.BigIntegerField(db_default=0, default=0),
        ),
        migrations.AddField(
            model_name="entry",
            name="debt_after",
            field=models.BigIntegerField(db_default=0, default=0),
        ),
        migrations.AddField(
            model_name="entry",
            name="qualifying",
            field=models.BigIntegerField(db_default=0, default=0),
        ),
        migrations.AddField(
            model_name="lot",
            name="idle_months",
            field=models.PositiveSmallIntegerField(null=True),
        ),
        migrations.RunSQL(EARNED_COUNTS, migrations.RunSQL.noop),
        migrations.AlterField(
            model_name="entry",
            name="kind",
            field=models.CharField(
                choices=[
                    ("earn", "earned"),
                    ("redeem", "redeemed"),
                    ("expire", "expired"),
                    ("adjust", "adjusted"),
                    ("reverse", "taken back"),
                    ("clawback", "partly taken back"),
                    ("transfer", "transferred"),
                ],
                max_length=8,
            ),
        ),
        migrations.AlterField(
            model_name="lot",
            name="activates_at",
            field=models.DateTimeField(null=True),
        ),
        migrations.AddIndex(
            model_name="account",
            index=models.Index(condition=models.Q(("debt__gt", 0)), fields=["member"], name="loyalty_account_in_debt"),
        ),
        migrations.AddIndex(
            model_name="entry",
            index=models.Index(
                condition=models.Q(("award__isnull", False)), fields=["award"], name="loyalty_entry_by_award"
            ),
        ),
        migrations.AddConstraint(
            model_name="account",
            constraint=models.CheckConstraint(
                condition=models.Q(
                    (
                        "balance__gte",
                        django.db.models.expressions.CombinedExpression(models.F("debt"), "*", models.Value(-1)),
                    ),
                    ("debt__gte", 0),
                ),
                name="loyalty_account_negative_by_debt_only",
            ),
        ),
        migrations.AddConstraint(
            model_name="entry",
            constraint=models.CheckConstraint(
                condition=models.Q(
                    models.Q(("points", 0), _negated=True),
                    models.Q(("qualifying", 0), _negated=True),
                    ("kind__in", ["clawback", "reverse"]),
                    _connector="OR",
                ),
                name="loyalty_entry_moves_something",
            ),
        ),
        migrations.AddConstraint(
            model_name="entry",
            constraint=models.CheckConstraint(
                condition=models.Q(
                    (
                        "balance_after__gte",
                        django.db.models.expressions.CombinedExpression(models.F("debt_after"), "*", models.Value(-1)),
                    ),
                    ("debt_after__gte", 0),
                ),
                name="loyalty_entry_negative_by_debt_only",
            ),
        ),
        migrations.AddConstraint(
            model_name="entry",
            constraint=models.CheckConstraint(
                condition=models.Q(
                    ("debt", 0),
                    models.Q(
                        ("debt__gt", 0),
                        ("kind__in", ["clawback", "reverse"]),
                        (
                            "points__lte",
                            django.db.models.expressions.CombinedExpression(models.F("debt"), "*", models.Value(-1)),
                        ),
                    ),
                    models.Q(
                        ("debt__lt", 0),
                        (
                            "points__gte",
                            django.db.models.expressions.CombinedExpression(models.F("debt"), "*", models.Value(-1)),
                        ),
                    ),
                    _connector="OR",
                ),
                name="loyalty_entry_debt_within_points",
            ),
        ),
        migrations.AddConstraint(
            model_name="entry",
            constraint=models.CheckConstraint(
                condition=models.Q(
                    models.Q(("award__isnull", False), ("kind", "clawback")),
                    models.Q(("award__isnull", False), ("kind", "transfer"), ("points__gt", 0)),
                    models.Q(("award__isnull", True), ("kind", "transfer"), ("points__lt", 0)),
                    models.Q(models.Q(("kind__in", ["clawback", "transfer"]), _negated=True), ("award__isnull", True)),
                    _connector="OR",
                ),
                name="loyalty_entry_part_names_whole",
            ),
        ),
        migrations.AddConstraint(
            model_name="entry",
            constraint=models.CheckConstraint(
                condition=models.Q(
                    models.Q(("kind", "earn"), ("points__gte", 0), ("qualifying__gte", 0)),
                    models.Q(("kind", "clawback"), ("points__lte", 0), ("qualifying__lte", 0)),
                    models.Q(("kind__in", ["redeem", "expire"]), ("points__lt", 0), ("qualifying", 0)),
                    models.Q(("kind", "transfer"), ("qualifying", 0), models.Q(("points", 0), _negated=True)),
                    ("kind__in", ["adjust", "reverse"]),
                    _connector="OR",
                ),
                name="loyalty_entry_sign_of_kind",
            ),
        ),
        migrations.AddConstraint(
            model_name="lot",
            constraint=models.CheckConstraint(
                condition=models.Q(
                    ("idle_months__isnull", True),
                    models.Q(("expires_at__isnull", False), ("idle_months__gt", 0)),
                    _connector="OR",
                ),
                name="loyalty_lot_idle_expires",
            ),
        ),
        migrations.AddConstraint(
            model_name="programmesettings",
            constraint=models.CheckConstraint(condition=models.Q(("id", 1)), name="loyalty_programme_settings_one_row"),
        ),
        migrations.AddConstraint(
            model_name="programmesettings",
            constraint=models.CheckConstraint(
                condition=models.Q(("clawback_policy__in", ["refuse", "take", "debt"])),
                name="loyalty_programme_settings_policy_known",
            ),
        ),
        migrations.AddConstraint(
            model_name="programmesettings",
            constraint=models.CheckConstraint(
                condition=models.Q(("point_value__gte", 0)), name="loyalty_programme_settings_value"
            ),
        ),
        pgtrigger.migrations.AddTrigger(
            model_name="programmesettings",
            trigger=pgtrigger.compiler.Trigger(
                name="insert_insert",
                sql=pgtrigger.compiler.UpsertTriggerSql(
                    func='INSERT INTO "loyalty_programmesettingsevent" ("adjust_approval_above", "adjust_daily_limit", "clawback_policy", "grace_days", "id", "pgh_context_id", "pgh_created_at", "pgh_label", "pgh_obj_id", "point_value") VALUES (NEW."adjust_approval_above", NEW."adjust_daily_limit", NEW."clawback_policy", NEW."grace_days", NEW."id", _pgh_attach_context(), NOW(), \'insert\', NEW."id", NEW."point_value"); RETURN NULL;',
                    hash="343e6c4bf00b7ec3d88fe18f2364fc8ed4336ad3",
                    operation="INSERT",
                    pgid="pgtrigger_insert_insert_cf854",
                    table="loyalty_programmesettings",
                    when="AFTER",
                ),
            ),
        ),
        pgtrigger.migrations.AddTrigger(
            model_name="programmesettings",
            trigger=pgtrigger.compiler.Trigger(
                name="update_update",
                sql=pgtrigger.compiler.UpsertTriggerSql(
                    condition="WHEN (OLD.* IS DISTINCT FROM NEW.*)",
                    func='INSERT INTO "loyalty_programmesettingsevent" ("adjust_approval_above", "adjust_daily_limit", "clawback_policy", "grace_days", "id", "pgh_context_id", "pgh_created_at", "pgh_label", "pgh_obj_id", "point_value") VALUES (NEW."adjust_approval_above", NEW."adjust_daily_limit", NEW."clawback_policy", NEW."grace_days", NEW."id", _pgh_attach_context(), NOW(), \'update\', NEW."id", NEW."point_value"); RETURN NULL;',
                    hash="289fc3d50e0e77079dc064c98d307f3699a628fa",
                    operation="UPDATE",
                    pgid="pgtrigger_update_update_ff58e",
                    table="loyalty_programmesettings",
                    when="AFTER",
                ),
            ),
        ),
        migrations.AddField(
            model_name="programmesettingsevent",
            name="pgh_context",
            field=models.ForeignKey(
                db_constraint=False,
                null=True,
                on_delete=django.db.models.deletion.DO_NOTHING,
                related_name="+",
                to="pghistory.context",
            ),
        ),
        migrations.AddField(
            model_name="programmesettingsevent",
            name="pgh_obj",
            field=models.ForeignKey(
                db_constraint=False,
                on_delete=django.db.models.deletion.DO_NOTHING,
                related_name="events",
                to="loyalty.programmesettings",
            ),
        ),
        pgtrigger.migrations.AddTrigger(
            model_name="programmesettingsevent",
            trigger=pgtrigger.compiler.Trigger(
                name="append_only",
                sql=pgtrigger.compiler.UpsertTriggerSql(
                    func="RAISE EXCEPTION 'pgtrigger: Cannot update or delete rows from % table', TG_TABLE_NAME;",
                    hash="e03038091ad9b419ec5239427d23abc13da9140b",
                    operation="UPDATE OR DELETE",
                    pgid="pgtrigger_append_only_bd6d5",
                    table="loyalty_programmesettingsevent",
                    when="BEFORE",
                ),
            ),
        ),
    ]
