"""The draws of a lot are found by the index of the lot, whatever the table held when a session made its plans.

Counted while it was empty, ``loyalty_draw`` looked to the planner as if the unique index over entry and lot served as
well for a lot alone: the check at commit, whose plan is kept (0017), then read all of it once for each lot. Under a
condition that no query states, though it always holds, that index is there for uniqueness alone.

Made without holding up the ledger: the new index is built first, then takes the name of the old one.
"""

from django.db import migrations, models
from django.db.models import Q

NARROW = [
    "DROP INDEX IF EXISTS loyalty_draw_once_narrow",
    "CREATE UNIQUE INDEX CONCURRENTLY loyalty_draw_once_narrow ON loyalty_draw (entry_id, lot_id) WHERE points <> 0",
    # One string: nobody sees the table between the two.
    """
    ALTER TABLE loyalty_draw DROP CONSTRAINT loyalty_draw_once;
    ALTER INDEX loyalty_draw_once_narrow RENAME TO loyalty_draw_once;
    """,
]
WIDE = [
    "DROP INDEX IF EXISTS loyalty_draw_once_wide",
    "CREATE UNIQUE INDEX CONCURRENTLY loyalty_draw_once_wide ON loyalty_draw (entry_id, lot_id)",
    """
    DROP INDEX loyalty_draw_once;
    ALTER TABLE loyalty_draw ADD CONSTRAINT loyalty_draw_once UNIQUE USING INDEX loyalty_draw_once_wide;
    """,
]


class Migration(migrations.Migration):
    atomic = False
    dependencies = [("loyalty", "0019_move_accounts_in_place")]

    operations = [
        migrations.SeparateDatabaseAndState(
            database_operations=[migrations.RunSQL(NARROW, WIDE)],
            state_operations=[
                migrations.RemoveConstraint(model_name="draw", name="loyalty_draw_once"),
                migrations.AddConstraint(
                    model_name="draw",
                    constraint=models.UniqueConstraint(
                        fields=["entry", "lot"], name="loyalty_draw_once", condition=~Q(points=0)
                    ),
                ),
            ],
        ),
    ]
