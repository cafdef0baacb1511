"""The scheme of tiers, thresholds by measure, benefits, grants, and what a standing lasts (docs/adr/0011).

The spend of twelve months that each tier asked for becomes its threshold. Members above the lowest tier are looked
at in the first night, which finds how long their tier lasts.
"""

import django.db.models.constraints
import django.db.models.deletion
import pgtrigger.compiler
import pgtrigger.migrations
from django.conf import settings
from django.db import migrations, models

import loyalty.tier_models

COPY_THRESHOLDS = """
INSERT INTO loyalty_tierscheme (id, "window", months, measures, needs, valid_months, grace_days, downgrade, warn_days,
                                on_refund)
SELECT 1, 'rolling_months', 12, '["spend"]', 'any', 0, 0, 'to_earned', 30, 'recheck'
 WHERE EXISTS (SELECT FROM loyalty_tier);
INSERT INTO loyalty_tierthreshold (tier_id, measure, value)
SELECT id, 'spend', threshold FROM loyalty_tier WHERE threshold > 0;
UPDATE loyalty_tierstanding SET next_at = now()
 WHERE tier_id <> (SELECT id FROM loyalty_tier ORDER BY rank LIMIT 1);
SET CONSTRAINTS ALL IMMEDIATE;
SET CONSTRAINTS ALL DEFERRED;
"""

COPY_BACK = """
UPDATE loyalty_tier tier SET threshold = coalesce(
    (SELECT value FROM loyalty_tierthreshold WHERE tier_id = tier.id AND measure = 'spend'), tier.rank - 1);
UPDATE loyalty_tierstanding SET spend_12m = coalesce((measures->>'spend')::numeric, 0);
SET CONSTRAINTS ALL IMMEDIATE;
SET CONSTRAINTS ALL DEFERRED;
"""


class Migration(migrations.Migration):
    dependencies = [
        ("loyalty", "0009_seal_the_ledger"),
        ("members", "0004_member_fold_names"),
        ("pghistory", "0007_auto_20250421_0444"),
        migrations.swappable_dependency(settings.AUTH_USER_MODEL),
    ]

    operations = [
        migrations.CreateModel(
            name="TierBenefit",
            fields=[
                ("id", models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name="ID")),
                (
                    "kind",
                    models.CharField(
                        choices=[
                            ("service", "priority service"),
                            ("early_access", "early access"),
                            ("delivery", "free delivery"),
                            ("gift", "gift on reaching the tier"),
                            ("other", "other"),
                        ],
                        max_length=12,
                        verbose_name="kind",
                    ),
                ),
                ("text", models.CharField(max_length=120, verbose_name="benefit")),
                ("text_zh", models.CharField(blank=True, max_length=120, verbose_name="benefit in Chinese")),
                (
                    "yearly_value",
                    models.DecimalField(
                        decimal_places=2, max_digits=12, null=True, verbose_name="cost per member and year"
                    ),
                ),
            ],
            options={
                "verbose_name": "tier benefit",
                "ordering": ["tier__rank", "pk"],
            },
        ),
        migrations.CreateModel(
            name="TierBenefitEvent",
            fields=[
                ("pgh_id", models.AutoField(primary_key=True, serialize=False)),
                ("pgh_created_at", models.DateTimeField(auto_now_add=True)),
                ("pgh_label", models.TextField(help_text="The event label.")),
                ("id", models.BigIntegerField()),
                (
                    "kind",
                    models.CharField(
                        choices=[
                            ("service", "priority service"),
                            ("early_access", "early access"),
                            ("delivery", "free delivery"),
                            ("gift", "gift on reaching the tier"),
                            ("other", "other"),
                        ],
                        max_length=12,
                        verbose_name="kind",
                    ),
                ),
                ("text", models.CharField(max_length=120, verbose_name="benefit")),
                ("text_zh", models.CharField(blank=True, max_length=120, verbose_name="benefit in Chinese")),
                (
                    "yearly_value",
                    models.DecimalField(
                        decimal_places=2, max_digits=12, null=True, verbose_name="cost per member and year"
                    ),
                ),
            ],
            options={
                "abstract": False,
            },
        ),
        migrations.CreateModel(
            name="TierGrant",
            fields=[
                ("id", models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name="ID")),
                ("starts_at", models.DateTimeField()),
                ("ends_at", models.DateTimeField()),
                ("reason", models.CharField(max_length=200, verbose_name="reason")),
            ],
        ),
        migrations.CreateModel(
            name="TierScheme",
            fields=[
                ("id", models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name="ID")),
                (
                    "window",
                    models.CharField(
                        choices=[
                            ("rolling_months", "the months before"),
                            ("calendar_year", "the calendar year"),
                            ("membership_year", "the year of membership"),
                            ("lifetime", "all time"),
                        ],
                        default="rolling_months",
                        max_length=16,
                        verbose_name="counted over",
                    ),
                ),
                ("months", models.PositiveSmallIntegerField(default=12, verbose_name="months")),
                ("measures", models.JSONField(default=loyalty.tier_models._only_spend, verbose_name="what counts")),
                (
                    "needs",
                    models.CharField(
                        choices=[("any", "any one of them"), ("all", "all of them")],
                        default="any",
                        max_length=3,
                        verbose_name="a tier needs",
                    ),
                ),
                ("valid_months", models.PositiveSmallIntegerField(default=0, verbose_name="valid for months")),
                ("grace_days", models.PositiveSmallIntegerField(default=0, verbose_name="days of grace")),
                (
                    "downgrade",
                    models.CharField(
                        choices=[
                            ("none", "never: a tier once reached is kept"),
                            ("one_step", "one tier at a time"),
                            ("to_earned", "to the tier that is earned"),
                        ],
                        default="to_earned",
                        max_length=9,
                        verbose_name="downgrade",
                    ),
                ),
                ("warn_days", models.PositiveSmallIntegerField(default=30, verbose_name="warned days ahead")),
                ("in_force_since", models.DateTimeField(editable=False, null=True, verbose_name="in force since")),
                (
                    "on_refund",
                    models.CharField(
                        choices=[
                            ("keep", "keep the tier until it would have ended anyway"),
                            ("recheck", "take the tier away if it is no longer earned"),
                        ],
                        default="recheck",
                        max_length=7,
                        verbose_name="after a refund",
                    ),
                ),
            ],
            options={
                "verbose_name": "tier scheme",
            },
        ),
        migrations.CreateModel(
            name="TierSchemeEvent",
            fields=[
                ("pgh_id", models.AutoField(primary_key=True, serialize=False)),
                ("pgh_created_at", models.DateTimeField(auto_now_add=True)),
                ("pgh_label", models.TextField(help_text="The event label.")),
                ("id", models.BigIntegerField()),
                (
                    "window",
                    models.CharField(
                        choices=[
                            ("rolling_months", "the months before"),
                            ("calendar_year", "the calendar year"),
                            ("membership_year", "the year of membership"),
                            ("lifetime", "all time"),
                        ],
                        default="rolling_months",
                        max_length=16,
                        verbose_name="counted over",
                    ),
                ),
                ("months", models.PositiveSmallIntegerField(default=12, verbose_name="months")),
                ("measures", models.JSONField(default=loyalty.tier_models._only_spend, verbose_name="what counts")),
                (
                    "needs",
                    models.CharField(
                        choices=[("any", "any one of them"), ("all", "all of them")],
                        default="any",
                        max_length=3,
                        verbose_name="a tier needs",
                    ),
                ),
                ("valid_months", models.PositiveSmallIntegerField(default=0, verbose_name="valid for months")),
                ("grace_days", models.PositiveSmallIntegerField(default=0, verbose_name="days of grace")),
                (
                    "downgrade",
                    models.CharField(
                        choices=[
                            ("none", "never: a tier once reached is kept"),
                            ("one_step", "one tier at a time"),
                            ("to_earned", "to the tier that is earned"),
                        ],
                        default="to_earned",
                        max_length=9,
                        verbose_name="downgrade",
                    ),
                ),
                ("warn_days", models.PositiveSmallIntegerField(default=30, verbose_name="warned days ahead")),
                ("in_force_since", models.DateTimeField(editable=False, null=True, verbose_name="in force since")),
                (
                    "on_refund",
                    models.CharField(
                        choices=[
                            ("keep", "keep the tier until it would have ended anyway"),
                            ("recheck", "take the tier away if it is no longer earned"),
                        ],
                        default="recheck",
                        max_length=7,
                        verbose_name="after a refund",
                    ),
                ),
            ],
            options={
                "abstract": False,
            },
        ),
        migrations.CreateModel(
            name="TierThreshold",
            fields=[
                ("id", models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name="ID")),
                (
                    "measure",
                    models.CharField(
                        choices=[
                            ("spend", "spend"),
                            ("points", "qualifying points"),
                            ("orders", "orders"),
                            ("months", "active months"),
                            ("referrals", "referrals"),
                        ],
                        max_length=9,
                        verbose_name="measure",
                    ),
                ),
                ("value", models.DecimalField(decimal_places=2, max_digits=14, verbose_name="threshold")),
            ],
            options={
                "verbose_name": "tier threshold",
            },
        ),
        migrations.CreateModel(
            name="TierThresholdEvent",
            fields=[
                ("pgh_id", models.AutoField(primary_key=True, serialize=False)),
                ("pgh_created_at", models.DateTimeField(auto_now_add=True)),
                ("pgh_label", models.TextField(help_text="The event label.")),
                ("id", models.BigIntegerField()),
                (
                    "measure",
                    models.CharField(
                        choices=[
                            ("spend", "spend"),
                            ("points", "qualifying points"),
                            ("orders", "orders"),
                            ("months", "active months"),
                            ("referrals", "referrals"),
                        ],
                        max_length=9,
                        verbose_name="measure",
                    ),
                ),
                ("value", models.DecimalField(decimal_places=2, max_digits=14, verbose_name="threshold")),
            ],
            options={
                "abstract": False,
            },
        ),
        pgtrigger.migrations.RemoveTrigger(
            model_name="tier",
            name="insert_insert",
        ),
        pgtrigger.migrations.RemoveTrigger(
            model_name="tier",
            name="update_update",
        ),
        migrations.RemoveConstraint(
            model_name="tier",
            name="loyalty_tier_positive",
        ),
        migrations.RemoveConstraint(
            model_name="tier",
            name="loyalty_tier_threshold_once",
        ),
        migrations.AddField(
            model_name="tierstanding",
            name="earned_tier",
            field=models.ForeignKey(
                null=True, on_delete=django.db.models.deletion.PROTECT, related_name="+", to="loyalty.tier"
            ),
        ),
        migrations.AddField(
            model_name="tierstanding",
            name="falls_at",
            field=models.DateTimeField(null=True),
        ),
        migrations.AddField(
            model_name="tierstanding",
            name="falls_to",
            field=models.ForeignKey(
                null=True, on_delete=django.db.models.deletion.PROTECT, related_name="+", to="loyalty.tier"
            ),
        ),
        migrations.AddField(
            model_name="tierstanding",
            name="grace_until",
            field=models.DateTimeField(null=True),
        ),
        migrations.AddField(
            model_name="tierstanding",
            name="measures",
            field=models.JSONField(default=dict),
        ),
        migrations.AddField(
            model_name="tierstanding",
            name="next_at",
            field=models.DateTimeField(null=True),
        ),
        migrations.AddField(
            model_name="tierstanding",
            name="valid_until",
            field=models.DateTimeField(null=True),
        ),
        migrations.AddIndex(
            model_name="tierstanding",
            index=models.Index(
                condition=models.Q(("falls_at__isnull", False)), fields=["falls_at"], name="loyalty_standing_falling"
            ),
        ),
        pgtrigger.migrations.AddTrigger(
            model_name="tier",
            trigger=pgtrigger.compiler.Trigger(
                name="insert_insert",
                sql=pgtrigger.compiler.UpsertTriggerSql(
                    func='INSERT INTO "loyalty_tierevent" ("id", "key", "multiplier", "name", "name_zh", "pgh_context_id", "pgh_created_at", "pgh_label", "pgh_obj_id", "rank") VALUES (NEW."id", NEW."key", NEW."multiplier", NEW."name", NEW."name_zh", _pgh_attach_context(), NOW(), \'insert\', NEW."id", NEW."rank"); RETURN NULL;',
                    hash="b1196741744c2940e77568b47f8dbd28f24d829c",
                    operation="INSERT",
                    pgid="pgtrigger_insert_insert_2a5b0",
                    table="loyalty_tier",
                    when="AFTER",
                ),
            ),
        ),
        pgtrigger.migrations.AddTrigger(
            model_name="tier",
            trigger=pgtrigger.compiler.Trigger(
                name="update_update",
                sql=pgtrigger.compiler.UpsertTriggerSql(
                    condition="WHEN (OLD.* IS DISTINCT FROM NEW.*)",
                    func='INSERT INTO "loyalty_tierevent" ("id", "key", "multiplier", "name", "name_zh", "pgh_context_id", "pgh_created_at", "pgh_label", "pgh_obj_id", "rank") VALUES (NEW."id", NEW."key", NEW."multiplier", NEW."name", NEW."name_zh", _pgh_attach_context(), NOW(), \'update\', NEW."id", NEW."rank"); RETURN NULL;',
                    hash="7734c34e28a57cd189141e0272aa4085da3157e2",
                    operation="UPDATE",
                    pgid="pgtrigger_update_update_96856",
                    table="loyalty_tier",
                    when="AFTER",
                ),
            ),
        ),
        migrations.AddConstraint(
            model_name="tier",
            constraint=models.CheckConstraint(condition=models.Q(("multiplier__gt", 0)), name="loyalty_tier_positive"),
        ),
        migrations.AddField(
            model_name="tierbenefit",
            name="tier",
            field=models.ForeignKey(
                on_delete=django.db.models.deletion.CASCADE, related_name="benefits", to="loyalty.tier"
            ),
        ),
        migrations.AddField(
            model_name="tierbenefitevent",
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
            model_name="tierbenefitevent",
            name="pgh_obj",
            field=models.ForeignKey(
                db_constraint=False,
                on_delete=django.db.models.deletion.DO_NOTHING,
                related_name="events",
                to="loyalty.tierbenefit",
            ),
        ),
        migrations.AddField(
            model_name="tierbenefitevent",
            name="tier",
            field=models.ForeignKey(
                db_constraint=False,
                on_delete=django.db.models.deletion.DO_NOTHING,
                related_name="+",
                related_query_name="+",
                to="loyalty.tier",
            ),
        ),
        migrations.AddField(
            model_name="tiergrant",
            name="granted_by",
            field=models.ForeignKey(
                null=True, on_delete=django.db.models.deletion.SET_NULL, related_name="+", to=settings.AUTH_USER_MODEL
            ),
        ),
        migrations.AddField(
            model_name="tiergrant",
            name="member",
            field=models.ForeignKey(
                on_delete=django.db.models.deletion.CASCADE, related_name="tier_grants", to="members.member"
            ),
        ),
        migrations.AddField(
            model_name="tiergrant",
            name="tier",
            field=models.ForeignKey(on_delete=django.db.models.deletion.PROTECT, related_name="+", to="loyalty.tier"),
        ),
        migrations.AddConstraint(
            model_name="tierscheme",
            constraint=models.CheckConstraint(condition=models.Q(("pk", 1)), name="loyalty_tier_scheme_one_row"),
        ),
        migrations.AddConstraint(
            model_name="tierscheme",
            constraint=models.CheckConstraint(
                condition=models.Q(
                    ("window__in", ["rolling_months", "calendar_year", "membership_year", "lifetime"]),
                    ("needs__in", ["any", "all"]),
                    ("downgrade__in", ["none", "one_step", "to_earned"]),
                    ("on_refund__in", ["keep", "recheck"]),
                ),
                name="loyalty_tier_scheme_known",
            ),
        ),
        migrations.AddConstraint(
            model_name="tierscheme",
            constraint=models.CheckConstraint(
                condition=models.Q(("measures", []), _negated=True), name="loyalty_tier_scheme_measures"
            ),
        ),
        migrations.AddConstraint(
            model_name="tierscheme",
            constraint=models.CheckConstraint(
                condition=models.Q(("months__gte", 1), ("months__lte", 120)), name="loyalty_tier_scheme_months"
            ),
        ),
        pgtrigger.migrations.AddTrigger(
            model_name="tierscheme",
            trigger=pgtrigger.compiler.Trigger(
                name="insert_insert",
                sql=pgtrigger.compiler.UpsertTriggerSql(
                    func='INSERT INTO "loyalty_tierschemeevent" ("downgrade", "grace_days", "id", "in_force_since", "measures", "months", "needs", "on_refund", "pgh_context_id", "pgh_created_at", "pgh_label", "pgh_obj_id", "valid_months", "warn_days", "window") VALUES (NEW."downgrade", NEW."grace_days", NEW."id", NEW."in_force_since", NEW."measures", NEW."months", NEW."needs", NEW."on_refund", _pgh_attach_context(), NOW(), \'insert\', NEW."id", NEW."valid_months", NEW."warn_days", NEW."window"); RETURN NULL;',
                    hash="4001b2489deddd6368f9fd7f6cc7ec816b8acb79",
                    operation="INSERT",
                    pgid="pgtrigger_insert_insert_d482c",
                    table="loyalty_tierscheme",
                    when="AFTER",
                ),
            ),
        ),
        pgtrigger.migrations.AddTrigger(
            model_name="tierscheme",
            trigger=pgtrigger.compiler.Trigger(
                name="update_update",
                sql=pgtrigger.compiler.UpsertTriggerSql(
                    condition="WHEN (OLD.* IS DISTINCT FROM NEW.*)",
                    func='INSERT INTO "loyalty_tierschemeevent" ("downgrade", "grace_days", "id", "in_force_since", "measures", "months", "needs", "on_refund", "pgh_context_id", "pgh_created_at", "pgh_label", "pgh_obj_id", "valid_months", "warn_days", "window") VALUES (NEW."downgrade", NEW."grace_days", NEW."id", NEW."in_force_since", NEW."measures", NEW."months", NEW."needs", NEW."on_refund", _pgh_attach_context(), NOW(), \'update\', NEW."id", NEW."valid_months", NEW."warn_days", NEW."window"); RETURN NULL;',
                    hash="a213a845a18bf7efc37eb76e479bc3496c2afe09",
                    operation="UPDATE",
                    pgid="pgtrigger_update_update_27e63",
                    table="loyalty_tierscheme",
                    when="AFTER",
                ),
            ),
        ),
        migrations.AddField(
            model_name="tierschemeevent",
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
            model_name="tierschemeevent",
            name="pgh_obj",
            field=models.ForeignKey(
                db_constraint=False,
                on_delete=django.db.models.deletion.DO_NOTHING,
                related_name="events",
                to="loyalty.tierscheme",
            ),
        ),
        migrations.AddField(
            model_name="tierthreshold",
            name="tier",
            field=models.ForeignKey(
                on_delete=django.db.models.deletion.CASCADE, related_name="thresholds", to="loyalty.tier"
            ),
        ),
        migrations.AddField(
            model_name="tierthresholdevent",
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
            model_name="tierthresholdevent",
            name="pgh_obj",
            field=models.ForeignKey(
                db_constraint=False,
                on_delete=django.db.models.deletion.DO_NOTHING,
                related_name="events",
                to="loyalty.tierthreshold",
            ),
        ),
        migrations.AddField(
            model_name="tierthresholdevent",
            name="tier",
            field=models.ForeignKey(
                db_constraint=False,
                on_delete=django.db.models.deletion.DO_NOTHING,
                related_name="+",
                related_query_name="+",
                to="loyalty.tier",
            ),
        ),
        migrations.AddConstraint(
            model_name="tierbenefit",
            constraint=models.CheckConstraint(
                condition=models.Q(("yearly_value__isnull", True), ("yearly_value__gte", 0), _connector="OR"),
                name="loyalty_tier_benefit_value",
            ),
        ),
        migrations.AddConstraint(
            model_name="tierbenefit",
            constraint=models.CheckConstraint(
                condition=models.Q(("kind__in", ["service", "early_access", "delivery", "gift", "other"])),
                name="loyalty_tier_benefit_kind",
            ),
        ),
        pgtrigger.migrations.AddTrigger(
            model_name="tierbenefit",
            trigger=pgtrigger.compiler.Trigger(
                name="insert_insert",
                sql=pgtrigger.compiler.UpsertTriggerSql(
                    func='INSERT INTO "loyalty_tierbenefitevent" ("id", "kind", "pgh_context_id", "pgh_created_at", "pgh_label", "pgh_obj_id", "text", "text_zh", "tier_id", "yearly_value") VALUES (NEW."id", NEW."kind", _pgh_attach_context(), NOW(), \'insert\', NEW."id", NEW."text", NEW."text_zh", NEW."tier_id", NEW."yearly_value"); RETURN NULL;',
                    hash="1c9b23b9ed04afe584407c37c821c19ac29d3255",
                    operation="INSERT",
                    pgid="pgtrigger_insert_insert_c072c",
                    table="loyalty_tierbenefit",
                    when="AFTER",
                ),
            ),
        ),
        pgtrigger.migrations.AddTrigger(
            model_name="tierbenefit",
            trigger=pgtrigger.compiler.Trigger(
                name="update_update",
                sql=pgtrigger.compiler.UpsertTriggerSql(
                    condition="WHEN (OLD.* IS DISTINCT FROM NEW.*)",
                    func='INSERT INTO "loyalty_tierbenefitevent" ("id", "kind", "pgh_context_id", "pgh_created_at", "pgh_label", "pgh_obj_id", "text", "text_zh", "tier_id", "yearly_value") VALUES (NEW."id", NEW."kind", _pgh_attach_context(), NOW(), \'update\', NEW."id", NEW."text", NEW."text_zh", NEW."tier_id", NEW."yearly_value"); RETURN NULL;',
                    hash="cd9507fbfe3a18211211e90d51abd539d6f84810",
                    operation="UPDATE",
                    pgid="pgtrigger_update_update_5475a",
                    table="loyalty_tierbenefit",
                    when="AFTER",
                ),
            ),
        ),
        pgtrigger.migrations.AddTrigger(
            model_name="tierbenefitevent",
            trigger=pgtrigger.compiler.Trigger(
                name="append_only",
                sql=pgtrigger.compiler.UpsertTriggerSql(
                    func="RAISE EXCEPTION 'pgtrigger: Cannot update or delete rows from % table', TG_TABLE_NAME;",
                    hash="9c8ba57c991847c7b32fc314ceaaa64847016254",
                    operation="UPDATE OR DELETE",
                    pgid="pgtrigger_append_only_46872",
                    table="loyalty_tierbenefitevent",
                    when="BEFORE",
                ),
            ),
        ),
        migrations.AddIndex(
            model_name="tiergrant",
            index=models.Index(fields=["member", "starts_at"], name="loyalty_tier_grant_by_member"),
        ),
        migrations.AddConstraint(
            model_name="tiergrant",
            constraint=models.CheckConstraint(
                condition=models.Q(("ends_at__gte", models.F("starts_at"))), name="loyalty_tier_grant_in_order"
            ),
        ),
        pgtrigger.migrations.AddTrigger(
            model_name="tierschemeevent",
            trigger=pgtrigger.compiler.Trigger(
                name="append_only",
                sql=pgtrigger.compiler.UpsertTriggerSql(
                    func="RAISE EXCEPTION 'pgtrigger: Cannot update or delete rows from % table', TG_TABLE_NAME;",
                    hash="f7a244a3f1679c4e2f1f279e4fe3e64bef8e192c",
                    operation="UPDATE OR DELETE",
                    pgid="pgtrigger_append_only_79499",
                    table="loyalty_tierschemeevent",
                    when="BEFORE",
                ),
            ),
        ),
        migrations.AddConstraint(
            model_name="tierthreshold",
            constraint=models.UniqueConstraint(fields=("tier", "measure"), name="loyalty_tier_threshold_per_measure"),
        ),
        migrations.AddConstraint(
            model_name="tierthreshold",
            constraint=models.UniqueConstraint(
                deferrable=django.db.models.constraints.Deferrable["DEFERRED"],
                fields=("measure", "value"),
                name="loyalty_tier_threshold_once",
            ),
        ),
        migrations.AddConstraint(
            model_name="tierthreshold",
            constraint=models.CheckConstraint(
                condition=models.Q(("value__gt", 0)), name="loyalty_tier_threshold_positive"
            ),
        ),
        migrations.AddConstraint(
            model_name="tierthreshold",
            constraint=models.CheckConstraint(
                condition=models.Q(("measure__in", ["spend", "points", "orders", "months", "referrals"])),
                name="loyalty_tier_threshold_measure",
            ),
        ),
        pgtrigger.migrations.AddTrigger(
            model_name="tierthreshold",
            trigger=pgtrigger.compiler.Trigger(
                name="insert_insert",
                sql=pgtrigger.compiler.UpsertTriggerSql(
                    func='INSERT INTO "loyalty_tierthresholdevent" ("id", "measure", "pgh_context_id", "pgh_created_at", "pgh_label", "pgh_obj_id", "tier_id", "value") VALUES (NEW."id", NEW."measure", _pgh_attach_context(), NOW(), \'insert\', NEW."id", NEW."tier_id", NEW."value"); RETURN NULL;',
                    hash="d224f8b7aa9415229f7334f97481714135801b20",
                    operation="INSERT",
                    pgid="pgtrigger_insert_insert_11032",
                    table="loyalty_tierthreshold",
                    when="AFTER",
                ),
            ),
        ),
        pgtrigger.migrations.AddTrigger(
            model_name="tierthreshold",
            trigger=pgtrigger.compiler.Trigger(
                name="update_update",
                sql=pgtrigger.compiler.UpsertTriggerSql(
                    condition="WHEN (OLD.* IS DISTINCT FROM NEW.*)",
                    func='INSERT INTO "loyalty_tierthresholdevent" ("id", "measure", "pgh_context_id", "pgh_created_at", "pgh_label", "pgh_obj_id", "tier_id", "value") VALUES (NEW."id", NEW."measure", _pgh_attach_context(), NOW(), \'update\', NEW."id", NEW."tier_id", NEW."value"); RETURN NULL;',
                    hash="5e4b65061510bdc732307e0e09c0a7b846bfba99",
                    operation="UPDATE",
                    pgid="pgtrigger_update_update_dec9b",
                    table="loyalty_tierthreshold",
                    when="AFTER",
                ),
            ),
        ),
        pgtrigger.migrations.AddTrigger(
            model_name="tierthresholdevent",
            trigger=pgtrigger.compiler.Trigger(
                name="append_only",
                sql=pgtrigger.compiler.UpsertTriggerSql(
                    func="RAISE EXCEPTION 'pgtrigger: Cannot update or delete rows from % table', TG_TABLE_NAME;",
                    hash="2f8491ccfddc08ed0868fd473f87bc79269fb4a9",
                    operation="UPDATE OR DELETE",
                    pgid="pgtrigger_append_only_f661b",
                    table="loyalty_tierthresholdevent",
                    when="BEFORE",
                ),
            ),
        ),
        # Nullable first, so that the way back finds room for them.
        migrations.AlterField("tier", "threshold", models.DecimalField(decimal_places=2, max_digits=14, null=True)),
        migrations.AlterField(
            "tierevent", "threshold", models.DecimalField(decimal_places=2, max_digits=14, null=True)
        ),
        migrations.AlterField(
            "tierstanding", "spend_12m", models.DecimalField(decimal_places=2, max_digits=14, null=True)
        ),
        migrations.RunSQL(COPY_THRESHOLDS, COPY_BACK),
        migrations.RemoveField(
            model_name="tier",
            name="threshold",
        ),
        migrations.RemoveField(
            model_name="tierevent",
            name="threshold",
        ),
        migrations.RemoveField(
            model_name="tierstanding",
            name="spend_12m",
        ),
    ]
