"""Where the points of a lot that came back stem from, so that what expires in it is not owed by a late refund.

Of the lots that came back until now, those of expired lots are filled in, to any depth: there it is one lot each.
"""

import django.db.models.deletion
from django.db import migrations, models
from django.db.models import Q

GUARD = """
CREATE TRIGGER loyalty_lotsource_append_only BEFORE UPDATE OR DELETE OR TRUNCATE ON loyalty_lotsource
    EXECUTE FUNCTION loyalty_refuse();
"""
FILL = """
WITH RECURSIVE came AS (
    SELECT lot.id AS lot_id, lot.entry_id AS back_id, lot.entry_id AS from_id, lot.points
      FROM loyalty_lot lot JOIN loyalty_entry back ON back.id = lot.entry_id AND back.kind = 'reverse'
      JOIN loyalty_entry expiry ON expiry.id = back.reverses_id AND expiry.kind = 'expire'
    UNION ALL
    SELECT came.lot_id, came.back_id, old.entry_id, came.points
      FROM came JOIN loyalty_entry back ON back.id = came.from_id AND back.kind = 'reverse'
      JOIN loyalty_draw draw ON draw.entry_id = back.reverses_id JOIN loyalty_lot old ON old.id = draw.lot_id
)
INSERT INTO loyalty_lotsource (lot_id, award_id, points)
SELECT came.lot_id, came.from_id, came.points
  FROM came JOIN loyalty_entry award ON award.id = came.from_id AND award.kind <> 'reverse'
    ON CONFLICT DO NOTHING;
"""


class Migration(migrations.Migration):
    dependencies = [("loyalty", "0017_check_once_at_commit")]

    operations = [
        migrations.CreateModel(
            name="LotSource",
            fields=[
                ("id", models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name="ID")),
                ("points", models.BigIntegerField()),
                (
                    "award",
                    models.ForeignKey(
                        db_constraint=False,
                        on_delete=django.db.models.deletion.PROTECT,
                        related_name="+",
                        to="loyalty.entry",
                    ),
                ),
                (
                    "lot",
                    models.ForeignKey(
                        db_index=False,
                        on_delete=django.db.models.deletion.PROTECT,
                        related_name="sources",
                        to="loyalty.lot",
                    ),
                ),
            ],
            options={
                "constraints": [
                    models.UniqueConstraint(fields=("lot", "award"), name="loyalty_lot_source_once"),
                    models.CheckConstraint(condition=Q(points__gt=0), name="loyalty_lot_source_positive"),
                ],
            },
        ),
        migrations.RunSQL(FILL + GUARD, "DROP TRIGGER loyalty_lotsource_append_only ON loyalty_lotsource;"),
    ]
