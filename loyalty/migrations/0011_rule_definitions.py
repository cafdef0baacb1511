"""What a rule says moves from four columns into one definition, and a version gets its way through review.

The versions that were there keep what they said. Of each rule the first counts since ever, as it did;
a later one counts from when it was activated.
"""

from importlib import import_module

import django.db.models.deletion
import pgtrigger.compiler
import pgtrigger.migrations
from django.conf import settings
from django.db import migrations, models

VERSIONS_BEFORE = import_module("loyalty.migrations.0002_guard_the_ledger").VERSIONS
PIN = """
DO $$ BEGIN
    EXECUTE format('ALTER FUNCTION loyalty_rule_version_kept() SET search_path = %I, pg_temp', current_schema());
END $$;
"""
DROP = """
DROP TRIGGER loyalty_rule_version_kept ON loyalty_ruleversion;
DROP FUNCTION loyalty_rule_version_kept;
"""

# Of what was active nothing changes but that it is retired; what is in review or approved changes only as a draft.
VERSIONS = """
CREATE FUNCTION loyalty_rule_version_kept() RETURNS trigger LANGUAGE plpgsql AS $$
DECLARE
    may_follow text[] := CASE OLD.state
        WHEN 'draft' THEN ARRAY['draft', 'in_review']
        WHEN 'in_review' THEN ARRAY['in_review', 'draft', 'approved']
        WHEN 'approved' THEN ARRAY['approved', 'draft', 'active']
        WHEN 'active' THEN ARRAY['active', 'retired']
        ELSE ARRAY['retired'] END;
BEGIN
    IF TG_OP = 'DELETE' THEN
        IF OLD.state = 'draft' THEN
            RETURN OLD;
        END IF;
    ELSIF NEW.state = ANY (may_follow)
       AND (OLD.state = 'draft'
            OR (NEW.rule_id, NEW.version) = (OLD.rule_id, OLD.version)
           AND (NEW.state = 'draft'
                OR (NEW.definition, NEW.ends_at, NEW.legal_note)
                   IS NOT DISTINCT FROM (OLD.definition, OLD.ends_at, OLD.legal_note)
               AND (NEW.starts_at IS NOT DISTINCT FROM OLD.starts_at
                    OR OLD.starts_at IS NULL AND OLD.state = 'approved' AND NEW.state = 'active')))
       AND (OLD.state NOT IN ('active', 'retired') OR NEW.active_from IS NOT DISTINCT FROM OLD.active_from)
       AND (OLD.state <> 'retired' OR NEW.retired_at IS NOT DISTINCT FROM OLD.retired_at) THEN
        RETURN NEW;
    END IF;
    IF OLD.state IN ('active', 'retired') THEN
        RAISE EXCEPTION 'version % of a rule was active and is not changed any more', OLD.version
            USING ERRCODE = 'restrict_violation';
    END IF;
    RAISE EXCEPTION 'version % of a rule is % and is changed only as a draft', OLD.version, OLD.state
        USING ERRCODE = 'restrict_violation';
END $$;
CREATE TRIGGER loyalty_rule_version_kept BEFORE UPDATE OR DELETE ON loyalty_ruleversion
    FOR EACH ROW EXECUTE FUNCTION loyalty_rule_version_kept();
"""

SAID = """jsonb_build_object(
    'event', 'purchase', 'when', '{}'::jsonb,
    'effects', jsonb_build_array(
        jsonb_build_object('type', 'per_amount', 'points', trim_scale(points)::text,
                           'per', trim_scale(per_amount)::text),
        jsonb_build_object('type', 'coefficient', 'fact', 'member.tier', 'factors', 'tier')),
    'rounding', rounding, 'stacking', '{"mode": "add", "group": "", "priority": 0}'::jsonb, 'caps', '[]'::jsonb,
    'pending', '{"days": 0}'::jsonb,
    'expiry', CASE WHEN expires_after_months IS NULL THEN '{"type": "never"}'::jsonb
                   ELSE jsonb_build_object('type', 'months', 'n', expires_after_months) END,
    'qualifying', 'same')"""

COLUMNS = """
    points = coalesce((definition->'effects'->0->>'points')::numeric, 1),
    per_amount = coalesce((definition->'effects'->0->>'per')::numeric, 1),
    rounding = coalesce(definition->>'rounding', 'down'),
    expires_after_months = CASE WHEN definition->'expiry'->>'type' = 'months'
                                THEN (definition->'expiry'->>'n')::int END"""

FORWARDS = f"""
UPDATE loyalty_ruleversion SET definition = {SAID};
UPDATE loyalty_ruleversion version SET starts_at = version.active_from
 WHERE EXISTS (SELECT FROM loyalty_ruleversion earlier
                WHERE earlier.rule_id = version.rule_id AND earlier.active_from < version.active_from);
-- A row that is updated twice has its references looked at; that is done before tables are altered.
SET CONSTRAINTS ALL IMMEDIATE;
ALTER TABLE loyalty_ruleversionevent DISABLE TRIGGER USER;
UPDATE loyalty_ruleversionevent SET definition = {SAID};
ALTER TABLE loyalty_ruleversionevent ENABLE TRIGGER USER;
"""  # noqa: S608
BACKWARDS = f"""
UPDATE loyalty_ruleversion
   SET {COLUMNS}, state = CASE WHEN state IN ('in_review', 'approved') THEN 'draft' ELSE state END;
-- A row that is updated twice has its references looked at; that is done before tables are altered.
SET CONSTRAINTS ALL IMMEDIATE;
ALTER TABLE loyalty_ruleversionevent DISABLE TRIGGER USER;
UPDATE loyalty_ruleversionevent
   SET {COLUMNS}, state = CASE WHEN state IN ('in_review', 'approved') THEN 'draft' ELSE state END;
ALTER TABLE loyalty_ruleversionevent ENABLE TRIGGER USER;
"""  # noqa: S608


class Migration(migrations.Migration):
    dependencies = [
        ("loyalty", "0010_tier_scheme_and_standings"),
        ("members", "0004_member_fold_names"),
        migrations.swappable_dependency(settings.AUTH_USER_MODEL),
    ]

    operations = [
        migrations.RunSQL(DROP, VERSIONS_BEFORE + PIN),
        pgtrigger.migrations.RemoveTrigger(
            model_name="ruleversion",
            name="insert_insert",
        ),
        pgtrigger.migrations.RemoveTrigger(
            model_name="ruleversion",
            name="update_update",
        ),
        migrations.AddField(
            model_name="ruleversion",
            name="approved_at",
            field=models.DateTimeField(null=True),
        ),
        migrations.AddField(
            model_name="ruleversion",
            name="approved_by",
            field=models.ForeignKey(
                null=True, on_delete=django.db.models.deletion.SET_NULL, related_name="+", to=settings.AUTH_USER_MODEL
            ),
        ),
        migrations.AddField(
            model_name="ruleversion",
            name="definition",
            field=models.JSONField(default=dict),
        ),
        migrations.AddField(
            model_name="ruleversion",
            name="ends_at",
            field=models.DateTimeField(null=True, verbose_name="ends"),
        ),
        migrations.AddField(
            model_name="ruleversion",
            name="legal_note",
            field=models.TextField(blank=True, default="", verbose_name="legal note"),
        ),
        migrations.AddField(
            model_name="ruleversion",
            name="starts_at",
            field=models.DateTimeField(null=True, verbose_name="starts"),
        ),
        migrations.AddField(
            model_name="ruleversion",
            name="submitted_at",
            field=models.DateTimeField(null=True),
        ),
        migrations.AddField(
            model_name="ruleversion",
            name="submitted_by",
            field=models.ForeignKey(
                null=True, on_delete=django.db.models.deletion.SET_NULL, related_name="+", to=settings.AUTH_USER_MODEL
            ),
        ),
        migrations.AddField(
            model_name="ruleversionevent",
            name="approved_at",
            field=models.DateTimeField(null=True),
        ),
        migrations.AddField(
            model_name="ruleversionevent",
            name="approved_by",
            field=models.ForeignKey(
                db_constraint=False,
                null=True,
                on_delete=django.db.models.deletion.DO_NOTHING,
                related_name="+",
                related_query_name="+",
                to=settings.AUTH_USER_MODEL,
            ),
        ),
        migrations.AddField(
            model_name="ruleversionevent",
            name="definition",
            field=models.JSONField(default=dict),
        ),
        migrations.AddField(
            model_name="ruleversionevent",
            name="ends_at",
            field=models.DateTimeField(null=True, verbose_name="ends"),
        ),
        migrations.AddField(
            model_name="ruleversionevent",
            name="legal_note",
            field=models.TextField(blank=True, default="", verbose_name="legal note"),
        ),
        migrations.AddField(
            model_name="ruleversionevent",
            name="starts_at",
            field=models.DateTimeField(null=True, verbose_name="starts"),
        ),
        migrations.AddField(
            model_name="ruleversionevent",
            name="submitted_at",
            field=models.DateTimeField(null=True),
        ),
        migrations.AddField(
            model_name="ruleversionevent",
            name="submitted_by",
            field=models.ForeignKey(
                db_constraint=False,
                null=True,
                on_delete=django.db.models.deletion.DO_NOTHING,
                related_name="+",
                related_query_name="+",
                to=settings.AUTH_USER_MODEL,
            ),
        ),
        migrations.AlterField(
            model_name="ruleversion",
            name="state",
            field=models.CharField(
                choices=[
                    ("draft", "draft"),
                    ("in_review", "in review"),
                    ("approved", "approved"),
                    ("active", "active"),
                    ("retired", "retired"),
                ],
                default="draft",
                max_length=10,
            ),
        ),
        migrations.AlterField(
            model_name="ruleversionevent",
            name="state",
            field=models.CharField(
                choices=[
                    ("draft", "draft"),
                    ("in_review", "in review"),
                    ("approved", "approved"),
                    ("active", "active"),
                    ("retired", "retired"),
                ],
                default="draft",
                max_length=10,
            ),
        ),
        migrations.RunSQL(FORWARDS, BACKWARDS),
        migrations.RemoveConstraint(
            model_name="ruleversion",
            name="loyalty_rule_version_positive",
        ),
        migrations.RemoveField(
            model_name="ruleversion",
            name="expires_after_months",
        ),
        migrations.RemoveField(
            model_name="ruleversion",
            name="per_amount",
        ),
        migrations.RemoveField(
            model_name="ruleversion",
            name="points",
        ),
        migrations.RemoveField(
            model_name="ruleversion",
            name="rounding",
        ),
        migrations.RemoveField(
            model_name="ruleversionevent",
            name="expires_after_months",
        ),
        migrations.RemoveField(
            model_name="ruleversionevent",
            name="per_amount",
        ),
        migrations.RemoveField(
            model_name="ruleversionevent",
            name="points",
        ),
        migrations.RemoveField(
            model_name="ruleversionevent",
            name="rounding",
        ),
        migrations.CreateModel(
            name="CapUse",
            fields=[
                ("id", models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name="ID")),
                ("per", models.CharField(max_length=8)),
                ("of", models.CharField(max_length=10)),
                ("period_start", models.DateField()),
                ("points", models.BigIntegerField(default=0)),
                ("money", models.DecimalField(decimal_places=6, default=0, max_digits=20)),
            ],
        ),
        pgtrigger.migrations.AddTrigger(
            model_name="ruleversion",
            trigger=pgtrigger.compiler.Trigger(
                name="insert_insert",
                sql=pgtrigger.compiler.UpsertTriggerSql(
                    func='INSERT INTO "loyalty_ruleversionevent" ("active_from", "approved_at", "approved_by_id", "created_at", "created_by_id", "definition", "ends_at", "id", "legal_note", "pgh_context_id", "pgh_created_at", "pgh_label", "pgh_obj_id", "retired_at", "rule_id", "starts_at", "state", "submitted_at", "submitted_by_id", "version") VALUES (NEW."active_from", NEW."approved_at", NEW."approved_by_id", NEW."created_at", NEW."created_by_id", NEW."definition", NEW."ends_at", NEW."id", NEW."legal_note", _pgh_attach_context(), NOW(), \'insert\', NEW."id", NEW."retired_at", NEW."rule_id", NEW."starts_at", NEW."state", NEW."submitted_at", NEW."submitted_by_id", NEW."version"); RETURN NULL;',
                    hash="dc9fb187e7d1883fccf234f4163ea1d8ff98484e",
                    operation="INSERT",
                    pgid="pgtrigger_insert_insert_37ad2",
                    table="loyalty_ruleversion",
                    when="AFTER",
                ),
            ),
        ),
        pgtrigger.migrations.AddTrigger(
            model_name="ruleversion",
            trigger=pgtrigger.compiler.Trigger(
                name="update_update",
                sql=pgtrigger.compiler.UpsertTriggerSql(
                    condition="WHEN (OLD.* IS DISTINCT FROM NEW.*)",
                    func='INSERT INTO "loyalty_ruleversionevent" ("active_from", "approved_at", "approved_by_id", "created_at", "created_by_id", "definition", "ends_at", "id", "legal_note", "pgh_context_id", "pgh_created_at", "pgh_label", "pgh_obj_id", "retired_at", "rule_id", "starts_at", "state", "submitted_at", "submitted_by_id", "version") VALUES (NEW."active_from", NEW."approved_at", NEW."approved_by_id", NEW."created_at", NEW."created_by_id", NEW."definition", NEW."ends_at", NEW."id", NEW."legal_note", _pgh_attach_context(), NOW(), \'update\', NEW."id", NEW."retired_at", NEW."rule_id", NEW."starts_at", NEW."state", NEW."submitted_at", NEW."submitted_by_id", NEW."version"); RETURN NULL;',
                    hash="eb52d68ea58426d3b3189b19281530f4212462a7",
                    operation="UPDATE",
                    pgid="pgtrigger_update_update_3e5f1",
                    table="loyalty_ruleversion",
                    when="AFTER",
                ),
            ),
        ),
        migrations.AddConstraint(
            model_name="ruleversion",
            constraint=models.CheckConstraint(
                condition=models.Q(
                    ("starts_at__isnull", True),
                    ("ends_at__isnull", True),
                    ("ends_at__gt", models.F("starts_at")),
                    _connector="OR",
                ),
                name="loyalty_rule_version_period",
            ),
        ),
        migrations.AddConstraint(
            model_name="ruleversion",
            constraint=models.CheckConstraint(
                condition=models.Q(
                    ("approved_by__isnull", True),
                    models.Q(
                        models.Q(
                            ("created_by__isnull", True),
                            models.Q(("created_by", models.F("approved_by")), _negated=True),
                            _connector="OR",
                        ),
                        models.Q(
                            ("submitted_by__isnull", True),
                            models.Q(("submitted_by", models.F("approved_by")), _negated=True),
                            _connector="OR",
                        ),
                    ),
                    _connector="OR",
                ),
                name="loyalty_rule_version_four_eyes",
            ),
        ),
        migrations.AddField(
            model_name="capuse",
            name="member",
            field=models.ForeignKey(
                null=True, on_delete=django.db.models.deletion.CASCADE, related_name="+", to="members.member"
            ),
        ),
        migrations.AddField(
            model_name="capuse",
            name="rule",
            field=models.ForeignKey(
                on_delete=django.db.models.deletion.PROTECT, related_name="+", to="loyalty.earningrule"
            ),
        ),
        migrations.AddConstraint(
            model_name="capuse",
            constraint=models.UniqueConstraint(
                fields=("rule", "per", "of", "period_start", "member"),
                name="loyalty_cap_use_once",
                nulls_distinct=False,
            ),
        ),
        migrations.AddConstraint(
            model_name="capuse",
            constraint=models.CheckConstraint(
                condition=models.Q(("money__gte", 0), ("points__gte", 0)), name="loyalty_cap_use_not_negative"
            ),
        ),
        migrations.RunSQL(VERSIONS + PIN, DROP),
    ]
