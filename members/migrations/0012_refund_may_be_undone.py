"""A refund may be undone at the desk: a state of its own, so that its key stays known.

What fits the old check fits the new one.
"""

from django.contrib.postgres.operations import AddConstraintNotValid, ValidateConstraint
from django.db import migrations, models
from django.db.models import Q

WHOLE = Q(
    state="applied",
    purchase__isnull=False,
    member__isnull=False,
    amount__isnull=False,
    rate__isnull=False,
    value__isnull=False,
) | Q(state="waiting", purchase__isnull=True)


class Migration(migrations.Migration):
    dependencies = [("members", "0011_segments")]

    operations = [
        migrations.AlterField(
            model_name="refund",
            name="state",
            field=models.CharField(
                choices=[
                    ("applied", "applied"),
                    ("waiting", "waiting for its purchase"),
                    ("refused", "refused"),
                    ("undone", "undone"),
                ],
                max_length=8,
            ),
        ),
        migrations.RemoveConstraint(model_name="refund", name="members_refund_state_is_whole"),
        AddConstraintNotValid(
            model_name="refund",
            constraint=models.CheckConstraint(
                condition=WHOLE | Q(state__in=["refused", "undone"]), name="members_refund_state_is_whole"
            ),
        ),
        ValidateConstraint(model_name="refund", name="members_refund_state_is_whole"),
        # On the way back: what was undone gives nothing back either. What is to be checked at commit is checked at once,
        # for the table cannot be altered before.
        migrations.RunSQL(
            migrations.RunSQL.noop,
            [
                "UPDATE members_refund SET state = 'refused' WHERE state = 'undone'",
                "SET CONSTRAINTS ALL IMMEDIATE",
                "SET CONSTRAINTS ALL DEFERRED",
            ],
        ),
    ]
