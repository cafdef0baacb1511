"""The sums of lots by the month in which they expire as well, so that the forecast reads no lot of a fixed expiry.

The sums that there are go, and come again with the next block (:mod:`loyalty.ledger.rollup`).
"""

from django.db import migrations, models

ANEW = "DELETE FROM loyalty_lotmonth; DELETE FROM loyalty_entrymonth;"


class Migration(migrations.Migration):
    dependencies = [("loyalty", "0012_adjustments")]

    operations = [
        migrations.RunSQL(ANEW, ANEW),
        migrations.RemoveConstraint(model_name="lotmonth", name="loyalty_lot_month_once"),
        migrations.AddField(model_name="lotmonth", name="expires", field=models.DateField(null=True)),
        migrations.AddField(
            model_name="lotmonth", name="slides", field=models.BooleanField(default=False), preserve_default=False
        ),
        migrations.AddConstraint(
            model_name="lotmonth",
            constraint=models.UniqueConstraint(
                fields=("issued", "expires", "slides", "month", "kind"),
                name="loyalty_lot_month_once",
                nulls_distinct=False,
            ),
        ),
        migrations.AddIndex(
            model_name="lot",
            index=models.Index(
                fields=["entry"],
                name="loyalty_lot_sliding",
                condition=models.Q(remaining__gt=0, idle_months__isnull=False),
            ),
        ),
    ]
