"""The index by which a member's purchases are summed, with what was refunded; made without holding up purchases."""

from django.contrib.postgres.operations import AddIndexConcurrently, RemoveIndexConcurrently, ValidateConstraint
from django.db import migrations, models


class Migration(migrations.Migration):
    atomic = False
    dependencies = [("members", "0005_purchase_lines_and_refunds")]

    operations = [
        ValidateConstraint(model_name="purchase", name="members_purchase_refunded_in_range"),
        AddIndexConcurrently(
            model_name="purchase",
            index=models.Index(
                fields=["member", "purchased_at"],
                include=("value", "refunded_value"),
                name="members_purchase_net_by_member",
            ),
        ),
        RemoveIndexConcurrently(model_name="purchase", name="members_purchase_by_member"),
    ]
