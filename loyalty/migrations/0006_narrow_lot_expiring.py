"""The check at commit took this index for ``loyalty_lot_open`` while the table was empty, and kept that plan.

A first import of 140,000 purchases then read every lot once for each member, for many minutes. The index
says now what it is for, and the check at commit is planned anew each time: what a transaction touched
may be one account or all of them, and the tables may have grown from nothing since the session began.
"""

from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [("loyalty", "0005_check_kinds_and_keep_what_earned")]

    operations = [
        migrations.RunSQL(
            "ALTER FUNCTION loyalty_check() SET plan_cache_mode = force_custom_plan",
            "ALTER FUNCTION loyalty_check() RESET plan_cache_mode",
        ),
        migrations.RemoveIndex(model_name="lot", name="loyalty_lot_expiring"),
        migrations.AddIndex(
            model_name="lot",
            index=models.Index(
                fields=["expires_at"],
                name="loyalty_lot_expiring",
                condition=models.Q(remaining__gt=0, expires_at__isnull=False),
            ),
        ),
    ]
