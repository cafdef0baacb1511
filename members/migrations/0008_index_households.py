"""Find the members of a household, without stopping writes meanwhile."""

from django.contrib.postgres.operations import AddIndexConcurrently
from django.db import migrations, models


class Migration(migrations.Migration):
    atomic = False

    dependencies = [
        ("members", "0007_households"),
    ]

    operations = [
        AddIndexConcurrently(
            model_name="member",
            index=models.Index(
                condition=models.Q(("household__isnull", False)),
                fields=["household"],
                name="members_member_by_household",
            ),
        ),
    ]
