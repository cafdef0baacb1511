"""The index of entries by rule: with the time and the points, so that what a rule gave lately is read from it alone.

It takes the place of that of the foreign key, which also held every entry without a rule, and is made without
holding up the ledger.
"""

import django.db.models.deletion
from django.contrib.postgres.operations import AddIndexConcurrently
from django.db import migrations, models
from django.db.models import Q


class Migration(migrations.Migration):
    atomic = False
    dependencies = [("loyalty", "0021_limit_joining_households")]

    operations = [
        AddIndexConcurrently(
            model_name="entry",
            index=models.Index(
                fields=["rule_version", "occurred_at"],
                name="loyalty_entry_by_rule",
                condition=Q(rule_version__isnull=False),
                include=("kind", "points"),
            ),
        ),
        migrations.AlterField(
            model_name="entry",
            name="rule_version",
            field=models.ForeignKey(
                db_index=False,
                null=True,
                on_delete=django.db.models.deletion.PROTECT,
                related_name="+",
                to="loyalty.ruleversion",
            ),
        ),
    ]
