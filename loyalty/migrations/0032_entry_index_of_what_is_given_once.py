"""The index of what a rule gives a member once: for the n-th purchase, for coming back. Without holding up the ledger."""

from django.contrib.postgres.operations import AddIndexConcurrently
from django.db import migrations, models
from django.db.models import Q


class Migration(migrations.Migration):
    atomic = False
    dependencies = [("loyalty", "0031_check_less_at_commit")]

    operations = [
        AddIndexConcurrently(
            model_name="entry",
            index=models.Index(
                fields=["member"],
                name="loyalty_entry_once",
                condition=Q(kind="earn", explanation__has_key="occasion"),
            ),
        ),
    ]
