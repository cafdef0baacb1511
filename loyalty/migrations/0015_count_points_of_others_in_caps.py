"""What a referral gave the other member counts in the caps of its rule.

Until now it did not, so caps of such rules had let more through than they knew. Rows are only raised: to be run again
does no harm.
"""

from django.conf import settings
from django.db import migrations
from django.db.backends.base.schema import BaseDatabaseSchemaEditor
from django.db.migrations.state import StateApps

RAISE = """
INSERT INTO loyalty_capuse AS capuse (rule_id, per, "of", period_start, member_id, points, money)
SELECT version.rule_id, capped.per, capped."of",
       CASE capped.per WHEN 'total' THEN date '1970-01-01'
            ELSE date_trunc(capped.per, entry.occurred_at AT TIME ZONE %(zone)s)::date END,
       CASE capped."of" WHEN 'member' THEN entry.member_id END,
       sum(entry.points), sum(entry.points) * coalesce((SELECT point_value FROM loyalty_programmesettings), 0.01)
  FROM loyalty_ruleversion version
  CROSS JOIN LATERAL (SELECT DISTINCT cap->>'per' AS per, coalesce(cap->>'of', 'member') AS "of"
                        FROM jsonb_array_elements(version.definition->'caps') AS cap) capped
  JOIN loyalty_entry entry ON entry.rule_version_id = version.id
 WHERE jsonb_path_exists(version.definition, '$.effects[*].also') AND capped.per <> 'purchase'
   AND entry.kind = 'earn' AND NOT EXISTS (SELECT FROM loyalty_entry reversal WHERE reversal.reverses_id = entry.id)
 GROUP BY 1, 2, 3, 4, 5
    ON CONFLICT (rule_id, per, "of", period_start, member_id) DO UPDATE
   SET points = greatest(capuse.points, excluded.points), money = greatest(capuse.money, excluded.money)
"""


def count(apps: StateApps, schema_editor: BaseDatabaseSchemaEditor) -> None:
    with schema_editor.connection.cursor() as cursor:
        cursor.execute(RAISE, {"zone": settings.TIME_ZONE})


class Migration(migrations.Migration):
    dependencies = [("loyalty", "0014_return_points_spent_on_purchases")]

    operations = [migrations.RunPython(count, migrations.RunPython.noop, elidable=True)]
