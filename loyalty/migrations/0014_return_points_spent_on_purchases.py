"""A redemption may name the purchase it paid a part of; a part of what it took can be given back ("return").

The guards of 0008 learn of it: parts given back come to no more than was taken, and a redemption of which a part was
given back is not reversed as well.
"""

from importlib import import_module

import django.db.models.deletion
from django.contrib.postgres.operations import AddConstraintNotValid, ValidateConstraint
from django.db import migrations, models
from django.db.models import Q

DEEPER = import_module("loyalty.migrations.0008_guard_the_deeper_ledger")

RETURNED = """
        SELECT entry.member_id, entry.seq INTO wrong
          FROM new_rows entry
          LEFT JOIN LATERAL (SELECT * FROM loyalty_entry WHERE id = entry.award_id OFFSET 0) spent ON true
          LEFT JOIN LATERAL (
              SELECT sum(part.points) AS points FROM loyalty_entry part
               WHERE part.award_id = entry.award_id AND part.kind = 'return'
                 AND (SELECT id FROM loyalty_entry reversal WHERE reversal.reverses_id = part.id) IS NULL
              ) given ON true
         WHERE entry.kind = 'return'
           AND (spent.member_id IS DISTINCT FROM entry.member_id OR spent.kind <> 'redeem'
                OR spent.points + given.points > 0
                OR (SELECT id FROM loyalty_entry reversal WHERE reversal.reverses_id = spent.id) IS NOT NULL)
         LIMIT 1;
        IF FOUND THEN
            RAISE EXCEPTION 'entry % of member % gives back more than was taken', wrong.seq, wrong.member_id
                USING ERRCODE = 'check_violation', CONSTRAINT = 'loyalty_entry_return_within_spend';
        END IF;
"""
TRANSFERS = """        INSERT INTO loyalty_unchecked (entries)
        SELECT array_agg(DISTINCT award_id) FROM new_rows WHERE kind = 'transfer'"""
STANDING_PARTS = "part.award_id = entry.reverses_id AND part.kind = 'clawback'"
OWN_LOT = "entry.kind <> 'reverse')"

ENTRY = DEEPER.ENTRY.replace(TRANSFERS, RETURNED.lstrip("\n") + TRANSFERS).replace(
    STANDING_PARTS, "part.award_id = entry.reverses_id AND part.kind IN ('clawback', 'return')"
)
LOT_AND_DRAW = DEEPER.LOT_AND_DRAW.replace(OWN_LOT, "entry.kind NOT IN ('reverse', 'return'))", 1)

PART_NAMES_WHOLE = (
    Q(kind__in=["clawback", "return"], award__isnull=False)
    | Q(kind="transfer", points__gt=0, award__isnull=False)
    | Q(kind="transfer", points__lt=0, award__isnull=True)
    | (~Q(kind__in=["clawback", "return", "transfer"]) & Q(award__isnull=True))
)
SIGN_OF_KIND = (
    Q(kind="earn", points__gte=0, qualifying__gte=0)
    | Q(kind="clawback", points__lte=0, qualifying__lte=0)
    | Q(kind="return", points__gt=0, qualifying=0)
    | Q(kind__in=["redeem", "expire"], points__lt=0, qualifying=0)
    | (Q(kind="transfer", qualifying=0) & ~Q(points=0))
    | Q(kind__in=["adjust", "reverse"])
)


class Migration(migrations.Migration):
    dependencies = [("loyalty", "0013_sum_lots_by_expiry"), ("members", "0009_check_refunds_as_they_stand")]

    operations = [
        migrations.AlterField(
            model_name="entry",
            name="kind",
            field=models.CharField(
                choices=[
                    ("earn", "earned"),
                    ("redeem", "redeemed"),
                    ("expire", "expired"),
                    ("adjust", "adjusted"),
                    ("reverse", "taken back"),
                    ("clawback", "partly taken back"),
                    ("transfer", "transferred"),
                    ("return", "partly given back"),
                ],
                max_length=8,
            ),
        ),
        migrations.AddField(
            model_name="redemption",
            name="purchase",
            field=models.ForeignKey(
                null=True,
                on_delete=django.db.models.deletion.PROTECT,
                related_name="redemptions",
                to="members.purchase",
            ),
        ),
        migrations.RemoveConstraint(model_name="entry", name="loyalty_entry_part_names_whole"),
        migrations.RemoveConstraint(model_name="entry", name="loyalty_entry_sign_of_kind"),
        AddConstraintNotValid(
            model_name="entry",
            constraint=models.CheckConstraint(condition=PART_NAMES_WHOLE, name="loyalty_entry_part_names_whole"),
        ),
        AddConstraintNotValid(
            model_name="entry",
            constraint=models.CheckConstraint(condition=SIGN_OF_KIND, name="loyalty_entry_sign_of_kind"),
        ),
        ValidateConstraint(model_name="entry", name="loyalty_entry_part_names_whole"),
        ValidateConstraint(model_name="entry", name="loyalty_entry_sign_of_kind"),
        migrations.RunSQL(
            ENTRY + LOT_AND_DRAW + DEEPER.CLOSED.PINNED, DEEPER.ENTRY + DEEPER.LOT_AND_DRAW + DEEPER.CLOSED.PINNED
        ),
    ]
