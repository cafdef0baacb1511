"""Who would move under another scheme, kept by a preview; gifts of tiers for those who rise past them too.

The table of benefits has a handful of rows. Those that stand go on being given only to who reaches the tier.
"""

import django.db.models.deletion
import pgtrigger.compiler
import pgtrigger.migrations
from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [
        ("loyalty", "0023_hand_out_gifts_of_tiers"),
        ("members", "0012_refund_may_be_undone"),
        ("staff", "0005_answers_of_requests"),
    ]

    operations = [
        migrations.CreateModel(
            name="ForeseenMove",
            fields=[
                ("id", models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name="ID")),
            ],
        ),
        pgtrigger.migrations.RemoveTrigger(
            model_name="tierbenefit",
            name="insert_insert",
        ),
        pgtrigger.migrations.RemoveTrigger(
            model_name="tierbenefit",
            name="update_update",
        ),
        migrations.AddField(
            model_name="tierbenefit",
            name="when_passed",
            field=models.BooleanField(
                db_default=False, default=False, verbose_name="also given to those who rise past the tier in one move"
            ),
        ),
        migrations.AddField(
            model_name="tierbenefitevent",
            name="when_passed",
            field=models.BooleanField(
                db_default=False, default=False, verbose_name="also given to those who rise past the tier in one move"
            ),
        ),
        migrations.AlterField(
            model_name="tierbenefit",
            name="when_passed",
            field=models.BooleanField(
                db_default=True, default=True, verbose_name="also given to those who rise past the tier in one move"
            ),
        ),
        migrations.AlterField(
            model_name="tierbenefitevent",
            name="when_passed",
            field=models.BooleanField(
                db_default=True, default=True, verbose_name="also given to those who rise past the tier in one move"
            ),
        ),
        pgtrigger.migrations.AddTrigger(
            model_name="tierbenefit",
            trigger=pgtrigger.compiler.Trigger(
                name="insert_insert",
                sql=pgtrigger.compiler.UpsertTriggerSql(
                    func='INSERT INTO "loyalty_tierbenefitevent" ("created_at", "id", "kind", "pgh_context_id", "pgh_created_at", "pgh_label", "pgh_obj_id", "points", "reward_id", "text", "text_zh", "tier_id", "when_passed", "yearly_value") VALUES (NEW."created_at", NEW."id", NEW."kind", _pgh_attach_context(), NOW(), \'insert\', NEW."id", NEW."points", NEW."reward_id", NEW."text", NEW."text_zh", NEW."tier_id", NEW."when_passed", NEW."yearly_value"); RETURN NULL;',
                    hash="e9919b21b17df076b2d67c6822616787c79eaf35",
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
                    func='INSERT INTO "loyalty_tierbenefitevent" ("created_at", "id", "kind", "pgh_context_id", "pgh_created_at", "pgh_label", "pgh_obj_id", "points", "reward_id", "text", "text_zh", "tier_id", "when_passed", "yearly_value") VALUES (NEW."created_at", NEW."id", NEW."kind", _pgh_attach_context(), NOW(), \'update\', NEW."id", NEW."points", NEW."reward_id", NEW."text", NEW."text_zh", NEW."tier_id", NEW."when_passed", NEW."yearly_value"); RETURN NULL;',
                    hash="bbc4fcee330cfbf6a4bcfd3905cc5bd0b5b91f8c",
                    operation="UPDATE",
                    pgid="pgtrigger_update_update_5475a",
                    table="loyalty_tierbenefit",
                    when="AFTER",
                ),
            ),
        ),
        migrations.AddField(
            model_name="foreseenmove",
            name="from_tier",
            field=models.ForeignKey(
                db_index=False, on_delete=django.db.models.deletion.CASCADE, related_name="+", to="loyalty.tier"
            ),
        ),
        migrations.AddField(
            model_name="foreseenmove",
            name="job",
            field=models.ForeignKey(
                db_index=False, on_delete=django.db.models.deletion.CASCADE, related_name="+", to="staff.job"
            ),
        ),
        migrations.AddField(
            model_name="foreseenmove",
            name="member",
            field=models.ForeignKey(
                db_constraint=False,
                db_index=False,
                on_delete=django.db.models.deletion.DO_NOTHING,
                related_name="+",
                to="members.member",
            ),
        ),
        migrations.AddField(
            model_name="foreseenmove",
            name="to_tier",
            field=models.ForeignKey(
                db_index=False, on_delete=django.db.models.deletion.CASCADE, related_name="+", to="loyalty.tier"
            ),
        ),
        migrations.AddConstraint(
            model_name="foreseenmove",
            constraint=models.UniqueConstraint(
                fields=("job", "from_tier", "to_tier", "member"), name="loyalty_foreseen_move_once"
            ),
        ),
    ]
