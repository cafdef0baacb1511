"""Benefits of tiers that are handed out, and the gifts that members earned by them (docs/adr/0019).

The table of benefits has a handful of rows; that of gifts is new.
"""

import django.db.models.deletion
import pgtrigger.compiler
import pgtrigger.migrations
from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [
        ("loyalty", "0022_entry_index_by_rule"),
        ("members", "0012_refund_may_be_undone"),
    ]

    operations = [
        migrations.CreateModel(
            name="TierGift",
            fields=[
                ("id", models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name="ID")),
                ("text", models.CharField(max_length=120)),
                ("text_zh", models.CharField(blank=True, max_length=120)),
                ("points", models.PositiveIntegerField(default=0)),
                ("reached_at", models.DateTimeField()),
                ("lost_at", models.DateTimeField(null=True)),
                ("created_at", models.DateTimeField(auto_now_add=True)),
                ("given_at", models.DateTimeField(null=True)),
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
            name="created_at",
            field=models.DateTimeField(auto_now_add=True),
        ),
        migrations.AddField(
            model_name="tierbenefit",
            name="points",
            field=models.PositiveIntegerField(db_default=0, default=0, verbose_name="points that are given"),
        ),
        migrations.AddField(
            model_name="tierbenefit",
            name="reward",
            field=models.ForeignKey(
                blank=True,
                null=True,
                on_delete=django.db.models.deletion.PROTECT,
                related_name="+",
                to="loyalty.reward",
                verbose_name="reward that is given",
            ),
        ),
        migrations.AddField(
            model_name="tierbenefitevent",
            name="created_at",
            field=models.DateTimeField(auto_now_add=True),
        ),
        migrations.AddField(
            model_name="tierbenefitevent",
            name="points",
            field=models.PositiveIntegerField(db_default=0, default=0, verbose_name="points that are given"),
        ),
        migrations.AddField(
            model_name="tierbenefitevent",
            name="reward",
            field=models.ForeignKey(
                blank=True,
                db_constraint=False,
                null=True,
                on_delete=django.db.models.deletion.DO_NOTHING,
                related_name="+",
                related_query_name="+",
                to="loyalty.reward",
                verbose_name="reward that is given",
            ),
        ),
        pgtrigger.migrations.AddTrigger(
            model_name="tierbenefit",
            trigger=pgtrigger.compiler.Trigger(
                name="insert_insert",
                sql=pgtrigger.compiler.UpsertTriggerSql(
                    func='INSERT INTO "loyalty_tierbenefitevent" ("created_at", "id", "kind", "pgh_context_id", "pgh_created_at", "pgh_label", "pgh_obj_id", "points", "reward_id", "text", "text_zh", "tier_id", "yearly_value") VALUES (NEW."created_at", NEW."id", NEW."kind", _pgh_attach_context(), NOW(), \'insert\', NEW."id", NEW."points", NEW."reward_id", NEW."text", NEW."text_zh", NEW."tier_id", NEW."yearly_value"); RETURN NULL;',
                    hash="cc9240fe94dd91a36eff30450032f79774ff5a5b",
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
                    func='INSERT INTO "loyalty_tierbenefitevent" ("created_at", "id", "kind", "pgh_context_id", "pgh_created_at", "pgh_label", "pgh_obj_id", "points", "reward_id", "text", "text_zh", "tier_id", "yearly_value") VALUES (NEW."created_at", NEW."id", NEW."kind", _pgh_attach_context(), NOW(), \'update\', NEW."id", NEW."points", NEW."reward_id", NEW."text", NEW."text_zh", NEW."tier_id", NEW."yearly_value"); RETURN NULL;',
                    hash="db7811c5894e73d4ee9d946e7a53073a09cd08d7",
                    operation="UPDATE",
                    pgid="pgtrigger_update_update_5475a",
                    table="loyalty_tierbenefit",
                    when="AFTER",
                ),
            ),
        ),
        migrations.AddConstraint(
            model_name="tierbenefit",
            constraint=models.CheckConstraint(
                condition=models.Q(
                    ("kind", "gift"), models.Q(("points", 0), ("reward__isnull", True)), _connector="OR"
                ),
                name="loyalty_tier_benefit_only_gifts_give",
            ),
        ),
        migrations.AddField(
            model_name="tiergift",
            name="benefit",
            field=models.ForeignKey(
                null=True, on_delete=django.db.models.deletion.SET_NULL, related_name="gifts", to="loyalty.tierbenefit"
            ),
        ),
        migrations.AddField(
            model_name="tiergift",
            name="member",
            field=models.ForeignKey(
                db_index=False,
                on_delete=django.db.models.deletion.CASCADE,
                related_name="tier_gifts",
                to="members.member",
            ),
        ),
        migrations.AddField(
            model_name="tiergift",
            name="redemption",
            field=models.OneToOneField(
                null=True, on_delete=django.db.models.deletion.PROTECT, related_name="gift", to="loyalty.redemption"
            ),
        ),
        migrations.AddField(
            model_name="tiergift",
            name="reward",
            field=models.ForeignKey(
                null=True, on_delete=django.db.models.deletion.PROTECT, related_name="+", to="loyalty.reward"
            ),
        ),
        migrations.AddField(
            model_name="tiergift",
            name="tier",
            field=models.ForeignKey(on_delete=django.db.models.deletion.PROTECT, related_name="+", to="loyalty.tier"),
        ),
        migrations.AddIndex(
            model_name="tiergift",
            index=models.Index(fields=["member", "reached_at"], name="loyalty_tier_gift_by_member"),
        ),
        migrations.AddIndex(
            model_name="tiergift",
            index=models.Index(
                condition=models.Q(("given_at__isnull", True)), fields=["id"], name="loyalty_tier_gift_due"
            ),
        ),
        migrations.AddConstraint(
            model_name="tiergift",
            constraint=models.UniqueConstraint(
                condition=models.Q(("benefit__isnull", False)),
                fields=("member", "benefit", "lost_at"),
                name="loyalty_tier_gift_once",
                nulls_distinct=False,
            ),
        ),
        migrations.AddConstraint(
            model_name="tiergift",
            constraint=models.CheckConstraint(
                condition=models.Q(("reward__isnull", False), ("points__gt", 0), _connector="OR"),
                name="loyalty_tier_gift_is_something",
            ),
        ),
        migrations.AddConstraint(
            model_name="tiergift",
            constraint=models.CheckConstraint(
                condition=models.Q(
                    models.Q(("given_at__isnull", True), ("redemption__isnull", True)),
                    models.Q(("given_at__isnull", False), ("redemption__isnull", True), ("reward__isnull", True)),
                    models.Q(("given_at__isnull", False), ("redemption__isnull", False), ("reward__isnull", False)),
                    _connector="OR",
                ),
                name="loyalty_tier_gift_given_whole",
            ),
        ),
    ]
